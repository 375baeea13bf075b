"""A table in one JSON object, ``{"columns": [...], "data": [[...]]}``, as MLflow and pandas (``split``) write it."""

from __future__ import annotations

from typing import Any

import polars as pl

from heldout.errors import CorpusError
from heldout.evidence import loads

_KEYS = {"columns", "data"}


def table_of_split(data: bytes, where: str) -> pl.DataFrame | None:
    """The table; None where the bytes are no object with these two keys.

    Args:
        data: Of the file.
        where: Its name, for a complaint.

    Raises:
        InputError: If it is no strict JSON.
        CorpusError: If a row has another number of values than there are columns, or two columns have one name.
    """
    if not data.lstrip().startswith(b"{"):
        return None
    found = loads(data, where=where)
    if not found.keys() >= _KEYS:
        return None
    names, rows = found["columns"], found["data"]
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names) or not isinstance(rows, list):
        raise _broken("`columns` is no list of names, or `data` no list of rows", where)
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise _broken(f"two columns are named {twice!r}", f"{where}: columns")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != len(names):
            count = f"{len(row)} values" if isinstance(row, list) else "no list of values"
            raise _broken(f"row {number} has {count}, and there are {len(names)} columns", f"{where}: row {number}")
    return pl.DataFrame([_column(name, [row[at] for row in rows]) for at, name in enumerate(names)])


def _column(name: str, values: list[Any]) -> pl.Series:
    """One column; what holds values of several kinds is text, as in a CSV. ``1`` beside ``0.5`` is a number."""
    kinds = {type(each) for each in values if each is not None}
    try:
        if float in kinds and kinds <= {int, float}:
            return pl.Series(name, [None if each is None else float(each) for each in values], dtype=pl.Float64)
        return pl.Series(name, values)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if each is None else str(each) for each in values], dtype=pl.String)


def _broken(what: str, where: str) -> CorpusError:
    return CorpusError(
        what, where=where, hint="write the table anew, by MLflow or pandas.DataFrame.to_json(orient='split')"
    )
