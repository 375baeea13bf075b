"""One event at a time: appended to the chain and, in the same transaction, projected onto stages and champions.

An event says all that it changes (``stages``, ``place``, and for the two kinds that move a pointer, the slot), so the
projections can be replayed from the events alone. Verification and import do just that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, select, update

from heldout.registry import tables
from heldout.registry.chain import Event, Row, link

Stage = Literal["smoke", "candidate", "challenger", "champion", "retired"]
MOVES = ("promoted", "rolled-back")
_HEAD = select(tables.head.c.seq, tables.head.c.sha256)
_INSERT_EVENT = tables.events.insert()
_SET_HEAD = update(tables.head)
_SET_VERSION = update(tables.stages).where(tables.stages.c.version == bindparam("version_"))
_SET_CHAMPION = update(tables.champions).where(tables.champions.c.slot == bindparam("slot_"))


@dataclass(frozen=True)
class Note:
    """When, who and why, as an event keeps it; who and why are None where nobody said."""

    at: dt.datetime
    by: str | None
    reason: str | None


@dataclass
class State:
    """What the events add up to.

    Attributes:
        stages: By version.
        places: Run directory by version.
        champions: By slot: version, and number of the event that made it champion.
        lineage: By slot: champions that a rollback can return to, oldest first, the present one last.
        sha256s: Digest of the content by version, as registered.
    """

    stages: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    champions: dict[str, tuple[str, int]] = field(default_factory=dict)
    lineage: dict[str, list[str]] = field(default_factory=dict)
    sha256s: dict[str, str] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take one more event."""
        body = event.body
        self.stages.update(body["stages"])
        if body["kind"] == "registered":
            self.sha256s[body["version"]] = body["content_sha256"]
        if "place" in body:
            self.places[body["version"]] = body["place"]
        if body["kind"] in MOVES:
            self.champions[body["slot"]] = (body["version"], event.seq)
            line = self.lineage.setdefault(body["slot"], [])
            if body["kind"] == "promoted":
                line.append(body["version"])
            else:
                while line[-1] != body["version"]:
                    line.pop()


def replay(events: Iterable[Event]) -> State:
    """The state after all events."""
    state = State()
    for event in events:
        state.apply(event)
    return state


def append(
    connection: Connection,
    kind: str,
    version: str | None,
    stages: Mapping[str, Stage],
    note: Note,
    **facts: Any,
) -> Event:
    """Append an event and project it. The caller holds the write transaction.

    Args:
        connection: Of ``Database.writing``.
        kind: ``registered``, ``verified``, ``moved``, ``staged``, ``promoted``, ``rolled-back``, ``retired`` or
            ``admission``.
        version: Id of the version that it is about; None if it is about a slot alone.
        stages: Stage of every version whose stage changes.
        note: When, who and why.
        facts: More keys of the event; those that are None are left out.
    """
    last = connection.execute(_HEAD).one()
    fields = {key: value for key, value in facts.items() if value is not None}
    fields |= {"kind": kind, "version": version, "stages": dict(stages), "by": note.by, "reason": note.reason}
    event = link(last.seq + 1, last.sha256, fields | {"at_utc": note.at.isoformat(timespec="milliseconds")})
    store(connection, event)
    return event


def store(connection: Connection, event: Event) -> None:
    """Write an event, the head and the projections."""
    connection.execute(_INSERT_EVENT, event.row()._asdict())
    connection.execute(_SET_HEAD, {"seq": event.seq, "sha256": event.sha256})
    body = event.body
    for version, stage in body["stages"].items():
        if not connection.execute(_SET_VERSION, {"version_": version, "stage": stage}).rowcount:
            connection.execute(tables.stages.insert(), {"version": version, "stage": stage, "place": body["place"]})
    if "place" in body:
        connection.execute(_SET_VERSION, {"version_": body["version"], "place": body["place"]})
    if body["kind"] in MOVES:
        values = {"version": body["version"], "seq": event.seq}
        if not connection.execute(_SET_CHAMPION, {"slot_": body["slot"], **values}).rowcount:
            connection.execute(tables.champions.insert(), {"slot": body["slot"], **values})


def read_rows(connection: Connection) -> list[Row]:
    """All stored events, by number."""
    query = select(tables.events.c.seq, tables.events.c.body, tables.events.c.sha256).order_by(tables.events.c.seq)
    return [Row(*row) for row in connection.execute(query)]
