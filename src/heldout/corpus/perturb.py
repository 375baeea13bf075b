"""A corpus that is another one in its held-out rows, and the same in all others: for the check of the fitted state.

Nothing subtle is needed: every number moves, every word and every label becomes one that was not there before. What is
fitted on training rows alone cannot notice; a scaler, a vocabulary or a label list over the whole corpus must.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.model import Corpus
from heldout.corpus.truth import Known

_WIDE = 1 << 58  # of integers that are moved by many times their span
_FILLED = "~"
_LARGE = 1e11  # twice such a weight may be more than a weight may be


def changed_corpus(corpus: Corpus, groups: Collection[str], most: int | None) -> Corpus:
    """The corpus in memory, thinned, with features, targets and weights of these groups changed.

    Args:
        corpus: Samples.
        groups: Whose rows change.
        most: Rows to keep of each group at most; None keeps all.
    """
    rows = thinned(corpus.groups, most)
    kept = corpus.groups.gather(rows)
    mask = kept.is_in(list(groups))
    target = corpus.targets("guard", rows)
    return replace(
        corpus,
        ids=corpus.ids.gather(rows),
        groups=kept,
        cells=None if corpus.cells is None else corpus.cells.gather(rows),
        time=None if corpus.time is None else corpus.time.gather(rows),
        aside=None,
        features=changed_frame(corpus.features[rows], corpus.features.columns, mask),
        weight=_moved_weight(corpus.weights(rows), mask),
        truth=Known(
            np.column_stack([_moved(each, mask) for each in target.T]) if target.ndim > 1 else _moved(target, mask)
        ),
    )


def _moved(target: NDArray[Any], mask: pl.Series) -> NDArray[Any]:
    moved = changed_column(pl.Series(target), mask).to_numpy()
    return moved if target.dtype.kind == "f" else moved.astype(str)


def _moved_weight(weight: NDArray[np.float64] | None, mask: pl.Series) -> NDArray[np.float64] | None:
    return None if weight is None else changed_weight(pl.Series(weight), mask).to_numpy().astype(np.float64)


def changed_weight(column: pl.Series, mask: pl.Series) -> pl.Series:
    """The weights, with others where the mask is set: light for heavy rows and heavy for light ones.

    None is outside of what the column holds, or a reader would refuse weights that nobody gave.
    """
    wide = column.cast(pl.Int64) if column.dtype.is_integer() else column.cast(pl.Float64)
    counting = wide.filter(wide > 0)
    bounds: tuple[Any, Any] = (1, 1) if counting.is_empty() else (counting.min(), counting.max())
    least, most = bounds
    if least == most:
        heavy, least = wide > 0, most // 2 if most > _LARGE else most * 2
    else:
        heavy = wide.cast(pl.Float64) >= math.sqrt(least * most)
    moved = pl.select(pl.when(heavy).then(pl.lit(least, wide.dtype)).otherwise(pl.lit(most, wide.dtype))).to_series()
    return pl.select(pl.when(mask).then(moved).otherwise(wide)).to_series().alias(column.name)


def changed_frame(frame: pl.DataFrame, columns: Sequence[str], mask: pl.Series) -> pl.DataFrame:
    """The frame with the values of these columns changed where the mask is set."""
    return frame.with_columns(changed_column(frame[name], mask) for name in columns)


def changed_column(column: pl.Series, mask: pl.Series) -> pl.Series:
    """The column with other values where the mask is set, of the same kind: a file of it is read back the same way."""
    least, most = (int(column.min() or 0), int(column.max() or 0)) if column.dtype.is_integer() else (0, 0)  # type: ignore[arg-type]
    if max(abs(least), abs(most)) > _WIDE:
        moved = column // 3
    elif column.dtype.is_integer():
        moved = column.cast(pl.Int64) + 7 * (most - least + 1)
    elif column.dtype.is_numeric():
        moved = column.cast(pl.Float64) * 3.0 + 7.0
    elif column.dtype == pl.Boolean:
        moved = ~column
    elif column.dtype.is_temporal():
        moved = column
    else:
        moved = pl.select(pl.format("{}~", column.cast(pl.String))).to_series()
    if moved.dtype == pl.String or moved.dtype.is_numeric():
        moved = moved.fill_null(_FILLED if moved.dtype == pl.String else 7)
    same = column.cast(moved.dtype)
    return pl.select(pl.when(mask).then(moved).otherwise(same)).to_series().alias(column.name)


def thinned(groups: pl.Series, most: int | None) -> NDArray[np.int64]:
    """Row numbers, ascending, of at most so many rows of each group, evenly spread over it."""
    if most is None:
        return np.arange(len(groups))
    numbered = groups.to_frame("group").with_row_index("row").group_by("group", maintain_order=True).agg(pl.col("row"))
    parts = [np.asarray(rows, dtype=np.int64) for rows in numbered["row"].to_list()]
    kept = [rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)] for rows in parts]
    return np.sort(np.concatenate(kept))
