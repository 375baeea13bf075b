"""Words that stand for a gap: compared as words among words, and as numbers where a column is one.

Otherwise ``-9`` would be a gap and ``-9.0`` a measurement in one column, and ``-999`` a gap in a CSV and a value in the
same table as a Parquet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import polars as pl

_SPELT = (pl.String, pl.Categorical, pl.Enum, pl.Date)  # what one reads as a word, dates as ISO 8601
_WHOLE = re.compile(r"[+-]?\d{1,20}")


def without_words(frame: pl.DataFrame, words: Sequence[str], kept: Collection[str], *, comma: bool) -> pl.DataFrame:
    """The table with declared words as gaps.

    Args:
        frame: The table.
        words: What stands for a gap.
        kept: Columns in which such a word is a word.
        comma: Whether ``3,14`` is a number among the words.
    """
    if not words:
        return frame
    changed = []
    for column in frame.get_columns():
        gap = stand_for_gap(column, words, comma=comma) if column.name not in kept else None
        if gap is not None and gap.any():
            changed.append(pl.select(pl.when(~gap).then(column).alias(column.name)).to_series())
    return frame.with_columns(changed)


def stand_for_gap(column: pl.Series, words: Sequence[str], *, comma: bool) -> pl.Series:
    """Boolean: in which rows such a word stands."""
    if column.dtype.is_numeric():
        return _equal(column, [number for word in words if (number := _number(word, comma)) is not None])
    if column.dtype in _SPELT:
        return column.cast(pl.String).is_in(list(words)).fill_null(value=False)
    return pl.Series([False]).new_from_index(0, len(column))


def idle_words(
    written: pl.DataFrame, read: pl.DataFrame, words: Sequence[str], kept: Collection[str], *, comma: bool
) -> tuple[str, ...]:
    """Words that stand nowhere in the table, in their order.

    Args:
        written: The table, whose words are words.
        read: The same with its gaps, its columns of their kinds.
        words: What stands for a gap.
        kept: Columns in which such a word is a word.
        comma: Whether ``3,14`` is a number among the words.
    """
    left = list(words)
    for column in written.get_columns():
        if column.name not in kept:
            numeric = column.name in read.columns and read.schema[column.name].is_numeric()
            left = [word for word in left if not _stands(column, word, comma=comma, numeric=numeric)]
    return tuple(left)


def _stands(column: pl.Series, word: str, *, comma: bool, numeric: bool) -> bool:
    if column.dtype == pl.Boolean:
        column = column.cast(pl.String)
    if stand_for_gap(column, [word], comma=comma).any():
        return True
    if not numeric or column.dtype != pl.String:
        return False
    commas = column.str.replace(",", ".", literal=True)
    return any(
        stand_for_gap(text.str.strip_chars().cast(pl.Float64, strict=False), [word], comma=comma).any()
        for text in (column, commas)
    )


def _number(word: str, comma: bool) -> int | float | None:
    text = word.strip().replace(",", ".") if comma else word.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    found: float | None = pl.Series([text]).cast(pl.Float64, strict=False)[0]
    return found


def _equal(column: pl.Series, numbers: Sequence[float]) -> pl.Series:
    """Rows of one of these numbers, as exactly as the column holds them."""
    if column.dtype.is_integer():
        whole = [int(each) for each in numbers if isinstance(each, int) or each.is_integer()]
        known = pl.Series(whole, dtype=pl.Int128).cast(column.dtype, strict=False).drop_nulls().to_list()
        return column.is_in(known).fill_null(value=False)
    if not column.dtype.is_float():
        column = column.cast(pl.Float64)
    held = pl.Series([float(each) for each in numbers], dtype=pl.Float64).cast(column.dtype)
    found = column.is_in(held.drop_nans().to_list())
    return (found | column.is_nan() if held.is_nan().any() else found).fill_null(value=False)
