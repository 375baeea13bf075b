"""A unit that fails: the others are stored, nothing is promoted, and the same command goes on when it is mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heldout.errors import UnitError
from heldout.evidence import read_json, read_json_lines
from heldout.gate.verdict_files import read_verdict

FOLDS = {"ann", "bob", "cyd", "dan"}


def only_run(desk: Any) -> Path:
    (folder,) = (desk.runs / "small").glob("base-*")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failing_fold_keeps_the_others_and_gives_no_verdict(desk: Any, awkward: dict[str, Any], workers: int) -> None:
    """One fold that fails would cost all the others, or be left out of the mean."""
    with pytest.raises(UnitError) as caught:
        desk.run(fit=awkward, workers=workers)
    assert 5 == caught.value.exit_code
    assert "2 units failed" in caught.value.what
    assert "cannot learn from 42 rows" in caught.value.what
    assert str(caught.value.where).startswith("base/seed0/dan; its traceback is in ")
    assert "finished units are reused" in str(caught.value.hint)
    folder = only_run(desk)
    printed = folder / "logs" / "base" / "seed0" / "dan.log"
    assert f"; it printed last: learning from 42 rows (all of it in {printed})" in str(caught.value.where)
    assert printed.read_text().startswith("learning from 42 rows\nTraceback")
    assert "learning from 44 rows" in printed.with_name("cyd.log").read_text(), "and of those that did not fail"
    stored = {f"fits/seed{seed}/{fold}" for seed in (0, 1) for fold in FOLDS - {"dan"}}
    assert stored <= set(desk.fitted(folder))
    assert read_verdict(folder) is None
    assert not (desk.runs / "small" / "trials.jsonl").exists(), "nothing was looked at"
    log = (folder / "failures" / "base" / "seed0" / "dan.log").read_text()
    assert "Traceback" in log
    assert "cannot learn from 42 rows" in log.splitlines()[-1] or "cannot learn from 42 rows" in log
    failed = [each["unit"] for each in read_json_lines(folder / "progress.jsonl") if each["event"] == "failed"]
    assert {"base/seed0/dan", "base/seed1/dan"} == set(failed)


@pytest.mark.slow
def test_mended_run_goes_on_with_what_is_there(desk: Any, awkward: dict[str, Any]) -> None:
    """A fold that fails for want of memory would cost a second night."""
    with pytest.raises(UnitError):
        desk.run(fit=awkward)
    folder = only_run(desk)
    early = desk.fitted(folder)
    Path(awkward["params"]["flag"]).unlink()
    run = desk.run(fit=awkward)
    assert (folder, "PROMOTE") == (run.folder, run.verdict)
    assert not (folder / "HOLD.json").exists()
    assert not (folder / "failures").exists()
    assert early == {name: desk.fitted(folder)[name] for name in early}


@pytest.mark.slow
def test_failure_after_a_promote_leaves_nothing_old(desk: Any, awkward: dict[str, Any]) -> None:
    """Defect 11: an older PROMOTE, or the digests of older predictions, would stand beside a failed run."""
    flag = Path(awkward["params"]["flag"])
    flag.unlink()
    run = desk.run(fit=awkward)
    assert "PROMOTE" == run.verdict
    (run.folder / "fits" / "seed0" / "dan" / "model.skops").unlink()
    flag.touch()
    with pytest.raises(UnitError, match="1 unit failed"):
        desk.run(fit=awkward)
    assert read_verdict(run.folder) is None
    assert not {"predictions.jsonl", "metrics.json", "report.html"} & {path.name for path in run.folder.iterdir()}


def test_failing_baseline_is_told_and_costs_nothing_else(desk: Any, awkward: dict[str, Any]) -> None:
    """A broken baseline would hold back a good model, or vanish from the table without a word."""
    mean = {"id": "mean", "backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyRegressor"}}
    run = desk.run(baselines=[{"id": "picky", "backbone": "sklearn", "fit": awkward}, mean])
    assert "PROMOTE" == run.verdict
    assert {"mean"} == set(read_json(run.folder / "metrics.json")["baselines"])
    report = (run.folder / "RUN_REPORT.md").read_text()
    assert "baseline picky/seed0/dan failed" in report
    assert "cannot learn from 42 rows" in report


@pytest.mark.slow
def test_one_refused_row_of_a_batch_keeps_the_other_folds(desk: Any) -> None:
    """A backbone that trains all folds together would lose them all for one group that it cannot predict."""
    rows = []
    for source in ("aa", "bb", "cc"):
        encoders = ("libx264", "libx265") if source != "cc" else ("libx264", "libsvtav1")
        for encoder in encoders:
            for cq in (20, 30):
                for frame in range(10):
                    level = 0.9 - cq / 100 + frame / 200 + len(encoder) / 500 + ord(source[0]) / 3000
                    six = {f"vif_scale{scale}": level - 0.05 * scale for scale in range(4)}
                    row = {"src": source, "encoder": encoder, "cq": cq, "frame_index": frame, "vmaf": 100 * level}
                    rows.append(row | six | {"adm2": level, "motion2": 3.0 + frame})
    (desk.folder / "frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UnitError) as caught:
        desk.run(
            corpus={"reader": "video_frames", "path": "frames.jsonl"},
            backbone="fr_regressor",
            fit={"epochs": 2, "hidden": 4, "unseen": "refuse"},
            seeds=[0],
            baselines=[],
        )
    assert "1 unit failed" in caught.value.what
    assert str(caught.value.where).startswith("base/seed0/cc; ")
    assert {"fits/seed0/aa", "fits/seed0/bb"} == set(desk.fitted(only_run(desk)))
