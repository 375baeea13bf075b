"""What a column is, where a study says it: a number, words, or a moment that is counted as a number.

Dates are counted in days since 1970, moments in seconds since then (UTC), times of day and durations in seconds. They
are read as ISO 8601, or in a declared form; never is a day taken for a month.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from heldout.errors import CorpusError

Kind = Literal["number", "category", "date", "datetime", "time", "duration"]
_UNITS = {"date": "days since 1970", "datetime": "seconds since 1970", "time": "seconds", "duration": "seconds"}
_FORMS = {"date": "%Y-%m-%d", "time": "%H:%M:%S"}


class Column(BaseModel):
    """A kind with the form in which its values are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    format: str | None = Field(None, description="of dates, moments or times, such as %d.%m.%Y; null: ISO 8601")
    decimal: Literal[".", ","] = Field(".", description="what stands before the fraction of a number, in this column")


Columns = Mapping[str, Kind | Column]


def text_kinds(columns: Columns) -> dict[str, pl.DataType]:
    """Columns that a table of text must not guess at: words keep their zeros, and dates are read here."""
    said = {name: _column(each) for name, each in columns.items()}
    return {name: pl.String() for name, each in said.items() if each.kind != "number" or each.decimal == ","}


def with_kinds(frame: pl.DataFrame, columns: Columns, path: str) -> pl.DataFrame:
    """The table with declared columns as what they are declared to be; others as they are.

    Raises:
        CorpusError: If a value is nothing of that kind, with its row.
    """
    made = [_as_kind(frame[name], _column(each), path) for name, each in columns.items() if name in frame.columns]
    return frame.with_columns(made)


def number_columns(columns: Columns) -> dict[bool, set[str]]:
    """Columns that are declared to be numbers, by whether a comma stands before their fractions."""
    said = {name: _column(each) for name, each in columns.items()}
    return {
        comma: {name for name, each in said.items() if each.kind == "number" and (each.decimal == ",") == comma}
        for comma in (False, True)
    }


def unit_of(kind: str) -> str | None:
    """What a moment is counted in; None for what is none."""
    return _UNITS.get(kind)


def temporal_kind(dtype: pl.DataType) -> Kind | None:
    """The kind of a column that holds moments by its type."""
    found: dict[type[pl.DataType], Kind] = {
        pl.Date: "date", pl.Datetime: "datetime", pl.Time: "time", pl.Duration: "duration",
    }  # fmt: skip
    return found.get(dtype.base_type())


def _column(said: Kind | Column) -> Column:
    return said if isinstance(said, Column) else Column.model_validate({"kind": said})


def _as_kind(column: pl.Series, said: Column, path: str) -> pl.Series:
    if said.kind == "category":
        return column.cast(pl.String)
    try:
        made = _numbers(column, said)
    except (pl.exceptions.PolarsError, ValueError, TypeError):
        made = None
    bad = column.is_not_null() if made is None else column.is_not_null() & made.is_null()
    if made is None or bad.any():
        row = int(bad.arg_max() or 0)
        raise CorpusError(
            f"{column[row]!r} is no {said.kind}" + (f" of the form {said.format}" if said.format else ""),
            where=f"{path}: row {row + 1}, column {column.name}",
            hint=f"correct the {int(bad.sum())} rows, name their words in `corpus.missing` if they stand for gaps, or "
            "declare another kind in `corpus.columns`",
        )
    return made.alias(column.name)


def _numbers(column: pl.Series, said: Column) -> pl.Series:
    """Float64, null where a value is none of the kind."""
    text = column.dtype == pl.String
    if said.kind == "number" and text and said.decimal == ",":
        column = column.str.replace(",", ".", literal=True)
    if said.kind == "number":
        return column.str.strip_chars().cast(pl.Float64, strict=False) if text else column.cast(pl.Float64)
    if said.kind == "duration":
        return _clock(column) if text else _seconds(column.cast(pl.Duration("us")), 10**6)
    if said.kind == "time":
        times = column.str.to_time(said.format or _FORMS["time"], strict=False) if text else column.cast(pl.Time)
        return _seconds(times, 10**9)
    if said.kind == "date":
        dates = column.str.to_date(said.format or _FORMS["date"], strict=False) if text else column.cast(pl.Date)
        return dates.to_physical().cast(pl.Float64)
    moments = column.str.to_datetime(said.format, time_unit="us", strict=False) if text else column
    zoned = isinstance(moments.dtype, pl.Datetime) and moments.dtype.time_zone is not None
    moments = moments.dt.convert_time_zone("UTC") if zoned else moments
    return _seconds(moments.cast(pl.Datetime("us")), 10**6)


def _seconds(column: pl.Series, ticks: int) -> pl.Series:
    """Float64; whole seconds exactly, for polars divides by multiplying."""
    physical = column.to_physical()
    return (physical // ticks).cast(pl.Float64) + (physical % ticks).cast(pl.Float64) / ticks


def _clock(column: pl.Series) -> pl.Series:
    """Seconds of ``[d days, ]h:mm:ss[.fff]``."""
    parts = column.str.extract_groups(r"^\s*(-)?(?:(\d+) days?,? )?(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?\s*$")
    days, hours, minutes, seconds = (
        parts.struct.field(parts.struct.fields[number]).cast(pl.Float64) for number in (1, 2, 3, 4)
    )
    total = days.fill_null(0.0) * 86400 + hours * 3600 + minutes * 60 + seconds.fill_null(0.0)
    sign = parts.struct.field(parts.struct.fields[0]).is_not_null()
    return pl.select(pl.when(sign).then(-total).otherwise(total)).to_series()
