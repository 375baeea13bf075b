"""Training a roster: each for itself, everything on record, and nobody but a challenger comes out of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from zoo_kit import variant, write_pets

from heldout import Study
from heldout.errors import InputError
from heldout.evidence import read_json
from heldout.registry import Registry, add, promote, verify
from heldout.zoo import Roster, read_attempts, rotate, train, train_all_active
from heldout.zoo.training import Trained

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux")]


def states(results: tuple[Trained, ...]) -> dict[str, str]:
    return {each.variant: each.state for each in results}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_problem_05_06_07_12_one_failure_never_aborts_the_rest(moody: Path, tmp_path: Path) -> None:
    """The first crash of the night would cost every training behind it, and the report would not tell why."""
    study = write_pets(
        tmp_path,
        variant("train-crash"),
        variant("train-sleep", budget={"seconds": 3}),
        variant("train-memory", budget={"memory_mb": 450}),
        variant("train-raise"),
        {"id": "loser", "set": {"fit.slope": -1.0}},
        {"id": "resting", "status": "paused", "set": {"fit.slope": 3.0}},
        {"id": "misspelt", "set": {"fit.slop": 3.0}},
        {"id": "last", "set": {"fit.slope": 4.0}},
    )
    roster = Roster.load(study)
    with Registry(tmp_path / "registry", create=True) as registry:
        told: list[str] = []
        found = train_all_active(
            roster,
            registry,
            runs=tmp_path / "runs",
            workers=1,
            by="ann",
            listener=lambda each: told.append(each.variant),
        )
        expected = {
            "base": "trained", "train-crash": "failed", "train-sleep": "timed_out", "train-memory": "out_of_memory",
            "train-raise": "failed", "loser": "held", "misspelt": "failed", "last": "trained", "resting": "skipped",
        }  # fmt: skip
        assert expected == states(found.results)
        assert list(expected) == told
        assert 5 == found.exit_code
        reasons = {each.variant: each.reason for each in found.results}
        assert "gave no answer (exit code 7)" in reasons["train-crash"]
        assert "before the run" in reasons["train-raise"]
        assert "known here" in reasons["misspelt"]
        assert "paused" == reasons["resting"]
        assert {"challenger"} == {version.stage for version in registry.versions()}
        assert {"base", "loser", "last"} == {version.content["variant"] for version in registry.versions()}
        assert {"registered", "staged"} == {event.body["kind"] for event in registry.history()}
        assert not (tmp_path / "registry" / "slots").exists()
        verify(registry)
        outcomes = {each.variant: each.outcome for each in read_attempts(tmp_path / "runs" / "pets").attempts}
        assert {name: state for name, state in expected.items() if state != "skipped"} == outcomes

        # [12] What is a candidate now is what this training made, by run and version.
        for each in (result for result in found.results if result.version):
            version = registry.version(str(each.version))
            assert Path(str(each.run)).name == version.content["run"]
            (attempt,) = read_attempts(tmp_path / "runs" / "pets").of(each.variant)
            assert (each.version, each.run) == (attempt.facts["version"], attempt.facts["run"])

        # [5] Done work is left alone, a second training on the same day is no other one's; [8] rotation sees attempts.
        before = tree(tmp_path / "runs" / "pets" / Path(str(found.results[0].run)).name)
        again = train(roster, registry, ["base"], runs=tmp_path / "runs", workers=1)
        codes = {
            read_json(Path(str(each.run)) / "run.json")["code_sha256"] for each in (found.results[0], again.results[0])
        }
        if len(codes) == 1:  # nobody edited the sources meanwhile
            assert again.results[0].unchanged
            assert ("trained", found.results[0].version) == (again.results[0].state, again.results[0].version)
            assert before == tree(Path(str(again.results[0].run)))
        with pytest.raises(InputError, match="paused"):
            train(roster, registry, ["resting"], runs=tmp_path / "runs")
        turn = rotate(roster, registry, 2, runs=tmp_path / "runs", workers=1)
        assert ("loser", "last") == (turn.rotation.chosen if turn.rotation else None)
        assert 0 == turn.exit_code


def test_problem_24_a_training_that_is_not_registered_failed(moody: Path, tmp_path: Path) -> None:
    """Success would be reported of a model that nobody can find, and an older one submitted in its place."""
    roster = Roster.load(write_pets(tmp_path, {"id": "v", "set": {"fit.slope": 2.0}}))
    with Registry(tmp_path / "registry", create=True) as registry:
        registry.database.close()
        for path in (tmp_path / "registry").glob("registry.sqlite*"):
            path.unlink()
        (tmp_path / "registry" / "registry.sqlite").write_bytes(b"no database")
        found = train(roster, registry, ["base"], runs=tmp_path / "runs", workers=1)
    assert {"base": "failed"} == states(found.results)
    assert "it ran and could not be registered" in found.results[0].reason
    assert 5 == found.exit_code
    assert read_attempts(tmp_path / "runs" / "pets").attempts[0].failed


def test_problem_01_an_override_that_training_never_read_is_no_arm(moody: Path, tmp_path: Path) -> None:
    """A copy of the base would run in shadow for months as if it were an idea."""
    roster = Roster.load(write_pets(tmp_path, {"id": "inert", "set": {"fit.ignored": 5}}))
    assert roster.entry("inert").problem is None, "the parameters differ; only the training can tell"
    with Registry(tmp_path / "registry", create=True) as registry:
        found = train_all_active(roster, registry, runs=tmp_path / "runs", workers=1)
        assert {"base": "trained", "inert": "failed"} == states(found.results)
        assert "it predicts what 'base' predicts, to the last bit" in found.results[1].reason
        assert ["base"] == [version.content["variant"] for version in registry.versions()]


def test_problem_03_training_cannot_reach_what_serves(moody: Path, tmp_path: Path) -> None:
    """Every training could replace the champion's files while it is serving, as the shared prefix did."""
    study = write_pets(tmp_path, variant("write"))
    with Registry(tmp_path / "registry", create=True) as registry:
        served = Study.load(study).run("base", runs=tmp_path / "elsewhere", workers=1).folder
        promote(registry, add(registry, served).id)
        pointer = registry.serving.pointer("pets")
        targets = [served / "metrics.json", pointer, tmp_path / "registry" / "registry.sqlite", study]
        (moody / "targets").write_text("\n".join(map(str, targets)))
        (moody / "awake").touch()
        before = [tree(served), tree(tmp_path / "registry" / "slots")]
        found = train(Roster.load(study), registry, ["write"], runs=tmp_path / "runs", workers=1)
        assert {"write": "failed"} == states(found.results)
        assert "tried everything" in found.results[0].reason
        assert before == [tree(served), tree(tmp_path / "registry" / "slots")]
        verify(registry, files="all")
    with (
        Registry(tmp_path / "runs" / "pets" / "registry", create=True) as inside,
        pytest.raises(InputError, match="where training writes"),
    ):
        train(Roster.load(study), inside, ["base"], runs=tmp_path / "runs")


def test_a_killed_supervisor_leaves_an_attempt_and_a_run_that_goes_on(moody: Path, tmp_path: Path) -> None:
    """A power cut would be no attempt, or its half-finished run would be in the way of the next."""
    study = write_pets(tmp_path, variant("train-sleep"), {"id": "v", "set": {"fit.slope": 2.0}})
    words = ["zoo", "train", "--study", str(study), "--variant", "train-sleep", "--runs", str(tmp_path / "runs")]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path), TMPDIR=str(tmp_path))
    program = "from heldout.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", program, *words], cwd=tmp_path, env=environment)
    record, deadline = tmp_path / "runs" / "pets" / "attempts.jsonl", time.monotonic() + 60
    while not (record.exists() and record.read_bytes().endswith(b"\n")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    (attempt,) = read_attempts(tmp_path / "runs" / "pets").attempts
    assert ("train-sleep", "failed") == (attempt.variant, attempt.outcome)
    with Registry(tmp_path / "registry", create=True) as registry:
        found = rotate(Roster.load(study), registry, 1, runs=tmp_path / "runs", workers=1)
    assert {"base": "trained"} == states(found.results)
