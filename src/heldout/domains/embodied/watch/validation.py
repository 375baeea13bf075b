"""What a training and an evaluation must have left: the published stages of validation, by the contract alone."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.contract.file_schemas import breaches_of_file
from heldout.domains.embodied.watch.progress import COMPLETE
from heldout.errors import HeldoutError
from heldout.evidence import read_json, read_json_lines

SCHEMA = "heldout.validation/1"


class Issue(TypedDict):
    """What is not as it must be."""

    stage: str
    severity: str
    message: str


class Validation(TypedDict):
    """What was found at a stage."""

    schema: str
    stage: str
    status: str
    issues: list[Issue]


def validate_training(checkpoint: Checkpoint) -> Validation:
    """Required files that keep their schemas, counts above zero, and a last event that says complete."""
    issues = [
        f"{name} is missing"
        for name in checkpoint.contract.artifacts["required_training_files"]
        if checkpoint.find(name) is None
    ]
    issues += [str(one) for one in checkpoint.breaches()]
    metadata = checkpoint.document("training_metadata.json") or {}
    counts = {name: metadata[name] for name in ("num_train_samples", "num_val_samples") if name in metadata}
    issues += [f"{name} is {count!r}" for name, count in counts.items() if not (type(count) is int and count > 0)]
    progress = checkpoint.find("progress.jsonl")
    try:
        events = read_json_lines(progress) if progress else []
        last = events[-1].get("event") if events else None
    except HeldoutError as error:
        last = error.what
    if last not in COMPLETE:
        issues.append(f"the last event of the training is {last!r}, not complete")
    return _document("training", issues)


def validate_evaluation(folder: Path, contract: BackboneContract) -> Validation:
    """Required files that keep their schemas, test windows, held-out episodes, primary metrics with values, rows."""
    required = contract.artifacts["required_eval_files"]
    issues = [f"{name} is missing" for name in required if not (folder / name).is_file()]
    there = [name for name in required if (folder / name).is_file()]
    issues += [str(one) for name in there for one in breaches_of_file(contract.config, name, folder / name)]
    try:
        metrics = read_json(folder / "metrics.json")
        rows = next((read_json_lines(folder / name) for name in required if name.endswith(".jsonl")), [])
    except HeldoutError as error:
        return _document("eval", [*issues, error.what])
    if metrics.get("eval_split") != "test":
        issues.append(f"the rows are of {metrics.get('eval_split')!r}, not of test")
    if not metrics.get("held_out_episode_count"):
        issues.append("no episode was held out")
    issues += [
        f"primary metric {name} has no value"
        for name in contract.config["primary_metrics"]
        if metrics.get(name) is None
    ]
    if not rows:
        issues.append("there are no predictions")
    return _document("eval", issues)


def _document(stage: str, issues: list[str]) -> Validation:
    found = [Issue(stage=stage, severity="error", message=issue) for issue in issues]
    return {"schema": SCHEMA, "stage": stage, "status": "fail" if issues else "pass", "issues": found}
