"""What is gained over another model by a metric of all rows together: whole groups are drawn with replacement.

A metric such as an AUC may be undefined in a group by itself, where every patient has one label. Over all rows it is
defined, and its interval comes from drawing groups: rows inside a group are not independent. Both models are scored on
the same draws, so that what groups have in common cancels out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.evidence import finite_or_none
from heldout.task.cluster import METHOD, Draws
from heldout.task.metric import Metric, Rows

_AREAS = ("roc_auc",)
_GROUPS_AT_MOST = 1000  # whose pairs are counted once; a metric of more groups is computed anew in every draw


class Drawn(NamedTuple):
    """One contender's metric.

    Attributes:
        value: Over all rows.
        draws: Of every draw, float64 ``[draws]``; NaN where it is undefined.
    """

    value: float
    draws: FloatArray


def drawn(metric: Metric, rows: Rows, draws: Draws, *, knows_nothing: bool = False) -> Drawn:
    """A metric over all rows, and in every draw of groups.

    Args:
        metric: What is computed.
        rows: Truth and predictions, in the order in which the draws name groups.
        draws: Which groups are drawn how often.
        knows_nothing: Whether this is a trivial contender, which may as well guess.
    """
    whole = metric.score(rows, knows_nothing=knows_nothing)
    if not rows.finite:
        return Drawn(whole, np.full(len(draws.counts), np.nan))
    if metric.name.partition("@")[0] in _AREAS and len(rows.classes) == 2 and len(draws.names) <= _GROUPS_AT_MOST:
        return Drawn(whole, _areas(metric, rows, draws))

    def score(counts: NDArray[Any]) -> float:
        often = counts[draws.codes].astype(np.float64)
        some = replace(rows, weight=often if rows.weight is None else often * rows.weight)
        return metric.score(some, knows_nothing=knows_nothing)

    return Drawn(whole, np.array([score(counts) for counts in draws.counts], dtype=np.float64))


def gain_together(metric: Metric, ours: Drawn, theirs: Drawn, draws: Draws) -> dict[str, Any]:
    """What is gained, positive is better, with its interval and how that was made; ends are None where undefined."""
    sign = -1.0 if metric.better == "lower" else 1.0
    found = draws.interval(sign * (ours.draws - theirs.draws))
    gain = finite_or_none(sign * (ours.value - theirs.value))
    known = gain is not None and found["low"] is not None and np.isfinite([found["low"], found["high"]]).all()
    low, high = (found["low"], found["high"]) if known else (None, None)
    return {"gain": gain, "low": low, "high": high, "draws": len(draws.counts), "method": METHOD}


def _areas(metric: Metric, rows: Rows, draws: Draws) -> FloatArray:
    """The area under the ROC curve of every draw: pairs of rows in order are counted once, group against group."""
    _, _, name = metric.name.partition("@")
    code = rows.classes.index(name) if name else 1
    score, positive, mass = rows.said[:, code], rows.truth == code, rows.mass
    count = len(draws.names)
    order = np.argsort(score, kind="stable")
    order = order[positive[order]]
    ups, masses, owner = score[order], mass[order], draws.codes[order]
    pairs = np.zeros((count, count))
    for group in range(count):
        mine = np.flatnonzero((draws.codes == group) & ~positive)
        mine = mine[np.argsort(score[mine], kind="stable")]
        total = np.concatenate([[0.0], np.cumsum(mass[mine])])
        below, to = (total[np.searchsorted(score[mine], ups, side=side)] for side in ("left", "right"))
        pairs[:, group] = np.bincount(owner, weights=masses * (below + to) / 2, minlength=count)
    up = np.bincount(draws.codes, weights=mass * positive, minlength=count)
    down = np.bincount(draws.codes, weights=mass * ~positive, minlength=count)
    counts = draws.counts.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = ((counts @ pairs) * counts).sum(axis=1) / ((counts @ up) * (counts @ down))
    return np.where(np.isfinite(found), found, np.nan)
