"""Intervals of pooled metrics: whole groups are drawn, and the metric is computed again from what was drawn.

Every metric here is a function of sums over rows, so a draw costs one product of its counts with the sums of each
group. Two contenders on the same draws give the interval of their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.evidence import finite_or_none
from heldout.study import BootstrapSpec
from heldout.task.uncertainty import AT_ONCE

METHOD = "expanded percentile bootstrap over groups, pooled"
Statistic = Callable[[FloatArray], FloatArray]
_UNDEFINED_AT_MOST = 0.05
_CHUNK = 250


class Interval(dict[str, Any]):
    """The document of an interval, and in memory the draws that it is of: two contenders may meet later.

    Attributes:
        draws: Which groups were drawn.
        drawn: The statistic of every draw.
        sign: 1 where larger is better, -1 where smaller is.
    """

    def __init__(self, document: Mapping[str, Any], draws: Draws, drawn: FloatArray, sign: float) -> None:
        """Keep the draws beside the document."""
        super().__init__(document)
        self.draws, self.drawn, self.sign = draws, drawn, sign


class Draws:
    """Which groups every draw takes, and how often. The same spec and groups give the same draws.

    Attributes:
        names: Of the groups, sorted.
        codes: Number of each row's group, int64 ``[rows]``.
        counts: How often each draw takes each group, ``[draws, groups]``.
    """

    def __init__(self, groups: Sequence[str], spec: BootstrapSpec) -> None:
        """Name the group of every row.

        Args:
            groups: One a row.
            spec: Level, draws and seed.
        """
        names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        self.names: tuple[str, ...] = tuple(names.tolist())
        self.codes = codes.astype(np.int64)
        self.spec = spec
        self.counts = _counts(len(self.names), spec)

    def sums(self, rows: FloatArray) -> FloatArray:
        """Sums over the rows of each group: ``[rows, values]`` to ``[groups, values]``."""
        total: FloatArray = np.zeros((len(self.names), rows.shape[1]))
        np.add.at(total, self.codes, rows)
        return total

    def each(self, sums: FloatArray, statistic: Statistic) -> FloatArray:
        """The statistic of every draw, float64 ``[draws]``; NaN where a draw leaves it undefined."""
        parts = [
            statistic(self.counts[start : start + _CHUNK].astype(np.float64) @ sums)
            for start in range(0, len(self.counts), _CHUNK)
        ]
        return np.concatenate(parts)

    def interval(self, values: FloatArray, sign: float = 1.0) -> Interval:
        """Expanded percentile interval of the statistic's draws.

        Plain percentiles are too short where groups are few: the lower end of a gain that is none lies above zero in
        6 % of cases with five groups, where 2.5 % is said. The tails are therefore those that make a normal mean's
        interval as long as Student's t (T. Hesterberg, What Teachers Should Know About the Bootstrap, 2015, 5.2).

        Args:
            values: Of every draw.
            sign: 1 where larger is better, -1 where smaller is.

        Returns:
            ``low`` and ``high``: None with fewer than two groups, or where more than a twentieth of the draws leave
            the statistic undefined; fewer of those are left out.
        """
        document: dict[str, Any] = {"level": self.spec.level, "draws": self.spec.draws, "seed": self.spec.seed}
        document |= {"method": METHOD, "groups": len(self.names), "low": None, "high": None}
        known = values[np.isfinite(values)]
        if len(self.names) < 2 or len(known) < (1 - _UNDEFINED_AT_MOST) * len(values):
            return Interval(document, self, values, sign)
        tail = expanded_tail(self.spec.level, len(self.names))
        low, high = np.quantile(known, [tail, 1 - tail])
        return Interval(document | {"low": float(low), "high": float(high)}, self, values, sign)


def expanded_tail(level: float, groups: int) -> float:
    """The share of draws beyond each end: ``Phi(-sqrt(n / (n - 1)) t)`` with the t of n - 1 degrees of freedom."""
    from scipy.special import ndtr, stdtrit

    reach = stdtrit(groups - 1, (1 + level) / 2) * np.sqrt(groups / (groups - 1))
    return float(ndtr(-reach))


def pooled(sums: FloatArray, statistic: Statistic) -> float:
    """The statistic of all rows."""
    return float(statistic(sums.sum(axis=0, keepdims=True))[0])


def gain(draws: Draws, ours: tuple[float, FloatArray], theirs: tuple[float, FloatArray]) -> dict[str, Any]:
    """What is gained over another contender on the same rows: positive is better for ours.

    Args:
        draws: Of both.
        ours: Value and draws of a metric, larger is better.
        theirs: The other's.
    """
    interval = draws.interval(ours[1] - theirs[1])
    return {"gain": finite_or_none(ours[0] - theirs[0]), "low": interval["low"], "high": interval["high"]}


def paired(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any] | None:
    """What one contender gains over another that was scored elsewhere on the same rows; positive is better.

    Args:
        ours: What ``beside`` gave, not yet read back from a file.
        theirs: The same of the other contender.

    Returns:
        As ``gain``; None where a metric is not of the same rows, or one of them does not exist.
    """
    mine, other = ours["interval"], theirs["interval"]
    if not isinstance(mine, Interval) or not isinstance(other, Interval):
        return None
    if ours["value"] is None or theirs["value"] is None or mine.sign != other.sign:
        return None
    if mine.draws.spec != other.draws.spec or mine.draws.names != other.draws.names:
        return None
    if not np.array_equal(mine.draws.codes, other.draws.codes):
        return None
    sign = mine.sign
    return gain(mine.draws, (sign * ours["value"], sign * mine.drawn), (sign * theirs["value"], sign * other.drawn))


def _counts(groups: int, spec: BootstrapSpec) -> NDArray[Any]:
    """How often each draw takes each group: ``[draws, groups]`` in the smallest words; the stream knows no pieces."""
    rng = np.random.Generator(np.random.Philox(spec.seed))
    counts = np.zeros((spec.draws, groups), dtype=np.min_scalar_type(groups))
    rows = max(1, AT_ONCE // max(1, groups))
    for start in range(0, spec.draws if groups else 0, rows):
        part = counts[start : start + rows]
        flat = rng.integers(0, groups, size=part.shape) + np.arange(len(part))[:, None] * groups
        part[:] = np.bincount(flat.ravel(), minlength=part.size).reshape(part.shape)
    return counts


class Contender(NamedTuple):
    """Something that was scored on the same rows.

    Attributes:
        sums: Of every group, ``[groups, values]``.
        ruled: Whether a metric must beat it to support a promotion.
    """

    sums: FloatArray
    ruled: bool = True


def beside(
    draws: Draws,
    statistic: Statistic,
    ours: FloatArray,
    others: Mapping[str, Contender],
    *,
    smaller_is_better: bool = False,
) -> dict[str, Any]:
    """A metric with its interval, and beside it what costs nothing.

    Args:
        draws: Groups of the rows.
        statistic: The metric, of sums.
        ours: Sums of every group.
        others: The cheap contenders by name.
        smaller_is_better: Whether an error is measured.

    Returns:
        ``value``, ``interval``, ``baselines`` by name with value and gain, ``trivial`` (the best of those that are
        ruled) and ``beats_trivial``: True if the lower end of every ruled gain is above 0, None if it is undefined.
    """
    sign = -1.0 if smaller_is_better else 1.0
    value, drawn = pooled(ours, statistic), draws.each(ours, statistic)
    baselines: dict[str, Any] = {}
    for name, other in sorted(others.items()):
        theirs, their_draws = pooled(other.sums, statistic), draws.each(other.sums, statistic)
        found = gain(draws, (sign * value, sign * drawn), (sign * theirs, sign * their_draws))
        baselines[name] = {"value": finite_or_none(theirs), "ruled": other.ruled, "gain": found}
    ruled = {name: one for name, one in baselines.items() if one["ruled"] and one["value"] is not None}
    trivial = max(ruled, key=lambda name: sign * ruled[name]["value"]) if ruled else None
    lows = [one["gain"]["low"] for one in ruled.values()]
    known = bool(lows) and all(low is not None for low in lows) and len(ruled) == sum(o.ruled for o in others.values())
    return {
        "value": finite_or_none(value),
        "interval": draws.interval(drawn, sign),
        "baselines": baselines,
        "trivial": trivial,
        "beats_trivial": all(low > 0 for low in lows) if known else None,
        "groups": len(draws.names),
    }
