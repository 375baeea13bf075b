"""Metrics of predicted numbers. Definitions are those of scikit-learn where it has them; exceptions are named.

``mape``: undefined where a target is 0, where scikit-learn divides by a tiny number. ``r2`` and ``explained_variance``:
undefined for a constant target, where scikit-learn answers 0 or 1.
"""

from __future__ import annotations

import math

import numpy as np

from heldout.backbone import FloatArray
from heldout.task.metric import ANY, SIZE, Metric, Rows, is_constant
from heldout.task.weighted import median_of


def pearson(x: FloatArray, y: FloatArray, weight: FloatArray | None = None) -> float:
    """Pearson correlation; NaN for fewer than two rows or a constant side.

    Args:
        x: float64 of shape ``[rows]``.
        y: float64 of shape ``[rows]``.
        weight: How much each row counts; None counts all alike.
    """
    if len(x) < 2 or is_constant(x) or is_constant(y):
        return float("nan")
    dx, dy = _deviations(x, weight), _deviations(y, weight)
    products = (dx * dy, dx**2, dy**2)
    xy, xx, yy = (each.mean() if weight is None else np.average(each, weights=weight) for each in products)
    if not xx * yy > 0:
        return float("nan")  # every row that varies has no weight
    return min(1.0, max(-1.0, float(xy / math.sqrt(xx * yy))))


def _deviations(values: FloatArray, weight: FloatArray | None) -> FloatArray:
    """Deviations from the mean, scaled so that the largest is 1: their squares neither overflow nor vanish."""
    scaled = values / np.abs(values).max()
    centred = scaled - (scaled.mean() if weight is None else np.average(scaled, weights=weight))
    deviations: FloatArray = centred / np.abs(centred).max()
    return deviations


def average_ranks(values: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Ranks from 1; equal values share the mean of their ranks (the fractional ranking of Spearman's rho).

    With weights a row of weight 2 takes the place of two rows, and ranks are in the unit of the weights: those that
    are all 1 give ranks from 1/2.
    """
    if weight is None:
        order = values.argsort()
        ordered = values[order]
        if (ordered[1:] > ordered[:-1]).all():  # no two are equal: what follows says the same, and takes longer
            ranks = np.empty(len(values))
            ranks[order] = np.arange(1.0, len(values) + 1.0)
            return ranks
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if weight is None:
        last = np.cumsum(counts)
        mean_rank: FloatArray = last - (counts - 1) / 2.0
        return mean_rank[inverse]
    total = np.bincount(inverse, weights=weight)
    middle: FloatArray = np.cumsum(total) - total / 2.0
    return middle[inverse]


def _error(rows: Rows) -> FloatArray:
    found: FloatArray = rows.said - rows.truth
    return found


def _spearman(rows: Rows) -> float:
    if (rows.said == rows.said[0]).all():  # as pearson would say of equal ranks, after two sorts
        return math.nan
    truth, said = (average_ranks(values, rows.share) for values in (rows.truth, rows.said))
    return pearson(truth, said, rows.share)


def _rmse(rows: Rows) -> float:
    return float(np.sqrt(rows.mean(_error(rows) ** 2)))


def _bias(rows: Rows) -> float:
    return rows.mean(_error(rows))


def _share_explained(rows: Rows, error: FloatArray) -> float:
    """One minus the mean square of an error over the variance of the target."""
    if len(rows) < 2 or is_constant(rows.truth):
        return math.nan
    size = float(np.abs(rows.truth - rows.mean(rows.truth)).max())  # scaled, so that no square overflows
    spread = rows.mean(((rows.truth - rows.mean(rows.truth)) / size) ** 2)
    with np.errstate(over="ignore"):
        return float(1.0 - rows.mean((error / size) ** 2) / spread) if spread > 0 else math.nan


def _r2(rows: Rows) -> float:
    return _share_explained(rows, _error(rows))


def _explained_variance(rows: Rows) -> float:
    return _share_explained(rows, _error(rows) - _bias(rows))


def _mape(rows: Rows) -> float:
    if not rows.truth.all():
        return math.nan
    return rows.mean(np.abs(_error(rows) / rows.truth))


def _why_no_mape(rows: Rows) -> str | None:
    zeros = int((rows.truth == 0).sum())
    return f"the target is 0 in {zeros} rows, of which no error is a percentage" if zeros else None


def _median_error(rows: Rows) -> float:
    return median_of(np.abs(_error(rows)), rows.share)


REGRESSION = (
    Metric(
        "plcc", "PLCC", "higher", (-1.0, 1.0), "value", lambda rows: pearson(rows.truth, rows.said, rows.share),
        aliases=("pearson",), guess=0.0,
    ),
    Metric("srocc", "SROCC", "higher", (-1.0, 1.0), "value", _spearman, aliases=("spearman",), guess=0.0),
    Metric("rmse", "RMSE", "lower", SIZE, "value", _rmse, unit=None, aliases=("root_mean_squared_error",)),
    Metric(
        "mae", "MAE", "lower", SIZE, "value", lambda rows: rows.mean(np.abs(_error(rows))),
        unit=None, aliases=("mean_absolute_error",),
    ),
    Metric("bias", "bias", "near zero", ANY, "value", _bias, unit=None),
    Metric("abs_bias", "absolute bias", "lower", SIZE, "value", lambda rows: abs(_bias(rows)), unit=None, shown=False),
)  # fmt: skip
MORE_OF_VALUES = (
    Metric("r2", "R²", "higher", (-math.inf, 1.0), "value", _r2),
    Metric("explained_variance", "explained variance", "higher", (-math.inf, 1.0), "value", _explained_variance),
    Metric(
        "mape", "MAPE", "lower", SIZE, "value", _mape,
        aliases=("mean_absolute_percentage_error",), undefined=_why_no_mape,
    ),
    Metric(
        "median_absolute_error", "median absolute error", "lower", SIZE, "value", _median_error,
        unit=None, aliases=("median_ae",),
    ),
)  # fmt: skip


def pinball(parameter: str) -> Metric:
    """The pinball loss of a quantile between 0 and 1: ``pinball@0.9``.

    Raises:
        ValueError: If the parameter is no such number.
    """
    level = float(parameter)
    if not 0.0 < level < 1.0:
        raise ValueError("a quantile lies between 0 and 1")

    def loss(rows: Rows) -> float:
        short = rows.truth - rows.said
        return rows.mean(np.maximum(level * short, (level - 1.0) * short))

    return Metric(f"pinball@{level!r}", f"pinball loss at {level!r}", "lower", SIZE, "value", loss, unit=None)
