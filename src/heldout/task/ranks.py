"""Quantiles of training rows, fold by fold, from one sort of all rows."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray

_ROUNDING = 1e-9
_LITTLE = 1e-2  # of the weight: below it, what trains is added up anew, for taking away would leave rounding behind


class Ranked:
    """Rows in the order of their values, sorted once: a fold steps over those that do not train."""

    def __init__(
        self, values: FloatArray, codes: NDArray[np.int64], groups: int, weight: FloatArray | None = None
    ) -> None:
        order = np.argsort(values, kind="stable")
        if weight is not None:
            order = order[weight[order] > 0]  # a row that weighs nothing is none
        self._values, owner = values[order], codes[order]
        self._weight = None if weight is None else weight[order]
        self._total = None if weight is None else np.cumsum(weight[order])
        by_group = np.argsort(owner, kind="stable")  # places among the ordered rows, ascending in each group
        starts = np.searchsorted(owner[by_group], np.arange(groups + 1))
        self._places = [by_group[starts[code] : starts[code + 1]] for code in range(groups)]
        self._none = by_group[:0]

    def around(
        self, apart: Mapping[str, NDArray[np.int64]], level: float
    ) -> dict[str, tuple[np.float64, np.float64, float]]:
        """The two training rows around a quantile, and how far it lies from one to the other, by fold."""
        found = {}
        for fold, part in apart.items():
            out = np.sort(np.concatenate([self._places[each] for each in part] or [self._none]))
            found[fold] = self._by_rank(out, level) if self._weight is None else self._by_weight(out, level)
        return found

    def _by_rank(self, out: NDArray[np.int64], level: float) -> tuple[np.float64, np.float64, float]:
        place = (len(self._values) - len(out) - 1) * level
        # The k-th row that trains stands behind as many others as there are before it.
        ranks = np.array([math.floor(place), math.ceil(place)])
        low, high = self._values[ranks + np.searchsorted(out - np.arange(len(out)), ranks, side="right")]
        return low, high, place - math.floor(place)

    def _by_weight(self, out: NDArray[np.int64], level: float) -> tuple[np.float64, np.float64, float]:
        """Where the weight of the training rows reaches the level: no number has a smaller loss than those between."""
        assert self._total is not None and self._weight is not None  # noqa: PT018
        last = len(self._values) - len(out) - 1
        if last < 0:
            return np.float64(np.nan), np.float64(np.nan), 0.0
        total, behind, before = self._total, np.concatenate([[0.0], np.cumsum(self._weight[out])]), out
        if total[-1] - behind[-1] < _LITTLE * total[-1]:
            total, behind, before = np.cumsum(np.delete(self._weight, out)), np.zeros(1), out[:0]
        passed = before - np.arange(len(before))  # how many train before each row that does not

        def reached(rank: int) -> float:
            """Weight of the training rows up to the one of this rank: a row that is held out is never asked."""
            skipped = np.searchsorted(passed, rank, side="right")
            return float(total[rank + skipped]) - float(behind[skipped])

        whole = reached(last)
        wanted, slack = level * whole, _ROUNDING * whole
        low = bisect_left(range(last), wanted - slack, key=reached)
        high = bisect_right(range(last), wanted + slack, key=reached)
        found = self._values[np.array([low, high]) + np.searchsorted(out - np.arange(len(out)), [low, high], "right")]
        return found[0], found[1], 0.5
