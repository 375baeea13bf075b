"""A run belongs where it was made: a folder that was copied under another study, or another name, is not taken over.

Its fits might be the same, but its verdict was counted in another ledger, under rules that another study wrote down.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError, InputError
from heldout.evidence import read_json

RUN_FILE = "run.json"


def stated_otherwise(folder: Path, expected: Mapping[str, Any]) -> str | None:
    """The first key of ``expected`` that the folder's ``run.json`` states otherwise.

    None where it agrees, and where it cannot be read: such a run is one to mend.
    """
    try:
        found = read_json(folder / RUN_FILE)
        return next((key for key, value in expected.items() if found[key] != value), None)
    except (HeldoutError, KeyError, TypeError):
        return None


def refuse_foreign(folder: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a run directory whose own documents say that it is another run.

    Args:
        folder: The run directory.
        expected: What its ``run.json`` must state, by key.

    Raises:
        InputError: With the key that differs.
    """
    key = stated_otherwise(folder, expected)
    if key is None:
        return
    stated = read_json(folder / RUN_FILE)[key]
    raise InputError(
        f"this folder is of another run: its {key} is {stated!r}, not {expected[key]!r}",
        where=f"{folder / RUN_FILE}: {key}",
        hint=f"a verdict stays with the study and the ledger that it was given in: move that folder out of "
        f"{folder.parent}, then the same command makes a run of its own",
    )
