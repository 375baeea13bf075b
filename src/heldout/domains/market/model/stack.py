"""A stack of Bayesian ridges: one a family of features, and one over what these said of blocks they had not seen.

The first level predicts, for the second, blocks of dates that it did not train on; the blocks beside those are left
out too. A block is at least as long as a label looks ahead (``PanelOptions``), so one block on either side is a purge
that is never shorter than the horizon, whatever the horizon is.

The second level's weights are not negative. Where a feature says nothing, what a fold says of it and what the rest says
have opposite errors, so that an unseen block seems predicted the wrong way round; a second level that is free to would
turn that round and trade the noise (L. Breiman, "Stacked regressions", Machine Learning 24, 1996). A share of equal
weights keeps every family in: weights that are estimated from little signal lose to plain means (J. H. Stock and
M. W. Watson, "Combination forecasts of output growth", Journal of Forecasting 23, 2004).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.market.panel.features import family_of
from heldout.errors import CorpusError

if TYPE_CHECKING:
    import polars as pl

_BESIDE = 1


class Linear(NamedTuple):
    """A fitted ridge: ``values @ coef + intercept``."""

    coef: FloatArray
    intercept: float

    def predict(self, values: FloatArray) -> FloatArray:
        """Float64 ``[rows]``; the sum is taken column by column, so that a row's result depends on that row alone."""
        found: FloatArray = np.full(len(values), self.intercept)
        for column, weight in zip(values.T, self.coef, strict=True):
            found = found + column * weight
        return found


@dataclass(frozen=True)
class Stack:
    """The fitted levels.

    Attributes:
        columns: Features of each first-level model, by family.
        first: Fitted on every training row, by family.
        scale: Spread of what each said of unseen blocks, by family.
        second: Over the first level's predictions in units of their scale, families in order; no weight is negative.
    """

    columns: Mapping[str, tuple[str, ...]]
    first: Mapping[str, Linear]
    scale: Mapping[str, float]
    second: Linear

    def predict(self, features: pl.DataFrame) -> FloatArray:
        """Float64 ``[rows]``."""
        parts = [
            self.first[name].predict(_values(features, names)) / self.scale[name]
            for name, names in self.columns.items()
        ]
        return self.second.predict(np.column_stack(parts))


def families(features: Sequence[str], *, flat: bool) -> dict[str, tuple[str, ...]]:
    """Columns of each first-level model: by family, or all in one."""
    if flat:
        return {"all": tuple(features)}
    names = sorted({family_of(name) for name in features})
    return {name: tuple(each for each in features if family_of(each) == name) for name in names}


def fit_stack(
    features: pl.DataFrame, target: FloatArray, groups: NDArray[np.str_], *, flat: bool, inner_folds: int, equal: float
) -> Stack:
    """Fit both levels.

    Args:
        features: One row a sample.
        target: Float64 ``[rows]``.
        groups: Block of each row; names sort in time.
        flat: One model over all features, and no second level.
        inner_folds: Parts in time whose rows the second level learns from.
        equal: Share of equal weights in the second level; the rest is estimated.

    Raises:
        CorpusError: If there are too few blocks for the inner folds.
    """
    import sklearn.linear_model  # noqa: F401 - a library can be limited once it is loaded
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # once: it looks through every library that is loaded
        return _fit_levels(features, target, groups, flat=flat, inner_folds=inner_folds, equal=equal)


def _fit_levels(
    features: pl.DataFrame, target: FloatArray, groups: NDArray[np.str_], *, flat: bool, inner_folds: int, equal: float
) -> Stack:
    columns = families(features.columns, flat=flat)
    values = {name: _values(features, names) for name, names in columns.items()}
    first = {name: _ridge(each, target) for name, each in values.items()}
    if flat:
        return Stack(columns, first, {"all": 1.0}, Linear(np.ones(1), 0.0))
    unseen = {name: np.zeros(len(target)) for name in columns}
    for train, test in _inner(groups, inner_folds):
        for name, each in values.items():
            unseen[name][test] = _ridge(each[train], target[train]).predict(each[test])
    scale = {name: float(said.std()) or 1.0 for name, said in unseen.items()}
    learnt = _second(np.column_stack([unseen[name] / scale[name] for name in columns]), target)
    mean = np.array(list(scale.values())) / len(scale)
    second = Linear((1 - equal) * learnt.coef + equal * mean, (1 - equal) * learnt.intercept)
    return Stack(columns, first, scale, second)


def _second(said: FloatArray, target: FloatArray) -> Linear:
    """A ridge over ``said`` ``[rows, families]`` without negative weights: families that would have one get none."""
    coef, kept = np.zeros(said.shape[1]), np.arange(said.shape[1])
    while len(kept):
        fitted = _ridge(said[:, kept], target)
        if (fitted.coef >= 0).all():
            coef[kept] = fitted.coef
            return Linear(coef, fitted.intercept)
        kept = kept[fitted.coef >= 0]
    return Linear(coef, 0.0)


def _inner(groups: NDArray[np.str_], folds: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training and unseen rows of each inner fold: parts in time, without the blocks beside the unseen one."""
    names, block = np.unique(groups, return_inverse=True)
    if len(names) < 2 * folds + 2 * _BESIDE:
        raise CorpusError(
            f"{len(names)} blocks of dates are too few for {folds} inner folds",
            where="fit.inner_folds",
            hint=f"{2 * folds + 2 * _BESIDE} are needed: use a longer warm-up, or fewer inner folds",
        )
    edges = [index * len(names) // folds for index in range(folds + 1)]
    found = []
    for low, high in pairwise(edges):
        test = (block >= low) & (block < high)
        train = (block < low - _BESIDE) | (block >= high + _BESIDE)
        found.append((np.flatnonzero(train), np.flatnonzero(test)))
    return found


def _ridge(values: FloatArray, target: FloatArray) -> Linear:
    from sklearn.linear_model import BayesianRidge

    fitted = BayesianRidge().fit(values, target)
    return Linear(np.asarray(fitted.coef_, dtype=np.float64), float(fitted.intercept_))


def _values(features: pl.DataFrame, names: Sequence[str]) -> FloatArray:
    return features.select(names).to_numpy().astype(np.float64)
