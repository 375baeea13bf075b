"""Is the challenger better? BETTER, NOT BETTER, or NOT ENOUGH YET, with the interval that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from heldout.errors import InputError
from heldout.leaderboard.dated import Blocks, Floats
from heldout.leaderboard.design import Design
from heldout.leaderboard.sequence import bounds

Answer = Literal["BETTER", "NOT BETTER", "NOT ENOUGH YET"]


@dataclass(frozen=True, eq=False)
class Lead:
    """What the blocks say so far.

    Attributes:
        answer: BETTER if the whole interval is above zero; NOT BETTER if it excludes the effect that was declared to
            be worth a switch; NOT ENOUGH YET otherwise.
        reason: Why, in one sentence.
        mean: Mean difference over blocks; None without a block.
        low: Lower end after the last block; None while nothing is excluded.
        high: Upper end; None while nothing is excluded.
        lows: Lower end after every block, float64 of shape ``[blocks]``.
        highs: Upper end after every block.
        means: Mean after every block.
    """

    answer: Answer
    reason: str
    mean: float | None
    low: float | None
    high: float | None
    lows: Floats
    highs: Floats
    means: Floats


def judge_lead(blocks: Blocks, design: Design) -> Lead:
    """Judge the lead of one challenger; may be asked after every block.

    Raises:
        InputError: If the blocks are not those of the design.
    """
    if (blocks.length, blocks.horizon) != (design.block, design.horizon):
        raise InputError(
            f"blocks of {blocks.length} dates at a horizon of {blocks.horizon} are not those of the design, "
            f"{design.block} at {design.horizon}",
            hint="cut the blocks as the design says",
        )
    lows, highs = bounds(blocks.values, alpha=design.level, rho=design.rho, overlap=design.overlap)
    count = len(blocks.values)
    means = blocks.values.cumsum() / np.arange(1.0, count + 1)
    mean = float(means[-1]) if count else None
    low = _last(lows)
    high = _last(highs)
    answer, reason = _answer(design, count, mean, low, high)
    return Lead(answer, reason, mean, low, high, lows, highs, means)


def _answer(
    design: Design, count: int, mean: float | None, low: float | None, high: float | None
) -> tuple[Answer, str]:
    if mean is not None and high is not None and high < design.effect:
        return "NOT BETTER", f"a lead of {design.effect:g} or more is ruled out: it is at most {high:.4g}"
    if mean is not None and low is not None and low > 0:
        return "BETTER", f"the lead is {mean:.4g}, and at least {low:.4g} however unlucky its dates were"
    have = count * design.block
    if count < design.least_blocks:
        return "NOT ENOUGH YET", f"{have:,} common dates of the {design.least_dates:,} before which nothing can be told"
    left = design.dates_to_detect - have
    wait = f"about {left:,} more would show a lead of {design.effect:g}" if left > 0 else "the lead may be smaller"
    interval = f"{_end(low)} to {_end(high)}"
    return "NOT ENOUGH YET", f"after {have:,} common dates the lead is {mean:.4g} ({interval}); {wait}"


def _last(ends: Floats) -> float | None:
    return float(ends[-1]) if len(ends) and math.isfinite(ends[-1]) else None


def _end(value: float | None) -> str:
    return "anything" if value is None else f"{value:.4g}"
