"""Any scikit-learn estimator by import path: what it is given, what it answers, and how it is stored."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.backbone import ClassScores, FeaturesView, TrainView, skops_archive
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.errors import HeldoutError, PrerequisiteError, StudyError, TamperedError
from heldout.evidence import sha256_bytes

pytest.importorskip("sklearn")
pytest.importorskip("skops")

# What calls itself an estimator and is less than one of scikit-learn's.
DUCKS = """
import numpy as np


class Duck:
    def fit(self, X, y):
        self.slope_ = np.linalg.lstsq(X, y, rcond=None)[0]
        return self

    def predict(self, X):
        return X @ self.slope_


class DuckClassifier:
    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.share_ = counts / counts.sum()
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[self.share_.argmax()])

    def predict_proba(self, X):
        return np.tile(self.share_, (len(X), 1))


class Numbered(DuckClassifier):
    def fit(self, X, y):
        return super().fit(X, y + 0)  # a TypeError of numpy for text


class Nameless(DuckClassifier):
    def fit(self, X, y):
        super().fit(X, y)
        del self.classes_
        return self


class Sure(DuckClassifier):
    _estimator_type = "classifier"
    predict_proba = property()


class Broken(DuckClassifier):
    def fit(self, X, y):
        raise ValueError("there is no such file")
"""

REGRESSORS: dict[str, dict[str, Any]] = {
    "sklearn.linear_model.Ridge": {"alpha": 0.5},
    "sklearn.ensemble.RandomForestRegressor": {"n_estimators": 5},
    "sklearn.ensemble.HistGradientBoostingRegressor": {"max_iter": 5},
    "sklearn.neural_network.MLPRegressor": {"hidden_layer_sizes": [4], "max_iter": 300, "tol": 0.1},
    "sklearn.svm.SVR": {},
    "sklearn.neighbors.KNeighborsRegressor": {},
    "sklearn.dummy.DummyRegressor": {},
}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "sklearn.linear_model.LogisticRegression": {},
    "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 5},
    "sklearn.tree.DecisionTreeClassifier": {},
    "sklearn.dummy.DummyClassifier": {"strategy": "stratified"},
}


def backbone(estimator: str, params: dict[str, Any] | None = None, **more: Any) -> SklearnBackbone:
    return SklearnBackbone(SklearnParams(estimator=estimator, params=params or {}, **more))


def features(seed: int = 0, rows: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "length": rng.normal(size=rows),
            "count": rng.integers(0, 9, rows),
            "kind": [("small", "large", "other")[index % 3] for index in range(rows)],
            "new": [index % 2 == 0 for index in range(rows)],
        }
    )


def view(task: str = "regression") -> TrainView:
    frame = features()
    number = 2.0 * frame["length"].to_numpy() + frame["new"].to_numpy() + 0.1 * frame["count"].to_numpy()
    target = number if task == "regression" else np.where(number > 0.5, "yes", "no")
    return TrainView(frame, target, np.array(["g"] * frame.height), task)  # type: ignore[arg-type]


def saved(model: Any, folder: Path, with_: SklearnBackbone) -> bytes:
    with_.save(model, folder)
    return (folder / "model.skops").read_bytes()


@pytest.fixture
def ducks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "duck_estimators.py").write_text(DUCKS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("duck_estimators", None)


@pytest.mark.parametrize(
    ("estimator", "task"),
    [
        ("lightgbm.LGBMRegressor", "regression"),
        ("lightgbm.LGBMClassifier", "classification"),
        ("duck_estimators.Duck", "regression"),
        ("duck_estimators.DuckClassifier", "classification"),
        ("duck_estimators.Numbered", "classification"),
    ],
)
@pytest.mark.usefixtures("ducks")
def test_an_estimator_need_not_be_one_of_scikit_learn(estimator: str, task: str, tmp_path: Path) -> None:
    """LightGBM, XGBoost and a user's own class would end in a traceback of scikit-learn."""
    if estimator.startswith("lightgbm"):
        pytest.importorskip("lightgbm")
    found = backbone(estimator, {"n_estimators": 5, "verbose": -1} if estimator.startswith("lightgbm") else {})
    model = found.fit(view(task), 3, tmp_path)
    found.save(model, tmp_path)
    unseen = FeaturesView(features(seed=9, rows=37))
    expected, again = found.predict(model, unseen), found.predict(found.load(tmp_path), unseen)
    if isinstance(expected, ClassScores):
        assert isinstance(again, ClassScores)
        assert ("no", "yes") == expected.classes == again.classes
        expected, again = expected.probability, again.probability
    assert 37 == len(expected)
    assert expected.tobytes() == again.tobytes()  # type: ignore[union-attr]


@pytest.mark.usefixtures("ducks")
def test_a_classifier_that_fails_says_why_and_one_without_labels_is_refused(tmp_path: Path) -> None:
    """The second attempt, with numbers for labels, would hide what was wrong in the first."""
    with pytest.raises(ValueError, match="there is no such file"):
        backbone("duck_estimators.Broken").fit(view("classification"), 0, tmp_path)
    found = backbone("duck_estimators.Nameless")
    with pytest.raises(StudyError, match="does not say which class"):
        found.predict(found.fit(view("classification"), 0, tmp_path), FeaturesView(features()))


def test_another_seed_is_another_model(tmp_path: Path) -> None:
    """Five seeds would be one model five times, and their spread zero."""
    found = backbone("sklearn.ensemble.RandomForestRegressor", {"n_estimators": 5})
    digests = {sha256_bytes(saved(found.fit(view(), seed, tmp_path), tmp_path, found)) for seed in (0, 1, 2**32 - 1)}
    assert 3 == len(digests)


def test_model_file_holds_no_pickle(tmp_path: Path) -> None:
    """Loading a model from someone else would run their code."""
    found = backbone("sklearn.ensemble.RandomForestRegressor", {"n_estimators": 5})
    found.save(found.fit(view(), 0, tmp_path), tmp_path)
    with zipfile.ZipFile(tmp_path / "model.skops") as archive:
        kinds = {name.rpartition(".")[2] for name in archive.namelist()}
        assert {"json", "npy"} == kinds
        assert 1 == len({info.date_time for info in archive.infolist()})
        assert 1980 == archive.infolist()[0].date_time[0]  # no clock
        for name in archive.namelist():
            assert name == "schema.json" or archive.read(name).startswith(b"\x93NUMPY")
    assert ["model.skops"] == [path.name for path in tmp_path.iterdir()]


def test_model_file_that_names_a_foreign_type_is_refused(tmp_path: Path) -> None:
    """A model file could call any function that is installed."""
    found = backbone("sklearn.linear_model.Ridge")
    found.save(found.fit(view(), 0, tmp_path), tmp_path)
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = parts["schema.json"].replace(b'"sklearn.linear_model._ridge"', b'"subprocess"')
    parts["schema.json"] = schema.replace(b'"Ridge"', b'"Popen"')
    assert b'"subprocess"' in parts["schema.json"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(TamperedError, match=r"subprocess\.Popen") as caught:
        found.load(tmp_path)
    assert 3 == caught.value.exit_code


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        ("sklearn.linear_model.Rigde", StudyError),
        ("Ridge", StudyError),
        ("", StudyError),
        ("..linear_model.Ridge", StudyError),
        ("sklearn.linear_model.ridge_regression", StudyError),
        ("sklearn.preprocessing.StandardScaler", StudyError),
        ("sklearn.linear_model", StudyError),
        ("sklearn.linear_modle.Ridge", PrerequisiteError),
        ("no_such_package_here.Model", PrerequisiteError),
    ],
)
def test_unknown_import_path_is_a_message_of_three_parts(estimator: str, kind: type[HeldoutError]) -> None:
    """A typo would end in a traceback of importlib."""
    with pytest.raises(kind) as caught:
        backbone(estimator)
    assert repr(estimator) in caught.value.what
    assert "fit.estimator" == caught.value.where
    assert caught.value.hint
    assert 2 == caught.value.exit_code


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab._/ \x00é-", max_size=12))
def test_no_import_path_ends_in_a_traceback(estimator: str) -> None:
    """Some typo that nobody thought of would end in a traceback."""
    with pytest.raises(HeldoutError):
        backbone(estimator)


@pytest.mark.parametrize(
    ("params", "where", "words"),
    [
        ({"alhpa": 1.0}, "fit.params", "does not take these arguments"),
        ({"alpha": -1.0}, "fit.params", "does not take this value"),
        ({"solver": "fastest"}, "fit.params", "does not take this value"),
        ({"random_state": 3}, "fit.params.random_state", "is set by the seeds"),
    ],
)
def test_arguments_are_checked_before_compute_is_spent(params: dict[str, Any], where: str, words: str) -> None:
    """Every unit would fail, hours later, for a typo in the study."""
    with pytest.raises(StudyError, match=words) as caught:
        backbone("sklearn.linear_model.Ridge", params)
    assert where == caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize(
    ("estimator", "task"),
    [("sklearn.linear_model.LogisticRegression", "regression"), ("sklearn.linear_model.Ridge", "classification")],
)
def test_estimator_of_the_other_kind_is_refused(estimator: str, task: str, tmp_path: Path) -> None:
    """A classifier would take whole numbers for labels, and the run would end in a traceback of numpy."""
    whole = view()
    target = np.round(whole.target) if task == "regression" else view(task).target
    with pytest.raises(StudyError, match=f"no estimator for {task}"):
        backbone(estimator).fit(TrainView(whole.features, target, whole.groups, task), 0, tmp_path)  # type: ignore[arg-type]


@pytest.mark.usefixtures("ducks")
def test_a_classifier_of_ones_own_without_probabilities_is_refused(tmp_path: Path) -> None:
    """Nobody knows before a fit what such a class says, and the log loss would be that of made-up probabilities."""
    found = backbone("duck_estimators.Sure")
    with pytest.raises(StudyError, match="gives no probabilities"):
        found.predict(found.fit(view("classification"), 0, tmp_path), FeaturesView(features()))


def test_only_the_chosen_features_are_seen(tmp_path: Path) -> None:
    """A baseline on six features would see the seventh."""
    found = backbone("sklearn.linear_model.Ridge", features=["length"])
    model = found.fit(view(), 0, tmp_path)
    frame = features(seed=5)
    changed = frame.with_columns(pl.col("count") + 100, pl.lit("small").alias("kind"))
    before, after = (found.predict(model, FeaturesView(each)) for each in (frame, changed))
    assert before.tobytes() == after.tobytes()  # type: ignore[union-attr]
    with pytest.raises(StudyError, match="no feature 'lenght'"):
        backbone("sklearn.linear_model.Ridge", features=["lenght"]).fit(view(), 0, tmp_path)


def test_scaler_comes_from_the_training_rows(tmp_path: Path) -> None:
    """Statistics of held-out rows would leak into the model."""
    found = backbone("sklearn.linear_model.Ridge")
    model = found.fit(view(), 0, tmp_path)
    frame = features(seed=5)
    alone = np.concatenate([found.predict(model, FeaturesView(frame[[row]])) for row in range(frame.height)])  # type: ignore[misc]
    np.testing.assert_allclose(alone, found.predict(model, FeaturesView(frame)), rtol=1e-12)


def test_category_unseen_in_training_is_answered(tmp_path: Path) -> None:
    """A held-out group with a category of its own would break the run."""
    found = backbone("sklearn.linear_model.Ridge")
    model = found.fit(view(), 0, tmp_path)
    frame = features(seed=5, rows=4).with_columns(kind=pl.lit("never seen"))
    assert np.isfinite(found.predict(model, FeaturesView(frame))).all()  # type: ignore[arg-type]


@pytest.mark.first_is_fast
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_memory_that_nobody_wrote_is_not_saved(kind: str) -> None:
    """Gaps between the fields of a tree's node hold whatever lay there: equal forests would differ in their bytes."""
    from sklearn import ensemble

    from heldout.backbone.skops_archive import archive

    forest = getattr(ensemble, f"RandomForest{kind}")
    X = np.random.default_rng(1).normal(size=(36, 2))
    y = np.where(X[:, 0] > 0, "up", "down") if kind == "Classifier" else X[:, 0]
    archives = set()
    for other in range(10):
        litter = np.random.default_rng(other).normal(size=(60 + other, 3))
        forest(random_state=other, n_estimators=30).fit(litter, np.arange(60 + other) % 2)
        archives.add(archive(forest(random_state=0, n_estimators=30).fit(X, y)))
    assert 1 == len(archives)


@pytest.mark.parametrize(
    ("estimator", "meant"),
    [
        ("sklearn.linear_model.Rigde", "sklearn.linear_model.Ridge"),
        ("sklearn.linear_modle.Ridge", "sklearn.linear_model.Ridge"),
        ("sklearn.Ridge", "sklearn.linear_model.Ridge"),
        ("RandomForestRegresor", "sklearn.ensemble.RandomForestRegressor"),
        ("sklearn.linear_model.RandomForestClassifier", "sklearn.ensemble.RandomForestClassifier"),
        ("no_such_package_here.Ridge", None),
        ("sklearn.linear_model.Zzzzzz", None),
    ],
)
def test_misspelt_estimator_is_told_the_nearest_one(estimator: str, meant: str | None) -> None:
    """One swapped letter would send its author to the documentation of scikit-learn."""
    with pytest.raises(HeldoutError) as caught:
        backbone(estimator)
    hint = str(caught.value.hint)
    assert (f"did you mean {meant!r}?" in hint) if meant else ("did you mean" not in hint)


@pytest.mark.parametrize(
    "state",
    [
        {"a": [], "b": {}, "c": [1, {"d": None, "e": True}]},
        {"__class__": "Größe"},
        {"a": '\x7f\x01\n"\\/'},
        {"a": 2**70},
    ],
)
def test_the_state_of_an_archive_is_written_as_json_writes_it(state: dict[str, Any]) -> None:
    """A model would have another digest than it had last year, in an archive that is as good."""
    assert json.dumps(state, indent=2).encode() == skops_archive._indented(state)
