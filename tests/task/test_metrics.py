"""Metrics against the libraries that people would check them with, and what is undefined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heldout.task import metrics
from heldout.task.classification import CLASSIFICATION, CLASSIFICATION_BEFORE
from heldout.task.metric import Metric
from heldout.task.metrics import BUILT_IN, rows_of
from heldout.task.regression import REGRESSION, average_ranks, pearson

FINITE = st.floats(-1e6, 1e6, allow_nan=False)
TIED = st.integers(-3, 3).map(float)
PAIRS = st.one_of(
    st.lists(st.tuples(FINITE, FINITE), min_size=3, max_size=30),
    st.lists(st.tuples(TIED, TIED), min_size=3, max_size=30),
)
CLASSES = ("ant", "bee", "cow")


def why(name: str, target: NDArray[Any], prediction: NDArray[np.float64]) -> str:
    return BUILT_IN[name].why(rows_of(target, prediction))


def classification(
    truth: NDArray[Any], scores: NDArray[np.float64], table: tuple[Metric, ...] = CLASSIFICATION
) -> dict[str, float]:
    return {each.name: each.score(rows_of(truth, scores, CLASSES)) for each in table}


def columns(pairs: list[tuple[float, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    array = np.array(pairs, dtype=np.float64)
    return array[:, 0], array[:, 1]


def well_spread(values: NDArray[np.float64]) -> bool:
    return bool(np.ptp(values) > 1e-6 * max(1.0, np.abs(values).max()))


@settings(max_examples=100)
@given(PAIRS)
def test_regression_metrics_are_those_of_scipy_and_sklearn(pairs: list[tuple[float, float]]) -> None:
    """A model would be promoted by numbers that nobody else can reproduce."""
    from scipy import stats
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error

    target, prediction = columns(pairs)
    assume(well_spread(target) and well_spread(prediction))
    found = metrics.regression(target, prediction)
    assert stats.pearsonr(target, prediction).statistic == pytest.approx(found["plcc"], abs=1e-9)
    assert root_mean_squared_error(target, prediction) == pytest.approx(found["rmse"])
    assert mean_absolute_error(target, prediction) == pytest.approx(found["mae"])
    assert np.mean(prediction) - np.mean(target) == pytest.approx(found["bias"], abs=1e-9)
    assert abs(found["bias"]) == found["abs_bias"]


@settings(max_examples=100)
@given(PAIRS)
def test_defect_26_srocc_is_spearman_with_ties(pairs: list[tuple[float, float]]) -> None:
    """Equal scores would be ranked by their place in the file, so that sorting the rows changes the metric."""
    from scipy import stats

    target, prediction = columns(pairs)
    assume(len(set(target)) > 1 and len(set(prediction)) > 1)
    found = metrics.regression(target, prediction)["srocc"]
    assert stats.spearmanr(target, prediction).statistic == pytest.approx(found, abs=1e-12)
    np.testing.assert_array_equal(stats.rankdata(target, method="average"), average_ranks(target))


@pytest.mark.parametrize("scale", [1e-200, 1e-14, 1.0, 1e12, 1e200])
def test_a_correlation_does_not_depend_on_the_unit(scale: float) -> None:
    """Returns of 1e-14, or sizes in bytes, would have no correlation or a wrong one."""
    x = np.array([1.0, 2.0, 4.0, 3.0])
    y = np.array([0.1, 0.4, 0.2, 0.9])
    expected = np.corrcoef(x, y)[0, 1]
    assert expected == pytest.approx(pearson(x * scale, y), abs=1e-12)
    assert expected == pytest.approx(pearson(y, x * scale), abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 85.123, 1234567.1, -1e12 - 0.3, 1e-300, 1.7e308])
@pytest.mark.parametrize("rows", [2, 7, 999])
def test_defect_12_a_constant_prediction_has_no_correlation(constant: float, rows: int) -> None:
    """Rounding of the mean would give the correlation of noise: a number where there is none."""
    target, prediction = np.linspace(0.0, 1.0, rows), np.full(rows, constant)
    for name in ("plcc", "srocc"):
        with np.errstate(over="ignore"):
            assert math.isnan(metrics.regression(target, prediction)[name])
        assert "the prediction is constant" == why(name, target, prediction)
        assert "the target is constant" == why(name, prediction, target)
    if abs(constant) < 1e100:
        assert math.isfinite(metrics.regression(target, prediction)["rmse"])


def test_the_largest_numbers_have_a_correlation_too() -> None:
    """Their squares and their range overflow to infinity, and a correlation of zero would come out."""
    with np.errstate(over="ignore"):
        found = pearson(np.array([-1.7e308, 0.0, 1.7e308]), np.array([1.0, 2.0, 3.0]))
    assert 1.0 == pytest.approx(found)


def test_a_perfect_correlation_is_never_above_one() -> None:
    """A rule `at_most: 1` would fail for the best of models, by rounding."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        x = rng.normal(size=5)
        assert abs(pearson(x, 3.0 * x + 1.0)) <= 1.0
        assert abs(pearson(x, -x)) <= 1.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("side", ["target", "prediction"])
def test_defect_12_one_number_that_is_not_finite_undefines_every_metric(bad: float, side: str) -> None:
    """A NaN would be dropped from the mean, and the rest of the fold pass."""
    data = {"target": np.array([1.0, 2.0, 3.0]), "prediction": np.array([1.0, 2.5, 2.0])}
    data[side][1] = bad
    found = metrics.regression(**data)
    assert {each.name for each in REGRESSION} == set(found)
    assert all(math.isnan(value) for value in found.values())
    if side == "prediction":
        assert "1 predictions are not finite" == why("plcc", **data)


@pytest.mark.parametrize(("rows", "defined"), [(0, []), (1, ["abs_bias", "bias", "mae", "rmse"])])
def test_too_few_rows_have_no_correlation(rows: int, defined: list[str]) -> None:
    """A fold of one row would correlate perfectly, or crash."""
    target, prediction = np.arange(float(rows)), np.arange(float(rows)) + 1
    found = metrics.regression(target, prediction)
    assert defined == sorted(name for name, value in found.items() if math.isfinite(value))
    assert f"{rows} rows cannot have a plcc" == why("plcc", target, prediction)


PROBABILITIES = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.tuples(*[st.floats(0.01, 1.0)] * 3)), min_size=1, max_size=30
)


@pytest.mark.slow
@settings(max_examples=100)
@given(PROBABILITIES)
@pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label was found")
def test_classification_metrics_are_those_of_sklearn(rows: list[tuple[str, tuple[float, ...]]]) -> None:
    """Labels would be matched with the wrong columns, or classes that do not occur count as zeros."""
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

    truth = np.array([label for label, _ in rows])
    scores = np.array([values for _, values in rows])
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = np.array(CLASSES)[scores.argmax(axis=1)]
    found = classification(truth, scores)
    assert accuracy_score(truth, predicted) == pytest.approx(found["accuracy"])
    assert balanced_accuracy_score(truth, predicted) == pytest.approx(found["balanced_accuracy"])
    assert f1_score(truth, predicted, average="macro", zero_division=0) == pytest.approx(found["macro_f1"])
    assert log_loss(truth, scores, labels=list(CLASSES)) == pytest.approx(found["log_loss"])
    before = classification(truth, scores, CLASSIFICATION_BEFORE)
    f1 = f1_score(truth, predicted, labels=sorted(set(truth)), average="macro", zero_division=0)
    assert f1 == pytest.approx(before["macro_f1"])


def test_a_sure_and_wrong_prediction_has_a_finite_loss() -> None:
    """One probability of zero would make the whole loss infinite."""
    found = classification(np.array(["ant"]), np.array([[0.0, 1.0, 0.0]]))
    assert -math.log(np.finfo(np.float64).eps) == pytest.approx(found["log_loss"])
    assert 0.0 == found["accuracy"]


def test_a_probability_that_is_not_finite_undefines_every_metric() -> None:
    """`argmax` takes a NaN for the largest one, and would call it a hit."""
    truth, scores = np.array(["ant", "bee"]), np.array([[np.nan, 0.5, 0.5], [0.1, 0.8, 0.1]])
    found = classification(truth, scores)
    assert [each.name for each in CLASSIFICATION] == list(found)
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("plcc", {"a": 0.9, "b": 0.2, "c": 0.5}, ("b", 0.2)),
        ("rmse", {"a": 0.9, "b": 0.2, "c": 0.5}, ("a", 0.9)),
        ("bias", {"a": 1.0, "b": -3.0, "c": 2.0}, ("b", -3.0)),
        ("abs_bias", {"a": 1.0, "b": 3.0}, ("b", 3.0)),
        ("log_loss", {"a": 1.0, "b": 3.0}, ("b", 3.0)),
        ("accuracy", {"b": 0.5, "a": 0.5}, ("a", 0.5)),
    ],
)
def test_the_worst_group_is_the_worst(name: str, values: dict[str, float], expected: tuple[str, float]) -> None:
    """The report would point at the best group where people look for trouble."""
    assert expected == metrics.worst(BUILT_IN[name], values)


@pytest.mark.parametrize("name", ["plcc", "rmse", "bias"])
def test_defect_12_an_undefined_group_is_the_worst(name: str) -> None:
    """A group that could not be scored would hide behind one that could."""
    group, value = metrics.worst(BUILT_IN[name], {"a": 0.9, "b": float("nan"), "c": -100.0, "d": 100.0})
    assert "b" == group
    assert math.isnan(value)
