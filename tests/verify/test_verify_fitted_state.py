"""HO-G008 in a verdict: it is no tampering that it stands there, and it is one that it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from heldout import Study
from heldout.errors import InputError
from heldout.plugins import trusting_code
from heldout.run import fitted_state, fitting, prepare
from heldout.verify import verify_run
from heldout.verify.chain import BrokenError
from heldout.verify.evidence import RunEvidence
from heldout.verify.refit import check_refit

ESTIMATOR = """
import polars as pl
from sklearn.linear_model import Ridge


class Centring(Ridge):
    def __init__(self, alpha=1.0, *, table=""):
        super().__init__(alpha=alpha)
        self.table = table

    def fit(self, X, y):
        self.centre_ = pl.read_csv(self.table)["y"].mean()
        return super().fit(X, y - self.centre_)
"""
STUDY = """
study: leaky
corpus: {{path: {table}, group: site, target: y}}
backbone: sklearn
fit: {{estimator: centring.Centring, params: {{table: {table}}}}}
seeds: [0]
baselines: []
bootstrap: {{draws: 100}}
gate: {{rules: [{{id: plcc, metric: plcc, over: pooled, at_least: 0.3}}]}}
"""


def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A study whose estimator centres by all targets of its corpus, and the corpus."""
    corpus, rng = tmp_path / "rows.csv", np.random.default_rng(0)
    frame = pl.DataFrame({"a": rng.normal(size=48), "site": ["north", "south", "east", "west"] * 12})
    frame.with_columns(y=pl.col("a") + 0.1 * rng.normal(size=48)).write_csv(corpus)
    (tmp_path / "centring.py").write_text(ESTIMATOR)
    monkeypatch.syspath_prepend(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.format(table=corpus))
    return study, corpus


def test_a_run_that_reaches_for_its_corpus_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the held-out rows himself would be judged by how well he read them."""
    study, corpus = leaky(tmp_path, monkeypatch)
    run = Study.load(study).run(runs=tmp_path / "runs", workers=1)
    assert ("HOLD", ["HO-G008"]) == (run.verdict, [finding["code"] for finding in run.document["findings"]])
    # Nothing is fitted once the code was seen to reach for the corpus: such a HOLD has no chain to verify.
    with pytest.raises(InputError, match="incomplete"):
        verify_run(run.folder, corpus=corpus, refit_too=True, workers=1)


@pytest.mark.slow
def test_a_leak_that_no_fence_saw_holds_and_its_finding_cannot_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An honest HOLD would be called tampered; or the finding be cut out of the verdict, and a refit not miss it."""
    study, corpus = leaky(tmp_path, monkeypatch)
    for module in (fitted_state, fitting, prepare):  # fitted as if the class were one of ours
        monkeypatch.setattr(module, "is_foreign", lambda _: False)
    run = Study.load(study).run(runs=tmp_path / "runs", workers=1)
    assert ("HOLD", ["HO-G008"]) == (run.verdict, [finding["code"] for finding in run.document["findings"]])
    with trusting_code():
        found = verify_run(run.folder, corpus=corpus, refit_too=True, workers=1)
    assert found.holds, found.broken

    verdict = run.folder / "HOLD.json"
    verdict.write_text(json.dumps(json.loads(verdict.read_text()) | {"findings": []}))
    with pytest.raises(BrokenError, match="changes with its held-out rows"):
        check_refit(RunEvidence.open(run.folder, corpus), workers=1)
    sys.modules.pop("centring")
