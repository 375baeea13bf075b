"""Every metric against scikit-learn, with and without weights; what is undefined says why; algebra of weights."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as theirs

from heldout.errors import StudyError
from heldout.task.classification import CLASSIFICATION, MORE_OF_CLASSES, of_class
from heldout.task.metric import Metric, Rows
from heldout.task.metrics import BUILT_IN, FAMILIES, known_names, named, rows_of, table_of
from heldout.task.regression import MORE_OF_VALUES, REGRESSION

Array = NDArray[Any]
CLASSES = ("ant", "bee", "cow")
VALUES = st.floats(-100, 100).map(lambda value: round(value, 2))
WEIGHTS = st.integers(1, 4)
PAIRS = st.lists(st.tuples(VALUES, VALUES, WEIGHTS), min_size=3, max_size=30)
SCORED = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.tuples(*[st.sampled_from([0.1, 0.2, 0.5, 1.0])] * 3), WEIGHTS),
    min_size=4, max_size=30,
)  # fmt: skip


def metric(name: str) -> Metric:
    found = named(name)
    assert found is not None, name
    return found


def numbers(rows: list[tuple[float, float, int]]) -> tuple[Array, Array, Array]:
    return tuple(np.array(each, dtype=np.float64) for each in zip(*rows, strict=True))  # type: ignore[return-value]


def scores(rows: list[tuple[str, tuple[float, ...], int]], classes: int = 3) -> tuple[Array, Array, Array]:
    """Truth, probabilities and weights; of the first classes only."""
    truth = np.array([label if label in CLASSES[:classes] else CLASSES[0] for label, _, _ in rows])
    said = np.array([values[:classes] for _, values, _ in rows])
    return truth, said / said.sum(axis=1, keepdims=True), np.array([float(weight) for _, _, weight in rows])


def same(expected: float, found: float) -> bool:
    return expected == pytest.approx(found, rel=1e-9, abs=1e-9)


@settings(max_examples=100)
@given(PAIRS, st.booleans())
def test_metrics_of_values_are_those_of_scikit_learn(rows: list[tuple[float, float, int]], weighted: bool) -> None:
    """A model would be promoted by numbers that nobody else can reproduce."""
    truth, said, weight = numbers(rows)
    ours, more = rows_of(truth, said, (), weight if weighted else None), {"sample_weight": weight} if weighted else {}
    for name, function in {
        "mae": theirs.mean_absolute_error,
        "rmse": theirs.root_mean_squared_error,
        "median_absolute_error": theirs.median_absolute_error,
    }.items():
        if not (weighted and name == "median_absolute_error"):  # theirs takes one of two middle rows, by version
            assert same(function(truth, said, **more), metric(name).score(ours)), name
    expected = theirs.mean_pinball_loss(truth, said, alpha=0.9, **more)
    assert same(expected, metric("pinball@0.9").score(ours))
    if np.ptp(truth) > 1e-3:
        assert same(theirs.r2_score(truth, said, **more), metric("r2").score(ours))
        assert same(theirs.explained_variance_score(truth, said, **more), metric("explained_variance").score(ours))
    if (np.abs(truth) > 1e-3).all():
        assert same(theirs.mean_absolute_percentage_error(truth, said, **more), metric("mape").score(ours))


@pytest.mark.slow
@settings(max_examples=60)
@given(SCORED, st.sampled_from([2, 3]), st.booleans())
def test_metrics_of_classes_are_those_of_scikit_learn(
    rows: list[tuple[str, tuple[float, ...], int]], classes: int, weighted: bool
) -> None:
    """A class would be matched with the wrong column, or ties be taken in another order."""
    truth, said, weight = scores(rows, classes)
    names, more = CLASSES[:classes], {"sample_weight": weight} if weighted else {}
    label = np.array(names)[said.argmax(axis=1)]
    ours = rows_of(truth, said, names, weight if weighted else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": theirs.accuracy_score(truth, label, **more),
            "balanced_accuracy": theirs.balanced_accuracy_score(truth, label, **more),
            "macro_f1": theirs.f1_score(truth, label, average="macro", zero_division=0, **more),
            "log_loss": theirs.log_loss(truth, said, labels=list(names), **more),
            "mcc": theirs.matthews_corrcoef(truth, label, **more),
            "top_k_accuracy@1": theirs.top_k_accuracy_score(truth, said, k=1, labels=list(names), **more)
            if classes > 2 else None,
            "top_k_accuracy@2": theirs.top_k_accuracy_score(truth, said, k=2, labels=list(names), **more)
            if classes > 2 else None,
        }  # fmt: skip
        if len({*truth.tolist(), *label.tolist()}) > 1:
            expected["kappa"] = theirs.cohen_kappa_score(truth, label, **more)
        if len(set(truth.tolist())) == classes:
            score = said[:, 1] if classes == 2 else said
            expected["roc_auc"] = (
                theirs.roc_auc_score(truth, score, **more) if classes == 2
                else theirs.roc_auc_score(truth, score, multi_class="ovr", average="macro", **more)
            )  # fmt: skip
        if classes == 2:
            expected["brier"] = theirs.brier_score_loss(truth == "bee", said[:, 1], **more)
        for code, name in enumerate(names):
            one, chosen = truth == name, label == name
            if one.any():
                expected[f"recall@{name}"] = theirs.recall_score(one, chosen, **more)
                expected[f"average_precision@{name}"] = theirs.average_precision_score(one, said[:, code], **more)
            if chosen.any():
                expected[f"precision@{name}"] = theirs.precision_score(one, chosen, **more)
            if one.any() or chosen.any():
                expected[f"f1@{name}"] = theirs.f1_score(one, chosen, **more)
            if one.any() and not one.all():
                expected[f"roc_auc@{name}"] = theirs.roc_auc_score(one, said[:, code], **more)
    for name, value in expected.items():
        if value is not None and math.isfinite(value):
            assert same(value, metric(name).score(ours)), name


def test_the_calibration_error_is_that_of_a_loop() -> None:
    """Bins would be open at the wrong end, or weighted alike whatever lies in them."""
    rng = np.random.default_rng(4)
    said = rng.dirichlet(np.ones(3), size=500)
    truth = np.array(CLASSES)[rng.integers(0, 3, 500)]
    for bins, name in ((15, "ece"), (10, "expected_calibration_error@10"), (10, "ece@10")):
        total = 0.0
        for low in range(bins):
            inside = [row for row in range(500) if low / bins < said[row].max() <= (low + 1) / bins]
            hits = [CLASSES[int(said[row].argmax())] == truth[row] for row in inside]
            total += abs(sum(hits) - sum(said[row].max() for row in inside))
        assert same(total / 500, metric(name).score(rows_of(truth, said, CLASSES)))


ALL = [*REGRESSION, *MORE_OF_VALUES, metric("pinball@0.2")]
ALL_OF_CLASSES = [
    *CLASSIFICATION, *MORE_OF_CLASSES, metric("top_k_accuracy@2"), *(of_class(name, "bee") for name in FAMILIES
    if FAMILIES[name].parameter == "the name of a class"),
]  # fmt: skip


def one_class(size: int = 4) -> Rows:
    said = np.full((size, 2), 0.5)
    return rows_of(np.array(["ant"] * size), said, ("ant", "bee"))


@pytest.mark.parametrize(
    ("name", "rows", "why"),
    [
        ("roc_auc", one_class(), "every row is of the class 'ant'"),
        ("recall@bee", one_class(), "no row is of the class 'bee'"),
        ("precision@bee", one_class(), "no row is of the class 'bee'"),
        ("average_precision@bee", one_class(), "no row is of the class 'bee'"),
        ("roc_auc@ant", one_class(), "every row is of the class 'ant'"),
        ("recall@cow", one_class(), "there is no class 'cow'"),
        ("mape", rows_of(np.array([0.0, 1.0, 0.0]), np.ones(3)), "the target is 0 in 2 rows"),
        ("r2", rows_of(np.ones(3), np.array([1.0, 2.0, 3.0])), "the target is constant"),
        ("r2", rows_of(np.ones(1), np.ones(1)), "1 rows cannot have a r2"),
    ],
)
def test_what_is_undefined_is_no_number_and_says_why(name: str, rows: Rows, why: str) -> None:
    """A fold without a case of the class would count as zero, or as a hit."""
    assert math.isnan(metric(name).score(rows))
    assert metric(name).why(rows).startswith(why)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("pinball@1.5", "a quantile between 0 and 1"),
        ("pinball@", "a quantile between 0 and 1"),
        ("top_k_accuracy@0", "a number of classes"),
        ("top_k_accuracy@two", "a number of classes"),
        ("ece@1", "a number of bins"),
        ("recall@", "the name of a class"),
    ],
)
def test_a_parameter_that_is_none_is_refused(name: str, what: str) -> None:
    """A slip of the pen would be a metric that nobody can compute, found after the look."""
    with pytest.raises(StudyError, match=what):
        named(name)


def test_names_lead_to_one_metric_each() -> None:
    """Two rules would judge the same number under two names, or one name two numbers."""
    for name, each in BUILT_IN.items():
        assert name == each.name
        for alias in (name, *each.aliases):
            assert named(alias) is each
    assert {"pearson", "spearman", "auc", "ece", "r2"} <= {*known_names("regression"), *known_names("classification")}
    assert named("no such metric") is None
    assert named("no_family@3") is None


def test_a_metric_of_another_target_is_refused() -> None:
    """An AUC of numbers would be found after hours of training."""
    with pytest.raises(StudyError, match="unknown metric 'roc_auc' for a regression study"):
        table_of("regression", ["roc_auc"])
    table = table_of("classification", ["roc_auc", "auc", "log_loss"])
    assert ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc"] == [each.name for each in table]
