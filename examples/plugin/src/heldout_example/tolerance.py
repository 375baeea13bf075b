"""A task: forces as a maker sells them, right if they are within a tenth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.task import Task

_LOW, _HIGH = 0.9, 1.1


def _most_popular(truth: NDArray[Any], weight: FloatArray | None, _: tuple[str, ...]) -> float:
    """The one force that the most springs are within a tenth of: the best that knows nothing, by this task's metric."""
    total = np.concatenate([[0.0], np.cumsum(np.ones(len(truth)) if weight is None else weight)])
    # Targets come sorted: whoever is right about the lightest of them is right up to `_HIGH / _LOW` times its force.
    last = np.searchsorted(truth, truth * (_HIGH / _LOW) * (1 - 1e-12), side="right")
    lightest = np.argmax(total[last] - total[np.searchsorted(truth, truth, side="left")])
    return float(truth[lightest] * _HIGH * (1 - 1e-12))


TOLERANCE = Task(
    name="tolerance",
    kind="regression",
    metrics=("within_tenth", "mape", "mae"),
    guesses={"the most popular force": _most_popular},
    wants="a force above 0",
    takes=lambda target: target > 0,
)
