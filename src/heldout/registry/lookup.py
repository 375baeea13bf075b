"""Reading versions, pointers and events from the tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select

from heldout.errors import InputError
from heldout.evidence import loads
from heldout.registry import tables
from heldout.registry.chain import Event, Row
from heldout.registry.version import Pointer, Version, only_match, version_of

# Written once: a promotion asks a dozen questions, and putting one together costs more than answering it.
_VERSIONS = select(tables.versions, tables.stages.c.stage, tables.stages.c.place).join(tables.stages)
_VERSION = _VERSIONS.where(tables.versions.c.id == bindparam("id"))
_SLOTS = select(tables.champions.c.slot).where(tables.champions.c.version == bindparam("id"))
_STAGE = select(tables.stages.c.stage).where(tables.stages.c.version == bindparam("id"))
_PLACES = select(tables.stages.c.version, tables.stages.c.place).order_by(tables.stages.c.version)
_POINTER = select(tables.champions).where(tables.champions.c.slot == bindparam("slot"))
_EVENT = select(tables.events).where(tables.events.c.seq == bindparam("seq"))


def read_versions(connection: Connection) -> list[Version]:
    """All versions, by id."""
    slots: dict[str, list[str]] = {}
    for row in connection.execute(select(tables.champions).order_by(tables.champions.c.slot)):
        slots.setdefault(row.version, []).append(row.slot)
    rows = connection.execute(_VERSIONS.order_by(tables.versions.c.id))
    return [version_of(row, slots.get(row.id, ())) for row in rows]


def find_version(connection: Connection, name: str) -> Version:
    """The version with that id, or the only one whose id ends in ``-name`` (its hash) or whose run is called so.

    Raises:
        InputError: If there is none, or more than one.
    """
    exact = connection.execute(_VERSION, {"id": name}).first()
    if exact is not None:
        return version_of(exact, slots_of(connection, name))
    places = {row.version: row.place for row in connection.execute(_PLACES)}
    return read_version(connection, only_match(places, name))


def read_version(connection: Connection, identifier: str) -> Version:
    """One version by its id, which exists."""
    return version_of(connection.execute(_VERSION, {"id": identifier}).one(), slots_of(connection, identifier))


def verdicts_of(connection: Connection, run: str) -> list[Mapping[str, Any]]:
    """The verdict of every version of a run, by the run's name."""
    named = tables.versions.c.content.contains(f'"run":"{run}"', autoescape=True)
    found = [
        loads(row.content, where=f"version {row.id}")
        for row in connection.execute(select(tables.versions).where(named))
    ]
    return [content["verdict"] for content in found if content["run"] == run]


def verified_bodies(connection: Connection, identifier: str) -> list[Mapping[str, Any]]:
    """Every event that recorded what was verified of a version, oldest first."""
    bodies = _bodies(connection, f'"version":"{identifier}"', '"verified":{')
    return [body for body in bodies if body["version"] == identifier and "verified" in body]


def admission_at(connection: Connection, slot: str) -> Mapping[str, Any] | None:
    """What a slot was last told to ask for; None if nobody said."""
    bodies = _bodies(connection, f'"slot":"{slot}"', '"kind":"admission"')
    mine = [body for body in bodies if body["kind"] == "admission" and body["slot"] == slot]
    found: Mapping[str, Any] | None = mine[-1]["admission"] if mine else None
    return found


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


def _bodies(connection: Connection, *parts: str) -> list[Mapping[str, Any]]:
    """Events that hold these texts, oldest first. Quotation marks in a text of a person's own are escaped there."""
    columns = tables.events.c
    wanted = (columns.body.contains(part, autoescape=True) for part in parts)
    query = select(columns.seq, columns.body).where(*wanted).order_by(columns.seq)
    return [loads(row.body, where=f"event {row.seq}") for row in connection.execute(query)]


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
