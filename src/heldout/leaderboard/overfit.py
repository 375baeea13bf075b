"""How often the arm that looks best turns out in the lower half: combinatorially symmetric cross-validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from heldout.errors import InputError
from heldout.leaderboard.dated import Floats

_MOST_GROUPS = 20


@dataclass(frozen=True, eq=False)
class Overfit:
    """The probability of backtest overfitting.

    Attributes:
        probability: Share of splits in which the arm that was best on one half is in the lower half on the other.
        by_luck: What it is, on average, for arms without any difference: the middle rank counts as a loss.
        splits: Ways to halve the groups.
        groups: Disjoint runs of dates.
        arms: Arms that competed.
        logits: Of every split, float64 of shape ``[splits]``; at most 0 where the pick disappoints.
    """

    probability: float
    by_luck: float
    splits: int
    groups: int
    arms: int
    logits: Floats


def backtest_overfitting(scores: ArrayLike, *, horizon: int, groups: int = 10) -> Overfit:
    """Split dates into disjoint groups, pick the best arm on every half of them, rank it on the other half.

    Bailey, Borwein, Lopez de Prado and Zhu (2017), "The probability of backtest overfitting". The first ``horizon - 1``
    dates of every group but the first are left out, so that no outcome is on both sides.

    Args:
        scores: Score of every date and arm on common dates, shape ``[dates, arms]``, larger is better.
        horizon: Dates that an outcome takes to mature.
        groups: Disjoint runs of dates, an even number.

    Raises:
        InputError: If a score is not finite, or there are too few dates or arms.
    """
    values = np.asarray(scores, dtype=np.float64)
    _check(values, horizon, groups)
    sums, counts = _group_sums(values, horizon, groups)
    chosen = np.zeros((math.comb(groups, groups // 2), groups))
    for row, members in enumerate(combinations(range(groups), groups // 2)):
        chosen[row, members] = 1.0
    seen = (chosen @ sums) / (chosen @ counts)[:, None]
    unseen = ((1 - chosen) @ sums) / ((1 - chosen) @ counts)[:, None]
    rows = np.arange(len(chosen))
    own = unseen[rows, seen.argmax(axis=1)][:, None]
    rank = (unseen < own).sum(axis=1) + 0.5 * ((unseen == own).sum(axis=1) + 1)
    arms = values.shape[1]
    logits = np.log(rank / (arms + 1 - rank))
    share = float((logits <= 1e-12).mean())
    return Overfit(share, ((arms + 1) // 2) / arms, len(chosen), groups, arms, logits)


def _group_sums(values: Floats, horizon: int, groups: int) -> tuple[Floats, Floats]:
    """Sum of scores and number of dates of each group, ``[groups, arms]`` and ``[groups]``."""
    kept = [
        part[(horizon - 1 if place else 0) :]
        for place, part in enumerate(np.array_split(values, groups))
    ]  # fmt: skip
    return np.stack([part.sum(axis=0) for part in kept]), np.array([float(len(part)) for part in kept])


def _check(values: Floats, horizon: int, groups: int) -> None:
    if values.ndim != 2 or values.shape[1] < 2:
        raise InputError(
            f"scores of shape {values.shape} are not dates by at least two arms", hint="align all arms on common dates"
        )
    if groups % 2 or not 4 <= groups <= _MOST_GROUPS:
        raise InputError(
            f"{groups} groups cannot be halved well", where="groups", hint=f"an even number from 4 to {_MOST_GROUPS}"
        )
    if len(values) // groups < horizon:
        raise InputError(
            f"{len(values)} dates in {groups} groups are shorter than the horizon of {horizon}",
            where="scores",
            hint=f"it takes {groups * horizon} dates, or fewer groups",
        )
    if not (finite := np.isfinite(values)).all():
        date, arm = (int(each[0]) for each in np.nonzero(~finite))
        raise InputError(
            f"{int((~finite).sum())} scores are not finite", where=f"date {date}, arm {arm}", hint="use common dates"
        )
