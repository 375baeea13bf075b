"""Verification and tampering: every table, every file, every pointer. On SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from registry_kit import Runs

from heldout.errors import HeldoutError, RefusedError, TamperedError
from heldout.evidence import canonical, read_json, sha256_bytes, write_json
from heldout.registry import Registry, Verified, add, promote, repair, rollback, tables, verify
from heldout.registry.chain import link
from heldout.run.verdict import write_verdict

EVENTS = ("heldout_events", "heldout_versions")


def execute(registry: Registry, *statements: str) -> None:
    """As someone with the rights of an owner, who first takes the guards off."""
    with registry.database.writing() as connection:
        sqlite = connection.dialect.name == "sqlite"
        for table in EVENTS:
            for verb in ("update", "delete"):
                on = "" if sqlite else f" ON {table}"
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_no_{verb}{on}")
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def pair(registry: Registry, copied: Runs) -> tuple[str, str]:
    """Two versions, the second of them champion."""
    first, second = (add(registry, copied(name)).id for name in ("base", "alpha2"))
    promote(registry, first)
    promote(registry, second, reason="better")
    return first, second


@pytest.mark.slow
def test_the_database_itself_keeps_the_past(registry: Registry, pair: tuple[str, str]) -> None:
    """A slip of code or of a person at a console would change the record."""
    for statement in (
        "UPDATE heldout_events SET body = '{}' WHERE seq = 2",
        "DELETE FROM heldout_events WHERE seq = 4",
        "UPDATE heldout_versions SET content = '{}'",
        "DELETE FROM heldout_versions",
    ):
        with pytest.raises(HeldoutError), registry.database.writing() as connection:
            connection.exec_driver_sql(statement)
    assert 4 == verify(registry).events
    assert pair[1] == verify(registry).champions["demo"]


@pytest.mark.first_is_fast
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE heldout_events SET body = replace(body, 'better', 'bitter') WHERE seq = 4", "event 4: it was edited"),
        ("DELETE FROM heldout_events WHERE seq = 2", "event 2: it is missing"),
        ("DELETE FROM heldout_events WHERE seq = 4", "event 4: it is missing"),
        ("UPDATE heldout_events SET sha256 = 'x' WHERE seq = 1", "event 1: it was edited"),
        ("UPDATE heldout_versions SET content = replace(content, 'demo', 'dema')", "version alpha2-"),
        ("UPDATE heldout_stages SET stage = 'champion'", "version base-"),
        ("UPDATE heldout_stages SET place = '/elsewhere'", "version alpha2-"),
        ("UPDATE heldout_champions SET seq = 3", "slot demo"),
        ("DELETE FROM heldout_champions", "slot demo"),
        ("UPDATE heldout_head SET seq = 3", "event 4: it is not the last"),
        ("UPDATE heldout_head SET sha256 = 'x'", "event 4: it is not the last"),
    ],
)
def test_every_edit_of_the_tables_is_found(
    registry: Registry, pair: tuple[str, str], statement: str, words: str
) -> None:
    """Whoever has the database's password could rewrite who was promoted and why."""
    execute(registry, statement)
    with pytest.raises(TamperedError) as caught:
        verify(registry)
    assert 3 == caught.value.exit_code
    assert words in f"{caught.value.what} {caught.value.where}"


def test_an_event_forged_behind_the_last_is_found(registry: Registry, pair: tuple[str, str]) -> None:
    """A promotion could be written into the table that no promotion ever made."""
    last = registry.history()[-1]
    forged = link(5, last.sha256, dict(last.body) | {"version": pair[0], "stages": {}, "kind": "promoted"}).row()
    with registry.database.writing() as connection:
        connection.execute(tables.events.insert().values(forged._asdict()))
    with pytest.raises(TamperedError, match="event 5"):
        verify(registry)


@pytest.mark.slow
def test_an_anchor_finds_a_history_rewritten_from_the_start(registry: Registry, pair: tuple[str, str]) -> None:
    """Whoever rewrites everything, consistently, would pass: unless someone noted a head."""
    noted = verify(registry).head
    assert 4 == verify(registry, anchor=noted).events
    with pytest.raises(TamperedError, match="not the one of then"):
        verify(registry, anchor=sha256_bytes(b"another"))


def edit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


TAMPERINGS: dict[str, Callable[[Path], object]] = {
    "a model": lambda run: edit(next(run.rglob("model.*"))),
    "predictions": lambda run: edit(run / "predictions.jsonl"),
    "metrics": lambda run: edit(run / "metrics.json"),
    "the verdict": lambda run: edit(run / "PROMOTE.json"),
    "the report": lambda run: edit(run / "report.html"),
    "the manifest": lambda run: edit(run / "manifest.json"),
    "a file gone": lambda run: (run / "split.json").unlink(),
    "the manifest gone": lambda run: (run / "manifest.json").unlink(),
    "the verdict gone": lambda run: (run / "PROMOTE.json").unlink(),
    "a model added": lambda run: (run / "fits" / "seed0" / "s0" / "model2.skops").write_bytes(b"x"),
    "a newer HOLD": lambda run: write_verdict(run, read_json(run / "PROMOTE.json") | {"verdict": "HOLD"}),
    "a HOLD beside": lambda run: write_json(run / "HOLD.json", {"verdict": "HOLD"}),
}


@pytest.mark.first_is_fast
@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_changed_run_is_neither_promoted_nor_returned_to(lite: Registry, copied: Runs, name: str) -> None:
    """What serves would not be what was judged, by promotion or by the way back, with an override or without."""
    first, second, third = (add(lite, copied(run)).id for run in ("base", "alpha2", "alpha3"))
    promote(lite, first)
    promote(lite, second)
    for run in ("base", "alpha3"):
        TAMPERINGS[name](copied(run))
    pointer = lite.serving.pointer("demo").read_bytes()
    for attempt in (
        lambda: promote(lite, third),
        lambda: promote(lite, third, override=True, reason="x"),
        lambda: rollback(lite, "demo"),
        lambda: verify(lite, files="all"),
    ):
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert 3 == caught.value.exit_code
    assert pointer == lite.serving.pointer("demo").read_bytes()
    assert 1 == verify(lite).folders
    assert 5 == verify(lite, files="none").events


@pytest.mark.parametrize("name", [name for name in TAMPERINGS if "gone" not in name])
def test_a_changed_run_does_not_come_in(lite: Registry, copied: Runs, name: str) -> None:
    """The registry would vouch for numbers that nobody measured."""
    TAMPERINGS[name](copied("base"))
    with pytest.raises(HeldoutError):
        add(lite, copied("base"))
    assert [] == lite.history()


def test_numbers_forged_with_every_digest_mended_do_not_come_in(lite: Registry, copied: Runs) -> None:
    """Whoever edits metrics and mends manifest and verdict would get a better number registered."""
    from heldout.run.layout import files_digest, run_files, write_manifest

    run = copied("constant")
    (run / "HOLD.json").rename(run / "PROMOTE.json")
    verdict = read_json(run / "PROMOTE.json")
    for rule in verdict["rules"]:
        rule["outcome"] = "PASS"
    verdict |= {"verdict": "PROMOTE", "reasons": []}
    verdict["judged"]["files_sha256"] = files_digest(run_files(run))
    write_json(run / "PROMOTE.json", verdict)
    write_manifest(run)
    with pytest.raises(TamperedError, match="rules"):
        add(lite, run)


@pytest.mark.slow
def test_a_pointer_on_disk_is_checked_and_mended(registry: Registry, pair: tuple[str, str]) -> None:
    """A server would load a version that nobody promoted, and verification would not look there."""
    path = registry.serving.pointer("demo")
    honest = path.read_bytes()
    for key, value in {"version": pair[0], "run": "../elsewhere", "slot": "other", "files": {}}.items():
        write_json(path, read_json(path) | {key: value})
        with pytest.raises(HeldoutError):
            verify(registry)
        assert ["demo"] == repair(registry)
        assert honest == path.read_bytes()
    path.unlink()
    found = verify(registry)
    assert isinstance(found, Verified)
    assert ("demo",) == found.lagging
    repair(registry)
    assert () == verify(registry).lagging
    write_json(path.parent.parent / "ghost" / "champion.json", read_json(path) | {"slot": "ghost"})
    with pytest.raises(TamperedError, match="no champion"):
        verify(registry)


@pytest.mark.slow
def test_the_stored_body_is_the_hashed_body(registry: Registry, pair: tuple[str, str]) -> None:
    """A database that rewrites text (case, spaces, encodings) would break every chain."""
    for event in registry.history():
        assert event.sha256 == sha256_bytes(canonical(dict(event.body)))
