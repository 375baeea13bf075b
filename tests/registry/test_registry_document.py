"""Export and import: the whole registry as one document that verifies."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from registry_kit import Runs

from heldout.errors import HeldoutError, InputError, RefusedError, TamperedError
from heldout.evidence import dumps, loads, read_json
from heldout.registry import (
    Registry,
    add,
    export_registry,
    import_registry,
    promote,
    retire,
    rollback,
    verify,
)
from heldout.registry.chain import GENESIS, link

_LINKS = {"schema", "seq", "previous_sha256", "sha256"}
FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a reason": lambda d: d["events"][2].update(reason="because"),
    "an event cut out": lambda d: d["events"].pop(3),
    "the last event cut off": lambda d: d["events"].pop(),
    "another champion": lambda d: d["champions"].update(demo=d["versions"][0]["id"]),
    "another stage": lambda d: d["stages"].update({d["versions"][0]["id"]: "candidate"}),
    "a better number": lambda d: d["versions"][0]["content"]["metrics"].update(rows=10**6),
    "another verdict": lambda d: d["versions"][0]["content"]["verdict"].update(verdict="HOLD"),
    "a version left out": lambda d: d["versions"].pop(),
    "a version put in": lambda d: d["versions"].append(d["versions"][0] | {"id": "x-20260101-00000000"}),
    "another id": lambda d: d["versions"][0].update(id="other-20260101-00000000"),
    "another head": lambda d: d["head"].update(seq=1),
    "no events": lambda d: d.pop("events"),
    "an event that is a word": lambda d: d["events"].__setitem__(0, "x"),
    "another schema": lambda d: d.update(schema="heldout.registry/2"),
}


@pytest.fixture
def full(registry: Registry, runs: Runs) -> Registry:
    """Some versions, two promotions, a rollback and a retirement."""
    first, second, third = (add(registry, runs(name), by="ann").id for name in ("base", "alpha2", "constant"))
    promote(registry, first)
    promote(registry, second, reason="better")
    rollback(registry, "demo", reason="worse after all")
    retire(registry, third, reason="lost")
    return registry


@pytest.mark.first_is_fast
def test_a_registry_survives_the_way_through_a_document(full: Registry, tmp_path: Path) -> None:
    """A backup, or the way from SQLite to PostgreSQL and back, would lose or bend the record."""
    document = loads(dumps(export_registry(full)), where="export")
    with Registry(tmp_path / "other", create=True) as other:
        assert len(document["events"]) == import_registry(other, document, where="x.json")
        assert verify(full).head == verify(other).head
        assert dumps(document) == dumps(export_registry(other))
        assert full.champion("demo") == other.champion("demo")
        pointers = [read_json(each.serving.pointer("demo")) for each in (full, other)]
        assert pointers[0] == pointers[1]
        assert 0 == import_registry(other, document, where="x.json")


@pytest.mark.first_is_fast
def test_an_older_copy_catches_up_and_a_parted_one_refuses(full: Registry, runs: Runs, tmp_path: Path) -> None:
    """Two histories would be mixed into one that nobody lived through."""
    early = export_registry(full)
    promote(full, full.version(early["versions"][0]["id"]).id, slot="north")
    with Registry(tmp_path / "other", create=True) as other:
        import_registry(other, early, where="x.json")
        assert 1 == import_registry(other, export_registry(full), where="x.json")
        assert verify(full, files="none").head == verify(other, files="none").head
        add(other, runs("alpha3"))
        add(full, runs("alpha4"))
        before = verify(other, files="none").head
        with pytest.raises(RefusedError, match="different ways"):
            import_registry(other, export_registry(full), where="x.json")
        assert before == verify(other, files="none").head


def test_a_forged_document_is_refused_whole(lite: Registry, runs: Runs, tmp_path: Path) -> None:
    """Whoever can edit a JSON file could rewrite who was promoted, why, and on what numbers."""
    first, second = (add(lite, runs(name)).id for name in ("base", "alpha2"))
    promote(lite, second)
    promote(lite, first, reason="x")
    honest = loads(dumps(export_registry(lite)), where="export")
    for name, forge in FORGERIES.items():
        forged = copy.deepcopy(honest)
        forge(forged)
        with Registry(tmp_path / "other", create=True) as other:
            with pytest.raises((TamperedError, InputError)):
                import_registry(other, forged, where=name)
            assert [] == other.history(), name
            assert [] == other.versions(), name


@pytest.mark.parametrize("part", ["slot", "version", "stage"])
def test_names_in_a_document_cannot_leave_the_registry(lite: Registry, runs: Runs, tmp_path: Path, part: str) -> None:
    """A document from elsewhere, its chain whole, would write a file beside the registry: slots and ids are paths."""
    version = add(lite, runs("base"))
    promote(lite, version.id)
    text, away = dumps(export_registry(lite)).decode(), {"slot": "../../../away", "version": f"../../{version.id}"}
    match part:
        case "slot":
            text = text.replace('"slot": "demo"', f'"slot": "{away[part]}"').replace('"demo": "', f'"{away[part]}": "')
        case "version":
            text = text.replace(version.id, away[part])
        case _:
            text = text.replace(': "champion"', ': "crown"')
    document, previous = loads(text, where="x.json"), GENESIS
    events = []
    for number, event in enumerate(document["events"], start=1):
        events.append(link(number, previous, {key: value for key, value in event.items() if key not in _LINKS}))
        previous = events[-1].sha256
    document |= {"events": [event.to_json() for event in events], "head": {"seq": len(events), "sha256": previous}}
    with Registry(tmp_path / "other" / "registry", create=True) as other:
        with pytest.raises(TamperedError, match=f"is no {part} of a registry"):
            import_registry(other, document, where="x.json")
        assert [] == other.history()
    assert not (tmp_path / "away").exists()


def test_a_damaged_registry_is_not_exported(lite: Registry, runs: Runs) -> None:
    """The backup would be of what was tampered with, and look whole."""
    add(lite, runs("base"))
    with lite.database.writing() as connection:
        connection.exec_driver_sql("UPDATE heldout_stages SET stage = 'champion'")
    with pytest.raises(HeldoutError):
        export_registry(lite)
