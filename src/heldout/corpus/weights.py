"""How much each row counts: a column of weights, read strictly.

A row of weight 2 is two rows, one of weight 0 none. A weight that is missing, negative or infinite is no count of
anything, and one that was filled in would be a guess about what is judged.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.errors import CorpusError

Weights = NDArray[np.float64]
# Of the largest weight, and how many times the smallest it is: sums, fourth powers and differences keep their digits.
LEAST, MOST, RATIO = 1e-9, 1e12, 1e6


def weights_of(column: pl.Series, path: str) -> Weights:
    """The weights in a column without gaps: float64 ``[rows]``.

    Args:
        column: Of the table; missing and non-finite values are refused before.
        path: The table's, for messages.

    Raises:
        CorpusError: If it holds no numbers, a negative one, or nothing but 0; or they are of no size to add up, or some
            are so small beside others that rounding decides what they count.
    """
    where = f"{path}: column {column.name}"
    if not column.dtype.is_numeric():
        raise CorpusError(
            f"the weights in {column.name!r} are {column.dtype}, not numbers",
            where=where,
            hint="name a numeric column as `corpus.weight`, or leave it out: then every row counts alike",
        )
    values = column.cast(pl.Float64).to_numpy().astype(np.float64)
    negative = values < 0
    if negative.any():
        row = int(negative.argmax())
        raise CorpusError(
            f"{int(negative.sum())} weights are negative, the first is {values[row]:g}",
            where=f"{path}: row {row + 1}, column {column.name}",
            hint="a weight says how often a row counts: 0 or more",
        )
    _check_size(values, where)
    return values


def _check_size(values: Weights, where: str) -> None:
    counting = values[values > 0]
    if not len(counting):
        raise CorpusError(
            "every weight is 0, so nothing counts",
            where=where,
            hint="give rows a weight, or leave `corpus.weight` out",
        )
    least, most = float(counting.min()), float(counting.max())
    if not LEAST <= most <= MOST:
        raise CorpusError(
            f"the largest weight is {most:g}, outside of {LEAST:g} to {MOST:g}",
            where=where,
            hint="multiply all weights by one number: how rows compare stays what it is",
        )
    if most > RATIO * least:
        raise CorpusError(
            f"the largest weight is {most:g}, more than {RATIO:,.0f} times the smallest above 0, {least:g}: rows of "
            "that weight count for nothing",
            where=where,
            hint="bound the weights, or set the smallest to 0",
        )
