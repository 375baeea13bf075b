"""Estimators that say labels and no probabilities, on the whole road: found before a fit, judged by labels alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, matthews_corrcoef, recall_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

import heldout
from heldout import Study
from heldout.errors import HeldoutError
from heldout.registry import Registry, add, promote
from heldout.run import Run
from heldout.run.begin.choices import Asked
from heldout.run.begin.starter import write_starter
from heldout.shadow import ShadowStore, run_shadow

DATA = load_iris()
LABELS = DATA.target_names[DATA.target]
SITES = np.array([f"s{number % 5}" for number in range(150)])
RIDGE, LOGISTIC = "sklearn.linear_model.RidgeClassifier", "sklearn.linear_model.LogisticRegression"
BASE: dict[str, Any] = {
    "study": "labels",
    "corpus": {"path": "iris.csv", "group": "site", "target": "kind"},
    "backbone": "sklearn",
    "fit": {"estimator": RIDGE, "scale": False},
    "seeds": [0],
    "metrics": ["mcc", "kappa"],
    "gate": {
        "rules": [
            {"id": "more", "metric": "accuracy", "against": "trivial", "above": 0},
            {"id": "found", "metric": "recall@setosa", "over": "pooled", "at_least": 0.9},
        ]
    },
}


def study(folder: Path, **changes: Any) -> Study:
    columns = {f"x{number}": column for number, column in enumerate(DATA.data.T)}
    pl.DataFrame(columns | {"kind": LABELS, "site": SITES}).write_csv(folder / "iris.csv")
    (folder / "study.yaml").write_text(json.dumps(BASE | changes))
    return Study.load(folder / "study.yaml")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("labels")
    return study(folder).run(runs=folder / "runs", workers=1)


def test_labels_are_judged_by_the_numbers_of_scikit_learn(judged: Run) -> None:
    """An estimator that half of all use would be refused, or judged by probabilities that it never said."""
    said = cross_val_predict(RidgeClassifier(), DATA.data, LABELS, groups=SITES, cv=LeaveOneGroupOut())
    assert said.tolist() == judged.predictions["prediction"].to_list()
    pooled = judged.numbers["ensemble"]["pooled"]
    expected = {
        "accuracy": accuracy_score(LABELS, said),
        "macro_f1": f1_score(LABELS, said, average="macro"),
        "mcc": matthews_corrcoef(LABELS, said),
        "kappa": cohen_kappa_score(LABELS, said),
        "recall@setosa": recall_score(LABELS, said, labels=["setosa"], average="macro"),
    }
    assert expected == pytest.approx({name: pooled[name] for name in expected}, rel=1e-9)
    assert "log_loss" not in pooled
    assert "PROMOTE" == judged.verdict


LOSS: dict[str, Any] = {"rules": [{"id": "loss", "metric": "log_loss", "at_most": 0.5}]}
REFUSED: dict[str, dict[str, Any]] = {
    "a rule": {"gate": LOSS},
    "a family": {"gate": {"rules": [{"id": "area", "metric": "roc_auc@setosa", "over": "pooled", "at_least": 0.5}]}},
    "the study": {"metrics": ["brier"]},
    "a baseline": {
        "fit": {"estimator": LOGISTIC},
        "gate": LOSS,
        "baselines": [{"id": "old", "description": "d", "backbone": "sklearn", "fit": {"estimator": RIDGE}}],
    },
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_is_of_probabilities_is_refused_before_a_fit(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A loss of labels that pass for certain would decide."""
    with pytest.raises(HeldoutError, match=f"is of probabilities, and {RIDGE}") as refused:
        study(tmp_path, **changes).prepare()
    hint = str(refused.value.hint)
    assert "CalibratedClassifierCV" in hint
    assert f"{{estimator: {{estimator: {RIDGE}}}}}" in hint
    assert "study.yaml" in str(refused.value.where)


def test_a_champion_that_says_labels_is_beaten_by_labels(judged: Run, tmp_path: Path) -> None:
    """Anybody with probabilities would gain over labels that pass for certain."""
    rule = {"id": "beats", "against": "champion", "above": 0}
    changes = {"fit": {"estimator": LOGISTIC}, "champion": str(judged.folder)}
    with pytest.raises(
        HeldoutError, match=f"log_loss is of probabilities, and {RIDGE} of 'champion' says labels alone"
    ):
        study(tmp_path, **changes, gate={"rules": [rule | {"metric": "log_loss"}]}).prepare()
    run = study(tmp_path, **changes, gate={"rules": [rule | {"metric": "accuracy"}]}).run(runs=tmp_path / "runs")
    assert run.numbers["comparisons"]["champion"]["accuracy"]["gain"] > 0


def test_a_choice_among_labels_is_made_by_labels(tmp_path: Path) -> None:
    """A choice by log loss would always take the one that says probabilities."""
    among = {
        "line": {"backbone": "sklearn", "fit": {"estimator": RIDGE}},
        "curve": {"backbone": "sklearn", "fit": {"estimator": LOGISTIC}},
    }
    with pytest.raises(HeldoutError, match="the candidate 'line' says labels alone"):
        study(tmp_path, backbone="select", fit={"among": among}).prepare()
    study(tmp_path, backbone="select", fit={"among": among, "metric": "accuracy"}).prepare()


def test_evaluate_and_init_judge_such_an_estimator_by_labels(tmp_path: Path) -> None:
    """The first call of a newcomer would be refused."""
    run = heldout.evaluate(
        "sklearn.svm.LinearSVC", DATA.data, LABELS, groups=SITES, against=make_pipeline(StandardScaler(), SVC()),
        workers=1, ledger=tmp_path / "evaluated",
    )  # fmt: skip
    assert {"accuracy"} == {str(sentence).split()[3] for sentence in run.rules["sentence"][-2:]}
    study(tmp_path)
    asked = Asked(group="site", target="kind", estimator="sklearn.linear_model.Perceptron")
    write_starter(tmp_path / "iris.csv", tmp_path / "begun.yaml", asked)
    assert Study.load(tmp_path / "begun.yaml").prepare().findings == ()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux")
def test_it_verifies_and_is_registered_and_shadowed(judged: Run, tmp_path: Path) -> None:
    """What was judged could not serve."""
    assert judged.verify(corpus=judged.folder.parents[2] / "iris.csv", refit=True).holds
    with Registry(tmp_path / "registry", create=True) as registry:
        promote(registry, add(registry, judged.folder).id)
        pl.DataFrame({f"x{number}": column[::50] for number, column in enumerate(DATA.data.T)}).write_csv(
            tmp_path / "monday.csv"
        )
        store = ShadowStore(tmp_path / "shadow", "labels")
        assert ["predicted"] == [each.state for each in run_shadow(registry, store, tmp_path / "monday.csv").results]
    known = [RidgeClassifier().fit(DATA.data[SITES != name], LABELS[SITES != name]) for name in np.unique(SITES)]
    votes = [[model.predict(DATA.data[::50])[row] for model in known] for row in range(3)]
    expected = [max(sorted(set(each)), key=each.count) for each in votes]
    assert expected == store.predictions().sort("sample_id")["prediction"].to_list()


def test_a_linear_machine_answers_as_it_does_by_hand(tmp_path: Path) -> None:
    """What draws nothing, or is scaled inside, would be another model in a fold."""
    machine = make_pipeline(StandardScaler(), LinearSVC(dual=False))
    run = heldout.evaluate(machine, DATA.data, LABELS, groups=SITES, workers=1, ledger=tmp_path)
    said = cross_val_predict(machine, DATA.data, LABELS, groups=SITES, cv=LeaveOneGroupOut())
    assert said.tolist() == run.predictions["prediction"].to_list()
