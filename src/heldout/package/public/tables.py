"""A Parquet table of predictions as text, so that it is judged and cleaned by what stands in it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import polars as pl

from heldout.corpus.json_lines import read_lines
from heldout.documents.names import PREDICTIONS_PARQUET
from heldout.task.table import lines_bytes, parquet_bytes, read_table


def lines_of(data: bytes) -> bytes:
    """The table as JSON Lines.

    Raises:
        CorpusError: If it is none that a run writes.
    """
    return lines_bytes(_frame(data))


def with_texts_of(lines: bytes, data: bytes) -> bytes:
    """The table with the names and texts of its JSON Lines; its numbers stay, those that JSON cannot hold too."""
    before, now = _frame(data), read_lines(io.BytesIO(lines))
    columns = zip(before, now, strict=True)
    return parquet_bytes(pl.DataFrame([b if a.dtype == pl.String else a.alias(b.name) for a, b in columns]))


def _frame(data: bytes) -> pl.DataFrame:
    with tempfile.TemporaryDirectory(prefix="heldout-table-") as name:
        path = Path(name) / PREDICTIONS_PARQUET
        path.write_bytes(data)
        return read_table(path)
