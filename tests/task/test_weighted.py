"""Weights in every number: a row of weight 3 is three rows, one of weight 0 none, whatever is computed of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heldout.errors import CorpusError, StudyError
from heldout.split import Fold
from heldout.study import BootstrapSpec, MetricSpec
from heldout.task import Predictions, read_predictions, summarise
from heldout.task.functions import check_weighing, declared_metric
from heldout.task.metric import WEIGHS_NOTHING, Metric, Rows
from heldout.task.metrics import named, rows_of, table_of
from heldout.task.trivial import Trivial, trivial_contenders

FEW = BootstrapSpec(draws=100)
ASKED = {
    "regression": ["r2", "explained_variance", "median_absolute_error", "pinball@0.9", "mape"],
    "classification": [
        "roc_auc",
        "brier",
        "ece",
        "mcc",
        "kappa",
        "recall@b",
        "average_precision@b",
        "top_k_accuracy@2",
    ],
}
# Counts of rows, the words beside a null that tell them, and which of equally bad groups rounding names.
COUNTS = {"rows", "n_train", "weighted", "answers", "why", "group"}


def metric(name: str) -> Metric:
    found = named(name)
    assert found is not None
    return found


def predictions(task: str, seed: int, *, cells: bool = False) -> tuple[Predictions, NDArray[np.int64]]:
    """Of three groups and two seeds, and a whole weight a row, 0 among them; every group weighs something."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(["x", "y", "z"], rng.integers(4, 12, 3))
    rows = len(groups)
    weight = rng.integers(0, 4, rows)
    weight[np.unique(groups, return_index=True)[1]] = 2
    samples = pl.DataFrame({"sample_id": [f"s{n}" for n in range(rows)], "group": groups})
    if cells:
        samples = samples.with_columns(cell=pl.Series([f"{group}{n % 2}" for n, group in enumerate(groups)]))
    samples = samples.with_columns(fold=pl.col("group"))
    if task == "regression":
        target: Any = rng.integers(1, 40, rows) / 4
        members = {s: target + rng.integers(-6, 7, rows) / 4 for s in (0, 1)}
        classes: tuple[str, ...] = ()
    else:
        classes = ("a", "b", "c")
        target = np.array(classes)[rng.integers(0, 3, rows)]
        drawn = {s: rng.integers(1, 9, (rows, 3)).astype(float) for s in (0, 1)}
        members = {s: each / each.sum(axis=1, keepdims=True) for s, each in drawn.items()}
    samples = samples.with_columns(pl.Series("target", target), pl.Series("slice:kind", rng.choice(["l", "r"], rows)))
    return Predictions(samples, members, classes), weight


def weighted(plain: Predictions, weight: NDArray[Any]) -> Predictions:
    return Predictions(
        plain.samples.with_columns(weight=pl.Series(weight.astype(np.float64))), plain.members, plain.classes
    )


def repeated(plain: Predictions, weight: NDArray[Any]) -> Predictions:
    rows = np.repeat(np.arange(len(weight)), weight)
    samples = plain.samples[rows].with_columns(sample_id=pl.Series([f"s{n}" for n in range(len(rows))]))
    return Predictions(samples, {seed: values[rows] for seed, values in plain.members.items()}, plain.classes)


def document(of: Predictions, rival: Predictions, nothing: Mapping[str, Trivial]) -> dict[str, Any]:
    table = table_of(of.task, ASKED[of.task])
    return summarise(of, {}, FEW, {"rival": ("another", rival)}, nothing, table=table)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Places where two documents differ by more than rounding, but for `COUNTS`."""
    if isinstance(one, Mapping):
        keys = (one.keys() | other.keys()) - COUNTS
        return [each for key in sorted(keys) for each in differences(one.get(key), other.get(key), f"{path}/{key}")]
    if isinstance(one, list) and len(one) == len(other):
        return [
            each for n, pair in enumerate(zip(one, other, strict=True)) for each in differences(*pair, f"{path}/{n}")
        ]
    if isinstance(one, float) and isinstance(other, float):
        return [] if math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) else [f"{path}: {one} and {other}"]
    return [] if one == other else [f"{path}: {one} and {other}"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["regression", "classification"]), st.booleans())
def test_a_whole_weight_is_so_many_rows_in_every_number(seed: int, task: str, cells: bool) -> None:
    """Folds, groups, slices, seeds, gains and intervals would count by other weights than the pooled value."""
    plain, weight = predictions(task, seed, cells=cells)
    rival = Predictions(plain.samples, {0: plain.members[1]}, plain.classes)
    folds = [Fold(name, (name,)) for name in ("x", "y", "z")]
    groups = plain.samples["group"].to_numpy()
    of_rows = repeated(plain, weight)
    counted = trivial_contenders(
        plain.target, groups, folds, plain.classes, ASKED[task][-2:], weight.astype(np.float64)
    )
    often = trivial_contenders(
        of_rows.target, of_rows.samples["group"].to_numpy(), folds, plain.classes, ASKED[task][-2:]
    )
    # A quantile between two rows may lie anywhere between them; constants of cells are ranked by their rounding.
    counted, often = ({k: v for k, v in each.items() if not (cells or "quantile" in k)} for each in (counted, often))
    ours = document(weighted(plain, weight), weighted(rival, weight), counted)
    theirs = document(of_rows, repeated(rival, weight), often)
    assert [] == differences(ours, theirs)
    assert True is ours["weighted"]
    assert "weighted" not in theirs


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_contenders_that_know_nothing_are_the_best_constants_by_weight(seed: int) -> None:
    """A gate would be put to contenders that are easier to beat than knowing nothing is."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(6, 40))
    target, weight = rng.normal(size=rows).round(1), rng.integers(0, 4, rows) * rng.choice([1.0, 0.3])
    groups = np.array([f"g{n % 3}" for n in range(rows)])
    weight[:3] = 1.0
    folds = [Fold("f", ("g0",))]
    found = trivial_contenders(target, groups, folds, (), ["pinball@0.9"], weight)
    trains = groups != "g0"
    for name, judge in (("mean", "rmse"), ("median", "mae"), ("quantile 0.9", "pinball@0.9")):
        answer = float(found[name].answers["f"][0])

        def loss(constant: float, judge: str = judge) -> float:
            said = np.full(int(trains.sum()), constant)
            return metric(judge).score(rows_of(target[trains], said, (), weight[trains]))

        best = min(loss(value) for value in [*target[trains], answer])
        assert best + 1e-12 >= loss(answer), name
    held_out = target.copy()
    held_out[~trains] += 100.0
    again = trivial_contenders(held_out, groups, folds, (), ["pinball@0.9"], np.where(trains, weight, 7.0))
    for name, contender in found.items():
        assert contender.answers["f"] == pytest.approx(again[name].answers["f"], rel=1e-12), name


def test_majority_and_prior_go_by_weight() -> None:
    """Whoever always says the class that weighs most would not be asked."""
    target, groups = np.array(["a", "a", "a", "b"]), np.array(["g", "g", "h", "h"])
    found = trivial_contenders(target, groups, [Fold("f", ("g",))], ("a", "b"), weight=np.array([1.0, 1.0, 1.0, 3.0]))
    assert [0.0, 1.0] == found["majority"].answers["f"].tolist()
    assert [0.25, 0.75] == found["prior"].answers["f"].tolist()


def test_rows_that_weigh_nothing_have_no_metric_and_say_so() -> None:
    """A division by zero would end the judgement, or a NaN pass without a reason."""
    rows = Rows(np.array([1.0, 2.0]), np.array([1.0, 3.0]), weight=np.zeros(2))
    for each in table_of("regression", ASKED["regression"]):
        assert math.isnan(each.score(rows))
        assert WEIGHS_NOTHING == each.why(rows)


def test_a_prediction_that_is_not_finite_counts_at_any_weight() -> None:
    """A model would hide where it breaks behind a weight of 0."""
    rows = Rows(np.array([1.0, 2.0, 3.0]), np.array([1.0, math.inf, 3.0]), weight=np.array([1.0, 0.0, 1.0]))
    assert math.isnan(metric("rmse").score(rows))
    assert "1 predictions are not finite" == metric("rmse").why(rows)


def test_predictions_come_back_with_their_weights(tmp_path: Path) -> None:
    """What is verified would count otherwise than what was judged."""
    plain, weight = predictions("regression", 3)
    mine = weighted(plain, weight / 3.0)
    mine.write(tmp_path)
    found = read_predictions(tmp_path / "predictions.jsonl", [0, 1])
    assert found.weight is not None
    assert (weight / 3.0).tolist() == found.weight.tolist()
    assert "weight" in pl.read_csv(tmp_path / "predictions.csv").columns
    plain.write(tmp_path)
    assert read_predictions(tmp_path / "predictions.jsonl", [0, 1]).weight is None


@pytest.mark.parametrize("bad", ['"heavy"', "-1.0", "null"])
def test_stored_weights_that_count_nothing_are_refused(tmp_path: Path, bad: str) -> None:
    """A negative weight in a file would turn an error into a merit."""
    rows = [f'{{"sample_id":"s{n}","group":"g","fold":"f","target":1.0,"weight":{w},"seed0":1.0}}' for n, w in
            enumerate(["1.0", bad])]  # fmt: skip
    (tmp_path / "predictions.jsonl").write_text("\n".join(rows) + "\n")
    with pytest.raises(CorpusError, match="weight"):
        read_predictions(tmp_path / "predictions.jsonl", [0])


def spec(function: str, **more: Any) -> MetricSpec:
    return MetricSpec.model_validate({"name": "own", "function": function, "better": "lower"} | more)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a study, with functions that take weights in every way."""
    module = ModuleType("weighing")

    def with_default(truth: Any, said: Any, sample_weight: Any = None) -> float:
        return float(np.average(np.abs(truth - said), weights=sample_weight))

    def without_default(truth: Any, said: Any, sample_weight: Any) -> float:
        return float(np.average(np.abs(truth - said), weights=sample_weight))

    def by_name(truth: Any, said: Any, *, sample_weight: Any, power: float = 1.0) -> float:
        return float(np.average(np.abs(truth - said) ** power, weights=sample_weight))

    def anything(truth: Any, said: Any, **more: Any) -> float:
        return float(np.abs(truth - said).mean())

    def none(truth: Any, said: Any) -> float:
        return float(np.abs(truth - said).mean())

    for function in (with_default, without_default, by_name, anything, none):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "weighing", module)
    return module


@pytest.mark.parametrize("function", ["sklearn.metrics.max_error", "weighing:none", "weighing:anything"])
def test_a_function_that_cannot_count_by_weights_is_refused(own: Any, function: str) -> None:
    """It would fail after hours of fits, or count every row alike: what `**kwargs` do with weights nobody sees."""
    with pytest.raises(StudyError, match="takes no `sample_weight`"):
        check_weighing(spec(function), "metrics.0", weighted=True)
    check_weighing(spec(function), "metrics.0", weighted=False)


@pytest.mark.parametrize("function", ["with_default", "without_default", "by_name"])
def test_a_function_that_names_weights_is_called_with_them(own: Any, function: str) -> None:
    """Who writes a function for weighted rows alone would have to invent a default that nobody uses."""
    rows = Rows(np.array([1.0, 2.0]), np.array([1.0, 6.0]), weight=np.array([3.0, 1.0]))
    declared = spec(f"weighing:{function}")
    check_weighing(declared, "metrics.0", weighted=True)
    assert 1.0 == declared_metric(declared).score(rows)


def test_a_function_that_needs_weights_is_refused_where_there_are_none(own: Any) -> None:
    """It would fail after hours of fits."""
    for function in ("without_default", "by_name"):
        with pytest.raises(StudyError, match="needs a `sample_weight`, and the rows of the corpus have no weights"):
            check_weighing(spec(f"weighing:{function}"), "metrics.0", weighted=False)
    for function in ("sklearn.metrics.mean_absolute_error", "weighing:with_default"):
        check_weighing(spec(function), "metrics.0", weighted=False)
        check_weighing(spec(function), "metrics.0", weighted=True)
    check_weighing(spec("weighing:by_name", params={"power": 2.0}), "metrics.0", weighted=True)


@pytest.mark.parametrize("weighted", [True, False])
def test_weights_that_a_study_gives_itself_are_refused_as_such(own: Any, weighted: bool) -> None:
    """The author would be told that a function takes no weights which does take them."""
    for function in ("with_default", "without_default", "anything"):
        declared = spec(f"weighing:{function}", params={"sample_weight": None})
        with pytest.raises(StudyError, match="heldout gives it where rows have weights"):
            check_weighing(declared, "metrics.0", weighted=weighted)
