"""A table as it lies on disk, whatever its form: CSV with its dialect, JSON Lines, JSON, Parquet, Arrow, packed or not.

Nothing is guessed of a CSV but what its own bytes say: the separator of a ``.tsv`` is a tab, that of anything else a
comma, and whoever writes otherwise says so in the study. Numbers that were written with zeros before them are names.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from heldout.corpus.bad_lines import check_line_ends, find_bad_csv_line, find_bad_json_line
from heldout.corpus.excel import read_workbook
from heldout.corpus.joined import joined
from heldout.corpus.json_lines import read_lines, read_records
from heldout.corpus.packed import PACKED, pack, unpacked
from heldout.corpus.parts import parts_of
from heldout.corpus.room import check_room
from heldout.corpus.split_json import table_of_split
from heldout.corpus.words import without_words
from heldout.errors import CorpusError
from heldout.evidence import open_plain, plain_path, plain_source, read_plain
from heldout.evidence.machine import machine_error

_LONGEST = 300  # characters of what a library says of a file
_TEXTS = (".csv", ".tsv")
_LINES = (".jsonl", ".ndjson")
_ARROW = (".arrow", ".feather", ".ipc")
_ARROW_FILE = b"ARROW1"  # with which a file begins, and no stream
KINDS = ".parquet, .csv, .tsv (also .gz or .zst), .jsonl, .json, .arrow, .feather or .xlsx"
_BROKEN = (ValueError, LookupError, EOFError, zlib.error)  # of an encoding that is none, and of packed bytes


@dataclass(frozen=True)
class Dialect:
    """How a table of text is written.

    Attributes:
        separator: Between the fields of a CSV; None: a tab in a ``.tsv``, else a comma.
        decimal_comma: Whether ``3,14`` is a number.
        encoding: Of the text.
        missing: Words that stand for a missing value, besides an empty field.
        texts: Columns of names, in which ``007`` is no 7.
        kept: Columns in which such a word is a word: groups, targets, ids.
        named: Columns that name groups: texts where some value has zeros before a number, else as they are.
        kinds: Columns whose kind is declared, with what they are read as.
    """

    separator: str | None = None
    decimal_comma: bool = False
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    kinds: Mapping[str, pl.DataType] = field(default_factory=dict)


def read_table(path: Path, texts: Sequence[str] = (), dialect: Dialect | None = None) -> pl.DataFrame:
    """Read a table: a file, or the files of a folder or of a pattern, which have the same columns and form.

    Args:
        path: The file, the folder or the pattern.
        texts: Columns of ids: in a CSV ``007`` is no 7 there.
        dialect: How it is written, if not as its suffix says; ``texts`` are then its own.

    Raises:
        CorpusError: If it is missing, of another kind, empty or malformed.
        MachineError: If there is no room for it in memory.
    """
    dialect = Dialect(texts=tuple(texts)) if dialect is None else dialect
    parts = parts_of(path)
    if parts is None:
        return _read_file(path, dialect)
    other = next((each for each in parts if _kind(each) != _kind(parts[0])), None)
    if other is not None:
        what = f"{other.name} is of another form than {parts[0].name}"
        raise CorpusError(what, where=str(path), hint=f"name those of one form, such as {path}/*{parts[0].suffix}")
    return joined({each: _read_file(each, dialect) for each in parts}, (*dialect.named, *dialect.texts))


def _read_file(path: Path, dialect: Dialect) -> pl.DataFrame:
    if not path.is_file():
        what = "the table does not exist"
        if path.exists():
            plain_path(path)  # says what stands there
        hint = "check the path; in a study, `corpus.path` is relative to the study's own folder"
        raise CorpusError(what, where=str(path), hint=hint)
    try:
        frame = without_words(_read(path, dialect), dialect.missing, dialect.kept, comma=dialect.decimal_comma)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, *_BROKEN) as error:
        kind, packed = _kind(path)
        if kind in _LINES and not packed:
            find_bad_json_line(path)
        elif kind in _TEXTS and not packed:
            find_bad_csv_line(path, _separator(kind, dialect), dialect.encoding)
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise machine_error(error) or CorpusError(
            f"the table cannot be read: {said[:_LONGEST]}", where=str(path), hint="repair the file"
        ) from None
    if frame.height == 0:
        raise CorpusError("the table has no rows", where=str(path), hint="check how it was written")
    return frame


def check_encoding(name: str) -> None:
    """Refuse what is no encoding of texts: Python has ones that do not exist, and ones from bytes to bytes.

    Raises:
        ValueError: With what to write instead.
    """
    try:
        known = "a,1\n".encode(name).decode(name) == "a,1\n"
    except (LookupError, ValueError, TypeError):
        known = False
    if not known:
        raise ValueError("must be an encoding of texts, such as utf-8, latin-1, cp1252 or utf-16")


def write_like(frame: pl.DataFrame, path: Path, dialect: Dialect) -> None:
    """Write a table so that the same dialect reads it back, in the form that the path's suffix says."""
    kind, packed = _kind(path)
    stream = io.BytesIO()
    if kind == ".parquet":
        frame.write_parquet(stream)
    elif kind in _TEXTS:
        frame.write_csv(stream, separator=_separator(kind, dialect), decimal_comma=dialect.decimal_comma)
        stream = io.BytesIO(stream.getvalue().decode().encode(dialect.encoding))
    elif kind in _ARROW:
        frame.write_ipc(stream)
    elif kind == ".json":
        frame.write_json(stream)
    else:
        frame.write_ndjson(stream)
    path.write_bytes(pack(stream.getvalue(), packed))


def _kind(path: Path) -> tuple[str, str]:
    """The suffix that says what a table is, and that of what it is packed with."""
    suffixes = [each.lower() for each in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    return (suffixes[-1] if suffixes else ""), packed


def _read(path: Path, dialect: Dialect) -> pl.DataFrame:
    kind, packed = _kind(path)
    if kind == ".parquet" and not packed:
        check_room(path)
        return pl.read_parquet(plain_path(path), glob=False)
    source = io.BytesIO(unpacked(path, packed)) if packed else plain_source(path)
    if kind in _TEXTS:
        return _read_csv(source, path, kind, dialect)
    if kind in _LINES:
        return read_lines(source)
    if kind == ".json":
        data = source.getvalue() if isinstance(source, io.BytesIO) else read_plain(source)
        split = table_of_split(data, str(path))
        return read_records(data) if split is None else split
    if kind in _ARROW and not packed:
        with open_plain(path) as stream:
            file = stream.read(len(_ARROW_FILE)) == _ARROW_FILE
        return pl.read_ipc(plain_source(path)) if file else pl.read_ipc_stream(plain_source(path))
    if kind == ".xlsx" and not packed:
        return read_workbook(path)
    raise CorpusError(
        f"a table of the kind {path.suffix.lower() or 'without suffix'} is not supported",
        where=str(path),
        hint=f"use {KINDS}",
    )


def _read_csv(source: io.BytesIO | Path, path: Path, kind: str, dialect: Dialect) -> pl.DataFrame:
    if dialect.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        data = source.getvalue() if isinstance(source, io.BytesIO) else read_plain(source)
        source = io.BytesIO(data.decode(dialect.encoding).encode())
    separator = _separator(kind, dialect)
    header = _check_header(source, path, separator)
    texts: dict[str, pl.DataType] = {name: pl.String() for name in (*dialect.texts, *dialect.named) if name in header}
    kinds = {name: dtype for name, dtype in dialect.kinds.items() if name in header}
    overrides: dict[str, pl.DataType] = {**texts, **kinds}
    spelt = _spelt(source, separator, header)
    frame = _parsed(source, separator, dialect, overrides, spelt)
    kept = [name for name in dialect.kept if name in header]
    if dialect.missing and kept:
        wanted = {name: dtype for name, dtype in overrides.items() if name in kept}
        plain = _parsed(source, separator, replace(dialect, missing=()), wanted, spelt, kept)
        frame = frame.with_columns(plain[name] for name in kept)
    names = [name for name in dialect.named if name in header and name not in dialect.texts]
    return _without_last_commas(_renamed(frame, names), header)


def _parsed(
    source: io.BytesIO | Path,
    separator: str,
    dialect: Dialect,
    overrides: Mapping[str, pl.DataType],
    spelt: Mapping[str, str],
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    if isinstance(source, io.BytesIO):
        source.seek(0)
    frame = pl.read_csv(
        source,
        columns=None if columns is None else [spelt.get(name, name) for name in columns],
        separator=separator,
        infer_schema_length=None,
        schema_overrides={spelt.get(name, name): dtype for name, dtype in overrides.items()},
        null_values=list(dialect.missing) or None,
        decimal_comma=dialect.decimal_comma,
    )
    return frame.rename({there: name for name, there in spelt.items() if there in frame.columns})


def _spelt(source: io.BytesIO | Path, separator: str, header: Sequence[str | None]) -> dict[str, str]:
    """Names that hold a quote, with what polars calls them: as they are escaped in the file."""
    if not any(name and '"' in name for name in header):
        return {}
    there = pl.read_csv(source, separator=separator, n_rows=0, infer_schema=False).columns
    return {name: raw for name, raw in zip(header, there, strict=True) if name and '"' in name}


def _renamed(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Groups that are plain numbers as numbers: ``1`` and ``1.0`` are one group, ``007`` and ``7`` are two."""
    for name in names:
        text = frame[name]
        if not text.str.contains(r"^\s*[+-]?0\d").any():
            again = pl.read_csv(io.BytesIO(text.to_frame().write_csv().encode()), infer_schema_length=None)
            if again.height == frame.height and again.width == 1:
                frame = frame.with_columns(again[again.columns[0]].alias(name))
    return frame


def _without_last_commas(frame: pl.DataFrame, header: Sequence[str | None]) -> pl.DataFrame:
    """The table without columns that have neither a name nor a value: a comma at the end of each line."""
    nothing = [
        column
        for name, column in zip(header, frame.columns, strict=True)
        if not name and frame[column].null_count() == frame.height
    ]
    return frame.drop(nothing)


def _check_header(source: io.BytesIO | Path, path: Path, separator: str) -> tuple[str | None, ...]:
    """Names of the columns. Of two of one name polars renames the second, which would make it a feature of its own."""
    check_line_ends(source, path)
    header = pl.read_csv(source, separator=separator, has_header=False, n_rows=1, infer_schema=False).row(0)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    for name in header:
        if name is not None and header.count(name) > 1:
            raise CorpusError(
                f"two columns are named {name!r}",
                where=f"{path}: row 0, column {header.index(name) + 1}",
                hint="rename or remove one of them",
            )
    return header


def _separator(kind: str, dialect: Dialect) -> str:
    return dialect.separator or ("\t" if kind == ".tsv" else ",")
