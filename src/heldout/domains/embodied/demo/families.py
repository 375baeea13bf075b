"""What is particular to a family of backbones in the demonstration: from an index to weights and their folder."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from heldout.domains.embodied.demo.steps import Steps
from heldout.domains.embodied.demo.study import DemoVariant, FamilySpec, options
from heldout.domains.embodied.simulate.physics import SimOptions
from heldout.domains.embodied.training.files import Epoch
from heldout.errors import StudyError, near_miss
from heldout.evidence import digest

_PART = "heldout.domains.embodied"
# Whose options stand in which block.
_BLOCKS = {
    "qwen3_omni_lora": {
        "export": "qwen.settings:ExportSettings",
        "base": "qwen.base:TinySize",
        "first_stage": "qwen.options:TrainOptions",
        "train": "qwen.options:TrainOptions",
    },
    "cosmos_world_model": {"export": "world.export:FutureSettings", "train": "world.train:TrainOptions"},
    "policy_vla_branch": {"train": "policy.train:PolicyOptions", "rollout": "policy.closed_loop:RolloutOptions"},
}
_OWN = {"qwen.options:TrainOptions": {"dataset_jsonl": "", "run_id": "", "output_dir": ""}}


class Trained(NamedTuple):
    """What a training left.

    Attributes:
        training: Folder of ``progress.jsonl`` and the metadata.
        checkpoint: Folder of the weights.
        base: Folder of the base model, where there is one.
    """

    training: Path
    checkpoint: Path
    base: Path | None = None


@dataclass(frozen=True)
class Job:
    """One variant on its way.

    Attributes:
        variant: Which.
        family: Its settings.
        index: Folder of the window index.
        index_key: Digest of what the index was made from.
        shared: Folder of exports, which variants share.
        out: Its own folder.
        sim: How the episodes were made.
        steps: Notes.
        workers: Processes.
    """

    variant: DemoVariant
    family: FamilySpec
    index: Path
    index_key: str
    shared: Path
    out: Path
    sim: SimOptions
    steps: Steps
    workers: int

    def block(self, name: str) -> str:
        """Where a block stands, for complaints."""
        return f"{self.variant.family}.{name}"

    def step(self, name: str) -> str:
        """Name of one of its steps."""
        return f"{self.variant.id}/{name}"

    def exported(self, settings: Any, make: Callable[[Path], str]) -> tuple[Path, str]:
        """The export of these settings, which another variant may have made; with its key."""
        told = {"index": self.index_key, "settings": settings.to_json()}
        name = f"{self.variant.family}-{digest(told)[:8]}"
        folder = self.shared / name
        return folder, self.steps.once(f"export/{name}", told, folder, lambda: make(folder))


def check_options(variant: DemoVariant, family: FamilySpec) -> None:
    """Look at every block before anything is simulated.

    Raises:
        StudyError: If a block means nothing to the family, or an option in it is unknown or does not fit.
    """
    blocks = _BLOCKS[variant.family]
    for name, values in family.model_dump(exclude={"headline"}, exclude_defaults=True).items():
        where = f"{variant.family}.{name}"
        if name not in blocks:
            hint = near_miss(name, blocks, "blocks of it")
            raise StudyError(f"the block `{where}` means nothing", where=where, hint=hint)
        module, _, kind = blocks[name].partition(":")
        options(getattr(importlib.import_module(f"{_PART}.{module}"), kind), _OWN.get(blocks[name], {}) | values, where)


def train_qwen(job: Job) -> Trained:
    """Export, a tiny base with the words of train, its first stage, LoRA on top of it."""
    from heldout.domains.embodied.qwen.base import TinySize, describe, make_tiny
    from heldout.domains.embodied.qwen.batch import Dataset
    from heldout.domains.embodied.qwen.export import export
    from heldout.domains.embodied.qwen.options import TrainOptions
    from heldout.domains.embodied.qwen.settings import ExportSettings
    from heldout.domains.embodied.qwen.trainer import train

    _without_bars()
    settings = options(ExportSettings, job.family.export, job.block("export"))
    size = options(TinySize, job.family.base, job.block("base"))

    def fit(name: str, block: Mapping[str, object], base: Path, mode: str) -> TrainOptions:
        own = {"dataset_jsonl": data, "run_id": f"{job.variant.id}-{name}", "output_dir": job.out / name}
        told = options(TrainOptions, {**block, **own, "model_id": base, "tuning_mode": mode}, job.block(name))
        last = train(told)["history"][-1]
        job.steps.tell(job.step(name), f"{last['global_step']} steps, {_losses(last)}")
        return told

    def write(out: Path) -> str:
        made = export(job.index, out, settings)
        return _counted("windows", made["num_samples"], made["split_counts"])

    data, key = job.exported(settings, write)
    tiny = job.out / "tiny"
    job.steps.once(
        job.step("base"),
        [key, job.family.base],
        tiny,
        lambda: str(describe(make_tiny(tiny, Dataset(data).texts(), size))["model_id"]),
    )
    base = fit("first_stage", job.family.first_stage, tiny, "full").adapter
    tuned = fit("train", job.family.train, base, "lora")
    return Trained(tuned.results, tuned.adapter, base)


def train_world(job: Job) -> Trained:
    """Pairs of present and future, and the network that is trained on them."""
    from heldout.domains.embodied.training.files import CHECKPOINT
    from heldout.domains.embodied.world.export import FutureSettings, export
    from heldout.domains.embodied.world.train import TrainOptions, train

    settings = options(FutureSettings, job.family.export, job.block("export"))
    told = options(TrainOptions, job.family.train, job.block("train"))

    def write(out: Path) -> str:
        made = export(job.index, out, settings)
        return _counted("pairs", made["num_pairs"], made["split_counts"])

    data, _ = job.exported(settings, write)
    document = train(data, job.out / "train", told)
    best = next(one for one in document["history"] if one["epoch"] == document["best_epoch"])
    job.steps.tell(job.step("train"), f"epoch {best['epoch']} of {len(document['history'])}, {_losses(best)}")
    return Trained(job.out / "train", job.out / "train" / CHECKPOINT)


def train_policy(job: Job) -> Trained:
    """Behaviour cloning from the train episodes."""
    from heldout.domains.embodied.policy.train import PolicyOptions, train
    from heldout.domains.embodied.training.files import CHECKPOINT

    told = options(PolicyOptions, job.family.train, job.block("train"))
    last = train(job.index, job.out / "train", told)["history"][-1]
    job.steps.tell(job.step("train"), f"{last['global_step']} steps, {_losses(last)}")
    return Trained(job.out / "train", job.out / "train" / CHECKPOINT)


def roll_out(job: Job, trained: Trained, evaluation: Path) -> None:
    """Runs in the simulator, where the evaluation of a policy looks for them."""
    from heldout.domains.embodied.policy.closed_loop import FOLDER, RolloutOptions, closed_loop

    pictures = {"render": job.sim.size, "every": job.sim.every}
    told = options(RolloutOptions, pictures | job.family.rollout, job.block("rollout"))
    document = closed_loop(trained.checkpoint, evaluation / FOLDER, told, workers=job.workers)
    job.steps.tell(job.step("rollout"), f"{document['runs']} runs; {document['rule']['sentence']}")


TRAINERS: dict[str, Callable[[Job], Trained]] = {
    "qwen3_omni_lora": train_qwen,
    "cosmos_world_model": train_world,
    "policy_vla_branch": train_policy,
}
# What must be on disk before the whole evaluation, beside the weights.
BEFORE_EVALUATION: dict[str, Callable[[Job, Trained, Path], None]] = {"policy_vla_branch": roll_out}


def _counted(what: str, count: int, splits: Mapping[str, int]) -> str:
    told = ", ".join(f"{split} {number}" for split, number in sorted(splits.items()))
    return f"{count} {what}: {told}"


def _without_bars() -> None:
    """A line a step is enough: no bars of a library over it."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _losses(one: Epoch) -> str:
    val = one["val_loss"]
    return f"loss {one['train_loss']:.4g} on train" + ("" if val is None else f", {val:.4g} on validation")
