"""A small run's documents, made by the real rooms before the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import quick

from heldout.backbone import CurvePanel
from heldout.report import write_reports
from heldout.run.verdict import build_verdict
from heldout.study import BootstrapSpec
from heldout.task import Predictions, summarise

GROUPS = ("alpha", "beta", "gamma & <b>delta</b>")
Writer = Callable[..., Path]


def _documents(groups: tuple[str, ...] = GROUPS, classes: tuple[str, ...] = (), rows: int = 40) -> dict[str, Any]:
    """Everything that ``write_reports`` takes, for three seeds over these groups."""
    rng = np.random.default_rng(7)
    names = np.repeat(groups, rows)
    samples = pl.DataFrame({"sample_id": [f"s{i}" for i in range(len(names))], "group": names, "fold": names})
    if classes:
        codes = rng.integers(0, len(classes), len(names))
        samples = samples.with_columns(target=pl.Series([classes[code] for code in codes]))
        members = {seed: rng.dirichlet(np.ones(len(classes)), len(names)) for seed in (0, 1, 2)}
    else:
        target = rng.uniform(0, 100, len(names))
        samples = samples.with_columns(target=pl.Series(target))
        members = {seed: target + rng.normal(0, 3, len(names)) for seed in (0, 1, 2)}
    predictions = Predictions(samples, members, classes)
    metrics = summarise(predictions, dict.fromkeys(groups, len(names) - rows), BootstrapSpec(draws=200))
    verdict = build_verdict(
        study="tiny",
        variant="base",
        seeds=[0, 1, 2],
        outcomes=[],
        findings=[],
        smoke=None,
        judged={"corpus_path": "tiny.csv", "corpus_sha256": "c" * 64, "metrics_sha256": "d" * 64},
        provenance={"code": {"revision": "abc"}, "host": {"system": "Linux", "cpus": 2}, "argv": [], "packages": {}},
    )
    verdict["generated_at_utc"] = "2026-01-02T03:04:05+00:00"
    manifest = {
        "rows": len(names),
        "groups": [{"id": name} for name in groups],
        "path": "tiny.csv",
        "target": "y",
        "skipped": [{"id": "omega", "reason": "no frames"}],
    }
    return {
        "verdict": verdict,
        "metrics": metrics,
        "manifest": manifest,
        "split": {"kind": "leave-one-group-out", "folds": [{} for _ in groups]},
        "predictions": predictions.to_frame(),
        "notes": ["a note that must be read"],
        "warnings": ["an unseen encoder"],
        "curves": [] if classes else [CurvePanel("enc", "rate", "quality", {"measured": [(1.0, 2.0), (2.0, 3.0)]})],
        "units": "" if classes else "VMAF",
    }


@pytest.fixture(autouse=True)
def _drawn(quick_runs: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the plots are looked at."""
    quick.with_rendering(monkeypatch)


@pytest.fixture
def documents() -> Callable[..., dict[str, Any]]:
    """Makes what ``write_reports`` takes."""
    return _documents


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes the reports of a small run and returns its folder."""

    def run(**kwargs: Any) -> Path:
        changes = kwargs.pop("changes", {})
        folder = tmp_path / kwargs.pop("name", "base-20260102-0123abcd")
        folder.mkdir()
        write_reports(folder, **(_documents(**kwargs) | changes))
        return folder

    return run
