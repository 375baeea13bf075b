"""What is wrong in a study has its line, whoever finds it: the study's reader, a backbone, or the corpus."""

from __future__ import annotations

from typing import Any

import pytest

from heldout import Study
from heldout.errors import HeldoutError

STUDY = """\
study: places
corpus: {path: table.csv, group: person, target: score, id: id}
backbone: sklearn
fit:
  estimator: sklearn.linear_model.Ridge
  params:
    alpha: 1.0
split: {kind: leave-one-group-out}
seeds: [0]
variants:
- id: stiff
  set:
    fit.params.alpha: 2.0
- id: other
  parent: stiff
  set:
    fit:
      estimator: sklearn.linear_model.Lasso
baselines:
- id: mean
  backbone: sklearn
  fit:
    estimator: sklearn.dummy.DummyRegressor
gate:
  slices: [kind]
  rules:
  - {id: plcc, metric: plcc, over: pooled, at_least: 0.9}
  - id: gain
    metric: rmse
    against: mean
    at_least: 0
"""


@pytest.mark.parametrize(
    ("right", "wrong", "variant", "where"),
    [
        ("model.Ridge", "model.Rigde", "base", "5:3 (fit.estimator)"),
        ("alpha: 1.0", "alpha: -1.0", "base", "6:3 (fit.params)"),
        ("alpha: 1.0", "random_state: 1", "base", "7:5 (fit.params.random_state)"),
        ("alpha: 2.0", "alpha: -2.0", "stiff", "6:3 (fit.params)"),
        ("model.Lasso", "model.Laso", "other", "18:7 (fit.estimator)"),
        ("dummy.Dummy", "dummy.Dumy", "base", "23:5 (baselines.0.fit.estimator)"),
        ("metric: rmse", "metric: rsme", "base", "29:5 (gate.rules.1.metric)"),
        ("metric: plcc", "metric: accuracy", "base", "27:16 (gate.rules.0.metric)"),
        ("against: mean", "against: meen", "base", "30:5"),
        ("[kind]", "[weight, knid]", "base", "25:20 (gate.slices.1)"),
        ("params:\n    alpha: 1.0", "features: [weight, knid]", "base", "6:3 (fit.features)"),
        ("linear_model.Ridge", "linear_model.RidgeClassifier", "base", "5:3 (fit.estimator)"),
        ("DummyRegressor", "DummyClassifier", "base", "23:5 (baselines.0.fit.estimator)"),
        ("{kind: leave-one-group-out}", "{kind: fixed, test: [eve]}", "base", "8:22 (split.test)"),
        ("{kind: leave-one-group-out}", "{kind: nonsense}", "base", "8:9"),
        ("{kind: leave-one-group-out}", "{kind: group-k-fold, fold: 3}", "base", "8:29"),
        ("{kind: leave-one-group-out}", "{kind: group-k-fold, folds: 1}", "base", "8:29"),
        ("{kind: leave-one-group-out}", "{kind: group-k-fold, folds: 9}", "base", "8:29 (split.folds)"),
        ("{kind: leave-one-group-out}", "{kind: fixed}", "base", "8:1"),
        ("{kind: leave-one-group-out}", "{kind: leave-one-group-out, folds: 3}", "base", "8:36"),
        ("{kind: leave-one-group-out}", "{kind: sklearn.model_selection.NoFold}", "base", "8:9 (split.kind)"),
        ("fit.params.alpha: 2.0", "split.kind: nonsense", "stiff", "13:5"),
    ],
)
def test_a_complaint_names_the_line(desk: Any, right: str, wrong: str, variant: str, where: str) -> None:
    """Whoever has forty rules would look for the one that is misspelt."""
    path = desk.folder / "study.yaml"
    assert 1 == STUDY.count(right)
    path.write_text(STUDY.replace(right, wrong))
    with pytest.raises(HeldoutError) as caught:
        Study.load(path).prepare(variant, runs=desk.runs)
    assert f"{path}:{where}" == caught.value.where
    assert caught.value.hint


def test_an_override_is_named_and_no_line(desk: Any) -> None:
    """A line would be blamed that says something else."""
    (desk.folder / "study.yaml").write_text(STUDY)
    study = Study.load(desk.folder / "study.yaml", ["fit.estimator=sklearn.linear_model.Rigde"])
    with pytest.raises(HeldoutError) as caught:
        study.prepare(runs=desk.runs)
    assert "--set fit.estimator (fit.estimator)" == caught.value.where
    study = Study.load(desk.folder / "study.yaml", ["split.kind=nonsense"])
    with pytest.raises(HeldoutError, match="no splitter named 'nonsense'") as caught:
        study.prepare(runs=desk.runs)
    assert "--set split.kind" == caught.value.where
