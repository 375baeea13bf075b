"""The answers of test windows: kept apart from the index, opened for a stated purpose, every opening written down.

Each opening names the one before it by digest, so that none can be taken out of the middle unseen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filelock import FileLock

from heldout.domains.embodied.episodes.labels import Answer
from heldout.domains.embodied.index.names import MANIFEST_FILE, OPENINGS_FILE, TARGETS_FILE
from heldout.domains.embodied.index.shape import Seal
from heldout.errors import InputError, TamperedError
from heldout.evidence import append_link, read_chain, read_json, read_json_lines, sha256_file

OPENING_SCHEMA = "heldout.sealed-opening/1"


def open_targets(index: Path, purpose: str, ledger_head: str | None = None) -> dict[str, Answer]:
    """The answers of the sealed windows, by window id. This is a look at held-out answers, and is recorded first.

    Args:
        index: Folder of the index.
        purpose: Who looks and why, such as the name of an evaluation run.
        ledger_head: Digest of the last look in the trial ledger, so that none can be taken out of it unseen.

    Raises:
        InputError: If nothing is sealed there or no purpose is given.
        TamperedError: If the answers are not those that the manifest names.
    """
    if not purpose.strip():
        raise InputError("no purpose", where="open_targets", hint="say which run looks at the answers")
    path, seal = _checked(index)
    record_opening(index, purpose, seal, ledger_head)
    return _answers(path)


def read_targets(index: Path) -> dict[str, Answer]:
    """The answers of the sealed windows, for digests and for what is recomputed of a verdict: no look.

    Raises:
        InputError: If nothing is sealed there.
        TamperedError: If the answers are not those that the manifest names.
    """
    return _answers(_checked(index)[0])


def _answers(path: Path) -> dict[str, Answer]:
    return {str(record["id"]): record["supervision"] for record in read_json_lines(path)}


def _checked(index: Path) -> tuple[Path, Seal]:
    """The file of the answers, and what the manifest says of it."""
    seal: Seal | None = read_json(index / MANIFEST_FILE).get("sealed_targets")
    if not seal:
        raise InputError("nothing is sealed here", where=str(index), hint="the index has no test windows")
    path = index / TARGETS_FILE
    if not path.is_file() or sha256_file(path) != seal["sha256"]:
        raise TamperedError(
            "the sealed answers are not those that the manifest names", where=str(path), hint="build the index again"
        )
    return path, seal


def record_opening(index: Path, purpose: str, seal: Seal, ledger_head: str | None = None) -> None:
    """Append one opening to the chain."""
    record: dict[str, object] = {"purpose": purpose, "targets_sha256": seal["sha256"], "records": seal["records"]}
    record |= {"ledger_head": ledger_head} if ledger_head is not None else {}
    with FileLock(index / f".{OPENINGS_FILE}.lock"):
        read_openings(index)  # nothing is written behind a broken record
        append_link(index / OPENINGS_FILE, OPENING_SCHEMA, record)


def read_openings(index: Path) -> list[dict[str, Any]]:
    """Every opening, in order.

    Raises:
        TamperedError: At the first that does not name the one before it.
    """
    return [link.record for link in read_chain(index / OPENINGS_FILE)]
