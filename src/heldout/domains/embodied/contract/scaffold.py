"""A new contract from an old one, with nothing of the old one's file names left in it.

What belongs to a family of models (file names, gate, metrics, views) is not taken over; what belongs to this product
(the split, the leakage guard, what is never published) is. The result passes the whole validation, in a dry run too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract, find_contract, parse_contract, validate
from heldout.domains.embodied.contract.file_schemas import reference, required_files
from heldout.errors import InputError
from heldout.evidence import write_json

_ID = re.compile(r"[a-z0-9][a-z0-9_]*")
_RESET = ("export", "train", "eval", "launcher", "upload", "watch")
_TODO = (
    "write the exporter from the window index",
    "write the launcher and fix the format of the checkpoint",
    "write the evaluator and name its metric files",
    "fix what the public package holds",
)


@dataclass(frozen=True)
class NewBackbone:
    """What a newcomer says of a backbone."""

    id: str
    display_name: str
    model_family: str
    dataset_contract: str
    training_objective: str
    checkpoint_gate: str
    primary_metrics: tuple[str, ...] = ()
    local_model_env: str | None = None
    status: str = "planned_adapter"


def scaffold(
    new: NewBackbone,
    template: str,
    registry: Mapping[str, BackboneContract],
    folder: Path,
    workspace: Path,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, object]:
    """Write a contract, or in a dry run only make and validate it.

    Returns:
        The published answer: ``status``, ``output``, ``id``, ``template_backbone``, ``checkpoint_gate``,
        ``entrypoints``; and the contract itself.

    Raises:
        InputError: If the id is taken or no id, the template does not exist, or the contract would break a rule.
    """
    output = folder / f"{new.id}.json"
    if not _ID.fullmatch(new.id):
        raise InputError(f"{new.id!r} is no id", where="--id", hint="lower-case letters, digits and underscores")
    if (new.id in registry or output.exists()) and not overwrite:
        raise InputError(f"the backbone {new.id!r} is there already", where=str(output), hint="--overwrite replaces it")
    config = fill(new, find_contract(registry, template).config)
    contract = parse_contract(config, output)
    issues = validate(contract, workspace)
    if issues:
        raise InputError(
            f"the contract would break a rule: {issues[0]}", where=str(output), hint="change what was given"
        )
    if not dry_run:
        write_json(output, config)
    return {
        "status": "dry_run" if dry_run else "written",
        "output": str(output),
        "id": new.id,
        "template_backbone": template,
        "checkpoint_gate": new.checkpoint_gate,
        "entrypoints": config["entrypoints"],
        "contract": config,
    }


def fill(new: NewBackbone, template: Mapping[str, Any]) -> dict[str, object]:
    """The template with everything that belongs to its family taken out."""
    config: dict[str, Any] = copy.deepcopy(dict(template))
    config |= {
        "id": new.id,
        "display_name": new.display_name,
        "status": new.status,
        "model_family": new.model_family,
        "default_model_id": None,
        "local_model_env": new.local_model_env or f"{new.id.upper()}_MODEL_DIR",
        "dataset_contract": new.dataset_contract,
        "training_objective": new.training_objective,
        "primary_metrics": [
            *(m for m in new.primary_metrics if m != "held_out_episode_count"),
            "held_out_episode_count",
        ],
        "extension_requirements": list(_TODO),
        "window_view": {"sample_contract": new.dataset_contract, "context_window": {"span": "context"}},
    }
    config["entrypoints"] = {name: None if name in _RESET else value for name, value in config["entrypoints"].items()}
    config["artifact_contract"] |= {
        "checkpoint_gate": new.checkpoint_gate,
        "required_eval_files": ["metrics.json", "predictions.jsonl", "RUN_REPORT.md"],
        "required_training_files": ["training_metadata.json", "progress.jsonl", "checkpoint_manifest.json"],
        "public_package_allowed": ["metrics", "predictions", "run reports", "manifests", "validation summaries"],
    }
    own = {"metrics.json": {"required": list(config["primary_metrics"])}}
    config["file_schemas"] = {name: reference(name) | own.get(name, {}) for name in required_files(config)}
    return config
