"""What LoRA adapts: what was asked for, in the language model, and nothing else.

PEFT drops a target that no module has, and adapts one wherever a module of that name stands: the published adapters
hold nothing of three of their seven targets, and 192 tensors in a tower that nobody had asked for. The experts of this
family are fused, so that ``gate_proj``, ``up_proj`` and ``down_proj`` are parameters and not modules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from heldout.domains.embodied.qwen.quiet import quiet
from heldout.errors import InputError, near_miss

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
# By published name: the parameter that holds it in the fused experts.
FUSED = {
    "gate_proj": "mlp.experts.gate_up_proj",
    "up_proj": "mlp.experts.gate_up_proj",
    "down_proj": "mlp.experts.down_proj",
}
# Encoders and speakers beside the language model, by the names of their modules.
TOWERS = ("audio_tower", "visual", "talker", "code2wav", "prefix")
EXCLUDED = rf".*({'|'.join(TOWERS)}).*"
_TOWER = re.compile(rf"(^|\.)({'|'.join(TOWERS)})(\.|$)")


class Targets(NamedTuple):
    """Names for PEFT.

    Attributes:
        modules: That are adapted.
        parameters: Of fused experts, that are adapted.
        whole: Modules that are trained and saved as they are, for their base is random.
    """

    modules: list[str]
    parameters: list[str]
    whole: tuple[str, ...] = ()

    @property
    def declared(self) -> list[str]:
        """All of them."""
        return [*self.modules, *self.parameters]


def parse_targets(names: Sequence[str], model: Any) -> Targets:
    """Resolve the published names against a model.

    Args:
        names: Such as ``q_proj``; ``gate_proj``, ``up_proj`` and ``down_proj`` also reach fused experts.
        model: The thinker.

    Raises:
        InputError: If a name is nowhere in the language model, or only half of a fused parameter is asked for.
    """
    modules, parameters = [], []
    inside = [name for name, _ in model.named_modules() if not _TOWER.search(name)]
    held = [name for name, _ in model.named_parameters() if not _TOWER.search(name)]
    short = {name.rpartition(".")[2] for name in inside}
    for name in names:
        if _found(name, inside):
            modules.append(name)
        if name in FUSED and _found(FUSED[name], held):
            parameters.append(FUSED[name])
        elif name not in modules:
            raise InputError(
                f"no module of the language model is named {name!r}",
                where="--lora-target-modules",
                hint=near_miss(name, {*short, *FUSED}),
                code="HO-G122",
            )
    _check_halves(names, parameters)
    return Targets(sorted(set(modules)), sorted(set(parameters)), tuple(getattr(model, "trained_whole", ())))


def adapt(
    model: Any, targets: Targets, *, r: int, alpha: int, dropout: float, base: str, same_dtype: bool = False
) -> Any:
    """Wrap a thinker by PEFT, and see that what is adapted is what was asked for.

    Args:
        model: The thinker.
        targets: What is adapted.
        r: Rank.
        alpha: Scale.
        dropout: On what goes into the adapters.
        base: Its name, for the adapter's configuration.
        same_dtype: Keep adapters in the base's type, as a model needs whose parameters are flattened and sharded;
            otherwise they are float32.

    Raises:
        InputError: If dropout is asked for on fused experts, or PEFT adapted more or less.
    """
    from peft import LoraConfig, get_peft_model

    if targets.parameters and dropout:
        raise InputError(
            f"dropout of {dropout} cannot be applied to fused experts",
            where="--lora-dropout",
            hint="--lora-dropout 0, or leave the experts out: --lora-target-modules q_proj,k_proj,v_proj,o_proj",
        )
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        bias="none",
        target_modules=targets.modules,
        target_parameters=targets.parameters or None,
        exclude_modules=EXCLUDED,
        modules_to_save=list(targets.whole) or None,
    )
    with quiet():
        wrapped = get_peft_model(model, config, autocast_adapter_dtype=not same_dtype)
    config.base_model_name_or_path = base
    check_adapted(wrapped, targets)
    return wrapped


def check_adapted(model: Any, targets: Targets) -> None:
    """Compare what trains with what was declared, module by module.

    Raises:
        InputError: If a declared module or parameter is not adapted, or anything else is.
    """
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    adapted = {re.sub(r"^base_model\.model\.|\.(lora_[AB]|modules_to_save)\..*$", "", name) for name in trained}
    lost = sorted(set(targets.whole) - adapted)
    if lost:
        _refuse(f"{lost[0]} is to be trained whole, and is not trained", "HO-G122")
    adapted -= set(targets.whole)
    towers = sorted(name for name in adapted if _TOWER.search(name))
    if towers:
        _refuse(f"{len(towers)} modules of a tower are adapted, such as {towers[0]}", "HO-G123")
    expected = _expected(model, targets)
    lacking, extra = sorted(expected - adapted), sorted(adapted - expected)
    if lacking:
        _refuse(f"{len(lacking)} declared targets are not adapted, such as {lacking[0]}", "HO-G122")
    if extra:
        _refuse(f"{len(extra)} modules are adapted that were not declared, such as {extra[0]}", "HO-G123")


def _expected(model: Any, targets: Targets) -> set[str]:
    """Names of what LoRA should be in; a fused module holds one wrapper for each of its parameters."""
    layers = {
        re.sub(r"^base_model\.model\.", "", name).removesuffix(".base_layer")
        for name, _ in model.named_modules()
        if not _TOWER.search(name)
    }
    found = {name for name in layers if any(name.endswith(f".{target}") for target in targets.modules)}
    holders: dict[str, int] = {}
    for target in targets.parameters:
        holder = target.rpartition(".")[0]
        holders[holder] = holders.get(holder, 0) + 1
    for holder, count in holders.items():
        for name in [name for name in layers if name.endswith(f".{holder}")]:
            found |= {name + ".base_layer" * depth for depth in range(count)}
    return found


def _check_halves(names: Sequence[str], parameters: Sequence[str]) -> None:
    asked = {name for name in ("gate_proj", "up_proj") if name in names}
    if FUSED["gate_proj"] in parameters and len(asked) == 1:
        raise InputError(
            f"{asked.pop()} is one half of a fused parameter, and cannot be adapted alone",
            where="--lora-target-modules",
            hint="name gate_proj and up_proj, or neither",
            code="HO-G122",
        )


def _found(name: str, names: Sequence[str]) -> bool:
    return any(one == name or one.endswith(f".{name}") for one in names)


def _refuse(what: str, code: str) -> None:
    hint = "name what is to be adapted by --lora-target-modules"
    raise InputError(what, where="LoRA targets", hint=hint, code=code)
