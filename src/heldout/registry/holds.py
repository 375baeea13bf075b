"""What a slot holds: a task, a target and a corpus family, fixed by what serves in it.

Whoever asks a slot sends it rows of one kind and reads one kind of answer. A version of another task, target or corpus
family would answer all the same, and wrongly. A corpus that grew (the same columns, more rows and groups) is the same
family.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.documents.names import CORPUS_FILE
from heldout.errors import HeldoutError
from heldout.evidence import read_json, sha256_file
from heldout.run.required import file_sha256
from heldout.verify.evidence import RunEvidence

_CORPUS = CORPUS_FILE
_ROLES = ("group", "target")
_WORDS = {"task": "task", "target": "target", "classes": "classes", "reader": "reader", "columns": "columns"}


def holds_of(content: Mapping[str, Any], folder: Path) -> dict[str, object]:
    """What a slot holds while this version serves in it, as an event keeps it.

    Args:
        content: Of the version.
        folder: Its run directory. Where its files are gone, less is known: what is None is not compared.
    """
    block = content["config"]["corpus"]
    found = {
        "task": content["metrics"]["task"],
        "target": block.get("target"),
        "classes": None,
        "reader": block.get("reader"),
        "columns": {name: block[name] for name in _ROLES if isinstance(block.get(name), str)},
        "features": None,
        "corpus_sha256": None,
    }
    path = folder / _CORPUS
    try:
        if not path.is_file() or sha256_file(path) != content["files"][_CORPUS]["sha256"]:
            return found
        manifest = read_json(path)
        evidence = RunEvidence.open(folder)
        found["classes"] = list(evidence.classes) or None
    except (HeldoutError, KeyError, TypeError):
        return found
    by_name = "features" in block and not isinstance(block["features"], Mapping)
    return found | {
        "target": manifest["target"],
        "features": manifest["features"] if by_name else None,
        "corpus_sha256": file_sha256(manifest),
    }


def strangers(held: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """What makes a version a stranger to a slot; empty if it belongs there, or the slot is empty.

    Args:
        held: What the slot holds; None if nobody serves.
        new: What the version would make of it.
    """
    if held is None:
        return []
    found = [
        f"the slot's {word} is {_told(held[key])}, the version's {_told(new[key])}"
        for key, word in _WORDS.items()
        if held.get(key) is not None and new[key] is not None and held[key] != new[key]
    ]
    return found or _other_features(held, new)


def _other_features(held: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Features that neither contain nor are contained in those of the slot: a table of another kind."""
    mine, theirs = held.get("features"), new["features"]
    if mine is None or theirs is None or held.get("corpus_sha256") == new["corpus_sha256"]:
        return []
    lacking, more = sorted(set(mine) - set(theirs)), sorted(set(theirs) - set(mine))
    if not (lacking and more):
        return []
    return [f"another corpus family: it has no feature {_told(lacking)} of the slot, and has {_told(more)}"]


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {name!r}" for key, name in sorted(value.items())) or "none"
    if isinstance(value, list):
        shown = ", ".join(repr(each) for each in value[:5])
        return shown + (f" and {len(value) - 5} more" if len(value) > 5 else "")
    return repr(value)
