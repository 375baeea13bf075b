"""Weights say how rows compare: their unit, and how decimals round when they are added up, change no number."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heldout.split import Fold
from heldout.task.conformal import hierarchical_quantile, left_out_quantiles
from heldout.task.metric import Metric, Rows
from heldout.task.metrics import BUILT_IN, FAMILIES, OF_MODELS, named, rows_of, table_of, task_of
from heldout.task.regression import average_ranks
from heldout.task.trivial import trivial_contenders
from heldout.task.weighted import median_of

FACTORS = (1e-9, 1e-6, 0.1, 7.0, 1e6, 1e12)
ALIKE = (0.1, 0.3, 1 / 3, 0.7, 1e-9, 1e12, 3.0)
CLASSES = ("a", "b", "c")


def every(task: Any) -> tuple[Metric, ...]:
    """Every metric of rows that heldout brings, each family at its example, each class asked."""
    own = [name for name, each in BUILT_IN.items() if each not in OF_MODELS and task_of(each) == task]
    families = [family for family in FAMILIES.values() if family.task == task]
    asked = [family.example.replace("CLASS", name) for family in families for name in ("a", "b")]
    return table_of(task, [*own, *dict.fromkeys(asked)])


def drawn(task: str, seed: int) -> tuple[Rows, NDArray[np.float64]]:
    """Rows with ties, and a weight a row: decimals, or up to a million times one another."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 50))
    weight = rng.integers(1, 10, rows) / 10 if seed % 2 else 10.0 ** rng.uniform(-3, 3, rows)
    if task == "regression":
        truth = rng.integers(1, 40, rows) / 4
        return rows_of(truth, truth + rng.integers(-6, 7, rows) / 4), weight
    said = rng.integers(1, 9, (rows, 3)).astype(np.float64)
    labels = np.array(CLASSES)[rng.integers(0, int(rng.integers(1, 4)), rows)]
    return rows_of(labels, said / said.sum(axis=1, keepdims=True), CLASSES), weight


def scores(rows: Rows, weight: NDArray[np.float64] | None) -> dict[str, float]:
    weighted = Rows(rows.truth, rows.said, rows.classes, weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {each.name: each.score(weighted) for each in every("classification" if rows.classes else "regression")}


def test_every_metric_is_asked() -> None:
    """The two tests below would hold of the few metrics that somebody remembered."""
    assert {"plcc", "srocc", "median_absolute_error", "mape", "pinball@0.9"} <= {m.name for m in every("regression")}
    assert {"mcc", "kappa", "brier", "average_precision@a", "top_k_accuracy@3"} <= {
        m.name for m in every("classification")
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["regression", "classification"]), st.sampled_from(FACTORS))
def test_the_unit_of_weights_changes_no_metric(seed: int, task: str, factor: float) -> None:
    """Who weighs in grams would be judged by other numbers than who weighs in tons."""
    rows, weight = drawn(task, seed)
    expected = scores(rows, weight)
    assert expected == pytest.approx(scores(rows, weight * factor), rel=1e-9, abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["regression", "classification"]), st.sampled_from(ALIKE))
def test_weights_that_are_all_alike_are_no_weights(seed: int, task: str, value: float) -> None:
    """A column of one number would move a verdict."""
    rows, _ = drawn(task, seed)
    expected = scores(rows, None)
    assert expected == pytest.approx(scores(rows, np.full(len(rows), value)), rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("factor", [5e-324, 1e-300, 1e-80, 1e80, 1e300])
def test_units_that_a_table_is_refused_for_change_no_metric_either(factor: float) -> None:
    """A power of a total that vanishes would make a correlation of classes 0, or end the run."""
    for task in ("regression", "classification"):
        rows, _ = drawn(task, 4)
        weight = np.full(len(rows), factor)
        assert scores(rows, None) == pytest.approx(scores(rows, weight), rel=1e-12, abs=1e-12, nan_ok=True)


def test_a_class_that_weighs_little_is_still_one() -> None:
    """A model that finds every case of a light class would have no agreement beyond luck."""
    truth = np.array(["a"] * 1000 + ["b"])
    said = np.eye(2)[(truth == "b").astype(np.int64)]
    weight = np.where(truth == "b", 1.0, 1e6)
    for name in ("mcc", "kappa"):
        metric = named(name)
        assert metric is not None
        assert 1.0 == pytest.approx(metric.score(rows_of(truth, said, ("a", "b"), weight)), abs=1e-12)
        assert 1.0 == pytest.approx(metric.score(rows_of(truth, said, ("a", "b"))), abs=1e-12)


@given(st.integers(0, 10_000), st.sampled_from(ALIKE))
def test_the_median_of_weights_that_are_alike_is_numpys(seed: int, value: float) -> None:
    """Six times 0.1 is less than half of twelve times 0.1: the lower of two far middle rows would be the median."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=int(rng.integers(1, 200)))
    assert np.median(values) == median_of(values, np.full(len(values), value))


@given(st.integers(0, 10_000), st.sampled_from(ALIKE))
def test_the_median_of_whole_weights_in_any_unit_is_that_of_repeated_rows(seed: int, unit: float) -> None:
    """As above, where weights differ; a row of weight 0 in the middle would be its median."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, int(rng.integers(2, 60)))
    counts[0] = 1
    values = rng.normal(size=len(counts))
    assert np.median(np.repeat(values, counts)) == median_of(values, counts * unit)


def test_a_median_of_the_largest_numbers_is_one_of_them() -> None:
    """The mean of one row with itself would be infinite."""
    assert 1.7e308 == median_of(np.array([0.0, 1.7e308, 1.7e308]), np.array([1.0, 1.0, 3.0]))


@pytest.mark.parametrize("factor", FACTORS)
def test_ranks_are_in_the_unit_of_the_weights(factor: float) -> None:
    """Light rows would all have the rank of a half, with differences that rounding takes."""
    values, weight = np.array([3.0, 1.0, 1.0, 7.0]), np.array([0.5, 1.0, 2.0, 1.0])
    assert [3.25, 1.5, 1.5, 4.0] == average_ranks(values, weight).tolist()
    assert (average_ranks(values, weight) * factor).tolist() == pytest.approx(
        average_ranks(values, weight * factor).tolist(), rel=1e-12
    )


@given(st.integers(0, 10_000), st.sampled_from(ALIKE), st.sampled_from([0.5, 0.6, 0.75]))
def test_half_widths_of_weights_that_are_alike_are_those_without(seed: int, value: float, level: float) -> None:
    """A bound on an interval would be kept or broken by how decimals are added up."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=int(rng.integers(1, 12))) for _ in range(int(rng.integers(5, 9)))]
    masses = [np.full(len(part), value) for part in parts]
    assert hierarchical_quantile(parts, level) == hierarchical_quantile(parts, level, masses)
    assert left_out_quantiles(parts, level).tolist() == left_out_quantiles(parts, level, masses).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(ALIKE))
def test_whoever_knows_nothing_says_numpys_median_where_weights_are_alike(seed: int, value: float) -> None:
    """The contender of a gate would be another one with a column of one number."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(["a", "b", "c"], rng.integers(1, 30, 3))
    target = rng.normal(size=len(groups))
    folds = [Fold(name, (name,)) for name in ("a", "b", "c")]
    found = trivial_contenders(target, groups, folds, weight=np.full(len(target), value))
    for name in ("a", "b", "c"):
        assert np.median(target[groups != name]) == found["median"].answers[name][0]
        assert target[groups != name].mean() == pytest.approx(found["mean"].answers[name][0], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("heavy", [1.0, 1e3, 1e6, 1e12, 1e17, 1e303])
def test_a_heavy_group_that_is_held_out_leaves_no_rounding_behind(heavy: float) -> None:
    """Whoever knows nothing would have no answer, or a held-out row's, and stop no gate."""
    rng = np.random.default_rng(1)
    groups = np.array([f"g{number % 4}" for number in range(120)])
    target = rng.exponential(1000, 120)
    trains = groups != "g0"
    target[0] = 1e9  # the largest of all is held out
    weight = np.where(trains, 0.1, heavy * 0.1 * rng.uniform(0.5, 1.0, 120))
    asked = ["pinball@0.9", "pinball@0.9999999999"]
    found = trivial_contenders(target, groups, [Fold("f", ("g0",))], (), asked, weight)
    answers = {name: each.answers["f"][0] for name, each in found.items()}
    assert target[trains].mean() == pytest.approx(answers["mean"], rel=1e-12)
    assert np.median(target[trains]) == answers["median"]
    assert np.sort(target[trains])[[80, 81]].mean() == pytest.approx(answers["quantile 0.9"], rel=1e-12)
    assert target[trains].max() == answers["quantile 0.9999999999"]


def test_where_no_training_row_counts_nobody_answers() -> None:
    """Whoever knows nothing would say the first class, with a warning of numpy, and count as judged."""
    groups, weight = np.array(["g", "g", "h", "h"]), np.array([1.0, 1.0, 0.0, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classes = trivial_contenders(
            np.array(["a", "b", "a", "b"]), groups, [Fold("f", ("g",))], ("a", "b"), weight=weight
        )
        values = trivial_contenders(np.arange(4.0), groups, [Fold("f", ("g",))], weight=weight)
    assert [[None, None]] * 2 == [classes[name].to_json()["f"] for name in ("majority", "prior")]
    assert [None, None] == [values[name].to_json()["f"] for name in ("mean", "median")]
