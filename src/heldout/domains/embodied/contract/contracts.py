"""Backbone contracts: one JSON file a backbone, with the published keys and rules.

The registry is the contracts that come with heldout and, above them, those of a workspace's ``configs/backbones``: a
file there with a built-in id stands in its place. Beside the published keys a contract may say, for machines, which
leakage rules its data must keep (by name), which modalities it needs, how it looks at a window, and what stands in
every file that it requires (``file_schemas``).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.file_schemas import schema_issues
from heldout.domains.embodied.select.guards import MANIFEST_RULES
from heldout.errors import InputError
from heldout.evidence import read_json

BUILT_IN = Path(__file__).parent / "backbones"
_PART = "heldout.domains.embodied"
# Whatever was judged names its contract by digest, so contracts keep the places that they were written with.
_MOVED = {
    f"{_PART}.checkpoint:check_checkpoint": f"{_PART}.checkpoint.gate:check_checkpoint",
    f"{_PART}.evaluation_run:run": f"{_PART}.evaluate.run:run",
    f"{_PART}.index:build_index": f"{_PART}.index.build:build_index",
    f"{_PART}.manifest:build_manifest": f"{_PART}.select.manifest:build_manifest",
}
CONFIG_FOLDER = Path("configs/backbones")
STATUSES = ("implemented", "planned_adapter")
SPLITS = ("train", "val", "test")
REQUIRED = (
    "id",
    "display_name",
    "status",
    "model_family",
    "dataset_contract",
    "training_objective",
    "split_policy",
    "modalities",
    "entrypoints",
    "primary_metrics",
    "artifact_contract",
    "extension_requirements",
)
ARTIFACT_KEYS = (
    "checkpoint_gate",
    "required_eval_files",
    "required_training_files",
    "public_package_allowed",
    "public_package_forbidden",
)
OPTIONAL = (
    "default_model_id",
    "local_model_env",
    "leakage_rules",
    "required_modalities",
    "window_view",
    "file_schemas",
)
FORBIDDEN_TERMS = ("mp4", "hdf5", "rrd", "weights", "checkpoints", "archives")
LEAKAGE_RULES = frozenset(MANIFEST_RULES) | {"context_is_causal", "options_from_train", "normaliser_fitted_on_train"}
_TEXTS = ("id", "display_name", "status", "model_family", "dataset_contract", "training_objective")
_LISTS = ("primary_metrics", "extension_requirements", "leakage_rules", "required_modalities")


@dataclass(frozen=True)
class BackboneContract:
    """One contract as it was read.

    Attributes:
        path: The file.
        config: All its keys, unchanged.
    """

    path: Path
    config: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Unique name."""
        return str(self.config["id"])

    @property
    def artifacts(self) -> Mapping[str, Any]:
        """The five keys of ``artifact_contract``."""
        found: Mapping[str, Any] = self.config["artifact_contract"]
        return found

    @property
    def entrypoints(self) -> Mapping[str, str | None]:
        """Path of a script, or ``module:name``, or None where it is still to be written."""
        found: Mapping[str, str | None] = self.config["entrypoints"]
        return found

    def summary(self) -> dict[str, object]:
        """The published summary."""
        keys = ("id", "display_name", "status", "model_family", "dataset_contract", "training_objective")
        return {key: self.config[key] for key in keys} | {
            "implemented_entrypoints": sorted(name for name, value in self.entrypoints.items() if value),
            "missing_entrypoints": sorted(name for name, value in self.entrypoints.items() if value is None),
            "primary_metrics": list(self.config["primary_metrics"]),
            "checkpoint_gate": self.artifacts["checkpoint_gate"],
            "required_eval_file_count": len(self.artifacts["required_eval_files"]),
            "extension_requirement_count": len(self.config["extension_requirements"]),
        }


def load_contract(path: Path) -> BackboneContract:
    """Read one contract; its shape is checked, its rules are not (``validate`` does that).

    Raises:
        InputError: If a key is missing or of another type.
    """
    return parse_contract(read_json(path), path)


def parse_contract(config: Any, path: Path) -> BackboneContract:
    """Check the shape of a contract.

    Raises:
        InputError: If a key is missing or of another type.
    """
    if not isinstance(config, dict):
        raise InputError("the contract is not an object", where=str(path), hint="see heldout backbone show")
    missing = [key for key in REQUIRED if key not in config]
    artifacts = config.get("artifact_contract")
    if isinstance(artifacts, dict):
        missing += [f"artifact_contract.{key}" for key in ARTIFACT_KEYS if key not in artifacts]
    if missing:
        raise InputError(f"the contract lacks {', '.join(missing)}", where=str(path), hint="add what is missing")
    _check_types(config, path)
    return BackboneContract(path, config)


def load_registry(workspace: Path, config_dir: Path | None = None) -> dict[str, BackboneContract]:
    """Every contract by id, sorted.

    Args:
        workspace: Its ``configs/backbones`` stands above the built-in contracts.
        config_dir: Only this folder.

    Raises:
        InputError: If a contract is wrong, two files of one folder have one id, or there is none.
    """
    folders = [config_dir] if config_dir else [BUILT_IN, workspace / CONFIG_FOLDER]
    found: dict[str, BackboneContract] = {}
    for folder in folders:
        here: dict[str, BackboneContract] = {}
        for path in sorted(folder.glob("*.json")):
            contract = load_contract(path)
            if contract.id in here:
                raise InputError(
                    f"two contracts have the id {contract.id!r}",
                    where=f"{here[contract.id].path}, {path}",
                    hint="rename one",
                )
            here[contract.id] = contract
        found |= here
    if not found:
        raise InputError("no contracts", where=str(config_dir), hint="heldout backbone new writes one")
    return dict(sorted(found.items()))


def find_contract(registry: Mapping[str, BackboneContract], name: str) -> BackboneContract:
    """The contract of this id.

    Raises:
        InputError: If there is none; the message lists those there are.
    """
    if name not in registry:
        raise InputError(f"no backbone {name!r}", where="--backbone", hint=f"available: {', '.join(registry)}")
    return registry[name]


def validate(contract: BackboneContract, workspace: Path) -> list[str]:
    """Every published rule that the contract breaks, and those of the machine-checkable keys."""
    config, artifacts = contract.config, contract.artifacts
    issues = _entrypoint_issues(contract, workspace)
    if contract.path.stem != contract.id:
        issues.append(f"the file is named {contract.path.name}, not {contract.id}.json")
    if config["status"] not in STATUSES:
        issues.append(f"status {config['status']!r} is none of {', '.join(STATUSES)}")
    counts = config["split_policy"].get("default_counts") or {}
    for split in SPLITS:
        if not isinstance(counts.get(split), int) or counts[split] <= 0:
            issues.append(f"split_policy.default_counts.{split} is not a positive count")
    if not str(config["split_policy"].get("leakage_guard") or "").strip():
        issues.append("split_policy.leakage_guard is empty")
    if "held_out_episode_count" not in config["primary_metrics"]:
        issues.append("primary_metrics lacks held_out_episode_count")
    return [f"{contract.id}: {issue}" for issue in issues + _artifact_issues(artifacts) + _machine_issues(config)]


def _entrypoint_issues(contract: BackboneContract, workspace: Path) -> list[str]:
    issues = []
    for name, value in sorted(contract.entrypoints.items()):
        if value is None:
            continue
        if ":" in value:
            if not _importable(value):
                issues.append(f"entrypoint {name}: {value} is not there")
        elif contract.config["status"] == "implemented" and not (workspace / value).is_file():
            issues.append(f"entrypoint {name}: {value} is not in the workspace")
    return issues


def _importable(reference: str) -> bool:
    """Whether ``module:name`` of heldout is there; modules of others are not imported, only looked for."""
    import importlib
    import importlib.util

    module, _, name = _MOVED.get(reference, reference).partition(":")
    try:
        if module.split(".")[0] == "heldout":
            return hasattr(importlib.import_module(module), name)
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _artifact_issues(artifacts: Mapping[str, Any]) -> list[str]:
    issues = []
    evaluation, training = artifacts["required_eval_files"], artifacts["required_training_files"]
    issues += [f"required_eval_files lacks {n}" for n in ("metrics.json", "RUN_REPORT.md") if n not in evaluation]
    if not any(name.endswith(".jsonl") for name in evaluation):
        issues.append("required_eval_files has no *.jsonl")
    wanted = ("training_metadata.json", "progress.jsonl")
    issues += [f"required_training_files lacks {name}" for name in wanted if name not in training]
    if not artifacts["public_package_allowed"]:
        issues.append("public_package_allowed is empty")
    joined = " ".join(artifacts["public_package_forbidden"]).lower()
    lacking = [term for term in FORBIDDEN_TERMS if term not in joined]
    if lacking:
        issues.append(f"public_package_forbidden does not name {', '.join(lacking)}")
    if not str(artifacts["checkpoint_gate"]).strip():
        issues.append("checkpoint_gate is empty")
    return issues


def _machine_issues(config: Mapping[str, Any]) -> list[str]:
    issues = [
        f"leakage rule {rule!r} is unknown; known: {', '.join(sorted(LEAKAGE_RULES))}"
        for rule in config.get("leakage_rules", [])
        if rule not in LEAKAGE_RULES
    ]
    for key in config:
        near = difflib.get_close_matches(key, [*REQUIRED, *OPTIONAL], 1, 0.8)
        if key not in (*REQUIRED, *OPTIONAL) and near:
            issues.append(f"key {key!r} is unknown; did you mean {near[0]!r}?")
    return issues + schema_issues(config)


def _check_types(config: Mapping[str, Any], path: Path) -> None:
    def need(good: bool, key: str, what: str) -> None:
        if not good:
            raise InputError(f"{key} is not {what}", where=f"{path}: {key}", hint="see heldout backbone show")

    for key in _TEXTS:
        need(isinstance(config[key], str) and bool(config[key]), key, "a text")
    for key in ("split_policy", "modalities", "entrypoints", "artifact_contract"):
        need(isinstance(config[key], dict), key, "an object")
    for key in _LISTS:
        need(_texts(config.get(key, [])), key, "a list of texts")
    need(isinstance(config["split_policy"].get("default_counts", {}), dict), "split_policy.default_counts", "an object")
    for name, values in config["modalities"].items():
        need(_texts(values), f"modalities.{name}", "a list of texts")
    for key in ARTIFACT_KEYS[1:]:
        need(_texts(config["artifact_contract"][key]), f"artifact_contract.{key}", "a list of texts")
    for name, value in config["entrypoints"].items():
        need(value is None or isinstance(value, str), f"entrypoints.{name}", "a text or null")
    for key in ("window_view", "file_schemas"):
        need(isinstance(config.get(key, {}), dict), key, "an object")


def _texts(values: Sequence[Any]) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
