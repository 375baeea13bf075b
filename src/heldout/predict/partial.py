"""Predictions as they come in: one append-only file that says what it holds predictions of.

The first line names the identity; every line after it carries the head of that identity's key, so that rows of another
model cannot be mixed in, by accident or by `cat`. A torn last line is cut off; a line that is wrong in the middle is an
error, for nobody knows what it was. Order is that of arrival and means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from heldout.errors import InputError, RefusedError
from heldout.evidence import JsonLines, loads, open_plain, read_plain
from heldout.predict.identity import Identity, require_same

SCHEMA = "heldout.predictions-partial/1"
PARTIAL_FILE = "predictions.partial.jsonl"
_KEY = 16


class _Named(msgspec.Struct):
    id: str


class _Line(msgspec.Struct):
    row: _Named


_LINES: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


class Partial(NamedTuple):
    """What a file holds.

    Attributes:
        identity: Of all its rows; None where nothing was written yet.
        rows: By sample id, the row as canonical JSON, without the newline.
    """

    identity: Identity | None
    rows: dict[str, bytes]


class PartialWriter:
    """Appends rows to one file; one writer at a time."""

    def __init__(self, path: Path, identity: Identity) -> None:
        """Open for appending; a new file gets its first line."""
        self._key = identity.key[:_KEY]
        self._stream = JsonLines(path)
        if path.stat().st_size == 0:
            self._stream.append({"schema": SCHEMA, "identity": identity.to_json()})

    def append(self, row: Mapping[str, Any]) -> None:
        """Append the row of one sample; it must hold its ``id``.

        Raises:
            ValueError: If the row holds a number that is not finite.
        """
        self._stream.append({"key": self._key, "row": row})

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_partial(path: Path, expected: Identity | None = None) -> Partial:
    """Read a file of predictions.

    Args:
        path: The file; nothing is there before the first start.
        expected: What its rows must be predictions of; None takes the file's own word.

    Raises:
        RefusedError: If the file, or a line in it, has another identity, or a sample has two different rows.
        InputError: If a line in the middle is no row.
    """
    data = read_plain(path) if path.is_file() else b""
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]
    if not lines:
        return Partial(None, {})
    identity = _identity(lines[0], where=f"{path}:1")
    if expected is not None:
        require_same(expected, identity, where=str(path))
    return Partial(identity, _rows(lines[1:], identity.key[:_KEY], path, first=2))


def read_since(path: Path, identity: Identity, start: int) -> dict[str, bytes]:
    """Rows that were appended from a byte on, where a line begins."""
    with open_plain(path) as stream:
        stream.seek(start)
        lines = stream.read().split(b"\n")[:-1]
    return _rows(lines, identity.key[:_KEY], path, first=1)


def join_rows(rows: Sequence[bytes]) -> bytes:
    """Rows as JSON lines."""
    return b"\n".join([*rows, b""])


def _identity(line: bytes, where: str) -> Identity:
    head = loads(line, where=where)
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise InputError(
            "the file does not say what it holds predictions of", where=where, hint="choose another folder"
        )
    return Identity.parse(head.get("identity"), where=where)


def _rows(lines: Sequence[bytes], key: str, path: Path, *, first: int) -> dict[str, bytes]:
    prefix = b'{"key":"%s","row":' % key.encode()
    start = len(prefix)
    found: dict[str, bytes] = {}
    for number, line in enumerate(lines, start=first):
        if not line.startswith(prefix):
            raise _wrong(line, f"{path}:{number}")
        try:
            name = _LINES.decode(line).row.id
        except msgspec.MsgspecError as error:
            raise InputError(
                f"the line is no prediction: {error}", where=f"{path}:{number}", hint="remove that line"
            ) from None
        row = line[start:-1]
        if found.setdefault(name, row) != row:
            raise RefusedError(
                f"sample {name!r} has two different predictions",
                where=f"{path}:{number}",
                hint="predictions must not depend on when they are made; start anew in another folder",
                code="HO-E421",
            )
    return found


def _wrong(line: bytes, where: str) -> RefusedError | InputError:
    if line.startswith(b'{"key":') or b'"schema":"heldout.predictions-partial' in line:
        return RefusedError(
            "the line holds a prediction of something else",
            where=where,
            hint="two files were mixed; start anew in another folder",
            code="HO-E420",
        )
    return InputError("the line is no prediction", where=where, hint="remove that line")
