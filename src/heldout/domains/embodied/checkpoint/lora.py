"""The gate of a LoRA adapter: what was declared was adapted, everywhere, nothing else was, and it learnt something.

The published gate asked for two-dimensional tensors in the first file. An adapter passed it with no tensor for three of
its seven declared targets, and with 192 tensors in a tower that nobody had declared.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from heldout.domains.embodied.checkpoint.reload import reload_problems
from heldout.domains.embodied.checkpoint.seen import Checkpoint, Verdict
from heldout.domains.embodied.checkpoint.whole import check_whole, split_whole
from heldout.domains.embodied.qwen.targets import TOWERS
from heldout.domains.embodied.training.files import folder_digest
from heldout.domains.embodied.training.tensors import Tensor, is_finite, is_zero, read_folder, read_tensors
from heldout.errors import HeldoutError

_NAME = re.compile(r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>A|B)(?:\.[^.]+)?\.weight$")
_LAYER = re.compile(r"\.(\d+)\.")
# Encoders and speakers beside the language model: adapted only if the metadata declares them.
_TOWERS = re.compile(rf"(^|\.)({'|'.join((*TOWERS, 'audio', 'vision_tower', 'vision_model'))})(\.|$)")
PROBE = "probe.safetensors"


class Pair(NamedTuple):
    """A and B of one module."""

    a: Tensor | None
    b: Tensor | None


def check(checkpoint: Checkpoint, verdict: Verdict) -> None:
    """Run every check of an adapter."""
    config = checkpoint.document("adapter_config.json") or {}
    metadata = checkpoint.document("training_metadata.json") or {}
    files = sorted(checkpoint.folder.glob("adapter_model*.safetensors"))
    try:
        tensors = [tensor for path in files for tensor in read_tensors(path)]
    except HeldoutError as error:
        verdict.check("readable", "HO-G121", [error.what], "save the adapter again", where=error.where or "")
        return
    verdict.check("readable", "HO-G121", [] if tensors else ["there are no tensors"], "save the adapter again")
    whole, rest = split_whole(tensors, config.get("modules_to_save") or ())
    pairs, strange = _pairs(rest)
    verdict.report |= _report(files, rest)
    verdict.check("configuration", "HO-G121", _configuration(config, metadata), "train again with what is declared")
    verdict.check(
        "targets", "HO-G122", _targets(config, pairs, checkpoint), "adapt every declared target, or declare less"
    )
    verdict.check(
        "towers", "HO-G123", strange + _undeclared(config, metadata, pairs), "exclude the tower, or declare it"
    )
    verdict.check("rank", "HO-G124", _ranks(config, pairs), "the saved tensors are not of the declared rank")
    bad = [f"{tensor.name} is not finite" for tensor in tensors if not is_finite(tensor)]
    verdict.check("finite", "HO-G125", bad, "train again: the loss overflowed")
    zero = [f"{name}: B is zero" for name, pair in sorted(pairs.items()) if pair.b is not None and is_zero(pair.b)]
    verdict.check("learnt", "HO-G126", zero, "nothing was learnt there: train again, or exclude the module")
    check_whole(checkpoint, config, metadata, whole, verdict)
    _base(checkpoint, metadata, verdict)
    _reload(checkpoint, verdict)


def _pairs(tensors: Sequence[Tensor]) -> tuple[dict[str, Pair], list[str]]:
    """By module its pair; and tensors that belong to none."""
    sides: dict[str, dict[str, Tensor]] = defaultdict(dict)
    strange = []
    for tensor in tensors:
        match = _NAME.match(tensor.name)
        if match is None:
            strange.append(f"{tensor.name} is no part of an adapter")
        elif match["side"] in sides[match["module"]]:
            strange.append(f"{tensor.name} stands in two files")
        else:
            sides[match["module"]][match["side"]] = tensor
    return {name: Pair(found.get("A"), found.get("B")) for name, found in sides.items()}, strange


def _configuration(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[str]:
    problems = []
    if config.get("peft_type") not in (None, "LORA"):
        problems.append(f"peft_type is {config['peft_type']!r}")
    for name in ("r", "lora_alpha"):
        value = config.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            problems.append(f"adapter_config names no {name}")
    if not _declared(config):
        problems.append("adapter_config names no target_modules")
    told = metadata.get("lora")
    if not isinstance(told, dict):
        return [*problems, "training_metadata has no lora block to agree with"]
    for ours, theirs in (("r", "r"), ("alpha", "lora_alpha")):
        if told.get(ours) != config.get(theirs):
            problems.append(
                f"{ours} is {told.get(ours)} in training_metadata and {config.get(theirs)} in adapter_config"
            )
    targets = told.get("target_modules")
    targets = targets.split(",") if isinstance(targets, str) else targets
    if set(targets or ()) != set(_declared(config)) and isinstance(config.get("target_modules"), list):
        problems.append(f"target_modules differ: {sorted(targets or ())} and {sorted(_declared(config))}")
    return problems


def _declared(config: Mapping[str, Any]) -> list[str]:
    """Names of what is to be adapted; a parameter of a fused module counts as its own target."""
    targets = config.get("target_modules")
    named = [targets] if isinstance(targets, str) else list(targets or ())
    return [str(name) for name in named] + [str(name) for name in config.get("target_parameters") or ()]


def _targets(config: Mapping[str, Any], pairs: Mapping[str, Pair], checkpoint: Checkpoint) -> list[str]:
    problems = [
        f"{name} has no {'A' if pair.a is None else 'B'}" for name, pair in sorted(pairs.items()) if None in pair
    ]
    parameters = {str(name) for name in config.get("target_parameters") or ()}
    expected = _modules_of_base(config, checkpoint)
    for target in _declared(config):
        # PEFT wraps the module that holds a fused parameter, so that is what stands in the file.
        module = target.rpartition(".")[0] if target in parameters else target
        mine = {name for name in pairs if _is_target(name, module, config)}
        if not mine:
            problems.append(f"target {target} has no tensor")
            continue
        problems += [f"target {target} is not adapted in {place}" for place in _gaps(mine, pairs)]
    if expected:
        problems += [f"{name} of the base is not adapted" for name in sorted(expected - _short_names(pairs))]
    return problems


def _is_target(module: str, target: str, config: Mapping[str, Any]) -> bool:
    name = module.removesuffix(".base_layer")
    if isinstance(config.get("target_modules"), str) and target == config["target_modules"]:
        return target == "all-linear" or re.fullmatch(target, name) is not None
    return name == target or name.endswith(f".{target}")


def _gaps(mine: set[str], pairs: Mapping[str, Pair]) -> list[str]:
    """Layers of a stack that others adapt, and in which this target is missing though it is there in most."""
    stacks: dict[str, set[int]] = defaultdict(set)
    here: dict[str, set[int]] = defaultdict(set)
    for name in pairs:
        match = _LAYER.search(name)
        if match:
            stacks[name[: match.start()]].add(int(match[1]))
            if name in mine:
                here[name[: match.start()]].add(int(match[1]))
    return [f"{stack}.{n}" for stack, found in sorted(here.items()) for n in sorted(stacks[stack] - found)]


def _modules_of_base(config: Mapping[str, Any], checkpoint: Checkpoint) -> set[str]:
    """Modules of the base that the targets name and nothing excludes, from its weights' names; empty without a base."""
    if checkpoint.base is None:
        return set()
    excluded = config.get("exclude_modules")
    names = {
        tensor.name.removesuffix(".weight")
        for tensor in read_folder(checkpoint.base)
        if tensor.name.endswith(".weight") and len(tensor.shape) == 2
    }
    targets = [name for name in _declared(config) if name not in (config.get("target_parameters") or ())]
    wanted = {name for name in names if any(_is_target(name, target, config) for target in targets)}
    return {_short(name) for name in wanted if not _matches(excluded, name)}


def _short_names(pairs: Mapping[str, Pair]) -> set[str]:
    return {_short(name) for name in pairs}


def _short(name: str) -> str:
    """A module's name without the wrappers that differ between a saved base and a loaded one."""
    return re.sub(r"^(thinker\.|model\.)+", "", name)


def _undeclared(config: Mapping[str, Any], metadata: Mapping[str, Any], pairs: Mapping[str, Pair]) -> list[str]:
    told = metadata.get("lora")
    towers = set(told.get("towers") or ()) if isinstance(told, dict) else set()
    found: Counter[str] = Counter()
    for name in pairs:
        tower = _TOWERS.search(name)
        if tower and tower[2] not in towers:
            found[f"tower {tower[2]} is adapted and not declared"] += 1
        elif _matches(config.get("exclude_modules"), name):
            found["a module is adapted that exclude_modules names"] += 1
        elif not any(_is_target(name, _holder(target, config), config) for target in _declared(config)):
            found[f"{name.rpartition('.')[2]} is adapted and not declared"] += 1
    return [f"{what} ({count} modules)" for what, count in sorted(found.items())]


def _holder(target: str, config: Mapping[str, Any]) -> str:
    return target.rpartition(".")[0] if target in (config.get("target_parameters") or ()) else target


def _matches(excluded: Any, name: str) -> bool:
    """As PEFT reads ``exclude_modules``: a list of names, or an expression of the whole name."""
    if not excluded:
        return False
    if isinstance(excluded, str):
        return re.fullmatch(excluded, name) is not None
    return any(name == one or name.endswith(f".{one}") for one in excluded)


def _ranks(config: Mapping[str, Any], pairs: Mapping[str, Pair]) -> list[str]:
    """A is ``[r, in]`` and B is ``[out, r]``; of fused experts ``r`` times their number stand in both."""
    problems = []
    for name, pair in sorted(pairs.items()):
        if pair.a is None or pair.b is None:
            continue
        if len(pair.a.shape) != 2 or len(pair.b.shape) != 2 or 0 in (*pair.a.shape, *pair.b.shape):
            problems.append(f"{name}: shapes {pair.a.shape} and {pair.b.shape}")
            continue
        patterns = config.get("rank_pattern") or {}
        rank = next((value for key, value in patterns.items() if name.endswith(key)), config.get("r"))
        rows = pair.a.shape[0]
        fits = isinstance(rank, int) and rank > 0 and (rows == rank or ("experts" in name and rows % rank == 0))
        if not fits or rows != pair.b.shape[1]:
            problems.append(f"{name}: rank {rows} and {pair.b.shape[1]}, declared {rank}")
    return problems


def _base(checkpoint: Checkpoint, metadata: Mapping[str, Any], verdict: Verdict) -> None:
    told = metadata.get("base_model_sha256")
    if not isinstance(told, str) or not told:
        hint = "the trainer writes base_model_sha256 into training_metadata.json"
        verdict.check("base", "HO-G127", ["training_metadata does not name the base by digest"], hint)
    elif checkpoint.base is None:
        verdict.unseen("base", "HO-G127", "the base is not at hand", "give its folder by --base")
    else:
        seen = folder_digest(checkpoint.base)
        wrong = [] if seen == told else [f"the base has digest {seen[:12]}, the adapter was trained on {told[:12]}"]
        verdict.check("base", "HO-G127", wrong, "use the base that the adapter was trained on")


def _reload(checkpoint: Checkpoint, verdict: Verdict) -> None:
    probe = checkpoint.find(PROBE)
    if checkpoint.base is None or probe is None:
        why = "the base is not at hand" if probe else f"there is no {PROBE} with inputs and what was predicted"
        verdict.unseen("reload", "HO-G128", why, "give --base; the trainer writes the probe")
        return
    verdict.check("reload", "HO-G128", reload_problems(checkpoint, probe), "the saved adapter is not the trained one")


def _report(files: Sequence[Any], tensors: Sequence[Tensor]) -> dict[str, object]:
    """The published facts of a shape check."""
    bad = [tensor.name for tensor in tensors if len(tensor.shape) != 2 or 0 in tensor.shape]
    shapes = Counter("x".join(map(str, tensor.shape)) for tensor in tensors)
    stems = [tensor.name.removeprefix("base_model.model.").removeprefix("thinker.") for tensor in tensors]
    return {
        "adapter_files": [path.name for path in files],
        "num_tensors": len(tensors),
        "num_bad_tensors": len(bad),
        "bad_tensors": bad[:50],
        "total_bytes": sum(tensor.bytes for tensor in tensors),
        "shape_counts": dict(sorted(shapes.items())),
        "prefixes": dict(sorted(Counter(stem.split(".")[0] for stem in stems).items())),
    }
