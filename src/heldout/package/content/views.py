"""A file of text as its readers see it: every value with its place, after escapes; and written again without a name."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml

from heldout.errors import HeldoutError
from heldout.evidence import canonical, dumps, loads
from heldout.package.content.markup import outside_data
from heldout.run.resolve import lock_yaml

_LONGEST_CELL = 1 << 24
_FORMULA = ("=", "@", "+", "-", "\t", "\r")


class View(NamedTuple):
    """One value of a file.

    Attributes:
        place: Line, and the key or column in it.
        key: The key that it stands under; empty where it is no value.
        text: What it says.
    """

    place: str
    key: str
    text: str


class BrokenTypeError(ValueError):
    """The content is not of its type: where, and why."""


def parsed(data: bytes, kind: str) -> list[tuple[str, Any]]:
    """The documents of a file of JSON, JSONL or YAML, each with its line; none of another type.

    Raises:
        BrokenTypeError: If the content is not of its type.
    """
    try:
        if kind == "json":
            return [("", loads(data, where=""))]
        if kind == "jsonl":
            if data and not data.endswith(b"\n"):
                raise BrokenTypeError(f"line {data.count(10) + 1}: the last line is torn")
            lines = data.split(b"\n")[:-1]
            return [(f"line {number}", loads(line, where="")) for number, line in enumerate(lines, start=1)]
        if kind == "yaml":
            text = data.decode("utf-8")
            if any(isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken) for token in yaml.scan(text)):
                raise BrokenTypeError("an anchor or a tag stands in the YAML")
            return [("", yaml.safe_load(text))]
    except HeldoutError as error:
        raise BrokenTypeError(" ".join(filter(None, (error.where and error.where.strip(":"), error.what)))) from None
    except yaml.YAMLError as error:
        raise BrokenTypeError(f"not YAML: {str(error).splitlines()[0]}") from None
    return []


def views(data: bytes, kind: str) -> Iterator[View]:
    """Every value of a file.

    Raises:
        BrokenTypeError: If the content is not of its type.
    """
    if kind in ("json", "jsonl", "yaml"):
        for line, value in parsed(data, kind):
            yield from _values(value, line)
    elif kind == "csv":
        for number, row in enumerate(_rows(data), start=1):
            for column, cell in enumerate(row, start=1):
                yield View(f"line {number}: column {column}", "", cell)
    else:
        for number, line in enumerate(data.decode("utf-8").split("\n"), start=1):
            yield View(f"line {number}", "", line)


def rewritten(data: bytes, kind: str, name: str, value: Callable[[Any], Any], text: Callable[[str], str]) -> bytes:
    """The file with each of its values replaced; its own bytes where nothing changes.

    Args:
        data: The file.
        kind: Its type.
        name: Its name; a resolved configuration has a form of its own.
        value: Replaces a document.
        text: Replaces a text.

    Raises:
        BrokenTypeError: If the content is not of its type.
    """
    if kind == "jsonl":
        return b"".join(_line(line, value) for line in data.splitlines(keepends=True))
    if kind in ("json", "yaml"):
        ((_, document),) = parsed(data, kind)
        changed = value(document)
        if changed == document:
            return data
        return dumps(changed) if kind == "json" else lock_yaml(changed).encode()
    if kind == "csv":
        rows = _rows(data)
        changed = [[text(cell) for cell in row] for row in rows]
        if changed == rows:
            return data
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(changed)
        return stream.getvalue().encode()
    before = data.decode("utf-8")
    after = outside_data(before, text) if kind in ("html", "svg") else text(before)
    return data if after == before else after.encode()


def formulas(data: bytes) -> Iterator[str]:
    """Places of cells that a spreadsheet would run as a formula; numbers with a sign are none."""
    for number, row in enumerate(_rows(data), start=1):
        for column, cell in enumerate(row, start=1):
            if cell.startswith(_FORMULA) and not _harmless(cell):
                yield f"line {number}: column {column}"


def _harmless(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell[0] in "+-@" and not any(letter in cell for letter in "(|!=")
    return True


def _line(line: bytes, value: Callable[[Any], Any]) -> bytes:
    try:
        document = loads(line, where="")
    except HeldoutError as error:
        raise BrokenTypeError(error.what) from None
    changed = value(document)
    # Keys keep their order: the first line of predictions says which columns there are.
    return line if changed == document else _in_order(changed) + b"\n"


def _in_order(value: Any) -> bytes:
    import json

    if not isinstance(value, dict):
        return canonical(value)
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _rows(data: bytes) -> list[list[str]]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BrokenTypeError(f"not CSV: {error}") from None


def _values(value: Any, line: str, path: str = "", key: str = "") -> Iterator[View]:
    if isinstance(value, dict):
        for name, item in value.items():
            inner = f"{path}/{name}"
            yield View(_place(line, path or "/"), "", str(name))
            yield from _values(item, line, inner, str(name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _values(item, line, f"{path}/{number}", key)
    elif isinstance(value, str):
        yield View(_place(line, path), key, value)


def _place(line: str, path: str) -> str:
    return f"{line}: {path}" if line and path else line or path
