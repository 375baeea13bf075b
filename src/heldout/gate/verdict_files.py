"""Reading the one verdict of a folder; ``run.verdict`` writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.documents.names import HOLD_FILE, PROMOTE_FILE
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import read_json

FILES = {"PROMOTE": PROMOTE_FILE, "HOLD": HOLD_FILE}
VERDICTS = frozenset(FILES.values())
_NEWEST = 1  # of the schema `heldout.verdict/N`


def read_verdict(folder: Path) -> dict[str, Any] | None:
    """The one verdict of a folder; None if there is none.

    Raises:
        RefusedError: If both files lie there. Nobody can say which is newer, so it counts as a HOLD.
        TamperedError: If the document says something else than its name.
        InputError: If the file cannot be read, is not strict JSON, or was written by a newer heldout.
    """
    there = verdicts_in(folder)
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


def verdicts_in(folder: Path) -> list[str]:
    """Names of the verdicts that lie in a folder, dangling links too."""
    return [name for name in FILES.values() if os.path.lexists(folder / name)]
