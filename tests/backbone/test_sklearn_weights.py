"""Estimators by weight: `sample_weight` reaches their `fit`, or they are refused before anything is fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.backbone import ClassScores, FeaturesView, TrainView
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.corpus import Corpus
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import StudyError

pytest.importorskip("sklearn")


def view(task: Any = "regression", *, seed: int = 0) -> TrainView:
    """Rows with weights, 0 among them, of which a part follows another law."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 80)) * [[1.0], [50.0]]
    weight = rng.integers(0, 4, 80).astype(np.float64)
    y = 2.0 * a + 0.1 * b + 3.0 * (weight > 2) + rng.normal(size=80)
    target = y if task == "regression" else np.where(y > 0.5, "yes", "no")
    kind = np.where(weight == 0, "silent", rng.choice(["l", "r"], 80))
    frame = pl.DataFrame({"a": a, "b": b, "kind": kind})
    return TrainView(frame, target, np.repeat(["g", "h"], 40), task, weight=weight)


def backbone(estimator: str, params: dict[str, Any] | None = None, **more: Any) -> SklearnBackbone:
    return SklearnBackbone(SklearnParams.model_validate({"estimator": estimator, "params": params or {}, **more}))


def answers(of: SklearnBackbone, rows: TrainView, folder: Path) -> Any:
    """What the stored model answers."""
    folder.mkdir()
    of.save(of.fit(rows, 3, folder / "work"), folder)
    found = of.predict(of.load(folder), FeaturesView(view().features))
    return found.probability if isinstance(found, ClassScores) else found


def test_a_fit_is_that_of_scikit_learn_by_weight(tmp_path: Path) -> None:
    """Nobody could reproduce a weighted model; one scaled by rows that count nothing would be another."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    rows = view()
    assert rows.weight is not None
    found = answers(backbone("sklearn.linear_model.Ridge", features=["a", "b"]), rows, tmp_path / "m")
    X, counts = rows.features.select("a", "b").to_numpy(), rows.weight > 0
    scaler = StandardScaler().fit(X[counts], sample_weight=rows.weight[counts])
    theirs = Ridge().fit(scaler.transform(X[counts]), rows.target[counts], sample_weight=rows.weight[counts])
    assert theirs.predict(scaler.transform(X)) == pytest.approx(found, rel=1e-9)
    assert not np.allclose(found, answers(backbone("sklearn.linear_model.Ridge", features=["a", "b"]),
                                          replace(rows, weight=None), tmp_path / "n"), rtol=1e-3)  # fmt: skip


@pytest.mark.parametrize("estimator", ["sklearn.linear_model.Ridge", "sklearn.dummy.DummyRegressor"])
def test_a_whole_weight_is_so_many_rows(estimator: str, tmp_path: Path) -> None:
    """Whoever writes a row three times and whoever writes a 3 beside it would get two models."""
    rows = view()
    assert rows.weight is not None
    often = np.repeat(np.arange(80), rows.weight.astype(np.int64))
    repeated = TrainView(rows.features[often], rows.target[often], rows.groups[often], rows.task)
    found = answers(backbone(estimator), rows, tmp_path / "m")
    assert answers(backbone(estimator), repeated, tmp_path / "n") == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        ("sklearn.linear_model.LogisticRegression", {}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 5}),
        ("lightgbm.LGBMClassifier", {"n_estimators": 5, "verbose": -1}),
        ("xgboost.XGBClassifier", {"n_estimators": 5}),
    ],
)
def test_classes_are_fitted_by_weight(estimator: str, params: dict[str, Any], tmp_path: Path) -> None:
    """Labels that are given as numbers on the second try would lose their weights on the way."""
    pytest.importorskip(estimator.partition(".")[0])
    rows = view("classification")
    found = [
        answers(backbone(estimator, params), each, tmp_path / str(number))
        for number, each in enumerate((rows, replace(rows, weight=np.ones(80)), replace(rows, weight=None)))
    ]
    assert not np.allclose(found[0], found[1], rtol=1e-3), "weights change the model"
    if "Forest" not in estimator:  # which draws its rows otherwise where they have weights
        assert found[2] == pytest.approx(found[1], rel=1e-5), "weights that are all 1 change nothing"


def corpus(folder: Path, weight: str | None = "w") -> Corpus:
    rows = view()
    frame = rows.features.with_columns(y=pl.Series(rows.target), w=pl.Series(rows.weight), g=pl.Series(rows.groups))
    frame.write_csv(folder / "t.csv")
    return TableReader(TableOptions(path=folder / "t.csv", group="g", target="y", weight=weight)).read()


@pytest.mark.parametrize(
    "estimator", ["sklearn.neighbors.KNeighborsRegressor", "sklearn.gaussian_process.GaussianProcessRegressor"]
)
def test_an_estimator_that_takes_no_weights_is_refused(estimator: str, tmp_path: Path) -> None:
    """It would be fitted to all rows alike and judged as if it were not."""
    with pytest.raises(StudyError, match="does not fit by weights") as caught:
        backbone(estimator).check(corpus(tmp_path).sealed())
    assert "fit.estimator" == caught.value.where
    assert "weight: ignore" in str(caught.value.hint)
    backbone(estimator, weight="ignore").check(corpus(tmp_path).sealed())
    backbone(estimator).check(corpus(tmp_path, None).sealed())


def test_one_that_passes_weights_on_unseen_is_not_believed(tmp_path: Path) -> None:
    """A search over parameters would fit by weights and choose without them, or the other way round."""
    pytest.importorskip("sklearn.model_selection")
    from heldout.backbone.routing import takes_weights

    class Loose:
        def fit(self, X: Any, y: Any, **more: Any) -> None:
            """Take anything."""

    class Strict:
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> None:
            """Take weights."""

    assert (False, True) == (takes_weights(Loose()), takes_weights(Strict()))


def test_ignored_weights_change_nothing(tmp_path: Path) -> None:
    """A study that says so would still fit by them."""
    rows = view()
    ignoring = backbone("sklearn.linear_model.Ridge", weight="ignore")
    plain = answers(backbone("sklearn.linear_model.Ridge"), replace(rows, weight=None), tmp_path / "m")
    assert plain.tolist() == answers(ignoring, rows, tmp_path / "n").tolist()
