"""Publication by role: which files a contract lets out, as what, how large. Whatever has no role stays here.

A contract is read as data. Its ``publication`` names roles for machines; without it the published keys are read:
``required_eval_files`` by name, and of ``public_package_allowed`` every phrase that names a role below. A phrase that
names none lets nothing out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from heldout.documents.names import (
    CORPUS_FILE,
    COSTS_FILE,
    HOLD_FILE,
    LOCK_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PREDICTIONS_CSV,
    PREDICTIONS_FILE,
    PREDICTIONS_PARQUET,
    PROGRESS_FILE,
    PROMOTE_FILE,
    REPORT_HTML,
    REPORT_MD,
    RUN_FILE,
    SPLIT_FILE,
    STORED_FILE,
    TRAINED_ON_FILE,
)
from heldout.errors import InputError
from heldout.evidence import digest

PACKAGE_FILE = "public.json"
PACKAGE_SCHEMA = "heldout.public/1"
TABLE_TYPE = "parquet"  # of predictions alone
TEXT_TYPES = ("json", "jsonl", "csv", "md", "html", "svg", "yaml", "txt")
PICTURE_TYPES = ("png", "jpeg")
_TYPE_OF = {"jpg": "jpeg", "htm": "html", "yml": "yaml", "text": "txt", "ndjson": "jsonl"}
# Folders of a run that hold models, media and what came after the verdict: of these only what is named by its folder.
_CLOSED = ("fits", "baselines", "exports", "logs", "scratch", "tables", "checkpoints", "media")
_TABLES = ("json", "jsonl", "csv")


@dataclass(frozen=True)
class Role:
    """What a file is for.

    Attributes:
        name: The role.
        files: Patterns of names. One with a slash is of the whole name, ``**/`` standing for any folders.
        types: Types of content that it may have.
        phrases: Words of a contract's prose that mean this role: one set of words, all in one phrase.
        max_bytes: Of one file; None for the bound of all files.
    """

    name: str
    files: tuple[str, ...]
    types: tuple[str, ...] = _TABLES
    phrases: tuple[str, ...] = ()
    max_bytes: int | None = None

    def takes(self, name: str) -> bool:
        """Whether a file of this name has the role."""
        parts = name.split("/")
        closed = any(part in _CLOSED for part in parts[:-1])
        return any(
            _matches(name, pattern) if "/" in pattern else not closed and fnmatchcase(parts[-1], pattern)
            for pattern in self.files
        )


ROLES = (
    Role("run", (RUN_FILE, MANIFEST_FILE, MODEL_FILE), ("json",), ("manifest",)),
    Role("configuration", (LOCK_FILE,), ("yaml",)),
    Role("split", (SPLIT_FILE,), ("json",), ("manifest",)),
    Role(
        "manifests",
        (CORPUS_FILE, TRAINED_ON_FILE, "episode_manifest.json", "dataset_manifest.json", "window_index_manifest.json",
         "MANIFEST_REPORT.md"),
        ("json", "md"),
        ("manifest",),
    ),
    Role(
        "metrics",
        (METRICS_FILE, COSTS_FILE, STORED_FILE, "per_class_metrics.csv", "loso_seed*.json", "*_metrics.json",
         "*_metrics.csv", "baselines.csv", "change_points.csv", "train_labels.json"),
        ("json", "csv"),
        ("metric",),
    ),
    Role("confusion", ("confusion_matrix.csv", "*_confusion_matrix.csv"), ("csv",), ("confusion",)),
    Role(
        "predictions",
        (PREDICTIONS_FILE, PREDICTIONS_CSV, PREDICTIONS_PARQUET, "*_predictions.jsonl", "*_predictions.csv",
         "**/baselines/*/predictions.jsonl", "**/baselines/*/predictions.parquet"),
        ("jsonl", "csv", "parquet"),
        ("prediction",),
    ),
    Role("fit records", ("**/fits/*/*/unit.json",), ("json",), max_bytes=1 << 20),
    Role("closed loop", ("**/closed_loop/closed_loop.json", "**/closed_loop/rollouts.jsonl"), ("json", "jsonl"),
         ("metric",)),
    Role("verdict", (PROMOTE_FILE, HOLD_FILE, "**/champion/verdict.json", "evaluation.json", "contract.json"),
         ("json",), ("validation",)),
    Role(
        "reports",
        (REPORT_MD, REPORT_HTML, "PUBLIC_RESULT_SUMMARY.md", "verified_result_summary.json"),
        ("md", "html", "json"),
        ("report",),
    ),
    Role("figures", ("**/figures/*.png", "**/figures/*.jpg", "**/figures/*.jpeg", "**/figures/*.svg"),
         ("png", "jpeg", "svg"), ("figure",), 5 << 20),
    Role(
        "training",
        ("training_metadata.json", PROGRESS_FILE, "adapter_shape_check.json"),
        ("json", "jsonl"),
        ("training metadata",),
    ),
    Role(
        "validation",
        ("validation_*.json", "**/validation/*.json", "package_audit.json", "skipped_episodes.json",
         "skipped_windows.jsonl", "verified_result_summary.json", "PUBLIC_RESULT_SUMMARY.md"),
        ("json", "jsonl", "md"),
        ("validation",),
    ),
    Role("rankings", ("*_rankings.csv",), ("csv",), ("ranking",)),
    Role("temporal tables", ("temporal_consistency.csv",), ("csv",), ("temporal",)),
    Role("trajectories", ("trajectory_metrics.csv",), ("csv",), ("trajectory", "trajectories")),
    Role("qualitative", ("qualitative_examples.json",), ("json",), ("qualitative",)),
    Role("losses", ("loss_records.jsonl",), ("jsonl",), ("loss record",)),
    Role("action space", ("action_space.json",), ("json",), ("action space", "action-space")),
    Role("normalisers", ("normalization_stats.json",), ("json",), ("metadata normaliser", "normalization metadata",
         "normalisation metadata", "normalizer metadata"), 1 << 20),
    Role("retargeting", ("retargeting_audit.json",), ("json",), ("retargeting audit",)),
    Role("server", ("server_info.json",), ("json",), ("description server",)),
)  # fmt: skip
_DEFAULT = ("run", "configuration", "split", "manifests", "metrics", "closed loop", "confusion", "predictions",
            "fit records", "verdict", "reports", "figures")  # fmt: skip


@dataclass(frozen=True)
class Publication:
    """What may leave, and how large.

    Attributes:
        roles: The roles that are let out.
        contract: Id of the contract that said so; None for the strict default.
        contract_sha256: Digest of it.
        required: Files that it wants in every package.
        unread: Phrases of its prose that name no role.
        max_file_bytes: Of one file.
        max_bytes: Of all files together.
        max_files: How many.
    """

    roles: tuple[Role, ...]
    contract: str | None = None
    contract_sha256: str | None = None
    required: tuple[str, ...] = ()
    unread: tuple[str, ...] = field(default=())
    max_file_bytes: int = 50_000_000
    max_bytes: int = 256 << 20
    max_files: int = 5_000

    def role_of(self, name: str) -> Role | None:
        """The role that a file is let out in; None if there is none."""
        return next((role for role in self.roles if role.takes(name)), None)


def default_publication() -> Publication:
    """Without a contract: what a verdict rests on, in numbers and words."""
    return Publication(tuple(role for role in ROLES if role.name in _DEFAULT))


def known_role(name: str) -> Role | None:
    """The role that any contract could let this file out in."""
    return next((role for role in ROLES if role.takes(name)), None)


def publication_of(contract: Mapping[str, Any]) -> Publication:
    """What a contract lets out.

    Args:
        contract: The contract's document.

    Raises:
        InputError: If it does not say what may be published.
    """
    where = f"contract {contract.get('id')!r}"
    artifacts = contract.get("artifact_contract")
    if not isinstance(artifacts, Mapping):
        raise InputError("the contract has no artifact_contract", where=where, hint="see heldout backbone show")
    required = _texts(artifacts.get("required_eval_files"), f"{where}: required_eval_files")
    phrases = _texts(artifacts.get("public_package_allowed"), f"{where}: public_package_allowed")
    if "publication" in contract:
        roles, unread = _declared(contract["publication"], f"{where}: publication"), tuple[str, ...]()
    else:
        roles, unread = _read(phrases)
    types = tuple(sorted({content_type(name) for name in required} & set(TEXT_TYPES)))
    evaluation = Role("evaluation", required, types)
    return Publication((*roles, evaluation), str(contract.get("id")), digest(dict(contract)), required, unread)


def content_type(name: str) -> str:
    """The type that a name promises: its suffix."""
    suffix = name.rpartition("/")[2].rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""
    return _TYPE_OF.get(suffix, suffix)


def _read(phrases: Sequence[str]) -> tuple[tuple[Role, ...], tuple[str, ...]]:
    """Roles that the prose names, and the phrases that name none."""
    found: list[Role] = []
    unread = []
    for phrase in phrases:
        words = {word.rstrip("s") for word in re.findall(r"[a-z-]+", phrase.lower())}
        named = [
            role for role in ROLES if any({word.rstrip("s") for word in each.split()} <= words for each in role.phrases)
        ]
        found += named
        if not named:
            unread.append(phrase)
    return tuple(role for role in ROLES if role in found), tuple(unread)


def _declared(entries: Any, where: str) -> tuple[Role, ...]:
    if not isinstance(entries, list) or not entries:
        raise InputError("it is not a list of roles", where=where, hint="see docs/package.md")
    roles = []
    for number, entry in enumerate(entries):
        place = f"{where}[{number}]"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("role"), str):
            raise InputError("the entry names no role", where=place, hint="see docs/package.md")
        types = _texts(entry.get("types"), f"{place}.types")
        unknown = sorted(set(types) - {*TEXT_TYPES, *PICTURE_TYPES})
        if unknown or not types:
            known = ", ".join((*TEXT_TYPES, *PICTURE_TYPES))
            raise InputError(f"the type {unknown or 'none'} cannot be published", where=place, hint=f"known: {known}")
        most = entry.get("max_bytes")
        if most is not None and (not isinstance(most, int) or most <= 0):
            raise InputError("max_bytes is not a positive number", where=place, hint="bytes of one file")
        roles.append(Role(entry["role"], _texts(entry.get("files"), f"{place}.files"), types, (), most))
    return tuple(roles)


def _texts(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError("it is not a list of texts", where=where, hint="see heldout backbone show")
    return tuple(values)


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        depth = pattern.count("/")
        tail = "/".join(name.split("/")[-depth:])
        return name.count("/") >= depth - 1 and _same_depth(tail, pattern[3:])
    return _same_depth(name, pattern)


def _same_depth(name: str, pattern: str) -> bool:
    """As a glob: a star does not cross a folder."""
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))
