"""Rank IC: the correlation of ranks of prediction and outcome across the assets of one date."""

from __future__ import annotations

import numpy as np
import polars as pl

from heldout.backbone import CurvePanel, FloatArray

_POINTS = 120


def rank_ic_by_date(samples: pl.DataFrame, prediction: FloatArray) -> pl.DataFrame:
    """Rank IC of each date, in order of dates; where several folds hold a date out, one row for each.

    Args:
        samples: Held-out samples with ``cell`` (the date), ``fold`` and ``target``.
        prediction: Float64 ``[rows]``.

    Returns:
        Columns ``date``, ``fold``, ``ic`` and ``assets``; a date on which all predictions are equal has no IC (null).
    """
    columns = samples.select("cell", "fold", "target").with_columns(prediction=pl.Series(prediction))
    over = ["fold", "cell"]
    ranks = columns.with_columns(pl.col(name).rank("average").over(over) for name in ("target", "prediction"))
    table = ranks.group_by(over).agg(ic=pl.corr("target", "prediction"), assets=pl.len())
    table = table.with_columns(pl.col("ic").fill_nan(None)).sort("cell", "fold")
    return table.select(pl.col("cell").alias("date"), "fold", "ic", "assets")


def cumulative_ic(samples: pl.DataFrame, prediction: FloatArray) -> CurvePanel:
    """The sum of rank ICs over the years: a straight line is a steady skill, a flat one is none."""
    table = rank_ic_by_date(samples, prediction).group_by("date").agg(pl.col("ic").mean()).sort("date")
    dates = table["date"].str.to_date()
    years = (dates.dt.year() + (dates.dt.ordinal_day() - 1) / 365.25).to_list()
    total = np.cumsum(table["ic"].fill_null(0.0).to_numpy())
    few = np.unique(np.linspace(0, len(years) - 1, min(_POINTS, len(years))).astype(int))
    points = [(years[number], float(total[number])) for number in few]
    return CurvePanel("Rank IC, summed over dates", "year", "sum of rank IC", {"variant": points})
