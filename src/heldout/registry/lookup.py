"""Reading versions, pointers and events from the tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from heldout.errors import InputError
from heldout.evidence import loads
from heldout.registry import tables
from heldout.registry.chain import Event, Row


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        id: ``{label}-{date}-{hash8}``.
        sha256: Digest of the content; the id holds its first eight digits.
        stage: smoke, candidate, challenger, champion or retired.
        place: Its run directory, relative to the folder of the pointers.
        slots: Slots whose champion it is.
        content: Configuration, digests, environment, metrics, verdict and files, as registered.
    """

    id: str
    sha256: str
    stage: str
    place: str
    slots: tuple[str, ...]
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The version as a document."""
        facts = {"id": self.id, "sha256": self.sha256, "stage": self.stage, "place": self.place}
        return {"schema": "heldout.registered/1", **facts, "slots": list(self.slots), "content": dict(self.content)}


@dataclass(frozen=True)
class Pointer:
    """The champion of a slot, and the number of the event that made it so."""

    version: str
    seq: int


# Written once: a promotion asks a dozen questions, and putting one together costs more than answering it.
_VERSIONS = select(tables.versions, tables.stages.c.stage, tables.stages.c.place).join(tables.stages)
_VERSION = _VERSIONS.where(tables.versions.c.id == bindparam("id"))
_SLOTS = select(tables.champions.c.slot).where(tables.champions.c.version == bindparam("id"))
_STAGE = select(tables.stages.c.stage).where(tables.stages.c.version == bindparam("id"))
_POINTER = select(tables.champions).where(tables.champions.c.slot == bindparam("slot"))
_EVENT = select(tables.events).where(tables.events.c.seq == bindparam("seq"))


def read_versions(connection: Connection) -> list[Version]:
    """All versions, by id."""
    slots: dict[str, list[str]] = {}
    for row in connection.execute(select(tables.champions).order_by(tables.champions.c.slot)):
        slots.setdefault(row.version, []).append(row.slot)
    rows = connection.execute(_VERSIONS.order_by(tables.versions.c.id))
    return [_version(row, slots.get(row.id, ())) for row in rows]


def find_version(connection: Connection, name: str) -> Version:
    """The version with that id, or the only one whose id ends in ``-name`` (its hash).

    Raises:
        InputError: If there is none, or more than one.
    """
    exact = connection.execute(_VERSION, {"id": name}).first()
    if exact is not None:
        return _version(exact, slots_of(connection, name))
    ids = connection.execute(select(tables.versions.c.id).order_by(tables.versions.c.id)).scalars().all()
    matches = [found for found in ids if name and found.endswith(f"-{name}")]
    if len(matches) != 1:
        what = f"{len(matches)} versions end in" if matches else "there is no version"
        known = ", ".join(matches or ids[-5:]) or "none yet"
        raise InputError(f"{what} {name!r}", where="version", hint=f"name one of: {known}")
    return read_version(connection, matches[0])


def read_version(connection: Connection, identifier: str) -> Version:
    """One version by its id, which exists."""
    return _version(connection.execute(_VERSION, {"id": identifier}).one(), slots_of(connection, identifier))


def slots_of(connection: Connection, identifier: str) -> tuple[str, ...]:
    """The slots whose champion a version is, sorted."""
    return tuple(sorted(connection.execute(_SLOTS, {"id": identifier}).scalars()))


def stage_of(connection: Connection, identifier: str) -> str:
    """The stage of a version, which exists."""
    return str(connection.execute(_STAGE, {"id": identifier}).scalar_one())


def pointer_of(connection: Connection, slot: str) -> Pointer | None:
    """The champion of a slot, if it has one."""
    row = connection.execute(_POINTER, {"slot": slot}).first()
    return Pointer(row.version, row.seq) if row else None


def read_event(connection: Connection, seq: int) -> Event:
    """One event, which exists."""
    return parse_event(Row(*connection.execute(_EVENT, {"seq": seq}).one()))


def parse_event(row: Row) -> Event:
    """A stored event; whether its chain holds is not asked here."""
    return Event(row.seq, row.sha256, loads(row.body, where=f"event {row.seq}"))


def need_slot(slot: str) -> str:
    """See that a slot's name can be a folder's name.

    Raises:
        InputError: If it cannot.
    """
    from heldout.study.spec import SLUG

    if not re.fullmatch(SLUG, slot):
        raise InputError(
            f"{slot!r} cannot name a slot", where="--slot", hint="use small letters, digits, hyphens and underscores"
        )
    return slot


def _version(row: Any, slots: Sequence[str]) -> Version:
    content: Mapping[str, Any] = loads(row.content, where=f"version {row.id}")
    return Version(row.id, row.sha256, row.stage, row.place, tuple(slots), content)
