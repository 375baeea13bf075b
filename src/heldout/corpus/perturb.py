"""A corpus that is another one in its held-out rows, and the same in all others: for the check of the fitted state.

Nothing subtle is needed: every number moves, every word and every label becomes one that was not there before. What is
fitted on training rows alone cannot notice; a scaler, a vocabulary or a label list over the whole corpus must.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.model import Corpus


def changed_corpus(corpus: Corpus, groups: Collection[str], most: int | None) -> Corpus:
    """The corpus in memory, thinned, with features and targets of these groups changed.

    Args:
        corpus: Samples.
        groups: Whose rows change.
        most: Rows to keep of each group at most; None keeps all.
    """
    rows = thinned(corpus.groups, most)
    kept = corpus.groups.gather(rows)
    mask = kept.is_in(list(groups))
    target = pl.Series("target", corpus.target[rows])
    return replace(
        corpus,
        ids=corpus.ids.gather(rows),
        groups=kept,
        cells=None if corpus.cells is None else corpus.cells.gather(rows),
        time=None if corpus.time is None else corpus.time.gather(rows),
        aside=None,
        features=changed_frame(corpus.features[rows], corpus.features.columns, mask),
        target=changed_column(target, mask)
        .to_numpy()
        .astype(corpus.target.dtype if target.dtype.is_numeric() else str),
    )


def changed_frame(frame: pl.DataFrame, columns: Sequence[str], mask: pl.Series) -> pl.DataFrame:
    """The frame with the values of these columns changed where the mask is set."""
    return frame.with_columns(changed_column(frame[name], mask) for name in columns)


def changed_column(column: pl.Series, mask: pl.Series) -> pl.Series:
    """The column with other values where the mask is set, of the same kind: a file of it is read back the same way."""
    if column.dtype.is_integer():
        wide = column.cast(pl.Int64)
        span = int(wide.max() or 0) - int(wide.min() or 0) + 1  # type: ignore[arg-type]
        moved = wide + 7 * span
    elif column.dtype.is_numeric():
        moved = column.cast(pl.Float64) * 3.0 + 7.0
    elif column.dtype == pl.Boolean:
        moved = ~column
    elif column.dtype.is_temporal():
        moved = column
    else:
        moved = pl.select(pl.format("{}~", column.cast(pl.String))).to_series()
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
