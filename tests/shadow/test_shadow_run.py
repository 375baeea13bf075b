"""Challengers beside a champion: whatever they do, its output is the same bytes, and was there before they began."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from zoo_kit import variant, write_pets

from heldout import Study
from heldout.errors import PrerequisiteError, RefusedError, StaleError, TamperedError, UnitError
from heldout.registry import Registry, add, promote, retire, verify
from heldout.shadow import ShadowRun, ShadowStore, backfill, join_outcomes, run_shadow
from heldout.shadow.outcomes import read_matured
from heldout.zoo.process import Limits

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux")]


def rows(folder: Path, *values: float, name: str = "monday", first: int = 0) -> Path:
    """A batch of these inputs."""
    path = folder / f"{name}.csv"
    ids = [f"live{first + number}" for number in range(len(values))]
    pl.DataFrame({"row": ids, "x": values}).write_csv(path)
    return path


def registered(folder: Path, registry: Registry, *names: str, study: Path | None = None) -> dict[str, str]:
    """Train variants here, register them, and let the base serve; version by variant."""
    loaded = Study.load(study or folder / "study.yaml")
    found = {}
    for name in ("base", *names):
        run = loaded.run(name, runs=folder / "runs", workers=1).folder
        found[name] = add(registry, run, challenger=name != "base").id
    if registry.champion("pets") is None:
        promote(registry, found["base"])
    return found


def states(found: ShadowRun) -> dict[str, str]:
    return {each.arm.rpartition("-")[0]: each.state for each in found.results}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_problem_02_11_nothing_that_a_challenger_does_changes_what_was_served(moody: Path, tmp_path: Path) -> None:
    """A model on trial would delay, change or take down the one that serves."""
    moods = ("sleep", "crash", "raise", "memory", "orphan", "write")
    write_pets(tmp_path, *(variant(mood) for mood in moods), variant("calm2"))
    with Registry(tmp_path / "registry", create=True) as registry:
        versions = registered(tmp_path, registry, *moods, "calm2")
        batch = rows(tmp_path, 1.0, -2.0, 0.5)
        alone = ShadowStore(tmp_path / "alone", "pets")
        with Registry(tmp_path / "lonely", create=True) as lonely:
            promote(lonely, add(lonely, registry.serving.folder_at(registry.version(versions["base"]).place)).id)
            assert {"base": "predicted"} == states(run_shadow(lonely, alone, batch))
        expected = (alone.folder("monday") / f"{versions['base']}.jsonl").read_bytes()

        store = ShadowStore(tmp_path / "shadow", "pets")
        served = store.folder("monday") / f"{versions['base']}.jsonl"
        champion = registry.serving.folder_at(registry.version(versions["base"]).place)
        targets = [served, served.with_suffix(".json"), champion / "metrics.json", registry.serving.pointer("pets")]
        (moody / "targets").write_text("\n".join(map(str, targets)))
        first: list[bytes] = []
        pointer = registry.serving.pointer("pets").read_bytes()

        def look(result: object) -> None:
            if not first:  # after the champion, before anybody else
                first.append(served.read_bytes())
                (moody / "awake").touch()

        before = tree(champion)
        found = run_shadow(registry, store, batch, limits=Limits(seconds=15, memory_mb=450), listener=look)
        assert {
            "base": "predicted", "sleep": "timed_out", "crash": "failed", "raise": "failed", "memory": "out_of_memory",
            "orphan": "failed", "write": "failed", "calm2": "predicted",
        } == states(found)  # fmt: skip
        assert "base" == found.results[0].arm.rpartition("-")[0]
        assert 5 == found.exit_code
        assert [expected] == first
        assert expected == served.read_bytes()
        assert before == tree(champion)
        assert pointer == registry.serving.pointer("pets").read_bytes()
        assert [] == list((store.root / "work").iterdir())
        told = {event["arm"].rpartition("-")[0]: event["state"] for event in store.events()}
        assert states(found) == told
        verify(registry, files="all")

        # Who failed is tried again, what is done is not.
        (moody / "awake").unlink()
        again = run_shadow(registry, store, batch)
        assert {"base": "already", "calm2": "already"} == {k: v for k, v in states(again).items() if v == "already"}
        assert 0 == again.exit_code
        assert expected == served.read_bytes()


def test_problem_02_each_version_predicts_with_its_own_configuration(moody: Path, tmp_path: Path) -> None:
    """A challenger would be judged with the champion's switches, or those of the file as it is today."""
    write_pets(tmp_path, {"id": "steep", "set": {"fit.slope": 5.0}})
    with Registry(tmp_path / "registry", create=True) as registry:
        versions = registered(tmp_path, registry, "steep")
        write_pets(tmp_path, {"id": "steep", "set": {"fit.slope": 9.0}}, fit={"slope": -1.0})
        (tmp_path / "table.csv").unlink()
        store = ShadowStore(tmp_path / "shadow", "pets")
        run_shadow(registry, store, rows(tmp_path, 1.0, 2.0))
        found = store.predictions()
        by_version = {key[0]: part["prediction"].to_list() for key, part in found.group_by("version")}
        assert {versions["base"]: [1.0, 2.0], versions["steep"]: [5.0, 10.0]} == by_version
        assert ["live0", "live1"] == found["sample_id"].unique().sort().to_list()


def test_a_batch_is_predicted_once_and_its_name_is_its_own(moody: Path, tmp_path: Path) -> None:
    """A second run would overwrite what was served, or another day's inputs pass for the first's."""
    write_pets(tmp_path, variant("calm2"))
    with Registry(tmp_path / "registry", create=True) as registry:
        store = ShadowStore(tmp_path / "shadow", "pets")
        with pytest.raises(PrerequisiteError, match="no champion"):
            run_shadow(registry, store, rows(tmp_path, 1.0))
        versions = registered(tmp_path, registry, "calm2")
        batch = rows(tmp_path, 1.0, 2.0)
        run_shadow(registry, store, batch)
        before, stamps = tree(store.root), {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json*")}
        assert {"base": "already", "calm2": "already"} == states(run_shadow(registry, store, batch))
        assert before == tree(store.root)
        assert stamps == {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json*")}
        with pytest.raises(RefusedError, match="is another one"):
            run_shadow(registry, store, rows(tmp_path, 1.0, 3.0))

        # The champion of the day stays that batch's champion, whoever serves later.
        promote(registry, versions["calm2"], override=True, reason="the next one")
        assert versions["base"] == run_shadow(registry, store, rows(tmp_path, 1.0, 2.0)).results[0].version
        later = run_shadow(registry, store, rows(tmp_path, 4.0, name="tuesday", first=2))
        assert ("champion", versions["calm2"]) == (later.results[0].role, later.results[0].version)
        with store.only_one(store.stored("tuesday").batch, "champion"), pytest.raises(StaleError):
            run_shadow(registry, store, tmp_path / "tuesday.csv")


def test_what_cannot_be_trusted_does_not_predict(moody: Path, tmp_path: Path) -> None:
    """Files that were changed after they were judged would answer under the name of a registered version."""
    write_pets(tmp_path, variant("calm2"))
    with Registry(tmp_path / "registry", create=True) as registry:
        versions = registered(tmp_path, registry, "calm2")
        store = ShadowStore(tmp_path / "shadow", "pets")
        place = registry.serving.folder_at(registry.version(versions["calm2"]).place)
        (model,) = list(place.glob("fits/seed0/s0/moody.json"))
        good = model.read_bytes()
        model.write_bytes(good + b" ")
        found = run_shadow(registry, store, rows(tmp_path, 1.0))
        assert {"base": "predicted", "calm2": "failed"} == states(found)
        assert "the link 'files' is broken" in found.results[1].reason
        model.write_bytes(good)
        assert {"base": "already", "calm2": "predicted"} == states(run_shadow(registry, store, rows(tmp_path, 1.0)))

        predictions = store.folder("monday") / f"{versions['calm2']}.jsonl"
        predictions.chmod(0o644)
        predictions.write_text(predictions.read_text().replace("live0", "live9"))
        with pytest.raises(TamperedError, match="predictions were changed"):
            store.predictions()

        base = registry.serving.folder_at(registry.version(versions["base"]).place)
        (base / "fits" / "seed0" / "s0" / "moody.json").unlink()
        with pytest.raises(UnitError, match="the champion cannot predict"):
            run_shadow(registry, store, rows(tmp_path, 1.0, name="wednesday"))
        assert not list(store.folder("wednesday").glob("*.jsonl"))


def test_problem_11_late_challengers_are_filled_in_from_stored_inputs(moody: Path, tmp_path: Path) -> None:
    """An arm would begin with an empty record each time it is refitted, and never have enough to be judged."""
    write_pets(tmp_path, variant("calm2"), {"id": "late", "set": {"fit.slope": 7.0}})
    with Registry(tmp_path / "registry", create=True) as registry:
        versions = registered(tmp_path, registry, "calm2")
        store = ShadowStore(tmp_path / "shadow", "pets")
        for number, name in enumerate(("monday", "tuesday")):
            path = rows(tmp_path, 1.0 + number, name=name, first=number)
            run_shadow(registry, store, path)
            path.unlink()
        late = add(registry, Study.load(tmp_path / "study.yaml").run("late", runs=tmp_path / "runs", workers=1).folder,
                   challenger=True)  # fmt: skip
        retire(registry, versions["calm2"], reason="it lost")
        found = backfill(registry, store)
        assert [("monday", "predicted"), ("tuesday", "predicted")] == [
            (each.batch, each.state) for each in found.results if each.version == late.id
        ]
        assert {late.id} == {each.version for each in found.results}, "who is retired predicts no more"
        assert {True} == {card["late"] for _, card in store.cards() if card["version"] == late.id}
        assert {False} == {card["late"] for _, card in store.cards() if card["version"] != late.id}

        outcomes = tmp_path / "outcomes.csv"
        pl.DataFrame(
            {"sample_id": ["live0", "live1"], "outcome": [1.0, 2.0], "available_at": ["2036-01-01", "2046-01-01"]}
        ).write_csv(outcomes)
        joined = join_outcomes(store, outcomes, now=dt.datetime(2036, 6, 1, tzinfo=dt.UTC))
        assert (1, 1, 3, 3) == (joined.added, joined.not_yet, joined.matured, joined.waiting)
        matured = read_matured(store)
        assert {versions["base"]: 1.0, late.id: 7.0, versions["calm2"]: matured["prediction"][1]} == dict(
            zip(matured["version"], matured["prediction"], strict=True)
        )
        again = join_outcomes(store, outcomes, now=dt.datetime(2047, 1, 1, tzinfo=dt.UTC))
        assert (1, 0, 6, 0) == (again.added, again.not_yet, again.matured, again.waiting)


def test_rows_of_the_training_are_marked_and_never_scored(moody: Path, tmp_path: Path) -> None:
    """A model would be praised for what it had learnt by heart."""
    write_pets(tmp_path, variant("calm2"))
    with Registry(tmp_path / "registry", create=True) as registry:
        registered(tmp_path, registry, "calm2")
        store = ShadowStore(tmp_path / "shadow", "pets")
        batch = tmp_path / "mixed.csv"
        pl.DataFrame({"row": ["r0", "live0"], "x": [1.0, 2.0]}).write_csv(batch)
        run_shadow(registry, store, batch)
        assert {"r0": [True, True], "live0": [False, False]} == {
            key[0]: part["in_sample"].to_list() for key, part in store.predictions().group_by("sample_id")
        }
        outcomes = tmp_path / "outcomes.csv"
        table = {"sample_id": ["r0", "live0"], "outcome": [1.0, 2.0], "available_at": ["2036-01-01"] * 2}
        pl.DataFrame(table).write_csv(outcomes)
        joined = join_outcomes(store, outcomes, now=dt.datetime(2036, 6, 1, tzinfo=dt.UTC))
        assert (2, 2) == (joined.matured, joined.in_sample)
        assert {"live0"} == set(read_matured(store)["sample_id"])


def test_killed_in_the_middle_and_run_again_gives_the_same_bytes(moody: Path, tmp_path: Path) -> None:
    """A power cut would leave half a file that is believed, or predictions that nobody can repeat."""
    names = [f"calm{number}" for number in range(2, 5)]
    write_pets(tmp_path, *({"id": name, "set": {"fit.slope": float(name[-1])}} for name in names))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path), TMPDIR=str(tmp_path))
    program = "from heldout.cli.main import main; main()"
    batch = rows(tmp_path, *(0.1 * number for number in range(50)))
    with Registry(tmp_path / "registry", create=True) as registry:
        registered(tmp_path, registry, *names)
    words = ["shadow", "run", "--batch", str(batch), "--registry", str(tmp_path / "registry"), "--store"]
    calm, wild = tmp_path / "calm", tmp_path / "wild"

    def start(store: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program, *words, str(store)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    assert 0 == start(calm).wait(120)
    kills = 0
    for delay in (0.2, 0.05, 0.4):
        seen = set(wild.rglob("*.jsonl"))
        process = start(wild)
        deadline = time.monotonic() + 60
        while process.poll() is None and set(wild.rglob("*.jsonl")) <= seen and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait(30)
    assert kills >= 2
    assert 0 == start(wild).wait(120)

    def kept(store: Path) -> dict[str, bytes]:
        found = tree(store / "pets" / "batches" / "monday")
        return {name: data for name, data in found.items() if name != "batch.json"}

    assert 8 == len(kept(calm))
    assert kept(calm) == kept(wild)
    assert [] == list((wild / "pets" / "batches").rglob("*.partial"))
