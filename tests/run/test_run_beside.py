"""Code beside a study on the whole road: fitted shut in, resumed after a kill, verified, registered, in shadow."""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import Desk, heldout, table_desk
from beside_kit import COMMANDS, FIT_SH, command_of, python, shell
from nightly import NIGHTLY

from heldout import Study
from heldout.backbone import FitJob
from heldout.backbone.beside.command import CommandBackbone, CommandParams
from heldout.corpus import FeaturesView
from heldout.engine import apart as engine
from heldout.errors import HeldoutError
from heldout.run.apart.foreign import Apart, weakened
from heldout.run.fitted_state import guard_fitted
from heldout.split import split_corpus
from heldout.testing import small_regression

EXAMPLE = Path(__file__).parents[2] / "examples" / "command"
OF_NET = {
    "train": "python train.py --data {train} --seed {seed} --out {model}",
    "predict": "python predict.py --model {model} --data {features} --out {predictions}",
}


def command_desk(folder: Path, **fit: Any) -> Desk:
    desk = table_desk(folder, rows=48, groups=4)
    shell(folder)
    rule = {"id": "good", "metric": "plcc", "over": "pooled", "at_least": 0.4}
    desk.write(backbone="command", fit=COMMANDS | fit, gate={"rules": [rule]})
    return desk


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A command that was judged. Not to be written to."""
    desk = command_desk(tmp_path_factory.mktemp("judged"))
    answer = desk.run()
    assert 0 == answer.code, answer
    return desk


@pytest.mark.slow
def test_a_command_is_judged_by_its_numbers(judged: Desk) -> None:
    """A verdict would be over other numbers than those that the commands give on the same folds."""
    rows = pl.read_csv(judged.folder / "table.csv")
    expected = np.zeros(48)
    for group in range(4):
        held = (rows["site"] == f"g{group}").to_numpy()
        slope, start = np.polyfit(rows["a"].to_numpy()[~held], rows["y"].to_numpy()[~held], 1)
        expected[held] = start + slope * rows["a"].to_numpy()[held]
    found = pl.read_ndjson(judged.newest / "predictions.jsonl").sort("target")["prediction"].to_numpy()
    np.testing.assert_allclose(expected[rows["y"].arg_sort().to_numpy()], found, rtol=1e-9)
    assert {"ask.sh", "fit.sh"} == set(judged.verdict["judged"]["user_code"])
    assert "fitted a line\n" == (judged.newest / "logs" / "base" / "seed0" / "g0.log").read_text()
    assert not (judged.newest / "scratch").exists()


@pytest.mark.slow
def test_its_code_is_run_by_whoever_trusts_it_alone(judged: Desk) -> None:
    """Whoever verifies or registers a stranger's run would run his program."""
    run = judged.newest
    assert "VERIFIED PROMOTE" in judged.heldout("verify", run).out
    untrusted = judged.heldout("verify", run, "--corpus", "table.csv")
    assert 2 == untrusted.code
    assert "only with --trust-code" in untrusted.err
    again = judged.heldout("verify", run, "--corpus", "table.csv", "--refit", "--trust-code")
    assert "4 fits trained again predict the same, to the last bit" in again.out
    refused = judged.heldout("registry", "add", run, "--registry", "elsewhere")
    assert 2 == refused.code
    assert "code.json beside each model" in refused.err


@pytest.mark.slow
def test_a_program_that_is_not_here_says_nothing_of_the_run(
    judged: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has no R would tell its author that his run was tampered with."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for more in ([], ["--refit"]):
        answer = judged.heldout("verify", judged.newest, "--corpus", "table.csv", "--trust-code", *more)
        assert 2 == answer.code, answer
        assert "sh cannot be started" in answer.err
        assert "BROKEN" not in answer.out + answer.err


def test_what_holds_a_program_is_not_python() -> None:
    """A verdict from a system without a fence would look like one from a system that has one."""
    assert {"reading": "none", "network": "seccomp"} == weakened({"reading": "python", "network": "seccomp"})


@pytest.mark.slow
def test_an_edit_of_the_code_is_another_run(judged: Desk, tmp_path: Path) -> None:
    """Old models would be called those of the new code, and each edit be a first attempt."""
    shutil.copytree(judged.folder, tmp_path / "copy")
    before = Study.load(tmp_path / "copy" / "study.yaml").prepare(runs=tmp_path / "copy" / "runs")
    assert not before.main.plan.pending
    (tmp_path / "copy" / "fit.sh").write_text(FIT_SH + "# another\n")
    after = Study.load(tmp_path / "copy" / "study.yaml").prepare(runs=tmp_path / "copy" / "runs")
    assert 4 == len(after.main.plan.pending)
    assert before.identity != after.identity
    assert before.folder.path != after.folder.path


@pytest.mark.slow
def test_an_own_class_goes_from_init_to_a_shadowed_champion(tmp_path: Path) -> None:
    """Whoever brings a class in a file would have to make it a package before its first verdict."""
    table_desk(python(tmp_path), rows=48, groups=4)

    def ask(*words: object, code: int = 0) -> str:
        answer = heldout(*words, cwd=tmp_path)
        assert code == answer.code, answer
        return answer.out

    ask("init", "table.csv", "--group", "site", "--target", "y", "--factory", "model.py:Line", "--force")
    ask("run", "study.yaml", "--workers", 1)
    (run,) = (path.parent for path in tmp_path.glob("runs/*/*/PROMOTE.json"))
    (tmp_path / "model.py").write_text("raise SystemExit('the file beside the study is not asked any more')")
    ask("verify", run, "--corpus", "table.csv", "--trust-code")
    ask("registry", "add", run, "--trust-code")
    (version,) = json.loads(ask("registry", "list", "--json"))["versions"]
    ask("registry", "promote", version["id"])
    pl.read_csv(tmp_path / "table.csv").select("a", "b").head(5).write_csv(tmp_path / "live.csv")
    ask("shadow", "run", "--batch", "live.csv")
    (path,) = tmp_path.glob("shadow/*/batches/live/*.jsonl")
    assert 5 == pl.read_ndjson(path)["prediction"].is_finite().sum()


@pytest.mark.slow
def test_a_command_opens_the_files_that_its_rows_name(tmp_path: Path) -> None:
    """A model of pictures would be kept from its pictures, or see those of other rows."""
    for number in range(4):
        (tmp_path / f"{number}.pgm").write_text(str(number))
    view = small_regression().train_view(np.arange(3))
    pictures = pl.DataFrame({"picture": [str(tmp_path / f"{number}.pgm") for number in range(3)]})
    fit = f'tail -n +2 "$1" | cut -d, -f1 | xargs cat > "$2"; cat {tmp_path}/3.pgm && exit 1; true'
    (tmp_path / "code").mkdir()
    where = Apart(command_of(shell(tmp_path / "code", fit)), ())
    where.fit(FitJob("seed0/fold", replace(view, features=pictures), 7), tmp_path / "out")
    assert "012" == (tmp_path / "out" / "model" / "model").read_text()


@pytest.mark.slow
def test_models_that_differ_in_bytes_are_compared_by_their_answers(tmp_path: Path) -> None:
    """A format that stores a date would make every run HOLD; or chance would hide what a fit has seen."""

    def findings(fit: str, **changes: Any) -> list[bool]:
        desk = command_desk(tmp_path, **changes)
        shell(tmp_path, fit)
        resolved = Study.load(desk.path).resolve()
        split = split_corpus(resolved.splitter, resolved.reader.read())
        found = guard_fitted(resolved.main.backbone, resolved.reader, split, 0, fresh=False)
        return [each.blocking for each in found.findings]

    assert [] == findings(f'{FIT_SH}\ndate +%N >> "$2"')
    chance = 'echo "$(date +%N) 1" > "$2"'
    assert [True] == findings(chance)
    assert [sys.platform != "linux"] == findings(chance, deterministic=False)


# Sleeps where the group g0 is held out, in a run; the guard before it fits elsewhere.
SLOW_FIT = """
if [ -e "$3/half" ]; then echo "goes on"; else
  touch "$3/half"
  case "$3" in */runs/*) grep -q g0 "$4" || sleep 60;; esac
fi
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="orphans are ended on Linux")
def test_a_run_that_is_killed_goes_on_where_its_command_was(tmp_path: Path) -> None:
    """A night's training would begin anew, and the killed one go on beside it."""
    desk = command_desk(tmp_path, train="sh fit.sh {train} {model} {state} {groups}")
    (tmp_path / "fit.sh").write_text(SLOW_FIT + FIT_SH)
    command = [sys.executable, "-m", "heldout", "run", "study.yaml", "--workers", "1"]
    killed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        (half,) = _wait_for(lambda: [*tmp_path.glob("runs/*/*/scratch/base/kept/*/*/*/state/half")])
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    _wait_for(lambda: not _running(str(half.parent)))
    answer = desk.run()
    assert 0 == answer.code, answer
    logs = {name: (desk.newest / "logs" / "base" / "seed0" / f"{name}.log").read_text() for name in ("g0", "g1")}
    assert {"g0": "goes on\nfitted a line\n", "g1": "fitted a line\n"} == logs
    assert not (desk.newest / "scratch").exists()


def _wait_for(ask: Any) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


def _running(words: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in path.read_bytes().decode(errors="replace"):
                return True
        except OSError:
            continue
    return False


@pytest.mark.slow
@pytest.mark.skipif(not NIGHTLY, reason="seconds of imports for each process: at night")
def test_a_network_that_is_killed_at_random_is_the_same_network(tmp_path: Path) -> None:
    """A resumed training would give another model than one that was left alone."""
    pytest.importorskip("torch")
    for name in ("train.py", "predict.py"):
        text = (EXAMPLE / name).read_text().replace('"progression"', '"y"')
        (tmp_path / name).write_text(text.replace("EPOCHS, EVERY = 300, 50", "EPOCHS, EVERY = 400, 5"))
    backbone = CommandBackbone(CommandParams(**OF_NET, features=["length", "count"])).bound(tmp_path)
    corpus, where = small_regression(), Apart(backbone, (tmp_path / "hidden",))
    job = FitJob("seed0/fold", corpus.train_view(np.arange(100)), 7)
    where.fit(job, tmp_path / "whole", None)
    kept = tmp_path / "kept"
    kept.mkdir()
    killer = threading.Thread(target=_stop_while_training, args=(kept,))
    killer.start()
    with pytest.raises(HeldoutError):
        where.fit(job, tmp_path / "none", kept)
    killer.join()
    where.fit(job, tmp_path / "resumed", kept)
    log = (kept / "seed0" / "fold" / "output.log").read_text()
    assert not log.startswith("epoch 5:"), "it began anew"
    view = FeaturesView(corpus.features[100:])
    whole, resumed = (where.ask(tmp_path / name, view).predicted for name in ("whole", "resumed"))
    np.testing.assert_array_equal(whole, resumed)


def _stop_while_training(kept: Path) -> None:
    """End whatever is asked at a moment that nobody chose."""
    _wait_for(lambda: [*kept.glob("seed0/fold/model/model/half.pt")])
    time.sleep(random.random() * 0.2)
    engine.stop()


@pytest.mark.slow
@pytest.mark.skipif(not NIGHTLY, reason="half a minute of imports: at night")
def test_the_network_of_the_example_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people copy from the example would not run, or be judged by other numbers than it gives by hand."""
    pytest.importorskip("torch")
    shutil.copytree(EXAMPLE, tmp_path / "example")
    monkeypatch.chdir(tmp_path / "example")
    monkeypatch.setattr(sys, "argv", ["make_table.py"])
    runpy.run_path(str(EXAMPLE.parent / "table" / "make_table.py"), run_name="__main__")
    study = Study.load("study.yaml")
    run = study.run()
    assert "PROMOTE" == run.verdict, run.document["reasons"]
    prepared, table = study.prepare(), pl.read_csv("diabetes.csv")
    unit = prepared.main.units[0]
    from heldout.run.units.unit import stream_seed

    table.filter(~pl.col("age_band").is_in(unit.fold.test)).drop("age_band").write_parquet("rows.parquet")
    held = table.filter(pl.col("age_band").is_in(unit.fold.test)).drop("age_band", "progression")
    held.write_parquet("held.parquet")
    seed = str(stream_seed(0, unit.fold.id))
    for words in (("train.py", "--data", "rows.parquet", "--seed", seed, "--out", "net"),
                  ("predict.py", "--model", "net", "--data", "held.parquet", "--out", "out.parquet")):  # fmt: skip
        subprocess.run([sys.executable, *words], check=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
    mine = pl.read_parquet("out.parquet")["prediction"].to_numpy()
    theirs = pl.read_ndjson(run.folder / "predictions.jsonl").filter(pl.col("group").is_in(unit.fold.test))["seed0"]
    np.testing.assert_allclose(mine, theirs.to_numpy(), rtol=1e-5)


def test_the_scripts_of_the_example_are_short() -> None:
    """An example would be longer than what it shows."""
    code = [line for line in (EXAMPLE / "train.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 40
