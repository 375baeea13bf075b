"""JSON as a table, its columns in the order in which they were written: of more than 32 polars loses it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl

from heldout.evidence import open_plain

_ORDERED = 32


def read_lines(source: Path | io.BytesIO) -> pl.DataFrame:
    """JSON Lines: the columns of the first line, in its order, and behind them what other lines add, by name.

    Raises:
        PolarsError: If it is none.
    """
    frame = pl.read_ndjson(source, infer_schema_length=None)
    if frame.width <= _ORDERED:
        return frame
    if isinstance(source, io.BytesIO):
        source.seek(0)
        return _in_order(frame, json.loads(source.readline()))
    with open_plain(source) as stream:
        return _in_order(frame, json.loads(stream.readline()))


def read_records(data: bytes) -> pl.DataFrame:
    """A list of objects, in the same order.

    Raises:
        PolarsError: If it is none.
    """
    frame = pl.read_json(io.BytesIO(data), infer_schema_length=None)
    return frame if frame.width <= _ORDERED else _in_order(frame, json.loads(data)[0])


def _in_order(frame: pl.DataFrame, first: Any) -> pl.DataFrame:
    written = [name for name in first if name in frame.columns]
    return frame.select(*written, *sorted({*frame.columns} - {*written}))
