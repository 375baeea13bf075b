"""``PROMOTE.json`` and ``HOLD.json``: one verdict a folder, at every moment.

The invariant: a PROMOTE that is older than a HOLD has no effect, wherever the writer is killed. Whoever asks only
whether ``PROMOTE.json`` exists is right too, so a PROMOTE goes before anything else changes. States on the way:

===========================  =============================================================
old files, new verdict       what a reader can see, in order
===========================  =============================================================
PROMOTE, HOLD                PROMOTE (the old run) - nothing - HOLD
HOLD, PROMOTE                HOLD (the old run) - nothing - PROMOTE
both, PROMOTE                refused - HOLD - nothing - PROMOTE
both, HOLD                   refused - HOLD (the old one) - HOLD
same name                    the old one - the new one
===========================  =============================================================

The new document is on disk, under a temporary name, before an old one goes: a full disk changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.documents.names import HOLD_FILE, PROMOTE_FILE
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import atomic_path, dumps, flush_folder, read_json

_FILES = {"PROMOTE": PROMOTE_FILE, "HOLD": HOLD_FILE}
VERDICTS = frozenset(_FILES.values())
_NEWEST = 1  # of the schema `heldout.verdict/N`


def write_verdict(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write the verdict and remove the opposite one, as one step.

    Args:
        folder: The run directory.
        document: A verdict document; its ``verdict`` names the file.

    Returns:
        The file that was written.

    Raises:
        InputError: If the document has no verdict, holds NaN, or cannot be written. After a failed write the folder
            holds what it held, or no verdict at all; never an older PROMOTE beside or instead of a newer HOLD.
    """
    verdict = document.get("verdict")
    if verdict not in _FILES:
        raise InputError(
            f"{verdict!r} is not a verdict", where=str(folder), hint="a verdict document says PROMOTE or HOLD"
        )
    target = folder / _FILES[verdict]
    data = _serialised(target, document)
    try:
        with atomic_path(target) as partial:
            _write_through(partial, data)
            _make_way(folder, verdict)
    except InputError as error:
        if not _there(folder):
            error.hint = "the folder has no verdict now: free some disk space and judge the run again"
        raise
    return target


def read_verdict(folder: Path) -> dict[str, Any] | None:
    """The one verdict of a folder; None if there is none.

    Raises:
        RefusedError: If both files lie there. Nobody can say which is newer, so it counts as a HOLD.
        TamperedError: If the document says something else than its name.
        InputError: If the file cannot be read, is not strict JSON, or was written by a newer heldout.
    """
    there = _there(folder)
    if len(there) > 1:
        raise RefusedError(
            f"{PROMOTE_FILE} and {HOLD_FILE} lie side by side, which counts as a HOLD",
            where=str(folder),
            hint="judge the run again; that leaves one of them",
        )
    if not there:
        return None
    path = folder / there[0]
    document = read_json(path)
    named = path.name.removesuffix(".json")
    found = document.get("verdict") if isinstance(document, dict) else None
    if found != named:
        raise TamperedError(f"{path.name} says {found!r}", where=f"{path}: verdict", hint="judge the run again")
    refuse_newer(document, path)
    return dict(document)


def refuse_newer(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a verdict of a schema that this heldout does not know: what it adds could turn what it says.

    Raises:
        InputError: If it is newer.
    """
    name, _, number = str(document.get("schema")).partition("/")
    version = document.get("schema_version")
    newer = name == "heldout.verdict" and number.isdecimal() and int(number) > _NEWEST
    if newer or (isinstance(version, int) and version > _NEWEST):
        raise InputError(
            f"the verdict is of the schema {document.get('schema')!r}, version {version!r}; this heldout reads up to "
            f"heldout.verdict/{_NEWEST}",
            where=str(path),
            hint="install the heldout that wrote it",
        )


def remove_verdicts(folder: Path) -> None:
    """Remove both verdicts, PROMOTE first: what comes next is not judged yet.

    Raises:
        InputError: If a file cannot be removed.
    """
    if not folder.is_dir():
        return
    try:
        _remove(folder, PROMOTE_FILE)
        _remove(folder, HOLD_FILE)
    except OSError as error:
        raise InputError(
            f"an old verdict cannot be removed: {error.strerror or error}",
            where=str(folder),
            hint="make the folder writable; until then its verdict is of an older run",
        ) from error


def _there(folder: Path) -> list[str]:
    return [name for name in _FILES.values() if os.path.lexists(folder / name)]


def _make_way(folder: Path, verdict: str) -> None:
    """Remove what must not lie beside the new verdict; a PROMOTE always before a HOLD."""
    beside_hold = os.path.lexists(folder / HOLD_FILE)
    if verdict == "HOLD" or beside_hold:
        _remove(folder, PROMOTE_FILE)
    if verdict == "PROMOTE" and beside_hold:
        _remove(folder, HOLD_FILE)


def _remove(folder: Path, name: str) -> None:
    """Remove durably: after a power cut the order of removals is the order of the calls."""
    path = folder / name
    if os.path.lexists(path):
        path.unlink()
        flush_folder(folder)


def _write_through(path: Path, data: bytes) -> None:
    """Write to the disk, not only to its cache: a full disk must show before the old verdict goes."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _serialised(target: Path, document: Mapping[str, Any]) -> bytes:
    try:
        return dumps(dict(document))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the verdict is not strict JSON: {error}",
            where=str(target),
            hint="write null, with a reason, for a number that is undefined",
        ) from error
