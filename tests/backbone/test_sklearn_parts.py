"""Pipelines, searches and votes as data: of what they are made, which groups they split, what they equal by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.backbone import ClassScores, FeaturesView, TrainView
from heldout.backbone.estimators import takes_seed
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.errors import StudyError
from heldout.evidence import sha256_file

pytest.importorskip("sklearn")
pytest.importorskip("skops")

RIDGE = {"estimator": "sklearn.linear_model.Ridge"}
SCALER = {"estimator": "sklearn.preprocessing.StandardScaler"}
LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression"}
SEARCH = {"estimator": RIDGE, "param_grid": {"alpha": [0.01, 1.0, 100.0]}}
ENCODER = {"estimator": "sklearn.preprocessing.OneHotEncoder", "params": {"handle_unknown": "ignore"}}
COLUMNS = {
    "estimator": "sklearn.compose.ColumnTransformer",
    "params": {
        "transformers": [
            ["numbers", SCALER, ["a", "b"]],
            ["words", ENCODER, ["c"]],
        ]
    },
}  # fmt: skip
SEEN = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class Mine(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.columns_ = list(getattr(X, "columns", []))
        self.form_ = type(X).__module__.partition(".")[0]
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Labels(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_, self.kind_ = np.unique(y), y.dtype.kind
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.tile(np.eye(len(self.classes_))[0], (len(X), 1))
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "seen_estimators.py").write_text(SEEN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("seen_estimators", None)


def backbone(estimator: str, params: dict[str, Any] | None = None, **more: Any) -> SklearnBackbone:
    return SklearnBackbone(SklearnParams(estimator=estimator, params=params or {}, **more))


def view(task: Any = "regression", *, rows: int = 60, words: bool = False) -> TrainView:
    """Six groups, in which a search by rows is misled: each group has a level of its own."""
    rng = np.random.default_rng(3)
    groups = np.repeat([f"g{number}" for number in range(6)], rows // 6)
    frame = pl.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
    if words:
        frame = frame.with_columns(c=pl.Series(["x", "y", None] * (rows // 3)))
    target: Any = frame["a"].to_numpy() + rng.normal(size=6).repeat(rows // 6) + 0.1 * rng.normal(size=rows)
    return TrainView(frame, target if task == "regression" else np.where(target > 0, "yes", "no"), groups, task)


def answers(model: Any, found: SklearnBackbone, rows: TrainView, folder: Path) -> Any:
    """What the stored model answers, which is what the one in memory does."""
    folder.mkdir(exist_ok=True)
    found.save(model, folder)
    asked = FeaturesView(rows.features)
    plain, stored = found.predict(model, asked), found.predict(found.load(folder), asked)
    if isinstance(plain, ClassScores):
        assert isinstance(stored, ClassScores)
        assert plain.classes == stored.classes
        plain, stored = plain.probability, stored.probability
    assert np.asarray(plain).tobytes() == np.asarray(stored).tobytes()
    return plain


def test_a_search_splits_the_groups_of_the_train_view(tmp_path: Path) -> None:
    """It would choose by rows of groups that it trains on, and so for groups that it has seen."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold

    rows, found = view(), backbone("sklearn.model_selection.GridSearchCV", SEARCH, scale=False)
    model = found.fit(rows, 0, tmp_path)
    hand = GridSearchCV(Ridge(), SEARCH["param_grid"], cv=GroupKFold(5))
    hand.fit(rows.features.to_numpy(), rows.target, groups=rows.groups)
    np.testing.assert_allclose(
        answers(model, found, rows, tmp_path / "m"), hand.predict(rows.features.to_numpy()), 1e-12
    )
    scores = model.steps[-1][1].cv_results_["mean_test_score"]
    np.testing.assert_allclose(hand.cv_results_["mean_test_score"], scores, 1e-12)
    by_rows = GridSearchCV(Ridge(), SEARCH["param_grid"]).fit(rows.features.to_numpy(), rows.target)
    assert not np.allclose(by_rows.cv_results_["mean_test_score"], scores, rtol=1e-3)


@pytest.mark.parametrize(("folds", "named"), [(3, 3), (None, 2), (9, 2)])
def test_inner_folds_are_as_many_as_there_are_groups_for(folds: int | None, named: int, tmp_path: Path) -> None:
    """A fold that trains on few groups would fail after all others were fitted."""
    rows = view()
    if named == 2:
        kept = np.flatnonzero(np.isin(rows.groups, ["g0", "g1"]))
        rows = TrainView(rows.features[kept], rows.target[kept], rows.groups[kept], "regression")
    found = backbone("sklearn.model_selection.GridSearchCV", SEARCH | {"cv": folds})
    assert named == found.fit(rows, 0, tmp_path).steps[-1][1].n_splits_


def test_groups_reach_what_is_nested_deeper(tmp_path: Path) -> None:
    """A penalty chosen inside a pipeline inside a search would be chosen by rows after all."""
    from sklearn.linear_model import LassoCV
    from sklearn.model_selection import GroupKFold

    steps = {"steps": [["scale", SCALER], ["fit", {"estimator": "sklearn.linear_model.LassoCV"}]]}
    rows, found = view(), backbone("sklearn.pipeline.Pipeline", steps, scale=False)
    model = found.fit(rows, 0, tmp_path)
    table = rows.features.to_numpy()
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    inner = list(GroupKFold(5).split(table, groups=rows.groups))
    assert LassoCV(cv=inner).fit(table, rows.target).alpha_ == model.steps[-1][1][-1].alpha_
    answers(model, found, rows, tmp_path / "m")


def test_a_splitter_that_is_named_is_the_one(tmp_path: Path) -> None:
    """Who asks for another way of splitting would get the usual one."""
    splitter = {"estimator": "sklearn.model_selection.KFold", "params": {"n_splits": 4, "shuffle": True}}
    found = backbone("sklearn.model_selection.GridSearchCV", SEARCH | {"cv": splitter})
    inner = found.fit(view(), 7, tmp_path).steps[-1][1].cv
    assert ("KFold", 4, 7) == (type(inner).__name__, inner.n_splits, inner.random_state)


def test_columns_go_by_name_where_a_part_asks_for_them(tmp_path: Path) -> None:
    """A `ColumnTransformer` would be given numbers without names, and refuse them fold by fold."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = view(words=True)
    found = backbone("sklearn.pipeline.Pipeline", {"steps": [["columns", COLUMNS], ["fit", RIDGE]]})
    model = found.fit(rows, 0, tmp_path)
    parts = [("n", StandardScaler(), ["a", "b"]), ("w", OneHotEncoder(), ["c"])]
    hand = make_pipeline(ColumnTransformer(parts), Ridge()).fit(rows.features, rows.target)
    np.testing.assert_allclose(answers(model, found, rows, tmp_path / "m"), hand.predict(rows.features), 1e-12)


@pytest.mark.parametrize(
    ("given", "form", "columns"),
    [("polars", "polars", ["a", "b"]), ("pandas", "pandas", ["a", "b"]), (None, "numpy", [])],
)
@pytest.mark.usefixtures("seen")
def test_an_estimator_that_wants_names_is_given_them(
    given: str | None, form: str, columns: list[str], tmp_path: Path
) -> None:
    """It would get a matrix, whatever the study says."""
    if given == "pandas":
        pytest.importorskip("pandas")
    found = backbone("seen_estimators.Mine", given=given)
    model = found.fit(view(), 0, tmp_path).steps[-1][1]
    assert (form, columns) == (model.form_, model.columns_)


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([str(number) for number in range(12)], "i", tuple(str(number) for number in range(12))),
        (["no", "yes"], "U", ("no", "yes")),
        (["007", "7"], "U", ("007", "7")),
        (["-0", "0"], "U", ("-0", "0")),
        (["true", "false"], "U", ("false", "true")),
    ],
)
@pytest.mark.usefixtures("seen")
def test_labels_keep_their_type(labels: list[str], kind: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    """Whole numbers would come as text, in the order 0, 1, 10, 11, 2; a weight of class 2 would go to class 10."""
    target = np.array((labels * 30)[:60])
    rows = replace(view("classification"), target=target)
    found = backbone("seen_estimators.Labels")
    model = found.fit(rows, 0, tmp_path)
    scores = found.predict(model, FeaturesView(rows.features))
    assert isinstance(scores, ClassScores)
    assert (kind, classes) == (model.steps[-1][1].kind_, scores.classes)


def test_weights_of_classes_go_to_the_classes_that_they_name(tmp_path: Path) -> None:
    """`class_weight: {1: 10}` would name a class that no text label is."""
    rows = view("classification")
    rows = replace(rows, target=np.where(rows.target == "yes", "1", "0"))
    plain = backbone("sklearn.linear_model.LogisticRegression")
    heavy = backbone("sklearn.linear_model.LogisticRegression", {"class_weight": {0: 1, 1: 10}})
    shares = [answers(each.fit(rows, 0, tmp_path), each, rows, tmp_path / "m")[:, 1].mean() for each in (plain, heavy)]
    assert shares[1] > shares[0] + 0.1


def test_an_estimator_without_probabilities_says_labels_and_one_around_it_makes_some(tmp_path: Path) -> None:
    """All folds would be fitted, and then none could be judged."""
    from heldout.corpus.table import TableOptions, TableReader

    rows = view("classification")
    rows.features.with_columns(y=pl.Series(rows.target), g=pl.Series(rows.groups)).write_csv(tmp_path / "t.csv")
    corpus = TableReader(TableOptions(path=tmp_path / "t.csv", group="g", target="y")).read().sealed()
    for name in ("sklearn.svm.SVC", "sklearn.svm.LinearSVC", "sklearn.linear_model.RidgeClassifier"):
        found = backbone(name)
        found.check(corpus)
        assert not found.probabilities
        said = answers(found.fit(rows, 0, tmp_path), found, rows, tmp_path / name)
        assert {0.0, 1.0} == set(np.unique(said).tolist())
        assert [1.0] == np.unique(said.sum(axis=1)).tolist()
    mended = backbone("sklearn.calibration.CalibratedClassifierCV", {"estimator": {"estimator": "sklearn.svm.SVC"}})
    mended.check(corpus)
    assert mended.probabilities
    assert (60, 2) == answers(mended.fit(rows, 0, tmp_path), mended, rows, tmp_path / "m").shape


def test_the_seed_reaches_everything_that_draws(tmp_path: Path) -> None:
    """A forest inside a vote would be the same one for every seed, or another one each time."""
    forest = {"estimator": "sklearn.ensemble.RandomForestRegressor", "params": {"n_estimators": 3}}
    found = backbone("sklearn.ensemble.VotingRegressor", {"estimators": [["f", forest], ["r", RIDGE]]})
    files = []
    for number, seed in enumerate((0, 0, 1)):
        answers(found.fit(view(), seed, tmp_path), found, view(), tmp_path / str(number))
        files.append(sha256_file(tmp_path / str(number) / "model.skops"))
    assert (files[0], False) == (files[1], files[0] == files[2])


def test_an_argument_that_is_handed_on_to_a_base_is_known() -> None:
    """Seeds of XGBoost would change nothing, for its classes take `random_state` by another name: `**kwargs`."""
    pytest.importorskip("xgboost")
    assert takes_seed("xgboost.XGBClassifier")


NAME = "sklearn.linear_model.Ridge"


@pytest.mark.parametrize(
    ("part", "place", "what"),
    [
        ({"estimator": "sklearn.linear_model.Rigde"}, "", "no estimator"),
        ({"estimator": NAME, "params": {"alpha": "x"}}, "", "does not take this value"),
        ({"estimator": NAME, "params": {"beta": 1}}, "", "does not take these arguments"),
        ({"estimator": NAME, "params": {"random_state": 1}}, ".random_state", "set by the seeds"),
        ({"estimator": "sklearn.base.clone"}, "", "not an estimator class"),
        ({"estimator": "sklearn.pipeline.Pipeline", "params": {"steps": [], "memory": "x"}}, ".memory", "pickles"),
    ],
)
def test_what_is_nested_is_checked_with_its_place(part: dict[str, Any], place: str, what: str) -> None:
    """Every fold would fail, with a traceback of scikit-learn; or a study could name any function, or load a pickle."""
    with pytest.raises(StudyError, match=what) as caught:
        backbone("sklearn.pipeline.Pipeline", {"steps": [["scale", SCALER], ["fit", part]]})
    assert f"fit.params.steps.1.1{place}" == caught.value.where


@pytest.mark.usefixtures("seen")
def test_code_of_all_parts_is_known_by_its_module() -> None:
    """A unit would be reused after a step of the user's own was edited, or his code run beside what is held out."""
    from heldout.run.apart.foreign import is_foreign

    steps = [["mine", {"estimator": "seen_estimators.Mine"}], ["fit", RIDGE]]
    found = backbone("sklearn.pipeline.Pipeline", {"steps": steps})
    assert ("sklearn.pipeline", "seen_estimators", "sklearn.linear_model") == found.sources()
    assert is_foreign(found)
    assert not is_foreign(backbone("sklearn.pipeline.Pipeline", {"steps": steps[1:]}))


def test_weights_reach_the_end_of_a_pipeline_and_of_a_search(tmp_path: Path) -> None:
    """They would be refused there, or counted by half of what is fitted."""
    rows = view()
    twice = np.concatenate([np.arange(60), np.arange(10)])
    heavy = replace(rows, weight=np.where(np.arange(60) < 10, 2.0, 1.0))
    doubled = TrainView(rows.features[twice], rows.target[twice], rows.groups[twice], "regression", None, np.ones(70))
    for name, params in (
        ("sklearn.pipeline.Pipeline", {"steps": [["s", SCALER], ["m", RIDGE]]}),
        ("sklearn.model_selection.GridSearchCV", SEARCH),
    ):
        found = backbone(name, params)
        one, other = (answers(found.fit(each, 0, tmp_path), found, rows, tmp_path / "m") for each in (heavy, doubled))
        np.testing.assert_allclose(one, other, 1e-9)
        plain = found.fit(replace(rows, weight=np.ones(60)), 0, tmp_path)
        assert not np.allclose(one, answers(plain, found, rows, tmp_path / "n"), rtol=1e-4)


def test_a_search_that_notes_its_times_is_one_model(tmp_path: Path) -> None:
    """Two equal fits would have different bytes, and the verdict be HOLD for ever (HO-G008)."""
    found = backbone("sklearn.model_selection.GridSearchCV", SEARCH)
    files = []
    for number in range(2):
        model = found.fit(view(), 0, tmp_path)
        assert model.steps[-1][1].refit_time_ > 0
        answers(model, found, view(), tmp_path / str(number))
        files.append(sha256_file(tmp_path / str(number) / "model.skops"))
    assert files[0] == files[1]
