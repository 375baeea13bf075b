"""The table of held-out predictions as it lies on disk: JSON Lines and CSV while people read it, else Parquet.

Up to 5,000 rows a run holds ``predictions.jsonl`` and the same as CSV; above that ``predictions.parquet`` alone, which
takes a fifth of the room and is read in a twentieth of the time. Equal tables are equal bytes with one version of
polars. Runs of any size that hold JSON Lines are read as ever.
"""

from __future__ import annotations

import io
from collections.abc import Container
from pathlib import Path

import polars as pl

from heldout.corpus.json_lines import read_lines
from heldout.corpus.room import check_room
from heldout.documents.names import PREDICTIONS_CSV, PREDICTIONS_FILE, PREDICTIONS_PARQUET
from heldout.errors import CorpusError
from heldout.evidence import plain_path, plain_source, write_bytes

_MOST_LINES = 5_000
_GROUP = 1 << 16  # rows of a row group: what a reader may take at a time, and part of the bytes
_ROWS_PER_BYTE = 64  # a table of constants has 3
_FORMULA = r"^'*[=+\-@\t\r\n＝＋－＠]"


def table_name(names: Container[str]) -> str:
    """Of the names of a run's files, that of its predictions."""
    return PREDICTIONS_PARQUET if PREDICTIONS_PARQUET in names else PREDICTIONS_FILE


def table_files(names: Container[str]) -> tuple[str, ...]:
    """Of the names of a run's files, those of its predictions that must be there."""
    return (PREDICTIONS_PARQUET,) if PREDICTIONS_PARQUET in names else (PREDICTIONS_FILE, PREDICTIONS_CSV)


def table_in(folder: Path) -> Path:
    """The file of a run's predictions."""
    path = folder / PREDICTIONS_PARQUET
    return path if path.exists() else folder / PREDICTIONS_FILE


def write_table(frame: pl.DataFrame, folder: Path) -> None:
    """Write the predictions of a run, each file atomically; what an earlier one left in another form goes."""
    name, data = table_bytes(frame)
    write_bytes(folder / name, data)
    if name == PREDICTIONS_FILE:
        write_bytes(folder / PREDICTIONS_CSV, csv_bytes(frame))
    for other in {PREDICTIONS_FILE, PREDICTIONS_CSV, PREDICTIONS_PARQUET}.difference(table_files([name])):
        (folder / other).unlink(missing_ok=True)


def table_bytes(frame: pl.DataFrame) -> tuple[str, bytes]:
    """Name and bytes of the file for a table of this length; in JSON Lines, what is not finite is null."""
    if frame.height > _MOST_LINES:
        return PREDICTIONS_PARQUET, parquet_bytes(frame)
    return PREDICTIONS_FILE, lines_bytes(frame)


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """The table as Parquet; equal tables give equal bytes, however they came together in memory."""
    stream = io.BytesIO()
    frame.rechunk().write_parquet(stream, compression="zstd", statistics=False, row_group_size=_GROUP)
    return stream.getvalue()


def lines_bytes(frame: pl.DataFrame) -> bytes:
    """The table as JSON Lines, for programs of any kind."""
    stream = io.BytesIO()
    frame.write_ndjson(stream)
    return stream.getvalue()


def csv_bytes(frame: pl.DataFrame) -> bytes:
    """The table for spreadsheets."""
    stream = io.BytesIO()
    safe_for_spreadsheets(frame).write_csv(stream)
    return stream.getvalue()


def read_table(path: Path) -> pl.DataFrame:
    """The table in a file of predictions.

    Raises:
        CorpusError: If it cannot be read, or is Parquet that no run writes.
        MachineError: If there is no room for it in memory.
    """
    try:
        if path.suffix != ".parquet":
            return read_lines(plain_source(path))
        _check_parquet(path)
        frame = pl.read_parquet(plain_path(path), glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _refused(f"the predictions cannot be read: {str(error).splitlines()[0]}", path) from None
    null = next((column.name for column in frame if column.has_nulls()), None)
    if null is not None:
        raise _refused(f"column {null!r} has values that are missing", path)
    return frame


def _check_parquet(path: Path) -> None:
    """Refuse what no run writes, by the head of the file: a thousand bytes may promise a thousand million rows."""
    schema = pl.read_parquet_schema(plain_path(path))
    strange = next((name for name, kind in schema.items() if kind not in (pl.String, pl.Float64)), None)
    if strange is not None:
        raise _refused(f"column {strange!r} holds {schema[strange]}, neither text nor numbers", path)
    rows = int(pl.scan_parquet(plain_path(path), glob=False).select(pl.len()).collect().item())
    if rows > _ROWS_PER_BYTE * path.stat().st_size:
        raise _refused(f"{path.stat().st_size} bytes cannot be {rows:,} rows", path)
    check_room(path)


def safe_for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would run as a formula; numbers stay.

    A text that has apostrophes before such a sign gets one more, so that taking one off gives back what was there.
    """
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(_FORMULA) & pl.col(name).cast(pl.Float64, strict=False).is_null())
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts
    )


def _refused(what: str, path: Path) -> CorpusError:
    return CorpusError(what, where=str(path), hint="re-run the study")
