"""Scores by date, differences on common dates, and blocks as long as the horizon: the only way into a test.

An outcome that takes ``h`` dates to mature overlaps with those of the ``h - 1`` dates around it, so the scores of
neighbouring dates are nearly the same number told twice. Rows are no evidence, dates hardly are; blocks are.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from heldout.errors import InputError, RefusedError

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class DatedScores:
    """One arm's score of every date on which it has one. A date without a score is absent, never zero and never NaN.

    Attributes:
        dates: Strictly rising days, ``datetime64[D]`` of shape ``[dates]``.
        values: One finite score a date, larger is better, float64 of shape ``[dates]``.
    """

    dates: Dates
    values: Floats

    def __post_init__(self) -> None:
        if self.dates.shape != self.values.shape or self.dates.ndim != 1:
            raise InputError(
                f"{self.dates.shape} dates and {self.values.shape} scores do not match",
                hint="give one score for every date",
            )
        later = self.dates[1:] > self.dates[:-1]
        if not later.all():
            where = str(self.dates[1:][~later][0])
            raise InputError("dates must rise and not repeat", where=where, hint="sort the scores, one for every date")
        if not (finite := np.isfinite(self.values)).all():
            raise InputError(
                f"{int((~finite).sum())} scores are not finite",
                where=str(self.dates[~finite][0]),
                hint="leave out a date that has no score: it then counts as missed",
            )

    @classmethod
    def of(cls, scores: Mapping[Any, float]) -> Self:
        """From a mapping of date to score; a date is a ``datetime.date`` or ISO text such as ``2021-03-31``.

        Raises:
            InputError: On a date that is none, a date given twice, or a score that is not finite.
        """
        pairs = sorted((_day(date), float(score)) for date, score in scores.items())
        return cls(
            np.array([date for date, _ in pairs], dtype="datetime64[D]"),
            np.array([score for _, score in pairs], dtype=np.float64),
        )

    @property
    def mean(self) -> float | None:
        """Mean over dates; None where there is no date."""
        return math.fsum(self.values) / len(self.values) if len(self.values) else None


def _day(date: Any) -> np.datetime64:
    if isinstance(date, dt.date):
        return np.datetime64(date, "D")
    try:
        return np.datetime64(dt.date.fromisoformat(date), "D")
    except (TypeError, ValueError):
        raise InputError("this is no date", where=repr(date), hint="write it as 2021-03-31") from None


@dataclass(frozen=True, eq=False)
class Paired:
    """Challenger minus champion on the dates that both have.

    Attributes:
        dates: Common dates, ``datetime64[D]`` of shape ``[common]``.
        differences: float64 of shape ``[common]``.
        missed: Dates on which the champion has a score and the challenger, though it had begun, has none.
        offered: Dates of the champion since the challenger's first.
    """

    dates: Dates
    differences: Floats
    missed: int
    offered: int


def pair(challenger: DatedScores, champion: DatedScores) -> Paired:
    """Pair two arms. A score on a date that the other lacks decides nothing, whatever it is."""
    common, ours, theirs = np.intersect1d(challenger.dates, champion.dates, assume_unique=True, return_indices=True)
    begun = challenger.dates[0] if len(challenger.dates) else np.datetime64("9999-12-31", "D")
    offered = int((champion.dates >= begun).sum())
    return Paired(common, challenger.values[ours] - champion.values[theirs], offered - len(common), offered)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Means of disjoint runs of common dates. Only :func:`blocks` makes them.

    Attributes:
        through: Last date of each block, ``datetime64[D]`` of shape ``[blocks]``.
        values: Mean difference of each block, float64 of shape ``[blocks]``.
        length: Dates a block.
        horizon: Dates that an outcome takes to mature.
        unused: Common dates at the end that do not fill a block yet.
    """

    through: Dates
    values: Floats
    length: int
    horizon: int
    unused: int

    @property
    def overlap(self) -> float:
        """How much more the sum of blocks varies than if blocks shared no outcome. See :func:`overlap_factor`."""
        return overlap_factor(self.length, self.horizon)


def blocks(paired: Paired, horizon: int, length: int | None = None) -> Blocks:
    """Cut common dates into blocks, the first at the first common date, so that later dates never move a border.

    A block holds ``length`` common dates; where dates are missing it spans more time than that, which is the safe side.

    Args:
        paired: Differences on common dates.
        horizon: Dates that an outcome takes to mature.
        length: Dates a block; the horizon if None.

    Raises:
        RefusedError: If blocks are shorter than the horizon: their differences would be counted several times over.
    """
    length = horizon if length is None else length
    if horizon < 1:
        raise InputError(f"a horizon of {horizon} dates is none", where="horizon", hint="give at least 1")
    if length < horizon:
        raise RefusedError(
            f"blocks of {length} dates are shorter than the horizon of {horizon}: neighbouring blocks would repeat "
            "the same outcomes and noise would pass for evidence",
            where="length",
            hint=f"give at least {horizon}",
        )
    count = len(paired.differences) // length
    used = count * length
    return Blocks(
        paired.dates[length - 1 : used : length],
        paired.differences[:used].reshape(count, length).mean(axis=1),
        length,
        horizon,
        len(paired.differences) - used,
    )


def overlap_factor(length: int, horizon: int) -> float:
    """Long-run variance of block means over their own variance, where outcomes overlap for ``horizon`` dates.

    The outcomes of dates ``s`` apart share ``1 - s / horizon`` of their period, so a difference that is all noise has
    that autocorrelation (Hansen and Hodrick 1980); neighbouring blocks of one horizon then correlate by about 1/4 and
    their sum varies 1.5 times as much as that of independent blocks. 1 where nothing overlaps.
    """
    lags = np.arange(1, min(length, horizon))
    within = length + 2 * float(((length - lags) * (1 - lags / horizon)).sum())
    return length * horizon / within
