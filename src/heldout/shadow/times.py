"""Moments as people write them, as moments in UTC."""

from __future__ import annotations

import datetime as dt

import polars as pl

from heldout.errors import InputError


def utc(column: pl.Series, where: str) -> pl.Series:
    """A column of dates, datetimes or ISO 8601 text as Datetime without a zone, in UTC; null stays null.

    Raises:
        InputError: If it is neither, or a text is no time.
    """
    if column.dtype == pl.String:
        texts = column.drop_nulls().unique().to_list()
        try:
            known = [parse_utc(text).replace(tzinfo=None) for text in texts]
        except ValueError:
            raise _no_time(column, where) from None
        return column.replace_strict(texts, pl.Series(known, dtype=pl.Datetime("us")), return_dtype=pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime | pl.Date):
        raise _no_time(column, where)
    zone = getattr(column.dtype, "time_zone", None)
    plain = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else column
    return plain.cast(pl.Datetime("us"))


def parse_utc(text: str) -> dt.datetime:
    """One moment; UTC where no zone is named.

    Raises:
        ValueError: If it is none.
    """
    found = dt.datetime.fromisoformat(text)
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _no_time(column: pl.Series, where: str) -> InputError:
    return InputError(
        "times must be ISO 8601", where=f"{where}: column {column.name}", hint="write 2026-01-31 or 2026-01-31T16:00Z"
    )
