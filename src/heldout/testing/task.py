"""What every task keeps: the contract of ``heldout.task.Task``, as tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.split import Fold
from heldout.task.metric import Metric, Rows
from heldout.task.metrics import OF_MODELS, named, rows_of, usable
from heldout.task.task import Task, named_task, why_no_task
from heldout.task.trivial import trivial_contenders
from heldout.testing.declared import declared

_ROUNDING = 1e-9
_CLASSES = ("ant", "bee", "cow")
_FOLD = Fold("f", ("held-out",))
_COUNT, _STEPS = 60, 199


class TaskConformance:
    """Tests of a task; a subclass sets ``task``, and what its targets are where these will not do."""

    task: ClassVar[Task]
    classes: ClassVar[tuple[str, ...]] = _CLASSES

    def targets(self) -> NDArray[Any]:
        """Targets that it takes, with repeats; override where these are none: numbers above 0, or three classes."""
        rng = np.random.default_rng(7)
        if self.task.kind == "regression":
            return np.asarray(rng.lognormal(1.0, 1.0, _COUNT).round(1) + 0.1)
        return np.array(self.classes)[rng.choice(len(self.classes), _COUNT, p=self._shares())]

    def refused(self) -> tuple[float | str, ...]:
        """Targets that it refuses; override where `takes` refuses others than what is below 0."""
        return () if self.task.takes is None else (-1.0,)

    def test_it_is_declared_under_its_name(self) -> None:
        """A study that names it would be scored as another, or not at all."""
        assert declared("tasks", self.task.name) is self.task, f"the name {self.task.name!r} leads to another task"
        assert named_task(self.task.name) is self.task
        assert why_no_task(self.task.name, self.task) is None

    def test_its_metrics_are_there(self) -> None:
        """Every study would be refused before anything is fitted."""
        for name in self.task.metrics:
            metric = named(name)
            assert metric is not None, f"no metric is named {name!r}: declare it under heldout.metrics"
            assert metric not in OF_MODELS, f"{name!r} is measured on models: rules ask for it"
            assert usable(metric, self.task.kind), f"{name!r} says nothing of a {self.task.kind}"

    def test_it_takes_and_refuses_targets(self) -> None:
        """What is no target would be scored, or a good corpus refused."""
        known = self.targets()
        assert self.task.refused(known) is None, f"`takes` refuses {known[self.task.refused(known) or 0]!r}"
        for wrong in self.refused():
            place = len(known) // 2
            mixed = np.concatenate([known[:place], [wrong], known[place:]])
            assert self.task.refused(mixed) == place, f"`takes` takes {wrong!r}, or refuses another row"

    def test_guesses_know_targets_alone(self) -> None:
        """Whoever repeats the run would find other contenders, or they would be models."""
        target = self.targets()
        mixed = np.random.default_rng(3).permutation(len(target))
        expected, found = self._guesses(target), self._guesses(target[mixed])
        assert {*self.task.guesses} <= {*expected}
        for name in self.task.guesses:
            assert np.array_equal(expected[name], found[name]), f"{name!r}: the order of rows changes the answer"

    def test_a_row_of_weight_two_is_two_rows(self) -> None:
        """Weights would mean another thing in each contender."""
        target = self.targets()
        often = np.random.default_rng(5).integers(0, 4, len(target))
        weighed, repeated = self._guesses(target, often.astype(np.float64)), self._guesses(np.repeat(target, often))
        for name in self.task.guesses:
            np.testing.assert_allclose(weighed[name], repeated[name], rtol=_ROUNDING, err_msg=f"{name!r} by weight")

    def test_no_constant_is_better_than_those_that_are_judged(self) -> None:
        """A model that always says it would be promoted, and the gate would not notice."""
        metric = named(self.task.metrics[0])
        assert metric is not None
        target = self.targets()
        best = max(self._worth(metric, target, answer) for answer in self._guesses(target).values())
        for answer in self._constants(target):
            worth = self._worth(metric, target, answer)
            assert worth <= best + _ROUNDING * max(1.0, abs(best)), (
                f"by {metric.name!r} the constant {answer.tolist()} has {abs(worth):g}, and the best of those that "
                f"are judged has {abs(best):g}: add it to `guesses`"
            )

    def _guesses(self, target: NDArray[Any], weight: FloatArray | None = None) -> Mapping[str, FloatArray]:
        """What each contender answers that learnt these targets."""
        groups = np.full(len(target), "trains")
        classes = self.classes if self.task.kind == "classification" else ()
        found = trivial_contenders(target, groups, [_FOLD], classes, self.task.metrics, weight, self.task.answers())
        return {name: contender.answers[_FOLD.id] for name, contender in found.items()}

    def _worth(self, metric: Metric, target: NDArray[Any], answer: FloatArray) -> float:
        """The metric of a constant, the more the better."""
        classes = self.classes if self.task.kind == "classification" else ()
        said = np.repeat(answer[None], len(target), axis=0)
        rows: Rows = rows_of(target, said if classes else said[:, 0], classes)
        value = metric.score(rows, knows_nothing=True)
        if math.isnan(value):
            return -math.inf
        return {"higher": value, "lower": -value, "near zero": -abs(value)}[metric.better]

    def _constants(self, target: NDArray[Any]) -> list[FloatArray]:
        if self.task.kind == "classification":
            drawn = np.random.default_rng(1).dirichlet(np.ones(len(self.classes)), _STEPS)
            return [*np.eye(len(self.classes)), *drawn]
        levels = np.quantile(target, np.linspace(0, 1, _STEPS))
        return [np.array([value]) for value in (*levels, *(levels * 1.05), 0.0)]

    def _shares(self) -> FloatArray:
        shares = np.arange(len(self.classes), 0, -1, dtype=np.float64)
        return np.asarray(shares / shares.sum())
