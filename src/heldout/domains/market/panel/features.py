"""Features of prices: each is a function of the closes up to its date, and of what was the universe on it.

Nothing here is fitted. Standardisation is across the assets of one date, so it takes nothing from another date either,
and over every asset that could be predicted on it, whether or not its label is ever known.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.domains.market.panel.options import Features, ResidualMomentum
from heldout.domains.market.panel.panel import Matrix, Panel


def feature_matrices(panel: Panel, features: Features) -> dict[str, Matrix]:
    """Every feature as ``[dates, assets]``, NaN where it is not defined; ``family_window`` by name, in order."""
    prices = np.log(panel.close)
    returns = np.diff(prices, axis=0, prepend=np.nan)
    found: dict[str, Matrix] = {}
    if features.momentum is not None:
        skip = features.momentum.skip
        for window in features.momentum.windows:
            found[f"momentum_{window}"] = _lag(prices, skip) - _lag(prices, window)
    if features.residual_momentum is not None:
        found |= _residual_momentum(returns, market_returns(panel, returns), features.residual_momentum)
    if features.volatility is not None:
        for window in features.volatility.windows:
            found[f"volatility_{window}"] = _rolling_std(returns, window)
    if features.reversal is not None:
        for window in features.reversal.windows:
            found[f"reversal_{window}"] = prices - _lag(prices, window)
    return found


def family_of(feature: str) -> str:
    """The family that a feature belongs to."""
    return feature.rpartition("_")[0]


def market_returns(panel: Panel, returns: Matrix) -> Matrix:
    """Daily log returns of the index, or the mean over the universe of the date; ``[dates]``."""
    if panel.index is not None:
        return np.diff(np.log(panel.index), prepend=np.nan)
    inside = panel.member & np.isfinite(returns)
    count = inside.sum(axis=1)
    total = np.where(inside, returns, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def standardised(values: Matrix, usable: NDArray[np.bool_], how: Literal["zscore", "rank"]) -> Matrix:
    """A feature across the usable assets of each date; NaN elsewhere.

    Args:
        values: ``[dates, assets]``.
        usable: Which of them count; all of those are finite.
        how: zscore: mean 0 and standard deviation 1, or 0 where all are equal; rank: evenly from -0.5 to 0.5, ties at
            their mean rank.
    """
    inside = np.where(usable, values, np.nan)
    if how == "rank":
        return _centred_ranks(inside, usable)
    count = np.maximum(usable.sum(axis=1, keepdims=True), 1)
    mean = np.where(usable, values, 0.0).sum(axis=1, keepdims=True) / count
    away = np.where(usable, inside - mean, 0.0)
    spread = np.sqrt((away**2).sum(axis=1, keepdims=True) / count)
    flat = spread <= 1e-12 * np.abs(mean)
    return np.where(usable, np.where(flat, 0.0, away / np.where(flat, 1.0, spread)), np.nan)


def _centred_ranks(inside: Matrix, usable: NDArray[np.bool_]) -> Matrix:
    columns = pl.DataFrame({"value": inside.ravel(), "date": np.repeat(np.arange(len(inside)), inside.shape[1])})
    ranks = columns.with_columns(pl.col("value").fill_nan(None).rank("average").over("date"))["value"]
    places = ranks.fill_null(float("nan")).to_numpy().reshape(inside.shape)
    count = usable.sum(axis=1, keepdims=True)
    centred: Matrix = (places - 1) / np.maximum(count - 1, 1) - np.where(count > 1, 0.5, 0.0)
    return centred


def _residual_momentum(returns: Matrix, market: Matrix, options: ResidualMomentum) -> dict[str, Matrix]:
    """Residual returns against the market, by a beta that ends the date before; their mean over its standard error."""
    column = np.broadcast_to(market[:, None], returns.shape)
    both = np.where(np.isfinite(returns) & np.isfinite(column), 1.0, np.nan)
    x, y = column * both, returns * both
    mean_x, mean_y = _rolling_mean(x, options.beta), _rolling_mean(y, options.beta)
    variance = _rolling_mean(x * x, options.beta) - mean_x**2
    with np.errstate(divide="ignore", invalid="ignore"):
        beta = (_rolling_mean(x * y, options.beta) - mean_x * mean_y) / np.where(variance > 0, variance, np.nan)
    residual = y - _lag(beta, 1) * x
    found = {}
    for window in options.windows:
        dates = window - options.skip
        mean, spread = _rolling_mean(residual, dates), _rolling_std(residual, dates)
        scaled = mean * np.sqrt(dates) / np.where(spread > 0, spread, np.nan)
        found[f"residual_momentum_{window}"] = _lag(scaled, options.skip)
    return found


def _lag(values: Matrix, dates: int) -> Matrix:
    """Values of so many dates before; NaN where there are none."""
    if dates == 0:
        return values
    found = np.full_like(values, np.nan)
    found[dates:] = values[:-dates]
    return found


def _rolling_mean(values: Matrix, window: int) -> Matrix:
    return _to_matrix(_to_frame(values).select(pl.all().rolling_mean(window)))


def _rolling_std(values: Matrix, window: int) -> Matrix:
    return _to_matrix(_to_frame(values).select(pl.all().rolling_std(window)))


def _to_frame(values: Matrix) -> pl.DataFrame:
    """Nulls for NaN: a window with a null in it has no value, and the next whole one is not harmed."""
    return pl.from_numpy(values, schema=[str(number) for number in range(values.shape[1])]).fill_nan(None)


def _to_matrix(frame: pl.DataFrame) -> Matrix:
    found: Matrix = frame.fill_null(float("nan")).to_numpy().astype(np.float64)
    return found
