"""Intervals that hold on a group never seen: conformal quantiles in which every group counts once.

Rows of one group are not exchangeable with rows of another, groups are (that is what holding them out assumes). So the
calibration gives each of K groups the weight 1 / (K + 1), spread evenly over its rows, and the unseen group the
remaining 1 / (K + 1) at infinity; the interval is the ``level`` quantile of that distribution. Source: hierarchical
conformal prediction, Lee, Barber & Willett, "Distribution-free inference with hierarchical data" (2023); Dunn,
Wasserman & Ramdas, "Distribution-free prediction sets for two-layer hierarchical models" (2022).

K groups can hold no level above K / (K + 1) without assumptions: 95 % takes 19 of them. Then there is no number, and
the reason is given; an interpolated quantile would make one up.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.evidence import finite_or_none

LEVELS = (0.8, 0.9, 0.95)
METHOD = "hierarchical conformal, out-of-fold residuals, each group calibrated on the others"
Segments = Mapping[str, NDArray[np.int64]]
_ROUNDING = 1e-9


def groups_needed(level: float) -> int:
    """The least number of groups that can hold this level without assumptions."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def hierarchical_quantile(scores: Sequence[FloatArray], level: float) -> float:
    """The ``level`` quantile over groups; infinite if there are too few of them.

    Args:
        scores: For each group, its nonconformity scores, float64 ``[rows of the group]``.
        level: In (0, 1).

    Returns:
        An order statistic of the scores: no interpolation.
    """
    groups = len(scores)
    if groups < groups_needed(level):
        return math.inf
    weights = np.concatenate([np.full(len(part), 1 / ((groups + 1) * len(part))) for part in scores])
    values = np.concatenate(scores)
    order = np.argsort(values, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), level - _ROUNDING))
    return float(values[order[min(place, len(values) - 1)]])


def conformal(
    target: FloatArray, mean: FloatArray, sigma: FloatArray | None, segments: Segments, levels: Sequence[float] = LEVELS
) -> dict[str, Any]:
    """Half-widths at every level and how often they hold on each group, calibrated on the others.

    Args:
        target: float64 of shape ``[rows]``.
        mean: Out-of-fold prediction, shape ``[rows]``.
        sigma: Spread of the seeds, shape ``[rows]``; None for one seed.
        segments: Row numbers of each group.
        levels: Nominal levels.

    Returns:
        By kind (``absolute``: one width everywhere; ``normalised``: widths in proportion to ``sigma`` plus its median,
        so that seeds which agree by chance do not give a width of zero), by level.
    """
    residual = np.abs(target - mean)
    kinds: dict[str, FloatArray] = {"absolute": np.ones_like(residual)}
    if sigma is not None and np.isfinite(sigma).all() and np.median(sigma) > 0:
        kinds["normalised"] = sigma + np.median(sigma)
    if not np.isfinite(residual).all():
        return {"method": METHOD, "kinds": {}}
    found = {
        kind: {f"{level:g}": _level(residual, scale, segments, level) for level in levels}
        for kind, scale in kinds.items()
    }
    return {"method": METHOD, "kinds": found}


def left_out_quantiles(scores: Sequence[FloatArray], level: float) -> FloatArray:
    """For each group, ``hierarchical_quantile`` of the others: float64 ``[groups]``.

    All scores are sorted once. Up to a place, the weight of the others is the weight of all less the group's own, which
    grows with the place; so each group costs one bisection, and not a sort of everything.
    """
    groups = len(scores)
    if groups - 1 < groups_needed(level):
        return np.full(groups, math.inf)
    values = np.concatenate(scores)
    order = np.argsort(values, kind="stable")
    total = np.cumsum(np.concatenate([np.full(len(part), 1 / len(part)) for part in scores])[order])
    place_of = np.empty(len(values), dtype=np.int64)
    place_of[order] = np.arange(len(values))
    wanted = (level - _ROUNDING) * groups
    found = np.empty(groups)
    for group, places in enumerate(np.split(place_of, np.cumsum([len(part) for part in scores])[:-1])):
        own = np.sort(places)
        place = bisect_left(range(len(values)), wanted, key=partial(_weight_of_others, total, own))
        found[group] = values[order[min(place, len(values) - 1)]]
    return found


def _weight_of_others(total: FloatArray, own: NDArray[np.int64], place: int) -> float:
    """Weight up to a place, each group's rows summing to 1, without the group whose places are ``own``."""
    return float(total[place]) - float(np.searchsorted(own, place, side="right")) / len(own)


def _level(residual: FloatArray, scale: FloatArray, segments: Segments, level: float) -> dict[str, Any]:
    names = sorted(segments)
    scores = {name: residual[segments[name]] / scale[segments[name]] for name in names}
    width = hierarchical_quantile([scores[name] for name in names], level)
    document: dict[str, Any] = {"level": level, "half_width": finite_or_none(width)}
    needed = groups_needed(level) + 1
    if len(names) < needed:
        why = (
            f"{len(names)} groups cannot show a level of {level:g}, each calibrated on the others: {needed} are needed"
        )
        return document | {"coverage": None, "worst_group": None, "by_group": {}, "mean_half_width": None, "why": why}
    by_group, widths = {}, []
    for name, own in zip(names, left_out_quantiles([scores[name] for name in names], level).tolist(), strict=True):
        by_group[name] = float((scores[name] <= own).mean())
        widths.append(own * float(scale[segments[name]].mean()))
    worst = min(names, key=by_group.__getitem__)
    return document | {
        "coverage": float(np.mean([by_group[name] for name in names])),
        "worst_group": {"group": worst, "value": by_group[worst]},
        "by_group": by_group,
        "mean_half_width": float(np.mean(widths)),
    }
