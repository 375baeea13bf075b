"""Where groups and weights go in what is nested, by scikit-learn by hand; what they cannot reach is refused in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.backbone import FeaturesView, TrainView
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.corpus import Corpus
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import StudyError

pytest.importorskip("sklearn")
pytest.importorskip("skops")

WEIGHT = np.where(np.arange(60) % 3 == 0, 3.0, 1.0)


def part(path: str, **params: Any) -> dict[str, Any]:
    return {"estimator": f"sklearn.{path}", "params": params}


def pipe(*steps: dict[str, Any]) -> dict[str, Any]:
    return part("pipeline.Pipeline", steps=[[f"s{number}", step] for number, step in enumerate(steps)])


RIDGE, LASSO = part("linear_model.Ridge"), part("linear_model.LassoCV")
LOGISTIC = part("linear_model.LogisticRegression")
ADA = part("ensemble.AdaBoostRegressor", n_estimators=3)
SEQUENTIAL = part("feature_selection.SequentialFeatureSelector", estimator=RIDGE, n_features_to_select=1)
BY_ROWS = part("model_selection.KFold")


def search(inner: dict[str, Any], grid: dict[str, Any], **more: Any) -> dict[str, Any]:
    return part("model_selection.GridSearchCV", estimator=inner, param_grid=grid, **more)


def view(task: Any = "regression") -> TrainView:
    """Six groups with a level each; a word that says something of the target."""
    rng = np.random.default_rng(3)
    groups, values = np.repeat([f"g{number}" for number in range(6)], 10), rng.normal(size=(60, 3))
    frame = pl.DataFrame({"a": values[:, 0], "b": values[:, 1], "word": ["x", "y", "z"] * 20})
    target: Any = values[:, 0] + rng.normal(size=6).repeat(10) + values[:, 2]
    return TrainView(frame, target if task == "regression" else np.where(target > 0, "yes", "no"), groups, task)


def made(what: dict[str, Any], **more: Any) -> SklearnBackbone:
    more = {"features": ["a", "b"], "scale": False} | more
    return SklearnBackbone(SklearnParams(estimator=what["estimator"], params=what["params"], **more))


def corpus(folder: Path, rows: TrainView, *, weighted: bool) -> Corpus:
    columns = {"y": pl.Series(rows.target), "g": pl.Series(rows.groups), "w": pl.Series(WEIGHT)}
    rows.features.with_columns(**columns).write_parquet(folder / "t.parquet")
    said: Any = {"weight": "w"} if weighted else {"ignore": ["w"]}
    return TableReader(TableOptions(path=folder / "t.parquet", group="g", target="y", **said)).read().sealed()


def fitted(found: SklearnBackbone, rows: TrainView, folder: Path) -> Any:
    """The estimator, after everything that is done with a model in a run."""
    found.check(corpus(folder, rows, weighted=rows.weight is not None))
    model = found.fit(rows, 0, folder)
    found.save(model, folder)
    found.predict(found.load(folder), FeaturesView(rows.features))
    return model.steps[-1][1]


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_boosting_that_routes_nothing_is_fitted(weight: Any, tmp_path: Path) -> None:
    """Every fit of AdaBoost would fail, since it says so as soon as it is asked for groups."""
    from sklearn.ensemble import AdaBoostRegressor

    rows = replace(view(), weight=weight)
    table = rows.features.select("a", "b").to_numpy()
    model = fitted(made(ADA), rows, tmp_path)
    hand = AdaBoostRegressor(n_estimators=3, random_state=0).fit(table, rows.target, sample_weight=weight)
    np.testing.assert_allclose(hand.predict(table), model.predict(table), rtol=1e-12)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (pipe(part("feature_selection.RFECV", estimator=RIDGE), RIDGE), "RFECV"),
        (pipe(part("feature_selection.SelectFromModel", estimator=LASSO), RIDGE), "LassoCV"),
        (pipe(SEQUENTIAL, RIDGE), "SequentialFeatureSelector"),
        (part("ensemble.StackingRegressor", estimators=[["a", LASSO], ["b", RIDGE]]), "LassoCV"),
        (part("ensemble.AdaBoostRegressor", estimator=LASSO), "LassoCV"),
        (search(ADA, {"n_estimators": [2, 3]}), "GridSearchCV"),
        (search(pipe(SEQUENTIAL, RIDGE), {"s1__alpha": [1, 2]}), "SequentialFeatureSelector"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_folds_that_groups_cannot_reach_are_refused(
    what: dict[str, Any], name: str, weighted: bool, tmp_path: Path
) -> None:
    """Every unit would fail with a traceback of scikit-learn, or choose by rows of groups that it trains on."""
    with pytest.raises(StudyError, match=f"{name} splits groups, and scikit-learn gives it none") as caught:
        made(what).check(corpus(tmp_path, view(), weighted=weighted))
    assert f"name a splitter as the `cv` of {name}" in str(caught.value.hint)


def test_a_part_out_of_reach_splits_as_its_splitter_says(tmp_path: Path) -> None:
    """The line that the message names would not mend it."""
    from sklearn.linear_model import LassoCV
    from sklearn.model_selection import KFold

    rows = view()
    lasso = part("linear_model.LassoCV", cv=BY_ROWS)
    model = fitted(made(part("ensemble.StackingRegressor", estimators=[["a", lasso], ["b", RIDGE]])), rows, tmp_path)
    table = rows.features.select("a", "b").to_numpy()
    hand = LassoCV(cv=KFold(), random_state=0).fit(table, rows.target)
    assert hand.alpha_ == model.estimators_[0].alpha_


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_groups_reach_both_of_two_searches(weight: Any, tmp_path: Path) -> None:
    """The inner one would ask for as many folds as the outer one leaves no groups for, and every fit fail."""
    from sklearn.linear_model import LassoCV
    from sklearn.model_selection import GridSearchCV, GroupKFold

    rows = replace(view(), weight=weight)
    model = fitted(made(search(LASSO, {"eps": [0.01, 0.1]})), rows, tmp_path)
    assert (5, 4) == (model.cv.n_splits, model.estimator.cv.n_splits)
    if weight is None:
        table = rows.features.select("a", "b").to_numpy()
        scores = []
        for train, test in GroupKFold(5).split(table, groups=rows.groups):
            inner = list(GroupKFold(4).split(table[train], groups=rows.groups[train]))
            lasso = LassoCV(eps=0.1, cv=inner, random_state=0).fit(table[train], rows.target[train])
            scores.append(lasso.score(table[test], rows.target[test]))
        np.testing.assert_allclose(np.mean(scores), model.cv_results_["mean_test_score"][1], rtol=1e-12)
        assert isinstance(model, GridSearchCV)


def test_a_search_scores_by_weight(tmp_path: Path) -> None:
    """A search that names its metric would fail, or choose for rows that count little."""
    from sklearn.linear_model import Ridge
    from sklearn.metrics import mean_squared_error
    from sklearn.model_selection import GroupKFold

    rows = replace(view(), weight=WEIGHT)
    table, target = rows.features.select("a", "b").to_numpy(), rows.target
    model = fitted(made(search(RIDGE, {"alpha": [1.0, 50.0]}, scoring="neg_mean_squared_error")), rows, tmp_path)
    for number, alpha in enumerate([1.0, 50.0]):
        errors = []
        for train, test in GroupKFold(5).split(table, groups=rows.groups):
            ridge = Ridge(alpha=alpha).fit(table[train], target[train], sample_weight=WEIGHT[train])
            errors.append(mean_squared_error(target[test], ridge.predict(table[test]), sample_weight=WEIGHT[test]))
        np.testing.assert_allclose(-np.mean(errors), model.cv_results_["mean_test_score"][number], rtol=1e-12)


@pytest.mark.parametrize(
    ("what", "task"),
    [
        (search(RIDGE, {"alpha": [1.0]}, scoring=["r2", "neg_max_error"], refit="r2"), "regression"),
        (search(RIDGE, {"alpha": [1.0]}, scoring="neg_median_absolute_error"), "regression"),
        (part("feature_selection.RFECV", estimator=RIDGE), "regression"),
        (part("linear_model.RidgeCV", cv=3, scoring="neg_mean_squared_error"), "regression"),
        (part("feature_selection.RFECV", estimator=LOGISTIC, scoring="roc_auc"), "classification"),
        (part("linear_model.LogisticRegressionCV", Cs=2, scoring="roc_auc"), "classification"),
        (pipe(part("preprocessing.StandardScaler"), part("linear_model.LogisticRegressionCV", Cs=2)), "classification"),
        (part("model_selection.TunedThresholdClassifierCV", estimator=LOGISTIC), "classification"),
        (part("calibration.CalibratedClassifierCV", estimator=part("svm.LinearSVC")), "classification"),
        (part("calibration.CalibratedClassifierCV", estimator=search(LOGISTIC, {"C": [1.0]})), "classification"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_scores_inside_fits_by_weight(what: dict[str, Any], task: str, tmp_path: Path) -> None:
    """The check before a fit would let it pass, and every unit fail."""
    fitted(made(what), replace(view(task), weight=WEIGHT), tmp_path)


def test_scores_by_weight_choose_the_penalty_of_logistic_regression(tmp_path: Path) -> None:
    """Each fold would be scored as if rows counted alike."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold

    rows = replace(view("classification"), weight=WEIGHT)
    table, target = rows.features.select("a", "b").to_numpy(), rows.target
    what = part("linear_model.LogisticRegressionCV", Cs=[0.01], scoring="roc_auc", tol=1e-8)
    model = fitted(made(what), rows, tmp_path)
    scores = []
    for train, test in GroupKFold(5).split(table, groups=rows.groups):
        hand = LogisticRegression(C=0.01, tol=1e-8).fit(table[train], target[train], sample_weight=WEIGHT[train])
        said = hand.decision_function(table[test])
        scores.append(roc_auc_score(target[test] == "yes", said, sample_weight=WEIGHT[test]))
    np.testing.assert_allclose(scores, np.ravel(next(iter(model.scores_.values()))), rtol=1e-6)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_words_are_encoded_from_other_groups(weight: Any, tmp_path: Path) -> None:
    """A target encoder among columns would find no groups where weights are given, and every unit fail."""
    columns = part(
        "compose.ColumnTransformer",
        transformers=[["t", part("preprocessing.TargetEncoder"), ["word"]]],
        remainder="passthrough",
    )
    rows = replace(view(), weight=weight)
    model = fitted(made(pipe(columns, RIDGE), features=None), rows, tmp_path)
    used = model.steps[0][1].named_transformers_["t"]
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import TargetEncoder

    if isinstance(used.cv, int):  # before scikit-learn 1.9 groups cannot get there
        return
    inner = GroupKFold(5)
    splits = list(inner.split(rows.target, groups=rows.groups))
    word, encoded = rows.features.select("word").to_numpy(), np.zeros((60, 1))
    for train, test in splits:
        encoder = TargetEncoder().fit(word[train], rows.target[train])
        encoded[test] = encoder.transform(word[test])
    table = np.hstack([encoded, rows.features.select("a", "b").to_numpy()])
    hand = Ridge().fit(table, rows.target, sample_weight=weight)
    np.testing.assert_allclose(hand.coef_, model.steps[-1][1].coef_, rtol=1e-9)


def test_words_encoded_by_rows_where_groups_are_routed_are_refused(tmp_path: Path) -> None:
    """scikit-learn looks for groups that nobody gave, and every unit would fail; without weights it does not look."""
    from sklearn.preprocessing import TargetEncoder

    if "get_metadata_routing" not in vars(TargetEncoder):
        pytest.skip("groups are handed on to it since scikit-learn 1.9")
    encoder = part("preprocessing.TargetEncoder", cv=BY_ROWS)
    columns = part("compose.ColumnTransformer", transformers=[["t", encoder, ["word"]]])
    found = made(pipe(columns, RIDGE), features=None)
    fitted(found, view(), tmp_path)
    with pytest.raises(StudyError, match="TargetEncoder splits groups") as caught:
        found.check(corpus(tmp_path, view(), weighted=True))
    assert "leave its `cv` out" in str(caught.value.hint)


def test_a_stack_whose_end_takes_no_weights_is_refused(tmp_path: Path) -> None:
    """The end of a stack is given them, asked or not."""
    end = part("neighbors.KNeighborsRegressor")
    what = part("ensemble.StackingRegressor", estimators=[["a", RIDGE]], final_estimator=end)
    with pytest.raises(StudyError, match="does not fit by weights"):
        made(what).check(corpus(tmp_path, view(), weighted=True))


@pytest.mark.parametrize(
    ("name", "task", "scale", "what"),
    [
        ("linear_model.MultiTaskLasso", "regression", True, "learns several targets at once"),
        ("isotonic.IsotonicRegression", "regression", True, "learns from one feature, and there are 2"),
        ("naive_bayes.MultinomialNB", "classification", True, "takes no number below 0, and 'a' is standardised"),
        ("naive_bayes.MultinomialNB", "classification", False, "takes no number below 0, and 'a' has some"),
    ],
)
def test_a_form_that_an_estimator_never_takes_is_refused(
    name: str, task: str, scale: bool, what: str, tmp_path: Path
) -> None:
    """Every unit would fail with a traceback of scikit-learn."""
    with pytest.raises(StudyError, match=what):
        made(part(name), scale=scale).check(corpus(tmp_path, view(task), weighted=False))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.filterwarnings("ignore")
def test_every_estimator_of_scikit_learn_is_fitted_or_refused_in_time(task: str, weight: Any, tmp_path: Path) -> None:
    """The next one that scikit-learn adds would fail in every unit, after the check let it pass."""
    from sklearn.utils import all_estimators

    from heldout.backbone.estimators import _estimators_of_sklearn

    theirs = {"CCA", "PLSCanonical", "GammaRegressor", "PoissonRegressor"}  # not with these targets, as they say
    rows = replace(view(task), weight=weight)
    failed = {}
    for name, cls in all_estimators(type_filter="regressor" if task == "regression" else "classifier"):
        try:
            cls()
        except TypeError:
            continue
        try:
            fitted(made(part(_estimators_of_sklearn()[name].removeprefix("sklearn."))), rows, tmp_path)
        except StudyError:
            continue
        except Exception as error:
            failed[name] = repr(error)
    assert {} == {name: error for name, error in failed.items() if name not in theirs}
