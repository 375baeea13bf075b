"""Into the registry and out of the running: ``add`` and ``retire``. Neither can touch a champion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, select

from heldout.errors import InputError, RefusedError
from heldout.evidence import canonical, digest
from heldout.registry import lookup, tables
from heldout.registry.chain import Event
from heldout.registry.elsewhere import looked_elsewhere
from heldout.registry.journal import Note, Stage, append
from heldout.registry.rundir import RunRecord, read_run
from heldout.registry.store import Registry
from heldout.registry.version import Version
from heldout.registry.vouched import Asked, Vouched
from heldout.study.spec import SLUG


def add(
    registry: Registry,
    run: Path,
    *,
    label: str | None = None,
    challenger: bool = False,
    asked: Asked | None = None,
    by: str | None = None,
    reason: str | None = None,
) -> Version:
    """Register a finished run. The same run is the same version, however often and from wherever it is added.

    What of its chain was verified is recorded with it; if more was verified when it is added again, that is too. So are
    earlier looks at its groups that ledgers beside other registered runs show.

    Args:
        registry: Where.
        run: A run directory. It is read and never copied: keep it.
        label: First part of the id; the variant by default.
        challenger: Register it as a challenger, to run in shadow.
        asked: What to verify it with; by default the corpus too, if it still lies where the run's record says.
        by: Who.
        reason: Why.

    Raises:
        HeldoutError: If the run did not finish, or its files do not fit together.
    """
    record = read_run(run, asked or Asked())
    name = _label(label or record.content["variant"])
    elsewhere = looked_elsewhere(registry, run)
    note, place = Note(registry.now(), by, reason), registry.serving.place_of(run)
    with registry.database.writing() as connection:
        version = _known(connection, record)
        if version is None:
            version = _insert(connection, name, record, place, note, elsewhere)
        elif record.vouched.holding - _holding(connection, version):
            append(connection, "verified", version.id, {}, note, **record.vouched.facts())
        if version.place != place:
            append(connection, "moved", version.id, {}, note, place=place)
        if challenger and version.stage == "candidate":
            append(connection, "staged", version.id, {version.id: "challenger"}, note)
        found = lookup.read_version(connection, version.id)
    for slot in found.slots:  # what serves may have moved
        registry.publish(slot)
    return found


def retire(registry: Registry, name: str, *, reason: str, by: str | None = None) -> Event:
    """Take a version out of the running, for good.

    Raises:
        RefusedError: If it serves.
        InputError: If it is retired already, or no reason is given.
    """
    if not reason.strip():
        raise InputError("a version retires for a reason", where="--reason", hint='add --reason "..."')
    note = Note(registry.now(), by, reason)
    with registry.database.writing() as connection:
        version = lookup.find_version(connection, name)
        if version.slots:
            raise RefusedError(
                f"it serves in {', '.join(version.slots)}", where=version.id, hint="promote another or roll back"
            )
        if version.stage == "retired":
            raise InputError("it is retired already", where=version.id, hint="see `heldout registry history`")
        return append(connection, "retired", version.id, {version.id: "retired"}, note)


def _known(connection: Connection, record: RunRecord) -> Version | None:
    same = select(tables.versions.c.id).where(tables.versions.c.sha256 == digest(dict(record.content)))
    identifier = connection.execute(same).scalar()
    return lookup.read_version(connection, identifier) if identifier else None


def _holding(connection: Connection, version: Version) -> frozenset[str]:
    """Links that somebody found to hold before."""
    known = [Vouched.of(body).holding for body in lookup.verified_bodies(connection, version.id)]
    return frozenset[str]().union(*known)


def _insert(
    connection: Connection, label: str, record: RunRecord, place: str, note: Note, elsewhere: Sequence[str]
) -> Version:
    sha256, smoke = digest(dict(record.content)), record.content["smoke"] is not None
    identifier = f"{label}-{record.date}-{sha256[:8]}"
    stages: dict[str, Stage] = {identifier: "smoke" if smoke else "candidate"}
    content = canonical(dict(record.content)).decode()
    connection.execute(tables.versions.insert().values(id=identifier, sha256=sha256, content=content))
    append(
        connection,
        "registered",
        identifier,
        stages,
        note,
        content_sha256=sha256,
        place=place,
        **({"elsewhere": list(elsewhere)} if elsewhere else {}),
        **record.vouched.facts(),
    )
    return lookup.read_version(connection, identifier)


def _label(text: str) -> str:
    if not re.fullmatch(SLUG, text):
        raise InputError(
            f"{text!r} cannot be a label", where="--label", hint="use small letters, digits, hyphens and underscores"
        )
    return text
