"""What a metric is: one object that says everything about itself. Rules, tables and verification follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.task.weighted import mean_of, of_size_one

Better = Literal["higher", "lower", "near zero"]
Needs = Literal["value", "label", "probability", "model"]
ANY, SIZE, SHARE = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)


@dataclass(frozen=True)
class Rows:
    """Rows of predictions with their truth: what a metric is computed from.

    Attributes:
        truth: Targets, float64 ``[rows]``, of several ``[rows, outputs]``; of classes their number in ``classes``,
            int64 ``[rows]``.
        said: Predicted values, of the shape of the truth, or probabilities, float64 ``[rows, classes]``.
        classes: Names of the classes, in the order of the columns; empty for regression.
        weight: How much each row counts, float64 ``[rows]``; None counts all alike.
        outputs: Names of the targets, in the order of the columns, where there are several. A metric is computed of
            one at a time.
    """

    truth: NDArray[Any]
    said: FloatArray
    classes: tuple[str, ...] = ()
    weight: FloatArray | None = None
    outputs: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.truth)

    def part(self, rows: NDArray[Any] | slice) -> Rows:
        """Some of the rows, by number."""
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, truth=self.truth[rows], said=self.said[rows], weight=weight)

    def by_output(self, name: str = "") -> list[tuple[str, Rows]]:
        """These rows with each target by itself, after its name, or with the one of a name; of one target themselves.

        Args:
            name: Of a target; empty for all.
        """
        if not self.outputs:
            return [("", self)]
        return [
            (each, replace(self, truth=self.truth[:, place], said=self.said[:, place], outputs=()))
            for place, each in enumerate(self.outputs)
            if name in ("", each)
        ]

    @cached_property
    def finite(self) -> bool:
        """Whether every number can be computed with, and there is any."""
        if not (len(self) and np.isfinite(self.said).all()):
            return False
        return bool(self.classes) or bool(np.isfinite(self.truth).all())

    @cached_property
    def counted(self) -> Rows:
        """The rows that have any weight: one of weight 0 is no row."""
        if self.weight is None or (self.weight > 0).all():
            return self
        return self.part(self.weight > 0)

    @cached_property
    def share(self) -> FloatArray | None:
        """How much each row counts beside the others, in no unit; None counts all alike."""
        return None if self.weight is None else of_size_one(self.weight)

    @cached_property
    def mass(self) -> FloatArray:
        """How much each row counts, as numbers in any case: float64 ``[rows]``."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """The predicted class: the most probable one, the first of several; int64 ``[rows]``."""
        found: NDArray[np.int64] = self.said.argmax(axis=1)
        return found

    @cached_property
    def confusion(self) -> FloatArray:
        """Rows (or their weight) by truth and prediction, float64 ``[classes, classes]``."""
        count = len(self.classes)
        flat = np.bincount(self.truth * count + self.label, weights=self.weight, minlength=count * count)
        return flat.reshape(count, count).astype(np.float64)

    def mean(self, values: NDArray[Any]) -> float:
        """The mean over rows of one value a row, by weight."""
        return mean_of(values, self.weight)


@dataclass(frozen=True)
class Metric:
    """A number that tells how good predictions are, and what must be known of it before anything is computed.

    A plug-in offers an instance under the entry points ``heldout.metrics``.

    Attributes:
        name: In documents and rules.
        label: Column head.
        better: The direction in which a value is better.
        range: Least and largest value that can come out.
        needs: What must be predicted for it; ``model``: it is measured on the fitted model.
        compute: The value of finite rows, at least one; NaN where it is undefined.
        unit: None where it is that of the target; empty where it has none.
        aliases: Other names that a rule may use.
        guess: What a contender that knows nothing gets where the value is undefined or lower; None: what comes out.
        shown: False where another metric says the same and tables show that one, unless a rule asks for this one.
        undefined: The sentence beside an undefined value; None where the ordinary reasons say it all.
        brought: Whether the study or a plug-in brings it.
        output: Name of the target that it is of; empty: the mean over all, where there are several, or of what shall
            be near zero the one farthest from it.
    """

    name: str
    label: str
    better: Better
    range: tuple[float, float]
    needs: Needs
    compute: Callable[[Rows], float]
    unit: str | None = ""
    aliases: tuple[str, ...] = ()
    guess: float | None = None
    shown: bool = True
    undefined: Callable[[Rows], str | None] | None = None
    brought: bool = False
    output: str = ""

    @property
    def best(self) -> float:
        """The value that nothing exceeds."""
        low, high = self.range
        return {"higher": high, "lower": low, "near zero": 0.0}[self.better]

    def score(self, rows: Rows, *, knows_nothing: bool = False) -> float:
        """The metric of some rows; NaN where it is undefined.

        Args:
            rows: What was predicted, and the truth.
            knows_nothing: Whether this is a trivial contender, which may as well guess.
        """
        found = [self._of_one(part, knows_nothing=knows_nothing) for _, part in rows.by_output(self.output)]
        if self.better == "near zero":
            return max(
                found, key=lambda value: math.inf if math.isnan(value) else abs(value)
            )  # a mean would cancel out
        return found[0] if len(found) == 1 else float(np.mean(found))

    def _of_one(self, rows: Rows, *, knows_nothing: bool) -> float:
        value = float(self.compute(rows.counted)) if rows.finite and len(rows.counted) else math.nan
        if knows_nothing and self.guess is not None:
            return max(self.guess, value)  # NaN is not above anything
        return value

    def why(self, rows: Rows) -> str:
        """Why the metric of these rows is undefined; of several targets, of the first of which it is."""
        name, part = next(
            (each for each in rows.by_output(self.output) if math.isnan(self._of_one(each[1], knows_nothing=False))),
            rows.by_output(self.output)[0],
        )
        return f"{name}: {self._why(part)}" if name else self._why(part)

    def _why(self, rows: Rows) -> str:
        bad = int(np.size(rows.said) - np.isfinite(rows.said).sum())
        if bad:
            return f"{bad} predictions are not finite"
        if not len(rows):
            return f"0 rows cannot have a {self.name}"
        if not len(rows.counted):
            return WEIGHS_NOTHING
        own = self.undefined(rows.counted) if self.undefined is not None else None
        return own or ordinary_reason(rows.counted, self.name)

    def is_better(self, a: float, b: float) -> bool:
        """Whether value ``a`` is better than ``b``."""
        if self.better == "near zero":
            return abs(a) < abs(b)
        return a < b if self.better == "lower" else a > b

    def to_json(self) -> dict[str, Any]:
        """What a reader of documents needs: name, label, unit, direction."""
        told = {"name": self.name, "label": self.label, "unit": self.unit, "better": self.better, "shown": self.shown}
        return told | ({"brought": True} if self.brought else {})


WEIGHS_NOTHING = "every row has the weight 0"
CONSTANT_PREDICTION = "the prediction is constant"
_CONSTANT = 1e-12


def ordinary_reason(rows: Rows, name: str) -> str:
    """Why most metrics of finite rows are undefined where they are."""
    if len(rows) < 2:
        return f"{len(rows)} rows cannot have a {name}"
    if is_constant(np.asarray(rows.truth, dtype=np.float64)):
        return "the target is constant"
    if is_constant(rows.said):
        return CONSTANT_PREDICTION
    return "the numbers are too large"


def is_constant(values: FloatArray) -> bool:
    """Whether all values are equal up to rounding, relative to their size: 1e-14 is small beside 1, not beside 0."""
    return bool(values.max() - values.min() <= _CONSTANT * np.abs(values).max())
