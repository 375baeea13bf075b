"""What a comparison can find out, said before it starts: dates to detect an effect, dates before which nothing can be.

A gate that can never pass, or never in the window that it is given, is an error of configuration and not a verdict.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from heldout.errors import InputError
from heldout.leaderboard.dated import overlap_factor
from heldout.leaderboard.multiplicity import bonferroni
from heldout.leaderboard.sequence import boundary, mixture_precision

_TOO_MANY = 2**40
State = Literal["READY", "NOT YET", "CANNOT"]


@dataclass(frozen=True)
class Readiness:
    """Whether a comparison can be decided, before anybody asks who is better.

    Attributes:
        state: READY: a lead could be told from luck by now; NOT YET: later; CANNOT: never in the declared window.
        dates_left: Common dates until one could be told from luck; None where that never comes.
        dates_to_detect: Common dates until one of the declared effect would be found.
        sentence: For people.
    """

    state: State
    dates_left: int | None
    dates_to_detect: int
    sentence: str

    def to_json(self) -> dict[str, object]:
        """The readiness as a document."""
        return asdict(self)


@dataclass(frozen=True)
class Design:
    """One comparison of challengers with a champion, declared before the first look.

    Attributes:
        horizon: Dates that an outcome takes to mature.
        effect: Smallest mean lead that is worth a switch, in units of the score.
        scale: Standard deviation that a block's difference is expected to have. It chooses where the interval is
            tightest and how long the wait will be; it can never make a wrong answer likelier.
        alpha: Chance that any interval of any challenger ever misses its mean; half of it on each side.
        power: Chance of finding a lead of ``effect`` within ``dates_to_detect``.
        tests: Challengers that share ``alpha``: all that were ever tried, from the ledger.
        length: Dates a block; the horizon if None.
    """

    horizon: int
    effect: float
    scale: float
    alpha: float = 0.05
    power: float = 0.8
    tests: int = 1
    length: int | None = None

    def __post_init__(self) -> None:
        for name in ("effect", "scale"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}: it must be positive", where=name, hint="in units of the score")
        for name in ("alpha", "power"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", where=name, hint="it lies between 0 and 1")
        if self.horizon < 1 or self.block < self.horizon:
            raise InputError(
                f"a horizon of {self.horizon} dates with blocks of {self.block} cannot be tested",
                where="horizon",
                hint="a horizon of at least one date, and blocks at least as long",
            )
        bonferroni(self.alpha, self.tests)

    @property
    def block(self) -> int:
        """Dates a block."""
        return self.horizon if self.length is None else self.length

    @property
    def overlap(self) -> float:
        """Factor on the variance for what neighbouring blocks share."""
        return overlap_factor(self.block, self.horizon)

    @property
    def level(self) -> float:
        """Chance of a miss that is left for each challenger."""
        return bonferroni(self.alpha, self.tests)

    @cached_property
    def blocks_to_detect(self) -> int:
        """Blocks within which a lead of ``effect`` is found with a chance of ``power``."""
        return _first(self._finds)

    @cached_property
    def least_blocks(self) -> int:
        """Blocks before which no lead, however large, can be told from luck."""

        def possible(count: int) -> bool:
            share = count / self.overlap
            return share > 1 and share - 1 - math.log(share) >= 2 * math.log(1 / self.level)

        return _first(possible)

    @property
    def dates_to_detect(self) -> int:
        """Common dates within which a lead of ``effect`` is found with a chance of ``power``."""
        return self.blocks_to_detect * self.block

    @property
    def least_dates(self) -> int:
        """Common dates before which nothing can be decided."""
        return self.least_blocks * self.block

    @property
    def rho(self) -> float:
        """Precision of the mixture: tightest between the first block that can decide and the one that should have."""
        return self._rho(self.blocks_to_detect)

    def check_window(self, window: int) -> None:
        """Refuse a window of dates in which no answer is possible, because outcomes at its end have not matured.

        Args:
            window: Dates that are looked back over.

        Raises:
            InputError: If even the largest lead could never be seen.
        """
        need = self.least_dates + self.horizon
        if window < need:
            raise InputError(
                f"a window of {window} dates can never decide: {max(window - self.horizon, 0)} of them mature, and no "
                f"lead can be told from luck before {self.least_dates}",
                where="window",
                hint=f"look back over at least {need} dates, or over all of them",
            )

    def readiness(self, dates: int, window: int | None = None) -> Readiness:
        """Where a comparison stands.

        Args:
            dates: Common dates whose outcomes have matured.
            window: Dates that are looked back over at most; None for all of them.
        """
        left = max(self.dates_to_detect - dates, 0)
        if window is not None and window < self.least_dates + self.horizon:
            words = f"a window of {window:,} dates never holds the {self.least_dates:,} that must have matured"
            return Readiness("CANNOT", None, left, words)
        wait = f"about {left:,} more until a lead of {self.effect:g} would be found" if left else "long enough"
        if dates < self.least_dates:
            short = self.least_dates - dates
            return Readiness(
                "NOT YET", short, left, f"{short:,} more common dates before any lead can be told from luck; {wait}"
            )
        return Readiness("READY", 0, left, f"a large lead could be told from luck by now; {wait}")

    def sentences(self, dates_per_year: float | None = None) -> list[str]:
        """What to print before the first date is scored."""
        years = f" ({self.dates_to_detect / dates_per_year:.1f} years)" if dates_per_year else ""
        shared = f", shared by {self.tests} challengers" if self.tests > 1 else ""
        wait = f"{self.dates_to_detect:,} common dates{years}, {self.blocks_to_detect:,} blocks of {self.block}"
        return [
            f"A lead of {self.effect:g} takes {wait}, to be found with a chance of {self.power:.0%}.",
            f"Before {self.least_dates:,} common dates no lead, however large, can be told from luck.",
            f"Level {self.alpha:g}{shared}; a block's difference is expected to vary by {self.scale:g}.",
        ]

    def to_json(self) -> dict[str, object]:
        """The design and what follows from it."""
        return asdict(self) | {
            "length": self.block,
            "level_each": self.level,
            "overlap_factor": self.overlap,
            "rho": self.rho,
            "blocks_to_detect": self.blocks_to_detect,
            "dates_to_detect": self.dates_to_detect,
            "least_dates": self.least_dates,
        }

    def _rho(self, blocks: int) -> float:
        # Tuned late it would miss a lead larger than was hoped for; tuned early it costs little later on.
        tightest = math.sqrt(self.least_blocks * blocks)
        return mixture_precision(tightest, math.hypot(self.scale, self.effect), self.level, self.overlap)

    def _finds(self, blocks: int) -> bool:
        """Whether a look after so many blocks alone would find the effect often enough, by the normal approximation."""
        from scipy.special import ndtri

        if blocks < self.least_blocks:
            return False
        spread = math.hypot(self.scale, self.effect)
        count = np.array(float(blocks))
        edge = boundary(count, spread, alpha=self.level, rho=self._rho(blocks), overlap=self.overlap)
        margin = blocks * self.effect - float(edge)
        return margin >= float(ndtri(self.power)) * self.scale * math.sqrt(blocks * self.overlap)


def rank_scale(items: int, correlation: float = 0.0) -> float:
    """How much the difference of two rank correlations over ``items`` names varies by luck, for a design.

    One rank correlation of unrelated orders has variance ``1 / (items - 1)`` (Kendall 1970); nothing is gained by
    averaging inside a block, where outcomes overlap.

    Args:
        items: Names in one cross-section.
        correlation: How alike the two arms' scores are.
    """
    if items < 3:
        raise InputError(f"{items} names have no order to speak of", where="items", hint="at least 3")
    return math.sqrt(2 * (1 - correlation) / (items - 1))


def _first(holds: Any) -> int:
    """The smallest count for which something holds that holds for ever after."""
    high = 1
    while not holds(high):
        high *= 2
        if high > _TOO_MANY:
            raise InputError("this effect is too small to be found, ever", where="effect", hint="declare a larger one")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
