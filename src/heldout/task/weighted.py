"""Means and medians by weight; without weights as numpy computes them, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray

Segments = Mapping[str, NDArray[np.int64]]
_ROUNDING = 1e-9  # of the total: what adding weights up leaves behind


def mean_of(values: NDArray[Any], weight: FloatArray | None) -> float:
    """The mean of some values.

    Args:
        values: One a row.
        weight: How much each row counts; None counts all alike.
    """
    return float(values.mean()) if weight is None else float(np.average(values, weights=of_size_one(weight)))


def of_size_one(weight: FloatArray) -> FloatArray:
    """The weights times a power of two, so that the largest lies between 1/2 and 1: no bit of any quotient changes.

    What is multiplied with them neither overflows nor vanishes, in whatever unit they are.
    """
    scaled: FloatArray = np.ldexp(weight, -int(np.frexp(weight.max(initial=0.0))[1]))
    return scaled


def median_of(values: FloatArray, weight: FloatArray | None) -> float:
    """The median: the mean of both middle rows where the weights fall into two halves, as without weights.

    Halves are equal up to rounding: six times 0.1 is less than half of twelve times 0.1, and no other median.
    """
    if weight is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    half, slack = reached[-1] / 2, _ROUNDING * reached[-1]
    low, high = np.searchsorted(reached, half - slack), np.searchsorted(reached, half + slack, side="right")
    return float(np.mean(values[order[[low, high]]] if low != high else values[order[[low]]]))


def weighing(segments: Segments, weight: FloatArray | None) -> Segments:
    """The segments without rows that weigh nothing, and without those of which nothing is left."""
    if weight is None:
        return segments
    kept = {name: rows[weight[rows] > 0] for name, rows in segments.items()}
    return {name: rows for name, rows in kept.items() if len(rows)}


def part_of(weight: FloatArray | None, rows: NDArray[np.int64]) -> FloatArray | None:
    """The weights of some rows."""
    return None if weight is None else weight[rows]
