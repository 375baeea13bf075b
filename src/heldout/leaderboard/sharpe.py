"""Sharpe ratios that carry their unit, the chance that one is real, and what the best of many tries must beat.

A ratio is held per period together with the number of periods; the annual one is for display only and goes into no
test, so the two cannot be mixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from heldout.errors import InputError
from heldout.leaderboard.multiplicity import expected_maximum


@dataclass(frozen=True)
class Sharpe:
    """A Sharpe ratio of periods that do not overlap.

    Attributes:
        per_period: Mean over standard deviation (ddof 1) of a period's excess return; no unit but "per period".
        periods: Periods that it was measured on.
        periods_per_year: What the period is: 12 for months, ``252 / 21`` for 21 sessions.
        skewness: Third standardised moment.
        kurtosis: Fourth standardised moment; 3 for a normal distribution.
    """

    per_period: float
    periods: int
    periods_per_year: float
    skewness: float = 0.0
    kurtosis: float = 3.0

    def __post_init__(self) -> None:
        if self.periods < 3 or self.periods_per_year <= 0:
            raise InputError(
                f"a ratio of {self.periods} periods, {self.periods_per_year:g} a year, cannot be judged",
                where="periods",
                hint="at least 3 periods that do not overlap",
            )

    @classmethod
    def of(cls, returns: ArrayLike, periods_per_year: float) -> Self | None:
        """Measure it; None where there are fewer than three periods or the returns do not vary.

        Args:
            returns: Excess return of each period, shape ``[periods]``.
            periods_per_year: Periods a year.

        Raises:
            InputError: If a return is not finite.
        """
        values = np.asarray(returns, dtype=np.float64)
        if not (finite := np.isfinite(values)).all():
            raise InputError(
                f"{int((~finite).sum())} returns are not finite",
                where=f"period {int(np.argmin(finite))}",
                hint="score only periods that have matured",
            )
        if len(values) < 3:
            return None
        centred = values - values.mean()
        spread = float(np.sqrt((centred**2).mean()))
        if spread <= 1e-12 * float(np.abs(values).max()):
            return None
        standard = centred / spread
        ratio = float(values.mean() / values.std(ddof=1))
        return cls(ratio, len(values), periods_per_year, float((standard**3).mean()), float((standard**4).mean()))

    @property
    def annual(self) -> float:
        """Per year, as people quote it. For display only."""
        return self.per_period * math.sqrt(self.periods_per_year)


def probabilistic_sharpe(sharpe: Sharpe, beats: float = 0.0) -> float | None:
    """Chance that the true ratio is above ``beats``, for returns that are neither normal nor many.

    Bailey and Lopez de Prado (2012), "The Sharpe ratio efficient frontier".

    Args:
        sharpe: What was measured.
        beats: Ratio per period of the same length.

    Returns:
        None where the moments leave no room for a variance.
    """
    from scipy.special import ndtr

    ratio = sharpe.per_period
    variance = 1 - sharpe.skewness * ratio + (sharpe.kurtosis - 1) / 4 * ratio**2
    if variance <= 0:
        return None
    return float(ndtr((ratio - beats) * math.sqrt((sharpe.periods - 1) / variance)))


@dataclass(frozen=True)
class Deflated:
    """What is left of a Sharpe ratio after the number of tries.

    Attributes:
        probability: Chance that the true ratio is above what luck alone gives the best of so many; None if undefined.
        threshold: That ratio, per period.
        trials: Tries, failures included.
    """

    probability: float | None
    threshold: float
    trials: int


def deflated_sharpe(best: Sharpe, *, trials: int, others: Sequence[Sharpe] = ()) -> Deflated:
    """Deflate the best ratio of many (Bailey and Lopez de Prado 2014, "The deflated Sharpe ratio").

    Args:
        best: The ratio of the arm that was picked.
        trials: How many were tried, from the ledger, failures included.
        others: Ratios of all arms that were scored, the best one included; their spread says how far luck reaches. With
            fewer than two, the sampling error of a ratio of zero stands in.

    Raises:
        InputError: If a ratio is of periods of another length, or there are more ratios than tries.
    """
    for other in others:
        if not math.isclose(other.periods_per_year, best.periods_per_year):
            raise InputError(
                f"ratios of {other.periods_per_year:g} and of {best.periods_per_year:g} periods a year are not "
                "comparable",
                where="others",
                hint="score every arm on periods of one length",
            )
    if trials < max(1, len(others)):
        raise InputError(
            f"{trials} trials are fewer than the {max(1, len(others))} arms that were scored",
            where="trials",
            hint="count every look, from the ledger",
        )
    luck = 1 / math.sqrt(best.periods - 1)
    # A handful of arms that happen to agree says little about luck: their spread may widen the bar, never lower it.
    spread = max(luck, float(np.std([each.per_period for each in others], ddof=1))) if len(others) > 1 else luck
    threshold = spread * expected_maximum(trials)
    return Deflated(probabilistic_sharpe(best, threshold), threshold, trials)
