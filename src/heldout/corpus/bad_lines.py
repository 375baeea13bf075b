"""Why a table of text cannot be read: the first line that is wrong, looked for only after reading has failed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from heldout.errors import CorpusError, InputError
from heldout.evidence import loads, open_plain


def find_bad_csv_line(path: Path) -> None:
    """Name the first line that is not UTF-8, or has more fields than the header; return if there is none."""
    rows = csv.reader(_text_lines(path))
    try:
        header = next(rows, [])
        for row in rows:
            if len(row) > len(header):
                raise CorpusError(
                    f"line {rows.line_num} has {len(row)} fields, the header has {len(header)}",
                    where=f"{path}:{rows.line_num}",
                    hint="remove what is too much, or put quotes around a field that holds a comma",
                )
    except csv.Error:
        return


def _text_lines(path: Path) -> Iterator[str]:
    with open_plain(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                where = f"{path}:{number}:{error.start + 1}"
                raise CorpusError(f"line {number} is not UTF-8 text", where=where, hint="save it as UTF-8") from None


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
