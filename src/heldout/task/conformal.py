"""Intervals that hold on a group never seen: conformal quantiles in which every group counts once.

Rows of one group are not exchangeable with rows of another, groups are (that is what holding them out assumes). So the
calibration gives each of K groups the weight 1 / (K + 1), spread over its rows evenly or by their weights, and the
unseen group the remaining 1 / (K + 1) at infinity; the interval is the ``level`` quantile of that. Source: hierarchical
conformal prediction, Lee, Barber & Willett, "Distribution-free inference with hierarchical data" (2023); Dunn,
Wasserman & Ramdas, "Distribution-free prediction sets for two-layer hierarchical models" (2022).

K groups can hold no level above K / (K + 1) without assumptions: 95 % takes 19 of them. Then there is no number, and
the reason is given; an interpolated quantile would make one up.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.evidence import finite_or_none
from heldout.task.weighted import Segments, mean_of, median_of, weighing

LEVELS = (0.8, 0.9, 0.95)
METHOD = "hierarchical conformal, out-of-fold residuals, each group calibrated on the others"
_ROUNDING = 1e-9


def groups_needed(level: float) -> int:
    """The least number of groups that can hold this level without assumptions."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def hierarchical_quantile(
    scores: Sequence[FloatArray],
    level: float,
    masses: Sequence[FloatArray] | None = None,
    order: NDArray[np.int64] | None = None,
) -> float:
    """The ``level`` quantile over groups; infinite if there are too few of them.

    Args:
        scores: For each group, its nonconformity scores, float64 ``[rows of the group]``.
        level: In (0, 1).
        masses: For each group, how much each of its rows counts; None counts them alike.
        order: What sorts all scores, one group after the other, if somebody has sorted them; ties keep their order.

    Returns:
        An order statistic of the scores: no interpolation.
    """
    groups = len(scores)
    if groups < groups_needed(level):
        return math.inf
    if masses is None:
        weights = np.concatenate([np.full(len(part), 1 / ((groups + 1) * len(part))) for part in scores])
    else:
        weights = np.concatenate([part / ((groups + 1) * part.sum()) for part in masses])
    values = np.concatenate(scores)
    order = np.argsort(values, kind="stable") if order is None else order
    place = int(np.searchsorted(np.cumsum(weights[order]), level - _ROUNDING))
    return float(values[order[min(place, len(values) - 1)]])


def conformal(
    target: FloatArray,
    mean: FloatArray,
    sigma: FloatArray | None,
    segments: Segments,
    levels: Sequence[float] = LEVELS,
    weight: FloatArray | None = None,
) -> dict[str, Any]:
    """Half-widths at every level and how often they hold on each group, calibrated on the others.

    Args:
        target: float64 of shape ``[rows]``.
        mean: Out-of-fold prediction, shape ``[rows]``.
        sigma: Spread of the seeds, shape ``[rows]``; None for one seed.
        segments: Row numbers of each group.
        levels: Nominal levels.
        weight: How much each row counts in its group; None counts all alike.

    Returns:
        By kind (``absolute``: one width everywhere; ``normalised``: widths in proportion to ``sigma`` plus its median,
        so that seeds which agree by chance do not give a width of zero), by level.
    """
    residual = np.abs(target - mean)
    kinds: dict[str, FloatArray] = {"absolute": np.ones_like(residual)}
    if sigma is not None and np.isfinite(sigma).all() and median_of(sigma, weight) > 0:
        kinds["normalised"] = sigma + median_of(sigma, weight)
    if not np.isfinite(residual).all():
        return {"method": METHOD, "kinds": {}}
    parts = weighing(segments, weight)
    found = {kind: _levels(residual, scale, parts, levels, weight) for kind, scale in kinds.items()}
    return {"method": METHOD, "kinds": found}


def left_out_quantiles(
    scores: Sequence[FloatArray],
    level: float,
    masses: Sequence[FloatArray] | None = None,
    order: NDArray[np.int64] | None = None,
) -> FloatArray:
    """For each group, ``hierarchical_quantile`` of the others: float64 ``[groups]``.

    All scores are sorted once. Up to a place, the weight of the others is the weight of all less the group's own, which
    grows with the place; so each group costs one bisection, and not a sort of everything.
    """
    groups = len(scores)
    if groups - 1 < groups_needed(level):
        return np.full(groups, math.inf)
    values = np.concatenate(scores)
    order = np.argsort(values, kind="stable") if order is None else order
    even = [np.full(len(part), 1 / len(part)) for part in scores]
    shares = even if masses is None else [part / part.sum() for part in masses]
    total = np.cumsum(np.concatenate(shares)[order])
    place_of = np.empty(len(values), dtype=np.int64)
    place_of[order] = np.arange(len(values))
    wanted = (level - _ROUNDING) * groups
    found = np.empty(groups)
    for group, places in enumerate(np.split(place_of, np.cumsum([len(part) for part in scores])[:-1])):
        own = np.sort(places)
        behind = np.arange(len(own) + 1) / len(own)
        if masses is not None:
            behind = np.concatenate([[0.0], np.cumsum(shares[group][np.argsort(places)])])
        place = bisect_left(range(len(values)), wanted, key=partial(_weight_of_others, total, own, behind))
        found[group] = values[order[min(place, len(values) - 1)]]
    return found


def _weight_of_others(total: FloatArray, own: NDArray[np.int64], behind: FloatArray, place: int) -> float:
    """Weight up to a place, each group's rows summing to 1, without the group whose places are ``own``.

    ``behind`` is the weight of the first so many rows of that group.
    """
    return float(total[place]) - float(behind[np.searchsorted(own, place, side="right")])


def _levels(
    residual: FloatArray, scale: FloatArray, segments: Segments, levels: Sequence[float], weight: FloatArray | None
) -> dict[str, Any]:
    names = sorted(segments)
    scores = [residual[segments[name]] / scale[segments[name]] for name in names]
    masses = None if weight is None else [weight[segments[name]] for name in names]
    order = np.argsort(np.concatenate(scores), kind="stable")
    scales = [scale[segments[name]] for name in names]
    return {f"{level:g}": _level(names, scores, masses, scales, order, level) for level in levels}


def _level(
    names: Sequence[str],
    scores: Sequence[FloatArray],
    masses: Sequence[FloatArray] | None,
    scales: Sequence[FloatArray],
    order: NDArray[np.int64],
    level: float,
) -> dict[str, Any]:
    width = hierarchical_quantile(scores, level, masses, order)
    document: dict[str, Any] = {"level": level, "half_width": finite_or_none(width)}
    needed = groups_needed(level) + 1
    if len(names) < needed:
        why = (
            f"{len(names)} groups cannot show a level of {level:g}, each calibrated on the others: {needed} are needed"
        )
        return document | {"coverage": None, "worst_group": None, "by_group": {}, "mean_half_width": None, "why": why}
    by_group, widths = {}, []
    for place, own in enumerate(left_out_quantiles(scores, level, masses, order).tolist()):
        name, mass = names[place], None if masses is None else masses[place]
        by_group[name] = mean_of(scores[place] <= own, mass)
        widths.append(own * mean_of(scales[place], mass))
    worst = min(names, key=by_group.__getitem__)
    return document | {
        "coverage": float(np.mean([by_group[name] for name in names])),
        "worst_group": {"group": worst, "value": by_group[worst]},
        "by_group": by_group,
        "mean_half_width": float(np.mean(widths)),
    }
