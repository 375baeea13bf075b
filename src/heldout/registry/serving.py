"""What serves is a pointer: ``slots/<slot>/champion.json`` names a version, its run directory and its files by digest.

No file of a model is ever copied. The database decides; this document follows it. Each writer reads the database
again under a lock before it writes, so the last to write has seen every commit. A process killed between its commit
and its write leaves the old pointer, whole and verifiable, until the next promotion or ``verify --repair``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from filelock import FileLock
from sqlalchemy import Connection

from heldout.documents.names import POINTER_FILE
from heldout.errors import InputError
from heldout.evidence import dumps, read_json, read_plain, write_bytes
from heldout.registry import lookup
from heldout.registry.version import Pointer

SCHEMA = "heldout.champion/1"


class Moment(TypedDict):
    """An event by number and digest."""

    seq: int
    sha256: str


class PointerDocument(TypedDict):
    """``champion.json``."""

    schema: str
    slot: str
    version: str
    version_sha256: str
    run: str
    files: Mapping[str, Any]
    since_utc: str
    event: Moment


def pointer_document(connection: Connection, slot: str, pointer: Pointer) -> PointerDocument:
    """What ``champion.json`` says for a pointer."""
    version, event = lookup.read_version(connection, pointer.version), lookup.read_event(connection, pointer.seq)
    return {
        "schema": SCHEMA,
        "slot": slot,
        "version": version.id,
        "version_sha256": version.sha256,
        "run": version.place,
        "files": version.content["files"],
        "since_utc": event.body["at_utc"],
        "event": {"seq": event.seq, "sha256": event.sha256},
    }


class Serving:
    """The folder of pointers.

    Attributes:
        root: Places of run directories are relative to it, so that the tree can move as a whole.
    """

    def __init__(self, root: Path) -> None:
        """Name the folder; nothing is written yet."""
        self.root = root.resolve()

    def pointer(self, slot: str) -> Path:
        """The document that a server reads."""
        return self.root / "slots" / slot / POINTER_FILE

    def read(self, slot: str) -> PointerDocument | None:
        """The pointer of a slot; None if there is none.

        Raises:
            InputError: If it cannot be read.
        """
        path = self.pointer(slot)
        if not path.exists():
            return None
        document: PointerDocument = read_json(path)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise InputError("this is no champion document", where=str(path), hint="heldout registry verify --repair")
        return document

    def write(self, slot: str, document: PointerDocument) -> bool:
        """Replace the pointer, as one step; False if it says so already. Call it under ``lock``."""
        path, data = self.pointer(slot), dumps(dict(document))
        if path.is_file() and read_plain(path) == data:
            return False
        write_bytes(path, data)
        return True

    def lock(self) -> FileLock:
        """Held while the database is read and the pointer is written."""
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / ".serving.lock")

    def place_of(self, folder: Path) -> str:
        """How a run directory is named in the registry."""
        try:
            return Path(os.path.relpath(folder.resolve(), self.root)).as_posix()
        except ValueError:  # another drive
            return folder.resolve().as_posix()

    def folder_at(self, place: str) -> Path:
        """The run directory with that name."""
        return (self.root / place).resolve()
