"""``heldout.evaluate``: an estimator and arrays in, a verdict out, with the numbers that scikit-learn gives by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import GridSearchCV, GroupKFold, LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

import heldout
from heldout.errors import HeldoutError, InputError
from heldout.memory.estimators import said
from heldout.study.yaml import load_yaml

DATA = load_diabetes()
ROWS = 160
X, Y, GROUPS = DATA.data[:ROWS], DATA.target[:ROWS], np.array([f"site{row % 8}" for row in range(ROWS)])

EXACT = Y + np.random.default_rng(2).normal(size=ROWS)  # targets that tell whose they are, as whole numbers do not


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def evaluated(estimator: Any, *arrays: Any, **more: Any) -> heldout.Run:
    given = arrays or (X, Y)
    return heldout.evaluate(estimator, *given, **{"groups": GROUPS, "workers": 1} | more)


@pytest.mark.parametrize("fitted", [False, True])
def test_predictions_are_those_of_scikit_learn_by_hand(fitted: bool) -> None:
    """The verdict would be over another model than the one that was given, or over one that saw everything."""
    model = Ridge(alpha=0.3)
    run = evaluated(clone(model).fit(X, Y) if fitted else model, metrics="rmse")
    by_hand = cross_val_predict(model, X, Y, groups=GROUPS, cv=LeaveOneGroupOut())
    assert np.allclose(by_hand, run.predictions["prediction"].to_numpy(), rtol=1e-9)
    (row,) = run.metrics.filter(contender="base", metric="rmse").to_dicts()
    assert root_mean_squared_error(Y, by_hand) == pytest.approx(row["pooled"], rel=1e-9)
    assert "PROMOTE" == run.verdict


def test_a_pipeline_is_written_down_whole_and_a_search_splits_groups() -> None:
    """Another pipeline would be judged than the one that was given, or its search would choose for groups it saw."""
    piped = make_pipeline(MinMaxScaler(feature_range=(-1, 2)), Ridge(alpha=0.2))
    by_hand = cross_val_predict(piped, X, Y, groups=GROUPS, cv=LeaveOneGroupOut())
    assert np.allclose(by_hand, evaluated(piped).predictions["prediction"].to_numpy(), rtol=1e-9)

    grid, found = {"ridge__alpha": [0.1, 1.0, 100.0]}, np.empty(ROWS)
    steps = make_pipeline(StandardScaler(), Ridge())
    for train, test in LeaveOneGroupOut().split(X, Y, GROUPS):
        search = GridSearchCV(steps, grid, cv=GroupKFold(3)).fit(X[train], Y[train], groups=GROUPS[train])
        found[test] = search.predict(X[test])
    run = evaluated(GridSearchCV(steps, grid, cv=3), name="searched")
    assert np.allclose(found, run.predictions["prediction"].to_numpy(), rtol=1e-9)


def test_columns_are_found_by_their_names() -> None:
    """A ColumnTransformer would get an array, in which no column has a name."""
    frame = pl.DataFrame({"size": X[:, 2], "kind": ["abc"[row % 3] for row in range(ROWS)], "rest": X[:, 3]})
    parts = ColumnTransformer(
        [("words", OneHotEncoder(handle_unknown="ignore"), ["kind"]), ("numbers", StandardScaler(), ["size", "rest"])]
    )
    model = make_pipeline(parts, Ridge(alpha=0.2))
    by_hand = cross_val_predict(model, frame, Y, groups=GROUPS, cv=LeaveOneGroupOut())
    assert np.allclose(by_hand, evaluated(model, frame, Y).predictions["prediction"].to_numpy(), rtol=1e-9)


def test_a_model_that_is_no_better_than_the_other_is_held() -> None:
    """Any model that beats the mean would replace one that is better."""
    run = evaluated(Ridge(alpha=1000.0), against=Ridge(alpha=0.3), metrics=["rmse", "mae"])
    assert "HOLD" == run.verdict
    assert "FAIL" == run.rules.filter(rule="better")["outcome"].item()
    assert run.metrics.filter(contender="old", metric="rmse")["gain"].item() < 0
    assert {"rmse", "mae"} <= set(run.metrics.filter(contender="base")["metric"])


def test_the_run_verifies_with_its_table_and_its_study_runs_again(tmp_path: Path) -> None:
    """What was in memory would be gone, and the verdict nobody's to check."""
    run = evaluated(Ridge(alpha=0.3))
    (table,) = (tmp_path / "heldout-runs").glob("evaluated-*.parquet")
    assert run.verify(corpus=table).holds
    again = heldout.Study.load(tmp_path / "heldout-runs" / "evaluated.yaml").run(runs=tmp_path / "heldout-runs")
    assert run.folder.resolve() == again.folder.resolve()


def test_another_try_is_counted() -> None:
    """Twenty estimators would be tried, and the best one shown as the first."""
    evaluated(Ridge(alpha=0.3))
    assert 2 == evaluated(Ridge(alpha=0.2)).document["trial"]["attempt"]


def test_classes_are_judged_by_a_loss_and_labels_by_their_share() -> None:
    """An SVC has no probabilities: it would be refused, or judged by invented ones."""
    data = load_iris()
    groups, labels = np.arange(150) % 6, data.target_names[data.target]
    run = evaluated(LogisticRegression(C=2.0), data.data, labels, groups=groups, name="iris")
    assert ("PROMOTE", "log_loss") == (run.verdict, run.document["rules"][-1]["sentence"].split()[3])
    assert {"setosa", "versicolor", "virginica"} == set(run.predictions["prediction"])


def test_features_may_have_the_names_of_roles() -> None:
    """A feature called `weight` would silently count rows."""
    frame = pl.DataFrame({"weight": X[:, 2], "group": X[:, 3], "target": X[:, 4], "sample_id": X[:, 5]})
    run = evaluated(Ridge(alpha=0.3), frame, Y, weight=np.ones(ROWS), ids=[f"row{row}" for row in range(ROWS)])
    assert ["weight", "group", "target", "sample_id"] == list(run.document["judged"].get("features", frame.columns))
    by_hand = cross_val_predict(Ridge(alpha=0.3), frame.to_numpy(), Y, groups=GROUPS, cv=LeaveOneGroupOut())
    assert np.allclose(by_hand, run.predictions["prediction"].to_numpy(), rtol=1e-9)
    assert "row0" == run.predictions["sample_id"][0]


def test_what_is_masked_is_missing() -> None:
    """What the mask hides would be learnt from."""
    hidden = X > 0.08
    assert hidden.any()
    holes = np.where(hidden, np.nan, X)
    model = HistGradientBoostingRegressor(max_iter=3)
    said = [
        evaluated(model, features, Y).predictions["prediction"].to_list()
        for features in (np.ma.masked_array(X, mask=hidden), holes, X)
    ]
    assert said[0] == said[1] != said[2]


def test_everyday_values_are_taken() -> None:
    """A grid of `np.logspace`, seeds of an array and a lazy frame are what notebooks are full of."""
    frame = pl.DataFrame({"a": X[:, 2], "b": X[:, 3]}).lazy()
    search = GridSearchCV(Ridge(), {"alpha": np.logspace(-1, 1, 3)}, cv=2)
    assert evaluated(search, frame, Y, seeds=np.array([0]), metrics=None).predictions.height == ROWS


@pytest.mark.parametrize(
    "change",
    [lambda g: np.random.default_rng(1).permutation(g), lambda g: np.array([name[-1] > "3" for name in g]).astype(str)],
    ids=["shuffled", "joined"],
)
def test_groups_that_are_cut_otherwise_after_a_look_need_a_reason(change: Any) -> None:
    """A HOLD would become a PROMOTE by another column of groups under the same name."""
    evaluated(Ridge(alpha=0.3), X, EXACT, metrics="rmse")
    again = evaluated(Ridge(alpha=0.3), X, EXACT, metrics="rmse", groups=change(GROUPS))
    assert ("HOLD", "FAIL") == (again.verdict, again.rules.filter(rule="pre-registered")["outcome"].item())


def test_rows_that_are_left_out_after_a_look_need_a_reason() -> None:
    """The rows that a model got wrong would be dropped, and the verdict be that over the others."""
    found = evaluated(Ridge(alpha=0.3), X, EXACT, metrics="rmse").predictions
    wrong, kept = (found["target"] - found["prediction"]).abs().to_numpy(), np.zeros(ROWS, bool)
    for group in set(GROUPS):
        rows = np.where(group == GROUPS)[0]
        kept[rows[np.argsort(wrong[rows])[:12]]] = True
    again = evaluated(Ridge(alpha=0.3), X[kept], EXACT[kept], groups=GROUPS[kept], metrics="rmse")
    assert ("HOLD", "FAIL") == (again.verdict, again.rules.filter(rule="pre-registered")["outcome"].item())


def test_seeds_are_members_of_one_mean() -> None:
    """A forest would be judged by the luck of one draw, and `random_state` by what it happened to be."""
    run = evaluated(RandomForestRegressor(5, max_depth=2, random_state=7), seeds=[0, 1], metrics="rmse")
    found = run.predictions
    assert not found["seed0"].equals(found["seed1"])
    assert np.allclose((found["seed0"] + found["seed1"]) / 2, found["prediction"])


def test_seeds_as_given_are_those_of_the_estimators() -> None:
    """Whoever compares with a score of his own would find other numbers, and not know why."""
    model = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=3, max_features=2, random_state=7))
    old = DecisionTreeRegressor(max_depth=2, max_features=2, random_state=5)
    by_hand = cross_val_predict(model, X, Y, groups=GROUPS, cv=LeaveOneGroupOut())
    run = evaluated(model, against=old, seeds="as_given")
    assert np.allclose(by_hand, run.predictions["prediction"].to_numpy(), rtol=1e-12)
    before = root_mean_squared_error(Y, cross_val_predict(old, X, Y, groups=GROUPS, cv=LeaveOneGroupOut()))
    assert before == pytest.approx(run.metrics.filter(contender="old", metric="rmse")["pooled"].item(), rel=1e-9)
    assert ([0], []) == (run.document["seeds"], run.document["findings"])
    lock = load_yaml(run.folder / "study.lock.yaml").value
    assert "as_given" == lock["fit"]["random_state"] == lock["baselines"][0]["fit"]["random_state"]
    (table,) = run.folder.parents[1].glob("evaluated-*.parquet")
    run.verify(corpus=table, refit=True).raise_if_broken()


@pytest.mark.parametrize(
    ("change", "what", "where"),
    [
        ({"groups": GROUPS[:-1]}, "groups has 159 rows, and there are 160 targets", "groups"),
        ({"weight": np.ones(3)}, "weight has 3 rows", "weight"),
        ({"metrics": "rsme"}, "there is no metric 'rsme' of a regression", "metrics"),
        ({"split": "leave-one-group-out"}, "the split is str", "split"),
        ({"seeds": 0}, "seeds are no list of whole numbers", "seeds"),
        ({"seeds": [0.5]}, "seeds are no list of whole numbers", "seeds"),
        ({"seeds": "as_given"}, "no random_state is given", "evaluated.yaml"),
        ({"seeds": "as given"}, "seeds are no list of whole numbers", "seeds"),
        ({"name": "My Study"}, "is no name of a study", "name"),
        ({"task": "ranking"}, "ranking", ""),
        ({"split": {"kind": "k-fold"}}, "k-fold", "evaluated.yaml"),
        ({"seeds": []}, "`seeds`", "evaluated.yaml"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(change: dict[str, Any], what: str, where: str) -> None:
    """A notebook would show a traceback out of the depth."""
    with pytest.raises(HeldoutError) as caught:
        evaluated(Ridge(), **change)
    assert what in str(caught.value)
    assert where in str(caught.value.where)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("features", "what"),
    [
        (X[:, 0], "X has 1 dimensions"),
        (X[:, :0], "X has no columns"),
        ([[1.0, 2.0], [3.0]], "X"),
    ],
)
def test_what_is_no_table_is_refused(features: Any, what: str) -> None:
    """The first error would be one of a library, about a shape."""
    with pytest.raises(InputError) as caught:
        evaluated(Ridge(), features, Y)
    assert what in str(caught.value)


class OfThisFile(RegressorMixin, BaseEstimator):
    """Cannot be imported under the name that its test gives it."""


def test_a_class_that_nobody_else_can_import_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict would name a class that whoever verifies has not, and a worker could not unpickle it."""
    monkeypatch.setattr(OfThisFile, "__module__", "__main__")
    with pytest.raises(InputError, match="nobody else can import it") as caught:
        evaluated(OfThisFile())
    assert "a module of its own" in str(caught.value.hint)


def test_an_argument_that_a_file_cannot_say_is_refused() -> None:
    """A kernel function would be left out, and another model judged."""
    with pytest.raises(InputError, match="the function 'clone' cannot be written into a study") as caught:
        evaluated(SVC(kernel=clone))
    assert "estimator: kernel" == caught.value.where


def test_only_what_differs_from_the_defaults_is_written() -> None:
    """A default that a later version changes would be frozen into the study, and nobody could read it."""
    assert {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 0.5}} == said(Ridge(alpha=0.5), "x")
    assert {"estimator": "sklearn.svm.SVC"} == said(SVC(random_state=3), "x")
    assert {"estimator": "sklearn.linear_model.Ridge"} == said(Ridge, "x")
    assert {"estimator": "a.B"} == said("a.B", "x")


WEIGHED = {0: 1.0, 1: 6.0}


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(class_weight=WEIGHED),
        make_pipeline(StandardScaler(), LogisticRegression(class_weight={np.int64(0): 1, np.int64(1): 6})),
    ],
    ids=["plain", "nested"],
)
def test_weights_of_labels_that_are_whole_numbers_are_said(model: Any, tmp_path: Path) -> None:
    """Text would be read for the numbers, and every fold fail; or the weights be dropped."""
    labels = (Y > np.quantile(Y, 0.7)).astype(int)
    run = evaluated(model, X, labels)
    by_hand = cross_val_predict(model, X, labels, groups=GROUPS, cv=LeaveOneGroupOut(), method="predict_proba")
    assert np.allclose(by_hand, run.predictions.select("p_0", "p_1").to_numpy(), rtol=1e-9)
    again = heldout.Study.load(tmp_path / "heldout-runs" / "evaluated.yaml").run(runs=tmp_path / "heldout-runs")
    assert run.folder.resolve() == again.folder.resolve()


def test_weights_of_labels_in_a_grid_are_said() -> None:
    """A search over weights is where they stand most often."""
    grid = {"class_weight": [None, "balanced", WEIGHED]}
    labels = (Y > np.quantile(Y, 0.7)).astype(int)
    run = evaluated(GridSearchCV(LogisticRegression(), grid, cv=2), X, labels)
    assert ROWS == run.predictions.height


@pytest.mark.parametrize(
    ("part", "what", "hint"),
    [
        (FunctionTransformer(np.log1p), "the function 'log1p' cannot be written", "write a class with `fit`"),
        (ColumnTransformer([("n", StandardScaler(), slice(0, 2))]), "slice cannot be written", "name the columns"),
        (
            ColumnTransformer([("n", StandardScaler(), make_column_selector(pattern="x"))]),
            "make_column_selector cannot be written",
            "those of an array are x0, x1",
        ),
        (LogisticRegression(class_weight={True: 2.0}), "its key True is no text, and no whole number", "give numbers"),
        (GridSearchCV(Ridge(), {"alpha": {0: 1.0}}), "its key 0 is no text", "give numbers"),
    ],
    ids=["function", "slice", "selector", "label", "key"],
)
def test_what_no_file_can_say_is_refused_with_a_way_out(part: Any, what: str, hint: str) -> None:
    """Somebody would be told that it cannot be, and not what can."""
    with pytest.raises(InputError) as refused:
        evaluated(part)
    assert what in refused.value.what
    assert hint in str(refused.value.hint)
    assert str(refused.value.where).startswith("estimator")
