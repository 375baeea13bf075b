"""Why a table of text cannot be read: the first line that is wrong, looked for only after reading has failed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from heldout.errors import CorpusError, InputError
from heldout.evidence import loads, open_plain

_HEAD = 1 << 20  # bytes, in which a line has an end


def find_bad_csv_line(path: Path, separator: str = ",", encoding: str = "utf-8") -> None:
    """Name the first line that is not of the encoding, or has more fields than the header; return if there is none."""
    rows = csv.reader(_text_lines(path, encoding), delimiter=separator)
    try:
        header = next(rows, [])
        for row in rows:
            if len(row) > len(header):
                raise CorpusError(
                    f"line {rows.line_num} has {len(row)} fields, the header has {len(header)}",
                    where=f"{path}:{rows.line_num}",
                    hint=_too_many(header, separator),
                )
    except csv.Error:
        return


def check_line_ends(source: io.BytesIO | Path, path: Path) -> None:
    """Refuse a CSV whose lines end as none has for decades: it would be read as one line, a header without rows.

    Raises:
        CorpusError: If carriage returns end its lines.
    """
    if isinstance(source, io.BytesIO):
        head = source.getvalue()[:_HEAD]
    else:
        with open_plain(source) as stream:
            head = stream.read(_HEAD)
    if b"\r" in head and b"\n" not in head:
        raise CorpusError(
            "its lines end with carriage returns (CR) alone, so that the table is one long line",
            where=str(path),
            hint="save it with line ends LF or CRLF: a spreadsheet calls that CSV (UTF-8), not CSV (Macintosh)",
        )


def other_separator(header: Sequence[str]) -> str | None:
    """What separates the names of a header that was read as one; None where nothing does."""
    return next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)


def _too_many(header: Sequence[str], separator: str) -> str:
    other = other_separator(header)
    if other is not None:
        return f"its header is separated by {other!r}: write `separator: {json.dumps(other)}` in `corpus:`"
    named = "comma" if separator == "," else repr(separator)
    return f"remove what is too much, or put quotes around a field that holds a {named}"


def _text_lines(path: Path, encoding: str) -> Iterator[str]:
    plain = encoding.lower() == "utf-8"
    with open_plain(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield line.decode("utf-8-sig" if plain and number == 1 else encoding)
            except UnicodeError as error:  # some encodings say no place
                where = f"{path}:{number}:{getattr(error, 'start', 0) + 1}"
                raise CorpusError(
                    f"line {number} is not {encoding.upper()} text",
                    where=where,
                    hint="save it as UTF-8, or write such as `encoding: latin-1` in `corpus:`",
                ) from None


def find_bad_json_line(path: Path) -> None:
    """Name the line and column of the first line that is no strict JSON object; return if there is none."""
    with open_plain(path) as stream:
        for number, line in enumerate(stream, start=1):
            where = f"{path}:{number}"
            try:
                found = loads(line.rstrip(b"\r\n"), where=where) if line.strip() else {}
            except InputError as error:
                torn = "" if line.endswith(b"\n") else ": the last line is torn"
                raise CorpusError(
                    f"line {number} cannot be read{torn}: {error.what}",
                    where=_line_and_column(where, error.where),
                    hint=error.hint if not torn else "remove that line, or write the table again",
                ) from None
            if not isinstance(found, dict):
                raise CorpusError(
                    f"line {number} is not an object", where=where, hint="write one JSON object a line, key by column"
                )


def _line_and_column(where: str, found: str | None) -> str:
    """The parser sees one line, so of its ``line:column`` only the column counts."""
    column = (found or "").removeprefix(where).rpartition(":")[2]
    return f"{where}:{column}" if column else where
