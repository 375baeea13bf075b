"""Promotion, rollback, retirement: who may serve, and what is left on record. On SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from registry_kit import Runs, write_study

from heldout import Study
from heldout.errors import HeldoutError, InputError, RefusedError, StaleError, TamperedError
from heldout.evidence import read_json, sha256_file
from heldout.registry import (
    Admission,
    Asked,
    Registry,
    Vouched,
    add,
    moves,
    promote,
    repair,
    retire,
    rollback,
    set_admission,
    verify,
)


def stages(registry: Registry) -> dict[str, str]:
    return {version.content["variant"]: version.stage for version in registry.versions()}


def test_problem_26_a_version_is_its_content(registry: Registry, runs: Runs) -> None:
    """The same run would be two versions, or its id would not say what is in it."""
    version = add(registry, runs("base"))
    assert re.fullmatch(r"base-\d{8}-[0-9a-f]{8}", version.id)
    assert version.sha256[:8] == version.id[-8:]
    assert "candidate" == version.stage
    assert version == add(registry, runs("base"), label="another-name")
    assert 1 == len(registry.history())
    held = version.content
    assert ("demo", [0], None) == (held["study"], held["seeds"], held["smoke"])
    assert 1.0 == held["config"]["fit"]["alpha"]
    assert {"code_sha256", "corpus_sha256", "variant_sha256"} <= set(held["judged"])
    assert held["environment"]["packages"]["heldout"]
    assert sha256_file(runs("base") / "PROMOTE.json") == held["files"]["PROMOTE.json"]["sha256"]
    assert 0.9 < held["metrics"]["ensemble"]["mean"]["plcc"] <= 1.0


def test_a_promotion_moves_one_pointer_and_copies_nothing(registry: Registry, runs: Runs) -> None:
    """What serves would not be the files that were judged, or two versions would serve at once."""
    first, second = add(registry, runs("base")), add(registry, runs("alpha2"), challenger=True)
    promote(registry, first.id)
    event = promote(registry, second.sha256[:8], by="ann", reason="better")
    assert {"base": "challenger", "alpha2": "champion"} == stages(registry)
    champion = registry.champion("demo")
    assert champion is not None
    assert second.id == champion.id
    assert (first.id, "ann", "better") == tuple(event.body[key] for key in ("previous", "by", "reason"))
    pointer = read_json(registry.serving.pointer("demo"))
    assert (second.id, second.sha256) == (pointer["version"], pointer["version_sha256"])
    run = (registry.serving.root / pointer["run"]).resolve()
    assert runs("alpha2").resolve() == run
    assert all(sha256_file(run / name) == fact["sha256"] for name, fact in pointer["files"].items())
    slots = registry.serving.root / "slots"
    assert [registry.serving.pointer("demo")] == [path for path in slots.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_hold_never_serves_without_an_override_on_record(registry: Registry, runs: Runs) -> None:
    """A model that lost would serve, and nobody could find out on whose word."""
    version = add(registry, runs("constant"))
    with pytest.raises(RefusedError, match="HOLD") as caught:
        promote(registry, version.id)
    assert 3 == caught.value.exit_code
    with pytest.raises(InputError, match="reason"):
        promote(registry, version.id, override=True, reason="  ")
    assert registry.champion("demo") is None
    promote(registry, version.id, override=True, reason="the old one is on fire", by="ann")
    promote(registry, add(registry, runs("base")).id)
    told = [event.body for event in registry.history(slot="demo")]
    assert ["the old one is on fire", None] == [body["reason"] for body in told]
    assert "the verdict is HOLD" in told[0]["overridden"][0]
    assert "overridden" not in told[1]


@pytest.mark.slow
def test_a_smoke_version_can_never_serve(registry: Registry, runs: Runs) -> None:
    """A quick look with other settings than the declared ones would pass for evidence."""
    version = add(registry, runs("smoke"), challenger=True)
    assert "smoke" == version.stage
    for override in (False, True):
        with pytest.raises(RefusedError, match="smoke"):
            promote(registry, version.id, override=override, reason="please")
    assert ["registered"] == [event.body["kind"] for event in registry.history()]


@pytest.mark.slow
def test_the_expected_champion_must_be_the_champion(registry: Registry, runs: Runs) -> None:
    """Two people would promote at once and the second would undo the first without knowing."""
    first, second, third = (add(registry, runs(name)).id for name in ("base", "alpha2", "alpha3"))
    with pytest.raises(StaleError):
        promote(registry, first, expected=second)
    promote(registry, first, expected=None)
    promote(registry, second, expected=first)
    with pytest.raises(StaleError) as caught:
        promote(registry, third, expected=first)
    assert 4 == caught.value.exit_code
    with pytest.raises(StaleError):
        promote(registry, third, expected=None)
    with pytest.raises(StaleError):
        rollback(registry, "demo", expected=first)
    with pytest.raises(InputError, match="already"):
        promote(registry, second, expected=second)
    champion = registry.champion("demo")
    assert champion is not None
    assert second == champion.id


@pytest.mark.slow
def test_rollback_returns_and_leaves_a_record(registry: Registry, runs: Runs) -> None:
    """After a bad promotion nobody could return, or the history would forget that someone had to."""
    ids = [add(registry, runs(name)).id for name in ("base", "alpha2", "alpha3")]
    for identifier in ids:
        promote(registry, identifier)
    event = rollback(registry, "demo", reason="drift")
    assert (ids[1], ids[2], "rolled-back") == tuple(event.body[key] for key in ("version", "previous", "kind"))
    pointer = registry.serving.pointer("demo")
    tracked = pointer.with_name(f"hold-{event.seq}.md")
    text = tracked.read_text()
    verdicts = [tracked.parent / link for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert [(runs(name) / "PROMOTE.json").resolve() for name in ("alpha3", "alpha2")] == [
        path.resolve() for path in verdicts
    ]
    assert [sha256_file(path) for path in verdicts] == re.findall(r"sha256 `(\w+)` \|", text)
    assert "drift" in text
    with pytest.raises(InputError, match="no such earlier"):
        rollback(registry, "demo", to=ids[2])
    rollback(registry, "demo", to=ids[0])
    with pytest.raises(InputError, match="no earlier"):
        rollback(registry, "demo")
    assert {"base": "champion", "alpha2": "challenger", "alpha3": "challenger"} == stages(registry)
    assert 8 == verify(registry).events
    assert ids[0] == read_json(registry.serving.pointer("demo"))["version"]


@pytest.mark.slow
def test_the_retired_do_not_come_back(registry: Registry, runs: Runs) -> None:
    """A version taken out for a reason would serve again by a slip; or the champion would vanish from under it."""
    first, second = (add(registry, runs(name)).id for name in ("base", "alpha2"))
    promote(registry, first)
    with pytest.raises(RefusedError, match="serves in demo"):
        retire(registry, first, reason="old")
    promote(registry, second)
    with pytest.raises(InputError, match="reason"):
        retire(registry, first, reason=" ")
    retire(registry, first, reason="licence of the corpus ended")
    for attempt in (lambda: promote(registry, first, override=True, reason="x"), lambda: rollback(registry, "demo")):
        with pytest.raises(RefusedError, match="retired"):
            attempt()
    assert {"base": "retired", "alpha2": "champion"} == stages(registry)


@pytest.mark.slow
def test_slots_have_champions_of_their_own(registry: Registry, runs: Runs) -> None:
    """A promotion in one place would change another, or a version would lose its rank while it still serves."""
    first, second = (add(registry, runs(name)).id for name in ("base", "alpha2"))
    for slot in ("north", "south"):
        promote(registry, first, slot=slot)
    promote(registry, second, slot="north")
    assert {"base": "champion", "alpha2": "champion"} == stages(registry)
    assert ("south",) == registry.version(first).slots
    promote(registry, second, slot="south")
    assert {"base": "challenger", "alpha2": "champion"} == stages(registry)
    for bad in ("../x", "", "North", "a/b"):
        with pytest.raises(InputError):
            promote(registry, first, slot=bad)


def test_a_run_can_move_and_stays_the_same_version(registry: Registry, runs: Runs, copied: Runs) -> None:
    """Moving the folder of runs would orphan every version in it."""
    version = add(registry, copied("base"))
    home = copied("base")
    home.rename(home.with_name("elsewhere"))
    with pytest.raises(RefusedError, match="not there"):
        promote(registry, version.id)
    assert version.id == add(registry, home.with_name("elsewhere")).id
    promote(registry, version.id)
    assert ["registered", "moved", "promoted"] == [event.body["kind"] for event in registry.history()]
    assert 1 == verify(registry).folders


def test_a_champion_that_moves_is_served_from_its_new_place(lite: Registry, copied: Runs) -> None:
    """The pointer would name a folder that is gone, and a sound registry be called tampered with."""
    version = add(lite, copied("base"))
    promote(lite, version.id)
    home = copied("base")
    home = home.rename(home.with_name("elsewhere"))
    pointer = lite.serving.pointer("demo")
    before = pointer.read_bytes()
    add(lite, home)
    assert home == lite.serving.folder_at(read_json(pointer)["run"])
    assert () == verify(lite).lagging
    pointer.write_bytes(before)  # killed between its commit and its write
    assert ("demo",) == verify(lite).lagging
    assert ["demo"] == repair(lite)
    pointer.write_bytes(before.replace(b'"run": "../runs/', b'"run": "../sums/'))
    with pytest.raises(TamperedError, match="names no champion"):
        verify(lite)


@pytest.mark.slow
def test_a_newer_hold_of_a_run_stands_against_an_older_promote(lite: Registry, tmp_path: Path) -> None:
    """Whoever kept a copy of the run from before its HOLD would promote from it as if nothing had happened."""
    study = write_study(tmp_path)
    old = Study.load(study).run("base", runs=tmp_path / "runs", workers=1).folder
    kept = tmp_path / "kept" / old.name
    shutil.copytree(old, kept)
    study.write_text(study.read_text().replace("at_least: 0.9", "at_least: 0.9999"))
    new = Study.load(study).run("base", runs=tmp_path / "runs", workers=1)
    assert ("HOLD", old) == (new.verdict, new.folder)
    newer, older = add(lite, new.folder), add(lite, kept)
    with pytest.raises(RefusedError, match="was judged again later: HOLD"):
        promote(lite, older.id)
    assert "promoted" == promote(lite, older.id, override=True, reason="the rule was mistyped").body["kind"]
    assert newer.content["run"] == older.content["run"]


def test_reading_needs_a_registry(tmp_path: Path) -> None:
    """A typing error in a path would look like an empty registry."""
    with pytest.raises(InputError, match="no registry"):
        Registry(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_version_is_named_with_those_that_exist(lite: Registry, runs: Runs) -> None:
    """People would have to guess what they mistyped."""
    version = add(lite, runs("base"))
    with pytest.raises(InputError) as caught:
        lite.version("bose")
    assert version.id in str(caught.value)


def test_a_registry_is_a_place_that_can_be_one(tmp_path: Path) -> None:
    """A file that is something else would be overwritten, or the message would be a stack of a database's."""
    for bad in ("mysql://u@h/d", "sqlite://", "sqlite:///:memory:", "::://"):
        with pytest.raises(InputError):
            Registry(bad, create=True)
    other = tmp_path / "registry.sqlite"
    other.write_text(json.dumps({"not": "a database"}) * 100)
    with pytest.raises(HeldoutError):
        Registry(tmp_path, create=True)
    assert other.read_text().startswith('{"not"')


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", ["admission", "verdict"])
def test_what_changes_during_a_verification_is_not_overlooked(
    lite: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """A HOLD, or a higher bar, that comes while the chain is recomputed would be one moment too late."""
    study = write_study(tmp_path)
    run = Study.load(study).run("base", runs=tmp_path / "runs", workers=1).folder
    kept = tmp_path / "kept" / run.name
    shutil.copytree(run, kept)
    version = add(lite, kept)
    study.write_text(study.read_text().replace("at_least: 0.9", "at_least: 0.9999"))
    held = Study.load(study).run("base", runs=tmp_path / "runs", workers=1)
    assert "HOLD" == held.verdict
    look = moves.look

    def slowly(folder: Path, asked: Asked) -> Vouched:
        monkeypatch.setattr(moves, "look", look)
        found = look(folder, asked)
        if meanwhile == "admission":
            set_admission(lite, "demo", Admission(links=("corpus", "refit")))
        else:
            add(lite, held.folder)
        return found

    monkeypatch.setattr(moves, "look", slowly)
    with pytest.raises(StaleError, match="changed meanwhile"):
        promote(lite, version.id)
    assert lite.champion("demo") is None
    with pytest.raises(RefusedError, match="refit not verified" if meanwhile == "admission" else "later: HOLD"):
        promote(lite, version.id)
