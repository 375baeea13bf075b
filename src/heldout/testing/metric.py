"""What every metric keeps: the contract of ``heldout.task.Metric``, as tests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from heldout.task.metric import Metric, Rows
from heldout.task.metrics import named, task_of
from heldout.testing.declared import declared

_ROUNDING = 1e-6
_CLASSES = ("ant", "bee", "cow")
_DRAWS, _MOST = 40, 30


class MetricConformance:
    """Tests of a metric; a subclass sets ``metric``, and ``classes`` if it asks for one by name."""

    metric: ClassVar[Metric]
    classes: ClassVar[tuple[str, ...]] = _CLASSES

    def rows(self, count: int, seed: int) -> Rows:
        """Rows as a model may predict them, with ties; override where the metric needs others."""
        rng = np.random.default_rng([seed, count])
        if task_of(self.metric) == "regression":
            truth = rng.integers(1, 60, count) / 4.0
            return Rows(truth, truth + rng.integers(-8, 9, count) / 2.0)
        said = rng.integers(1, 5, (count, len(self.classes))).astype(np.float64)
        return Rows(rng.integers(0, len(self.classes), count), said / said.sum(axis=1, keepdims=True), self.classes)

    def test_it_is_declared_under_its_name(self) -> None:
        """A rule that names it would judge nothing, or another metric."""
        found = named(self.metric.name) or declared("metrics", self.metric.name)
        told, known = self.metric.to_json(), found.to_json()
        assert told.items() <= known.items(), f"the name {self.metric.name!r} leads to another metric"

    def test_it_is_defined_on_ordinary_rows(self) -> None:
        """Every rule that asks for it would be UNKNOWN."""
        value = self.metric.score(self.rows(_MOST, 0))
        assert math.isfinite(value), f"30 ordinary rows have the value {value}: {self.metric.why(self.rows(_MOST, 0))}"

    def test_values_keep_the_range(self) -> None:
        """A bound would be refused as one that no result keeps, and results keep it."""
        low, high = self.metric.range
        for rows in self._draws():
            value = self.metric.score(rows)
            assert math.isnan(value) or low - _ROUNDING <= value <= high + _ROUNDING, (
                f"{value} is not in {low} .. {high}"
            )

    def test_nothing_undefined_is_a_number_and_it_says_why(self) -> None:
        """A NaN would be dropped from a mean, and a report show a gap without a reason."""
        for rows in (*self._draws(), self.rows(_MOST, 0).part(slice(0, 0))):
            if not math.isfinite(self.metric.score(rows)):
                assert math.isnan(self.metric.score(rows)), "an undefined value is NaN, not infinite"
                _sentence(self.metric.why(rows))

    def test_one_number_that_is_not_finite_undefines_it(self) -> None:
        """The rest of a fold would pass for the whole."""
        for bad in (math.nan, math.inf):
            rows = self.rows(_MOST, 0)
            rows.said.flat[3] = bad
            assert math.isnan(self.metric.score(rows)), (
                f"a prediction of {bad} gives the value {self.metric.score(rows)}"
            )
            _sentence(self.metric.why(rows))

    def test_order_of_rows_changes_nothing(self) -> None:
        """Two people with the same predictions would report two numbers."""
        for seed, rows in enumerate(self._draws()):
            mixed = rows.part(np.random.default_rng(seed).permutation(len(rows)))
            self._equal(rows, mixed, "the order of rows changes the value")

    def test_a_row_of_weight_two_is_two_rows(self) -> None:
        """Weights would mean another thing in each metric."""
        for seed, rows in enumerate(self._draws()):
            often = np.random.default_rng(seed).integers(1, 5, len(rows))
            weighted = replace(rows, weight=often.astype(np.float64))
            if (
                len(rows) > 1
            ):  # a copy is no second observation: one row and four copies of it differ in what they can say
                self._equal(rows.part(np.repeat(np.arange(len(rows)), often)), weighted, "a weight is no repetition")

    def test_a_perfect_prediction_is_the_best(self) -> None:
        """A rule would promote the worse of two models."""
        rows = self.rows(_MOST, 0)
        perfect = self.metric.score(replace(rows, said=self._truth(rows)))
        best = self.metric.best
        if math.isfinite(best):
            assert math.isclose(best, perfect, rel_tol=_ROUNDING, abs_tol=_ROUNDING), (
                f"{perfect} is not the best, {best}"
            )
        value = self.metric.score(rows)
        assert not self.metric.is_better(value, perfect), (
            f"{value}, of errors, is better than {perfect}: check `better`"
        )

    def test_it_leaves_the_rows_as_they_are(self) -> None:
        """What sorts in place would change the value of every metric after it."""
        for rows in self._draws():
            truth, said = rows.truth.copy(), rows.said.copy()
            self.metric.score(rows)
            assert (truth.tobytes(), said.tobytes()) == (rows.truth.tobytes(), rows.said.tobytes()), (
                "copy before sorting"
            )

    def _draws(self) -> Iterator[Rows]:
        """Rows of many sizes, one row and two among them."""
        return (self.rows(1 + seed % _MOST, seed) for seed in range(_DRAWS))

    def _truth(self, rows: Rows) -> NDArray[np.float64]:
        """What a model that knows everything predicts."""
        known: NDArray[np.float64] = np.eye(len(rows.classes))[rows.truth] if rows.classes else rows.truth.copy()
        return known

    def _equal(self, one: Rows, other: Rows, what: str) -> None:
        expected, found = self.metric.score(one), self.metric.score(other)
        both = math.isnan(expected) and math.isnan(found)
        near = math.isclose(expected, found, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        assert both or near, f"{what}: {expected} and {found} ({len(one)} rows)"


def _sentence(text: str) -> None:
    assert len(text.split()) > 2, f"`why` answers a sentence, not {text!r}"
