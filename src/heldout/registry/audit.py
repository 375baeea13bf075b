"""Verification: recompute the chain, replay it, and compare with everything that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection, select

from heldout.errors import TamperedError
from heldout.evidence import sha256_bytes
from heldout.registry import lookup, tables
from heldout.registry.chain import GENESIS, Event, broken, check_chain
from heldout.registry.journal import State, read_rows, replay
from heldout.registry.rundir import check_registered
from heldout.registry.serving import pointer_document
from heldout.registry.store import Registry
from heldout.registry.version import Pointer, Version

Scope = Literal["champions", "all", "none"]
_HINT = "restore the registry from a backup or an export; do not promote from this one"


@dataclass(frozen=True)
class Verified:
    """What was found whole.

    Attributes:
        events: Number of events.
        head: The sha256 of the last one: keep it elsewhere and give it to a later verification.
        versions: Number of versions.
        champions: By slot.
        folders: Number of run directories whose files were read.
        lagging: Slots whose ``champion.json`` names an older champion of the history than the database does.
    """

    events: int
    head: str
    versions: int
    champions: Mapping[str, str]
    folders: int
    lagging: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The finding as a document."""
        return {"schema": "heldout.registry-verified/1", **asdict(self)}


def verify(registry: Registry, *, files: Scope = "champions", anchor: str | None = None) -> Verified:
    """Recompute everything.

    Args:
        registry: An open registry.
        files: Whose run directories to read: the champions', all that are not retired, or none.
        anchor: The sha256 of an event, noted at an earlier time, that must be part of the history.

    Raises:
        TamperedError: Naming the first link that does not hold.
    """
    with registry.database.reading() as connection:
        events = check_chain(read_rows(connection))
        _check_head(connection, events, anchor)
        state = replay(events)
        _check_versions(connection, state)
        _check_projections(connection, state)
        lagging = [slot for slot in sorted(state.champions) if _lags(registry, connection, slot, state, events)]
        versions = lookup.read_versions(connection)
    _check_strangers(registry, state)
    wanted = [version for version in versions if _in_scope(version, files)]
    for version in wanted:
        check_registered(version.content, registry.serving.folder_at(version.place))
    champions = {slot: version for slot, (version, _) in sorted(state.champions.items())}
    head = events[-1].sha256 if events else GENESIS
    return Verified(len(events), head, len(versions), champions, len(wanted), tuple(lagging))


def repair(registry: Registry) -> list[str]:
    """Let every ``champion.json`` say what the database says; return the slots that had to be written."""
    with registry.database.reading() as connection:
        slots = connection.execute(select(tables.champions.c.slot)).scalars().all()
    return [slot for slot in sorted(slots) if registry.publish(slot)]


def check_content(identifier: str, text: str, sha256: str, state: State) -> None:
    """A version is what the history registered, byte for byte.

    Raises:
        TamperedError: If it is not.
    """
    registered = state.sha256s.get(identifier)
    if registered is None:
        raise _tampered(f"version {identifier}", "no event registered this version")
    if not sha256_bytes(text.encode()) == sha256 == registered or not identifier.endswith(f"-{sha256[:8]}"):
        raise _tampered(f"version {identifier}", "the version is not what was registered")


def _check_head(connection: Connection, events: Sequence[Event], anchor: str | None) -> None:
    head = connection.execute(select(tables.head)).one()
    if head.seq > len(events):
        raise broken(len(events) + 1, f"it is missing, and so are all up to {head.seq}")
    last = events[-1].sha256 if events else GENESIS
    if (head.seq, head.sha256) != (len(events), last):
        raise broken(len(events), "it is not the last event that the head names")
    if anchor is not None and anchor not in {GENESIS, *(event.sha256 for event in events)}:
        raise _tampered("history", f"no event has the sha256 {anchor[:16]}..., so the history is not the one of then")


def _check_versions(connection: Connection, state: State) -> None:
    rows = connection.execute(select(tables.versions).order_by(tables.versions.c.id)).all()
    for row in rows:
        check_content(row.id, row.content, row.sha256, state)
    missing = sorted(set(state.sha256s) - {row.id for row in rows})
    if missing:
        raise _tampered(f"version {missing[0]}", "a registered version is missing")


def _check_projections(connection: Connection, state: State) -> None:
    stages = {row.version: (row.stage, row.place) for row in connection.execute(select(tables.stages))}
    expected = {version: (stage, state.places[version]) for version, stage in state.stages.items()}
    _compare("version", stages, expected, "stage or place is not what the history says")
    champions = {row.slot: (row.version, row.seq) for row in connection.execute(select(tables.champions))}
    _compare("slot", champions, state.champions, "the champion is not what the history says")


def _compare(kind: str, found: Mapping[str, Any], expected: Mapping[str, Any], what: str) -> None:
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            raise _tampered(f"{kind} {name}", what)


def _lags(registry: Registry, connection: Connection, slot: str, state: State, events: Sequence[Event]) -> bool:
    """Whether the pointer on disk is an older one of this history; one that never was is an error."""
    served = registry.serving.read(slot)
    if served is None:
        return True
    seq = served["event"]["seq"]
    event = events[seq - 1] if isinstance(seq, int) and 0 < seq <= len(events) else None
    version = event.body["version"] if event and event.body.get("slot") == slot else None
    unknown = _tampered(str(registry.serving.pointer(slot)), "the pointer names no champion that the history knows")
    if event is None or version is None:
        raise unknown
    present = pointer_document(connection, slot, Pointer(version, event.seq))
    places = {each.body["place"] for each in events if each.body["version"] == version and "place" in each.body}
    if {**served, "run": present["run"]} != present or served["run"] not in places:
        raise unknown
    return bool(seq != state.champions[slot][1] or served["run"] != present["run"])


def _check_strangers(registry: Registry, state: State) -> None:
    for path in sorted((registry.serving.root / "slots").glob("*/champion.json")):
        if path.parent.name not in state.champions:
            raise _tampered(str(path), "the pointer names no champion that the history knows")


def _in_scope(version: Version, files: Scope) -> bool:
    return bool(version.slots) if files == "champions" else files == "all" and version.stage != "retired"


def _tampered(where: str, what: str) -> TamperedError:
    return TamperedError(what, where=where, hint=_HINT)
