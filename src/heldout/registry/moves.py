"""The only two ways in which a champion changes: ``promote`` and ``rollback``, each a compare-and-swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection

from heldout.errors import InputError, RefusedError, StaleError
from heldout.gate.verdict import level_of
from heldout.registry import lookup
from heldout.registry.admission import Admission
from heldout.registry.chain import Event, check_chain
from heldout.registry.elsewhere import looked_elsewhere
from heldout.registry.holds import holds_of, strangers
from heldout.registry.journal import Note, Stage, append, read_rows, replay
from heldout.registry.rundir import check_registered, judged_later, objections
from heldout.registry.store import Registry
from heldout.registry.tracking import track_hold
from heldout.registry.version import Pointer, Version
from heldout.registry.vouched import Asked, Vouched, look

# As the expected champion: whichever is read before the work starts.
READ = "*"


def promote(
    registry: Registry,
    name: str,
    *,
    slot: str | None = None,
    expected: str | None = READ,
    override: bool = False,
    asked: Asked | None = None,
    by: str | None = None,
    reason: str | None = None,
) -> Event:
    """Make a version the champion of a slot, after its chain was verified as it is now.

    Args:
        registry: Where.
        name: The version.
        slot: Where it is to serve; a slot named like its study by default.
        expected: The champion that is to be replaced, None for an empty slot; by default the one that is there when
            the work starts. If it is another by the end of it, nothing changes.
        override: Promote against a HOLD, a freeze, what the slot asks for or what it holds. Needs a reason; both stay
            in the history.
        asked: What to verify the run with; by default its own files, and the corpus where the slot asks for it, nobody
            verified it yet, and it still lies where the run's record says.
        by: Who.
        reason: Why.

    Raises:
        RefusedError: If the evidence does not carry a promotion.
        TamperedError: If a file is not the one that was judged, or a link of the run's chain does not hold.
        PrerequisiteError: If what was asked for cannot be checked here.
        StaleError: If the champion is not the expected one.
    """
    if override and not (reason or "").strip():
        raise InputError("an override needs a reason", where="--override", hint='add --reason "..."')
    with registry.database.reading() as connection:
        version = lookup.find_version(connection, name)
        slot = lookup.need_slot(version.content["study"] if slot is None else slot)
        seen = _expect(connection, slot, expected)
        still = verdicts, asks = _as_judged_by(connection, version, slot)
        known = [Vouched.of(body) for body in lookup.verified_bodies(connection, version.id)]
        admission = Admission.of(asks)
        held = _held(registry, connection, seen)
    against = objections(version.content) + judged_later(version.content, verdicts)
    folder = registry.serving.folder_at(version.place)
    check_registered(version.content, folder)
    window = registry.window()
    against += [window.sentence()] if window else []
    against += looked_elsewhere(registry, folder)
    _refuse(version, against, override)  # what is refused anyway is not verified first
    level = level_of(version.content["verdict"])
    now = look(folder, asked or Asked(look_for_corpus=bool(admission.lacking(level, known))))
    new = holds_of(version.content, folder)
    against += admission.lacking(level, [*known, now]) + strangers(held, new)
    _refuse(version, against, override)
    note = Note(registry.now(), by, reason)
    facts = {"overridden": against or None, "holds": new, "admission": asks, **now.facts()}
    return _move(registry, "promoted", version, slot, seen, note, still=still, **facts)


def _refuse(version: Version, against: Sequence[str], override: bool) -> None:
    if against and not override:
        raise RefusedError(
            "; ".join(against), where=version.id, hint='fix it or wait; or --override --reason "...", on record'
        )


def rollback(
    registry: Registry,
    slot: str,
    *,
    to: str | None = None,
    expected: str | None = READ,
    by: str | None = None,
    reason: str | None = None,
) -> Event:
    """Make an earlier champion of a slot the champion again, after its files were verified.

    A freeze does not hinder it, and is noted in the event. An entry for a tracker is written beside the pointer.

    Args:
        registry: Where.
        slot: Of which slot.
        to: Which; the one before the present champion by default.
        expected: As in ``promote``.
        by: Who.
        reason: Why.

    Raises:
        InputError: If there is nothing to return to.
        TamperedError: If a file of the older version, or the history, is not what it was.
        StaleError: If the champion is not the expected one.
    """
    with registry.database.reading() as connection:
        seen = _expect(connection, slot, expected)
        version = _earlier(connection, slot, to)
    check_registered(version.content, registry.serving.folder_at(version.place))
    try:
        window = registry.window()
        frozen = window.sentence() if window else None
    except RefusedError as error:
        frozen = error.what
    note = Note(registry.now(), by, reason)
    holds = holds_of(version.content, registry.serving.folder_at(version.place))
    event = _move(registry, "rolled-back", version, slot, seen, note, frozen=frozen, holds=holds)
    track_hold(registry, event)
    return event


def _held(registry: Registry, connection: Connection, seen: Pointer | None) -> Mapping[str, Any] | None:
    """What a slot holds, as the event of its champion says; events of an older heldout do not say it."""
    if seen is None:
        return None
    event = lookup.read_event(connection, seen.seq)
    if "holds" in event.body:
        stated: Mapping[str, Any] = event.body["holds"]
        return stated
    champion = lookup.read_version(connection, seen.version)
    return holds_of(champion.content, registry.serving.folder_at(champion.place))


def _earlier(connection: Connection, slot: str, to: str | None) -> Version:
    earlier = replay(check_chain(read_rows(connection))).lineage.get(slot, [])[:-1]
    wanted = lookup.find_version(connection, to).id if to else next(reversed(earlier), None)
    if wanted is None or wanted not in earlier:
        raise InputError(
            f"the slot {slot!r} has no {'such ' if to else ''}earlier champion",
            where=f"slot {slot}",
            hint=f"earlier champions: {', '.join(earlier) or 'none'}; any other version is promoted",
        )
    return lookup.read_version(connection, wanted)


def _expect(connection: Connection, slot: str, expected: str | None) -> Pointer | None:
    """The pointer as it is now, if it is the expected one."""
    seen = lookup.pointer_of(connection, slot)
    if expected == READ:
        return seen
    wanted = lookup.find_version(connection, expected).id if expected is not None else None
    if (seen.version if seen else None) != wanted:
        raise _stale(slot, seen)
    return seen


def _move(
    registry: Registry,
    kind: Literal["promoted", "rolled-back"],
    version: Version,
    slot: str,
    seen: Pointer | None,
    note: Note,
    still: tuple[list[Mapping[str, Any]], dict[str, object]] | None = None,
    **facts: Any,
) -> Event:
    """Compare and swap. The event's number in ``seen`` tells a champion from the same one come back.

    ``still`` holds the run's verdicts and the slot's admission as they were judged by, and must be as they are now.
    """
    with registry.database.writing() as connection:
        pointer = lookup.pointer_of(connection, slot)
        if pointer != seen:
            raise _stale(slot, pointer)
        if still is not None and still != _as_judged_by(connection, version, slot):
            raise StaleError(
                f"what {slot} asks for, or the verdicts of the run, changed meanwhile",
                where=f"slot {slot}",
                hint="look at them, then decide again",
            )
        if lookup.stage_of(connection, version.id) == "retired":
            raise RefusedError("it is retired", where=version.id, hint="choose another version")
        stages: dict[str, Stage] = {version.id: "champion"}
        if pointer is not None:
            if pointer.version == version.id:
                raise InputError(f"it is the champion of {slot} already", where=version.id, hint="nothing to do")
            if lookup.slots_of(connection, pointer.version) == (slot,):
                stages[pointer.version] = "challenger"
            facts["previous"] = pointer.version
        event = append(connection, kind, version.id, stages, note, slot=slot, **facts)
    try:
        registry.publish(slot)
    except InputError as error:
        error.hint = "the move is on record; when the place is mended: `heldout registry verify --repair`"
        raise
    return event


def _as_judged_by(
    connection: Connection, version: Version, slot: str
) -> tuple[list[Mapping[str, Any]], dict[str, object]]:
    verdicts = lookup.verdicts_of(connection, str(version.content["run"]))
    return verdicts, Admission.of(lookup.admission_at(connection, slot)).to_json()


def _stale(slot: str, found: Pointer | None) -> StaleError:
    return StaleError(
        f"the champion of {slot} is {found.version if found else 'nobody'}, not the one that was expected",
        where=f"slot {slot}",
        hint="look at it, then decide again",
    )
