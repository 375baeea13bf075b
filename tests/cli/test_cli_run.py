"""`heldout run`: what it prints, and what it exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

from heldout.evidence import loads, read_json_lines

pytest.importorskip("sklearn")

Heldout = Callable[..., Any]
WriteStudy = Callable[..., Path]
STRICT = {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.99999}]}


def run_folder() -> Path:
    (folder,) = Path("runs/small").glob("base-*")
    return folder


def test_promote_exits_0_and_says_so_first(heldout: Heldout, write_study: WriteStudy) -> None:
    """A script could not tell whether the model may be promoted; a reader would search for the verdict."""
    answer = heldout("run", write_study(), "--workers", 1)
    assert 0 == answer.code, answer.err
    lines = answer.out.splitlines()
    assert "PROMOTE small / base" == lines[0]
    assert any(line.split()[:2] == ["PASS", "plcc"] for line in lines)
    assert f"report   {run_folder() / 'report.html'}" in lines
    assert "base: 0 units reused, 4 to fit (4 not fitted yet)" in answer.err


def test_hold_exits_1_with_the_reason(heldout: Heldout, write_study: WriteStudy) -> None:
    """A pipeline would go on after a HOLD."""
    answer = heldout("run", write_study(gate=STRICT), "--workers", 1)
    assert 1 == answer.code
    assert answer.out.startswith("HOLD small / base")
    assert any(line.split()[:2] == ["FAIL", "plcc"] for line in answer.out.splitlines())
    assert (run_folder() / "HOLD.json").exists()


def test_json_is_one_document_and_nothing_else(heldout: Heldout, write_study: WriteStudy) -> None:
    """A program that reads the answer would choke on a progress line."""
    answer = heldout("run", write_study(), "--workers", 1, "--json")
    assert (0, "") == (answer.code, answer.err)
    document = loads(answer.out, where="stdout")
    assert ("heldout.verdict/1", "PROMOTE", str(run_folder())) == tuple(
        document[key] for key in ("schema", "verdict", "run")
    )
    assert Path(document["report"]).is_file()
    again = heldout("run", "study.yaml", "--json")
    assert "PROMOTE" == json.loads(again.out)["verdict"]


def test_quiet_prints_the_verdict_only(heldout: Heldout, write_study: WriteStudy) -> None:
    """A log would fill with progress."""
    answer = heldout("run", write_study(), "--workers", 1, "--quiet")
    assert (0, "") == (answer.code, answer.err)
    assert answer.out.startswith("PROMOTE")


def test_output_of_a_pipe_has_no_colours(heldout: Heldout, write_study: WriteStudy) -> None:
    """A log file would be full of escape codes."""
    answer = heldout("run", write_study(), "--workers", 1)
    assert "\x1b" not in answer.out + answer.err


def test_dry_run_plans_and_writes_nothing(heldout: Heldout, write_study: WriteStudy) -> None:
    """A look at the plan would cost a training, or leave a directory that looks like a run."""
    answer = heldout("run", write_study(), "--dry-run")
    assert (0, "") == (answer.code, answer.err)
    plan = loads(answer.out, where="stdout")
    assert ("heldout.plan/1", {"base": {"reused": 0, "to_fit": 4}}) == (plan["schema"], plan["units"])
    assert ["ann", "bob", "cyd", "dan"] == plan["folds"]
    assert not Path("runs").exists()
    heldout("run", "study.yaml", "--workers", 1)
    assert {"base": {"reused": 4, "to_fit": 0}} == json.loads(heldout("run", "study.yaml", "--dry-run").out)["units"]


def test_override_is_a_smoke_run_and_holds(heldout: Heldout, write_study: WriteStudy) -> None:
    """Defect 10: a quick look would be promoted."""
    answer = heldout("run", write_study(), "--set", "fit.scale=false", "--workers", 1)
    assert 1 == answer.code
    assert "not-smoke" in answer.out
    assert "a quick look decides nothing" in answer.out


def test_runs_go_where_they_are_told(heldout: Heldout, write_study: WriteStudy, tmp_path: Path) -> None:
    """Runs would land in the working folder whatever is asked."""
    assert 0 == heldout("run", write_study(), "--runs", tmp_path / "elsewhere", "--workers", 1).code
    assert not Path("runs").exists()
    assert list((tmp_path / "elsewhere" / "small").glob("base-*/PROMOTE.json"))


def test_variant_by_name(heldout: Heldout, write_study: WriteStudy) -> None:
    """The base configuration would be judged instead."""
    study = write_study(variants=[{"id": "soft", "set": {"fit.params": {"alpha": 2.0}}}])
    answer = heldout("run", study, "--variant", "soft", "--workers", 1)
    assert (0, "PROMOTE small / soft") == (answer.code, answer.out.splitlines()[0])


@pytest.mark.slow
def test_failed_units_exit_5_with_the_cause(
    heldout: Heldout, write_study: WriteStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback would hide which fold failed, and that the others are kept."""
    (tmp_path / "cli_awkward.py").write_text(
        "from sklearn.linear_model import Ridge\n"
        "class Never(Ridge):\n"
        "    def fit(self, X, y):\n"
        "        raise ArithmeticError('no answer')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    answer = heldout("run", write_study(fit={"estimator": "cli_awkward.Never"}), "--workers", 1)
    assert 5 == answer.code
    assert "error [HO-E300]: 4 units failed, the first with: ArithmeticError: no answer" in answer.err
    assert "where: base/seed0/ann" in answer.err
    assert "fix:" in answer.err
    assert "Traceback" not in answer.err
    assert not (run_folder() / "HOLD.json").exists()
    assert "ArithmeticError" in (run_folder() / "failures" / "base" / "seed0" / "ann.log").read_text()


WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"fit": {"estimater": "x"}}, "unknown key `fit.estimater`", "study.yaml:", "did you mean 'estimator'?"),
    ({"backbone": "sklaern"}, "no backbone named 'sklaern'", "study.yaml:", "did you mean 'sklearn'?"),
    ({"fit": {"estimator": "Ridge"}}, "there is no estimator 'Ridge'", "fit.estimator", "full import path"),
    (
        {"fit": {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": -1}}},
        "does not take this value",
        "fit.params",
        "correct that value",
    ),
    ({"corpus": {"path": "no.csv", "group": "g", "target": "t"}}, "the table does not exist", "no.csv", "corpus.path"),
    (
        {"corpus": {"path": "table.csv", "group": "persno", "target": "score"}},
        "no column 'persno'",
        "table.csv",
        "did you mean 'person'? its columns: person, score, weight",
    ),
    ({"split": {"kind": "fixed", "test": ["eve"]}}, "no group 'eve'", "split.test", "ann, bob, cyd, dan"),
    ({"split": {"kind": "loso"}}, "no splitter named 'loso'", "study.yaml:", "leave-one-group-out"),
    ({"split": {"kind": "repeated", "folds": 2}}, "`split.times` is missing", "study.yaml:", "add `times:` there"),
    ({"split": {"kind": "declared", "column": "prat"}}, "no column 'prat'", "table.csv", "its columns: person, score"),
    ({"split": {"kind": "walk-forward", "warmup": 1, "window": 1}}, "needs the time", "(split.kind)", "corpus.time"),
    ({"split": {"kind": "sklearn.model_selection:GroupFold"}}, "no 'GroupFold'", "(split.kind)", "split(X, y, groups)"),
    ({"split": {"kind": "sklearn.model_selection.GroupShuffleSplit"}}, "other folds", "(split)", "random_state"),
    (
        {"split": {"kind": "sklearn.model_selection.GroupKFold", "params": {"k": 3}}},
        "refuses",
        "(split.params)",
        "give",
    ),
    ({"gate": {}}, "the gate has no rules", "study.yaml:", "gate.rules"),
]


@pytest.mark.parametrize(("change", "what", "where", "hint"), WRONG, ids=[each[1] for each in WRONG])
def test_bad_input_exits_2_with_what_where_and_how_to_mend_it(
    heldout: Heldout, write_study: WriteStudy, change: dict[str, Any], what: str, where: str, hint: str
) -> None:
    """A user would read a traceback, or compute would be spent before the typo is found."""
    answer = heldout("run", write_study(**change))
    assert (2, "") == (answer.code, answer.out)
    first, place, mend = answer.err.splitlines()
    assert first.startswith("error [HO-E")
    assert what in first
    assert place.startswith("  where: ")
    assert where in place
    assert mend.startswith("  fix:   ")
    assert hint in mend
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing argument"),
        (["run", "study.yaml", "--wrokers", "2"], "--wrokers"),
        (["run", "study.yaml", "--workers", "0"], "--workers"),
        (["rnu", "study.yaml"], "rnu"),
        (["run", "nowhere.yaml"], "cannot read the study"),
        (["run", "study.yaml", "--set", "seeds"], "has no value"),
        (["run", "study.yaml", "--set", "seeds=[0]"], "changes nothing"),
        (["run", "study.yaml", "--variant", "soft"], "no variant 'soft'"),
    ],
)
def test_wrong_command_exits_2(heldout: Heldout, write_study: WriteStudy, arguments: list[str], words: str) -> None:
    """A typo in a script would pass for a HOLD."""
    write_study()
    answer = heldout(*arguments)
    assert 2 == answer.code
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_second_process_on_the_same_run_exits_4(heldout: Heldout, write_study: WriteStudy) -> None:
    """Two terminals would write the same units at once."""
    heldout("run", write_study(), "--workers", 1)
    with FileLock(run_folder() / ".lock"):
        answer = heldout("run", "study.yaml", "--workers", 1)
    assert (4, "") == (answer.code, answer.out)
    assert "error [HO-E500]: another process is working on this run" in answer.err
    assert f"where: {run_folder()}" in answer.err
    assert "fix:   wait for it" in answer.err


# All fits but that of the fold without Ann take longer than any test may.
NAPS = """
import os, time
import numpy as np
from sklearn.linear_model import Ridge
class Nap(Ridge):
    def fit(self, X, y):
        if "NAP" in os.environ and np.isclose(y, float(os.environ["NAP"]), rtol=0, atol=1e-12).any():
            time.sleep(3600)
        return super().fit(X, y)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_interruption_exits_130_soon_and_says_how_to_go_on(
    write_study: WriteStudy, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    """Ctrl-C would hang until the fold is fitted, end in a traceback, or lose what was fitted."""
    (tmp_path / "cli_naps.py").write_text(NAPS)
    arguments = ["run", str(write_study(fit={"estimator": "cli_naps.Nap"})), "--workers", str(workers)]
    of_ann = pl.read_csv("table.csv")["score"][0]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "heldout.cli.main", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"NAP": repr(of_ann)},
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and not list(Path("runs").rglob("unit.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)  # of an hour's nap
    assert 130 == process.returncode, err
    assert err.endswith(f"Go on with:\n  heldout {' '.join(arguments)}\n")
    assert "Traceback" not in err
    early = {path: path.stat().st_mtime_ns for path in run_folder().rglob("unit.json")}
    assert early
    assert not list(run_folder().glob("*O*.json"))
    done = subprocess.run([sys.executable, "-m", "heldout.cli.main", *arguments], env=environment, check=False)
    assert 0 == done.returncode
    assert early == {path: path.stat().st_mtime_ns for path in early}
    fitted = [each["unit"] for each in read_json_lines(run_folder() / "progress.jsonl") if each["event"] == "fitted"]
    assert len(fitted) == len(set(fitted))
