"""The page on judging predictions is executed: its commands, its Python, and its study."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from page_kit import ROOT, links, run_commands

from heldout.study import load_study

FIXTURES = ROOT / "tests" / "predicted" / "fixtures"
PAGE = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")


def others(folder: Path, frame: pl.DataFrame) -> None:
    """Files as others write them."""
    frame.select("patient", "event").write_csv(folder / "labels.csv")
    np.save(folder / "new.npy", frame["new"].to_numpy())
    np.savez(folder / "arrays.npz", champion=frame["old"].to_numpy(), other=np.zeros(3))
    for number, name in ((1, "new"), (2, "old")):
        (folder / f"run{number}").mkdir()
        shutil.copy(FIXTURES / "inspect" / f"quiz-{name}.eval", folder)
        (folder / name).mkdir()
        (log,) = (FIXTURES / "lm_eval" / name).glob("samples_sums_*.jsonl")
        shutil.copy(log, folder / name / "samples_sums_2026-12-01.jsonl")
        shutil.copy(FIXTURES / "mlflow" / f"{name}.json", folder / f"run{number}" / "eval_results_table.json")


@pytest.mark.slow
def test_the_commands_run_as_written(tmp_path: Path) -> None:
    """What people copy from the page would not run."""
    subprocess.run(
        [sys.executable, ROOT / "examples" / "predictions" / "make_predictions.py", tmp_path / "one.csv"], check=True
    )
    frame = pl.read_csv(tmp_path / "one.csv").with_row_index("sample")
    (tmp_path / "notebook").mkdir()
    frame.select("sample", "patient", "event").write_parquet(tmp_path / "truth.parquet")
    for name in ("new", "old"):
        frame.select("sample", pl.col(name).alias("prediction")).write_parquet(tmp_path / f"{name}.parquet")
    others(tmp_path, frame)
    done = run_commands(PAGE, tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 2 == done.stdout.count("PROMOTE readings / base (predicted") + done.stdout.count("PROMOTE truth / base")
    assert 2 == done.stdout.count("PROMOTE labels / base") + done.stdout.count("PROMOTE eval_results_table / base")
    assert 2 == done.stdout.count("PROMOTE quiz / base") + done.stdout.count("PROMOTE sums / base")
    assert "VERIFIED PROMOTE" in done.stdout
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    given = "import polars as pl\nframe = pl.read_csv('../one.csv')\n"
    given += "y, new, old, patient = (frame[name] for name in ('event', 'new', 'old', 'patient'))\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{given}{block}\nprint(run.verdict)"],
        cwd=tmp_path / "notebook", capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert "PROMOTE\n" == done.stdout, done.stderr


def test_the_study_is_one_and_links_lead_somewhere(tmp_path: Path) -> None:
    """A key that does not exist would be copied."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "study.yaml").write_text(block)
    assert "predictions" == load_study(tmp_path / "study.yaml").spec.backbone
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]
