"""A look at versions without SQLAlchemy, whose import takes longer than the answer.

Where SQLite's file cannot be read so (a server, a damaged file, a read-only folder with an open journal), the registry
is opened in the ordinary way, and says what is wrong.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heldout.evidence import loads
from heldout.registry.version import FILE, Version, VersionDocument, only_match, record_of, version_of

_VERSIONS = (
    "SELECT v.id, v.sha256, v.content, s.stage, s.place FROM heldout_versions v "
    "JOIN heldout_stages s ON s.version = v.id"
)


class Described(VersionDocument):
    """A version with what was verified of it, when and by whom, and what its slots ask for."""

    verified: list[dict[str, object]]
    admissions: dict[str, object]


def all_versions(place: str, serving: Path | None = None) -> list[Version]:
    """All versions, by id."""
    with contextlib.suppress(sqlite3.Error), _snapshot(place) as connection:
        return [_with_slots(connection, row) for row in connection.execute(f"{_VERSIONS} ORDER BY v.id").fetchall()]
    from heldout.registry.store import Registry

    with Registry(place, serving=serving) as registry:
        return registry.versions()


def one_version(place: str, name: str, serving: Path | None = None) -> Version:
    """One version, by its id or by the hash at the end of it.

    Raises:
        InputError: If there is none, or more than one.
    """
    with contextlib.suppress(sqlite3.Error), _snapshot(place) as connection:
        places = dict(connection.execute("SELECT version, place FROM heldout_stages ORDER BY version"))
        chosen = (only_match(places, name),)
        return _with_slots(connection, connection.execute(f"{_VERSIONS} WHERE v.id = ?", chosen).fetchone())
    from heldout.registry.store import Registry

    with Registry(place, serving=serving) as registry:
        return registry.version(name)


def described(place: str, name: str, serving: Path | None = None) -> Described:
    """One version as a document, with what was verified of it, when and by whom, and what its slots ask for.

    Raises:
        InputError: If there is none, or more than one.
    """
    version = one_version(place, name, serving)
    bodies = _bodies(place, serving)
    verified = [record_of(body) for body in bodies if body["version"] == version.id and "verified" in body]
    asked = {body["slot"]: body["admission"] for body in bodies if body["kind"] == "admission"}
    admissions = {slot: asked.get(slot, "default") for slot in version.slots}
    return {**version.to_json(), "verified": verified, "admissions": admissions}


def _bodies(place: str, serving: Path | None) -> list[Mapping[str, Any]]:
    """Every event's body, oldest first."""
    with contextlib.suppress(sqlite3.Error), _snapshot(place) as connection:
        rows = connection.execute("SELECT seq, body FROM heldout_events ORDER BY seq").fetchall()
        return [loads(body, where=f"event {seq}") for seq, body in rows]
    from heldout.registry.store import Registry

    with Registry(place, serving=serving) as registry:
        return [event.body for event in registry.history()]


@contextlib.contextmanager
def _snapshot(place: str) -> Iterator[sqlite3.Connection]:
    """What is read inside belongs together; nothing can be written.

    Raises:
        sqlite3.Error: If there is no such file, or it cannot be read so.
    """
    if "://" in place:
        raise sqlite3.OperationalError("a server")
    path = (Path(place) / FILE).resolve()
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        yield connection


def _with_slots(connection: sqlite3.Connection, row: tuple[str, ...]) -> Version:
    slots = connection.execute("SELECT slot FROM heldout_champions WHERE version = ? ORDER BY slot", row[:1])
    return version_of(row, [slot for (slot,) in slots])
