"""The trial ledger counts every look at held-out rows, and shows when a look was taken out."""

from __future__ import annotations

import json
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout import Study
from heldout.documents.names import LEDGER_FILE
from heldout.errors import InputError, TamperedError, UnitError
from heldout.ledger.trials import Ledger, Look, Outcome, looks_of, read_ledger

STUDY = """
study: counted
corpus: {path: table.csv, group: site, target: y}
backbone: sklearn
fit: {estimator: sklearn.linear_model.Ridge, params: {alpha: 1.0}}
seeds: [0]
baselines: []
bootstrap: {draws: 100}
variants:
- {id: stiff, set: {fit.params.alpha: 10.0}}
- {id: broken, set: {fit: {estimator: sklearn.neighbors.KNeighborsRegressor, params: {n_neighbors: 1000}}}}
gate: {rules: [{id: plcc, metric: plcc, over: pooled, at_least: 0.1}]}
"""


def look(
    run: str = "r1", variant: str = "v1", outcome: Outcome = "HOLD", metrics: str | None = "m", **more: Any
) -> Look:
    known = {"variant": "base", "corpus_sha256": "c", "split_sha256": "s", "gate_sha256": "g", "smoke": None}
    return Look(run=run, variant_sha256=variant, outcome=outcome, metrics_sha256=metrics, seeds=(0,), primary=None,
                **(known | more))  # fmt: skip


def add(study: Path, *args: Any, **more: Any) -> tuple[int, int, int]:
    with Ledger(study) as ledger:
        trial = ledger.record(look(*args, **more))
    assert looks_of(read_ledger(study))[trial.looks - 1].sha256 == trial.ledger_head
    return trial.attempt, trial.of, trial.looks


def test_attempts_count_variants_and_looks_count_looks(tmp_path: Path) -> None:
    """A verdict would hide how many variants were tried before it."""
    assert add(tmp_path, "r1", "v1") == (1, 1, 1)
    assert add(tmp_path, "r2", "v2", "FAILED", None) == (2, 2, 2)
    assert add(tmp_path, "r3", "v3", smoke="one epoch") == (3, 3, 3)
    assert add(tmp_path, "r4", "v1", "PROMOTE") == (1, 3, 4)


def test_judging_the_same_again_is_no_new_look(tmp_path: Path) -> None:
    """A run that was only resumed would look like a second try, and a changed policy like none."""
    assert add(tmp_path) == (1, 1, 1)
    assert add(tmp_path) == (1, 1, 1)
    assert add(tmp_path, gate_sha256="looser", outcome="PROMOTE") == (1, 1, 2)
    assert add(tmp_path) == (1, 1, 3)
    assert add(tmp_path, metrics="other") == (1, 1, 4)


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    """A kill in mid-append would make the ledger unreadable."""
    add(tmp_path, "r1", "v1")
    with (tmp_path / LEDGER_FILE).open("ab") as stream:
        stream.write(b'{"schema": "heldout.trial/1", "run": "r2"')
    assert len(read_ledger(tmp_path)) == 1
    assert add(tmp_path, "r3", "v3") == (2, 2, 2)
    assert len(read_ledger(tmp_path)) == 2


@pytest.mark.parametrize("how", ["edited", "removed first", "removed", "swapped", "put in", "torn in the middle"])
def test_a_changed_ledger_is_found(tmp_path: Path, how: str) -> None:
    """A failed attempt could be taken out of the count."""
    for number in range(4):
        add(tmp_path, f"r{number}", f"v{number}")
    path = tmp_path / LEDGER_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    match how:
        case "edited":
            lines[1] = lines[1].replace(b'"HOLD"', b'"FAILED"')
        case "removed first":
            del lines[0]
        case "removed":
            del lines[2]
        case "swapped":
            lines[1], lines[2] = lines[2], lines[1]
        case "put in":
            lines.insert(2, lines[1].replace(b'"r1"', b'"r9"'))
        case _:
            lines[1] = lines[1][:20] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises((TamperedError, InputError), match=r"changed, removed|JSON"):
        read_ledger(tmp_path)


def _many(study: str, first: int) -> None:
    for number in range(first, first + 8):
        add(Path(study), f"r{number}", f"v{number}")


def test_processes_that_write_at_once_keep_the_chain(tmp_path: Path) -> None:
    """Two runs of one study that end together would break the chain, and look like fraud."""
    context = get_context("fork")
    workers = [context.Process(target=_many, args=(str(tmp_path), first)) for first in (0, 100, 200)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [0, 0, 0] == [worker.exitcode for worker in workers]
    assert len(read_ledger(tmp_path)) == 24


def study_file(folder: Path, text: str = STUDY) -> Path:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    sites = np.repeat(list("abcd"), 10)
    pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "site": sites, "y": X.sum(axis=1)}).write_csv(folder / "table.csv")
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


@pytest.mark.slow
def test_a_study_counts_its_runs(tmp_path: Path) -> None:
    """A verdict would not say at which attempt it was reached."""
    path, runs = study_file(tmp_path), tmp_path / "runs"
    study = Study.load(path)
    first = study.run(runs=runs, workers=1)
    again = study.run(runs=runs, workers=1)
    assert first.document["trial"] == again.document["trial"]
    with pytest.raises(UnitError):
        study.run("broken", runs=runs, workers=1)
    Study.load(path, ["fit.params.alpha=3.0"]).run(runs=runs, workers=1)
    last = study.run("stiff", runs=runs, workers=1)
    entries = read_ledger(runs / "counted")
    assert ["OPENED", "PROMOTE", "OPENED", "HOLD", "OPENED", "PROMOTE"] == [each.record["outcome"] for each in entries]
    records = [entry.record for entry in looks_of(entries)]
    assert ["PROMOTE", "HOLD", "PROMOTE"] == [record["outcome"] for record in records]
    assert [False, True, False] == [bool(record["smoke"]) for record in records]
    assert (3, 3, 3) == tuple(last.document["trial"][key] for key in ("attempt", "of", "looks"))
    assert records[0]["primary"] == {"metric": "plcc", "value": first.numbers["ensemble"]["pooled"]["plcc"]}


def test_a_policy_may_cap_the_attempts(tmp_path: Path) -> None:
    """Whoever tries often enough would find a variant that passes by luck."""
    path = study_file(tmp_path, STUDY.replace("gate: {", "gate: {max_attempts: 1, "))
    study, runs = Study.load(path), tmp_path / "runs"
    assert study.run(runs=runs, workers=1).verdict == "PROMOTE"
    second = study.run("stiff", runs=runs, workers=1)
    assert second.verdict == "HOLD"
    assert ["attempts"] == [rule["id"] for rule in second.document["rules"] if rule["outcome"] != "PASS"]
    assert json.dumps(second.document["reasons"]).count("variant 2") == 1
    assert study.run(runs=runs, workers=1).verdict == "PROMOTE"


@pytest.mark.slow
def test_a_garbled_ledger_stops_a_run_before_it_fits(tmp_path: Path) -> None:
    """Hours of training would end in a verdict that cannot be counted, or in one that was counted wrongly."""
    path, runs = study_file(tmp_path), tmp_path / "runs"
    study = Study.load(path)
    study.run(runs=runs, workers=1)
    add(runs / "counted", "r2", "v2")
    ledger = runs / "counted" / LEDGER_FILE
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(lines[0][:30] + b"\n" + lines[1])
    before = ledger.read_bytes()
    with pytest.raises(InputError, match="the chain of records is broken there") as caught:
        study.run("stiff", runs=runs, workers=1)
    assert f"{ledger}:1" == caught.value.where
    assert before == ledger.read_bytes()
    assert [] == [*study.prepare("stiff", runs=runs).folder.path.rglob("unit.json")]
    ledger.write_bytes(b"".join(lines))
    assert 3 == study.run("stiff", runs=runs, workers=1).document["trial"]["attempt"]
