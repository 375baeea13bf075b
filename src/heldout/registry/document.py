"""The registry as one strict JSON document: for git, for a backup, for moving between SQLite and PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, get_args

from sqlalchemy import select

from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import canonical, loads
from heldout.registry import tables
from heldout.registry.audit import check_content, repair, verify
from heldout.registry.chain import GENESIS, Event, Row, check_chain
from heldout.registry.journal import Stage, State, read_rows, replay, store
from heldout.registry.serving import Moment
from heldout.registry.store import Registry
from heldout.study.spec import SLUG

SCHEMA = "heldout.registry/1"
_ID = r"[a-z0-9][a-z0-9_-]{0,63}-[0-9]{8}-[0-9a-f]{8}"  # label, day, hash


@dataclass(frozen=True)
class _Parsed:
    events: list[Event]
    versions: dict[str, tuple[str, str]]


class RegistryDocument(TypedDict):
    """The whole registry."""

    schema: str
    head: Moment
    champions: dict[str, str]
    stages: Mapping[str, str]
    versions: list[dict[str, object]]
    events: list[dict[str, object]]


def export_registry(registry: Registry) -> RegistryDocument:
    """The whole registry, verified first.

    Raises:
        TamperedError: If it does not verify.
    """
    verify(registry, files="none")
    with registry.database.reading() as connection:
        events = check_chain(read_rows(connection))
        rows = connection.execute(select(tables.versions).order_by(tables.versions.c.id)).all()
    state = replay(events)
    return {
        "schema": SCHEMA,
        "head": {"seq": len(events), "sha256": events[-1].sha256 if events else GENESIS},
        "champions": _champions(state),
        "stages": state.stages,
        "versions": [
            {"id": row.id, "sha256": row.sha256, "content": loads(row.content, where=f"version {row.id}")}
            for row in rows
        ],
        "events": [event.to_json() for event in events],
    }


def import_registry(registry: Registry, document: Any, *, where: str) -> int:
    """Take over the events that a document has and the registry has not.

    Args:
        registry: Empty, or at an earlier point of the same history.
        document: As ``export_registry`` makes it.
        where: Its file, for messages.

    Returns:
        The number of events taken over.

    Raises:
        TamperedError: If the document does not verify. Nothing is taken over.
        RefusedError: If the registry's history is another one.
    """
    parsed = _parse(document, where)
    with registry.database.writing() as connection:
        ours = read_rows(connection)
        theirs = [event.row() for event in parsed.events]
        if ours != theirs[: len(ours)]:
            raise RefusedError(
                "the two histories went different ways", where=where, hint="import into an empty registry"
            )
        for event in parsed.events[len(ours) :]:
            if event.body["kind"] == "registered":
                identifier = event.body["version"]
                sha256, content = parsed.versions[identifier]
                connection.execute(tables.versions.insert().values(id=identifier, sha256=sha256, content=content))
            store(connection, event)
    repair(registry)
    return len(parsed.events) - len(ours)


def _parse(document: Any, where: str) -> _Parsed:
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"this is no {SCHEMA} document", where=where, hint="give a file of `heldout registry export`")
    try:
        events = check_chain([_row(item) for item in document["events"]])
        state = replay(events)
        versions = {item["id"]: (item["sha256"], canonical(item["content"]).decode()) for item in document["versions"]}
        for identifier, (sha256, content) in versions.items():
            check_content(identifier, content, sha256, state)
        _check_names(state, where)
        head = {"seq": len(events), "sha256": events[-1].sha256 if events else GENESIS}
        expected = (head, _champions(state), state.stages, set(state.sha256s))
        found = (document["head"], document["champions"], document["stages"], set(versions))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"the document is damaged: {error!r}", where=where, hint="export it again") from None
    if found != expected:
        raise TamperedError(
            "the document's tables are not what its events add up to", where=where, hint="export it again"
        )
    return _Parsed(events, versions)


def _check_names(state: State, where: str) -> None:
    """Slots and versions become names of folders and files: `promote` and `add` allow no others either.

    Raises:
        TamperedError: At a name or a stage that no registry gives.
    """
    for kind, names, pattern in (
        ("slot", state.champions, SLUG),
        ("version", state.sha256s, _ID),
        ("stage", state.stages.values(), "|".join(get_args(Stage))),
    ):
        for name in names:
            if not re.fullmatch(pattern, name):
                raise TamperedError(f"{name!r} is no {kind} of a registry", where=where, hint="do not import it")


def _row(item: Mapping[str, Any]) -> Row:
    body = {key: value for key, value in item.items() if key != "sha256"}
    return Row(item["seq"], canonical(body).decode(), item["sha256"])


def _champions(state: State) -> dict[str, str]:
    return {slot: version for slot, (version, _) in state.champions.items()}
