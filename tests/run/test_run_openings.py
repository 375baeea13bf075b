"""A look has two records: whoever is killed between them, or kills, has looked all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_kit import heldout

from heldout.evidence import Link, read_json
from heldout.ledger.trials import looks_of, read_ledger, trial_at
from heldout.verify import verify_run

# Tells what it saw and kills its process when it has been asked so often: twice with targets in another order first.
OWN = """
import os
from pathlib import Path

import numpy as np

ASKED = Path(__file__).with_name("asked")


def spy(truth, said):
    asked = int(ASKED.read_text()) if ASKED.exists() else 0
    ASKED.write_text(str(asked + 1))
    value = float(np.corrcoef(truth, said)[0, 1]) if len(truth) > 1 else 0.0
    with Path(__file__).with_name("seen").open("a") as out:
        out.write(f"{value}\\n")
    if asked == 2 and Path(__file__).with_name("kill").exists():
        os.kill(os.getpid(), 9)
    return value
"""
STUDY: dict[str, Any] = {
    "study": "own",
    "corpus": {"path": "table.csv", "group": "site", "target": "y"},
    "backbone": "sklearn",
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
    "seeds": [0],
    "baselines": [],
    "bootstrap": {"draws": 100},
    "metrics": [{"name": "spied", "function": "own_spy:spy", "better": "higher"}],
    "gate": {"rules": [{"id": "r", "metric": "pearson", "over": "pooled", "at_least": 0.99}]},
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    rng = np.random.default_rng(3)
    rows = [f"{site},{x},{x + noise}" for site in "abcdef" for x, noise in rng.normal(size=(30, 2)).tolist()]
    (tmp_path / "table.csv").write_text("\n".join(["site,x,y", *rows]) + "\n")
    (tmp_path / "own_spy.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("own_spy", None)


def run(desk: Path, **changes: Any) -> tuple[int, str]:
    (desk / "study.yaml").write_text(json.dumps(STUDY | changes, indent=1))
    done = heldout("run", "study.yaml", "--workers", "1", cwd=desk)
    return done.code, done.err


def killed(desk: Path, *more: str) -> int:
    """A run in a process of its own, which the metric kills once truth is open."""
    (desk / "study.yaml").write_text(json.dumps(STUDY, indent=1))
    (desk / "kill").touch()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from heldout.cli.main import main; main()",
            "run",
            "study.yaml",
            "--workers",
            "1",
            *more,
        ],
        cwd=desk,
        env=os.environ | {"PYTHONPATH": str(desk)},
        check=False,
        capture_output=True,
    )
    (desk / "kill").unlink()
    return done.returncode


def folder(desk: Path) -> Path:
    return max((desk / "runs/own").glob("*/metrics.json"), key=lambda path: path.stat().st_mtime_ns).parent


def verdict(desk: Path) -> dict[str, Any]:
    return read_json(next(folder(desk).glob("*O*.json")))  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_is_scored_has_looked(desk: Path) -> None:
    """Whoever kills each try that looks bad would never be at a second attempt."""
    assert -9 == killed(desk)
    told, ledger = (desk / "seen").read_text().splitlines(), read_ledger(desk / "runs/own")
    assert abs(float(told[0])) < 0.3 < float(told[2]), "what came before the opening was asked in another order"
    opened = {"guard": 6, "score": 6}
    assert [("OPENED", opened)] == [(each.record["outcome"], each.record["opened"]) for each in ledger]
    assert not list((desk / "runs/own").glob("*/metrics.json"))
    code, said = run(desk, fit={"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 3.0}})
    assert 1 == code, said
    assert (2, 2, 2) == tuple(verdict(desk)["trial"][key] for key in ("attempt", "of", "looks"))
    assert 0 == heldout("verify", folder(desk), "--trust-code", cwd=desk).code


def test_rules_that_are_loosened_after_a_killed_smoke_run_need_a_reason(desk: Path) -> None:
    """The number that the killed run printed would choose the bound, and the verdict say that nobody had looked."""
    assert -9 == killed(desk, "--set", "gate.min_groups=2")
    assert not (desk / "runs/own/policies.jsonl").exists(), "a smoke run registers nothing"
    loose = {"rules": [STUDY["gate"]["rules"][0] | {"at_least": 0.3}]}
    code, said = run(desk, gate=loose)
    assert 1 == code, said
    assert ["pre-registered"] == [each["id"] for each in verdict(desk)["rules"] if each["outcome"] != "PASS"]


@pytest.mark.slow
def test_a_killed_look_that_goes_on_is_one_look(desk: Path) -> None:
    """A machine that went down would cost an attempt."""
    assert -9 == killed(desk)
    assert 1 == run(desk)[0]
    ledger = read_ledger(desk / "runs/own")
    assert ["OPENED", "HOLD"] == [each.record["outcome"] for each in ledger]
    assert (1, 1, 1) == tuple(verdict(desk)["trial"][key] for key in ("attempt", "of", "looks"))
    (folder(desk) / "report.html").unlink()
    assert 1 == run(desk)[0], "judged again from its units"
    assert ledger == read_ledger(desk / "runs/own"), "and nothing else was scored"


@pytest.mark.slow
def test_an_opening_that_is_taken_out_is_seen(desk: Path) -> None:
    """A killed look could be removed before the next one."""
    killed(desk)
    run(desk, fit={"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 3.0}})
    path = desk / "runs/own/trials.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    broken = verify_run(folder(desk)).broken
    assert broken is not None
    assert "ledger" == broken.id


def link(run: str, outcome: str, variant: str = "v", number: int = 0) -> Link:
    return Link({"run": run, "outcome": outcome, "variant_sha256": variant}, f"{number:064d}")


def test_looks_are_counted_by_what_was_seen() -> None:
    """A look would count twice, or one of two killed tries not at all."""
    entries = [
        link("a", "OPENED"),
        link("a", "HOLD"),
        link("b", "OPENED", "w"),  # killed, and fitted otherwise
        link("c", "FAILED", "x"),
        link("b", "OPENED", "w"),
        link("b", "PROMOTE", "w"),
        link("d", "OPENED", "z"),
    ]
    assert [1, 2, 3, 5, 6] == [entries.index(each) if each != entries[2] else 2 for each in looks_of(entries)]
    assert [1, 1, 2, 3, 4, 4, 5] == [trial_at(entries, place).looks for place in range(len(entries))]
    assert [1, 1, 2, 3, 2, 2, 4] == [trial_at(entries, place).attempt for place in range(len(entries))]
