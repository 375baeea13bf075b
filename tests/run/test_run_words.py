"""What estimators print: in a log of the unit, and nowhere else."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.aside import words_aside, words_to
from heldout.backbone.sklearn import SklearnBackbone
from heldout.errors import UnitError
from heldout.run.execute import fit_only
from heldout.run.units.words import keep_words, last_words, warned

NET = {"estimator": "sklearn.neural_network.MLPRegressor", "params": {"max_iter": 2, "verbose": True}}


def test_all_that_a_process_prints_is_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Lines of Python, or of a library in C that keeps them until the process ends, would stand between ours."""
    log = tmp_path / "deep" / "log"
    print("before")
    for _ in range(2):
        with words_to(log):
            print("by Python")
            print("a complaint", file=sys.stderr)
            os.write(1, b"by the system\n")
            ctypes.CDLL(None).puts(b"by C")
            warnings.warn("it is old", FutureWarning, stacklevel=1)
    print("after")
    lines = log.read_text().splitlines()
    assert 2 == lines.count("by Python") == lines.count("a complaint") == lines.count("by the system")
    assert 2 == lines.count("by C"), lines
    assert 2 == sum("FutureWarning: it is old" in line for line in lines), "once for each of them"
    assert ("before\nafter\n", "") == capfd.readouterr()


def test_whoever_prints_nothing_has_no_log(tmp_path: Path) -> None:
    """A thousand units would leave a thousand empty files."""
    with words_to(tmp_path / "log"):
        pass
    assert [] == [*tmp_path.iterdir()]


def test_words_come_back_to_the_terminal_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is said after a unit that failed would be lost, the error itself included."""

    def failing() -> None:
        with words_to(tmp_path / "log"):
            print("inside")
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        failing()
    print("outside")
    assert ("outside\n", "") == capfd.readouterr()
    assert "inside\n" == (tmp_path / "log").read_text()


def test_a_document_stands_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """A script that reads `--json` would read what a library says as it is loaded."""
    with words_aside():
        print("by Python")
        os.write(1, b"by the system\n")
    print("{}")
    assert "{}\n" == capfd.readouterr().out


def test_what_was_warned_of_is_counted(tmp_path: Path) -> None:
    """Dozens of lines would say one thing, or none would."""
    said = []
    for name, words in {"a": "x.py:3: ConvergenceWarning: no end\n  code\n", "b": "x\n", "c": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "output.log").write_text(words * 3)
        said.append(keep_words(tmp_path / name, tmp_path / f"{name}.log"))
    assert ["ConvergenceWarning in 1 of 3 units: no end"] == [*warned(said, 3)]
    assert ["a.log", "b.log"] == sorted(path.name for path in tmp_path.glob("*.log"))
    assert "x | x | x" == last_words(tmp_path / "b.log")
    assert not keep_words(tmp_path / "c", tmp_path / "a.log")
    assert not (tmp_path / "a.log").exists(), "an earlier fit's words would pass for those of the last one"


def test_a_log_of_a_run_ends(tmp_path: Path) -> None:
    """A chatty fit would fill the disk."""
    (tmp_path / "output.log").write_bytes(b"early\n" + b"x" * 79 + b"\n" + b"late\n" * (2 << 20))
    keep_words(tmp_path, tmp_path / "kept.log")
    data = (tmp_path / "kept.log").read_bytes()
    assert len(data) < 9 << 20
    assert data.startswith(b"... (what was printed before is left out)\n")


def test_an_estimator_prints_into_the_log_of_its_unit(desk: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Iterations of every fold would bury the verdict, and a warning of each stand before it."""
    said = []
    run = desk.run(fit=NET, seeds=[0], listener=said.append)
    assert "Iteration" not in "".join(capfd.readouterr())
    logs = sorted(run.folder.glob("logs/*/*/*.log"))
    assert ["ann", "bob", "cyd", "dan"] == [path.stem for path in logs], "and none of the mean, which says nothing"
    assert all("Iteration 2" in path.read_text() for path in logs)
    (line,) = [each["unit"] for each in said if each["event"] == "warned"]
    assert line.startswith("base: ConvergenceWarning in 4 of 4 units: Stochastic Optimizer: Maximum iterations (2)")
    assert "logs" not in (run.folder / "manifest.json").read_text(), "it is no evidence"
    logs[0].unlink()
    run.verify().raise_if_broken()


def test_a_unit_that_fails_says_what_it_printed(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the message would have to look for the log, and for the lines in it."""

    def fit(*_: object) -> Any:
        for number in range(9):
            print(f"step {number}", np.nan)
        raise ValueError("it exploded")

    prepared = desk.prepare(seeds=[0], baselines=[])
    monkeypatch.setattr(SklearnBackbone, "fit", fit)
    with pytest.raises(UnitError, match="it exploded") as failed:
        fit_only(prepared, workers=1)
    where = str(failed.value.where)
    assert "it printed last: step 4 nan | step 5 nan | step 6 nan | step 7 nan | step 8 nan (all of it in " in where
    log = Path(where.rpartition("(all of it in ")[2].removesuffix(")"))
    assert "step 0 nan" == log.read_text().splitlines()[0]


@pytest.mark.slow
def test_workers_print_into_the_logs_too(desk: Any) -> None:
    """With more workers than one, all would be printed as before."""
    path = desk.write(fit=NET, seeds=[0])
    command = [sys.executable, "-m", "heldout.cli.main", "run", str(path), "--workers", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=desk.folder, check=False)
    assert "Iteration" not in done.stdout + done.stderr
    assert 4 == sum("Iteration 2" in path.read_text() for path in desk.folder.glob("runs/*/*/logs/base/seed0/*.log"))
