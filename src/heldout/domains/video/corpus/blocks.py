"""Blocks of rows that all have the layout of one sound row, read by the compiled scanner.

What a scanner leaves is not judged here: a block is taken as a whole or not at all, and only if the strict parser
would take every line of it and find the same values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

_SPACINGS = ((", ", ": "), (",", ":"))
_KINDS = (str, int, float)  # by their numbers in row_scan, whose import would cost Numba's


class _Field(NamedTuple):
    """A value that differs from row to row.

    Attributes:
        key: Its key.
        kind: Text, a count (whole and not negative) or a number.
        limits: ``ge``, ``gt``, ``le`` of a number; ``min_length``, ``pattern`` of a text; as msgspec names them.
    """

    key: str
    kind: type
    limits: Mapping[str, Any]

    def holds(self, values: NDArray[Any]) -> bool:
        """Whether numbers are within the limits."""
        low, high = values.min(), values.max()
        at_least, above, at_most = (self.limits.get(name) for name in ("ge", "gt", "le"))
        fits = (at_least is None or low >= at_least) and (above is None or low > above)
        return bool(fits and (at_most is None or high <= at_most))

    def holds_text(self, text: str) -> bool:
        """Whether a text is within the limits."""
        pattern = self.limits.get("pattern")
        return len(text) >= (self.limits.get("min_length") or 0) and bool(not pattern or re.search(pattern, text))


class BlockLayout:
    """Reads blocks in which every line has the keys, their order and the spacing of one row."""

    def __init__(self, fields: list[_Field], literals: list[bytes]) -> None:
        """Take the fields and what stands before, between and behind them in a line."""
        self._fields = fields
        self._kinds = np.array([_KINDS.index(field.kind) for field in fields], dtype=np.int64)
        self._sizes = np.bincount(self._kinds, minlength=len(_KINDS))
        self._literals = _words(literals)
        self._masks = _words([b"\xff" * len(literal) for literal in literals])
        self._ends = np.cumsum([-(-len(literal) // 8) for literal in literals])
        self._lengths = np.array([len(literal) for literal in literals], dtype=np.int64)

    @classmethod
    def of(cls, line: bytes, row: Mapping[str, Any], types: Mapping[str, Any]) -> BlockLayout | None:
        """The layout of a row, or None if rows like it are not for the scanner.

        Args:
            line: Its line, without the newline.
            row: What the strict parser made of the line.
            types: The msgspec types of known keys; values of other keys may be any text or number.
        """
        if not row or any(isinstance(value, dict | list) for value in row.values()):
            return None
        for comma, colon in _SPACINGS:
            layout = cls(*_split(row, types, comma, colon))
            if layout.read(line + b"\n") is not None:
                return layout
        return None

    def read(self, block: bytes) -> dict[str, pl.Series] | None:
        """The fields of whole lines; None if a line may have another layout or a fault."""
        if not (block.isascii() or _is_utf8(block)):
            return None
        data, lines = np.frombuffer(block + bytes(8), dtype=np.uint8), block.count(b"\n")
        texts = np.empty((3, self._sizes[0], lines), dtype=np.int32)
        counts, numbers = np.empty((self._sizes[1], lines), dtype=np.int64), np.empty((self._sizes[2], lines))
        runs = self._scan(data, texts, counts, numbers)
        if runs is None:
            return None
        columns: dict[str, pl.Series] = {}
        rows = {str: iter(zip(*texts, runs, strict=True)), int: iter(counts), float: iter(numbers)}
        for field in self._fields:
            values: Any = next(rows[field.kind])
            made = _text_column(field, data, *values) if field.kind is str else _column(field, values)
            if made is None:
                return None
            columns[field.key] = made
        return columns

    def _scan(self, data: NDArray[np.uint8], texts: Any, counts: Any, numbers: Any) -> list[int] | None:
        from heldout.domains.video.corpus.scan import scan

        words = np.ndarray(len(data) - 7, dtype=np.uint64, buffer=data, strides=(1,))
        layout = (self._literals, self._masks, self._ends, self._lengths, self._kinds)
        found = scan(data, words, *layout, *texts, counts, numbers)
        return found[1:].tolist() if found[0] else None


def _split(
    row: Mapping[str, Any], types: Mapping[str, Any], comma: str, colon: str
) -> tuple[list[_Field], list[bytes]]:
    """Fields and literals of a line with this spacing; null, true and false are part of a literal."""
    fields: list[_Field] = []
    literals, literal = [], "{"
    for key, value in row.items():
        literal += json.dumps(key, ensure_ascii=False) + colon
        if value is None or isinstance(value, bool):
            literal += json.dumps(value) + comma
            continue
        field = _field(key, types.get(key, str if isinstance(value, str) else float))
        quote = '"' if field.kind is str else ""
        fields.append(field)
        literals.append(literal + quote)
        literal = quote + comma
    literals.append(literal.removesuffix(comma) + "}\n")
    return fields, [literal.encode() for literal in literals]


def _words(literals: list[bytes]) -> NDArray[np.uint64]:
    """Literals as whole words, zeros behind each."""
    return np.frombuffer(b"".join(each.ljust(-(-len(each) // 8) * 8, b"\0") for each in literals), dtype=np.uint64)


def _field(key: str, kind: Any) -> _Field:
    """A field by its msgspec type, or its only type beside null."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.UnionType):
        info = next(each for each in info.types if not isinstance(each, msgspec.inspect.NoneType))
    kinds = {msgspec.inspect.StrType: str, msgspec.inspect.IntType: int, msgspec.inspect.FloatType: float}
    return _Field(key, kinds[type(info)], msgspec.structs.asdict(info))


def _column(field: _Field, values: NDArray[Any]) -> pl.Series | None:
    return pl.Series(field.key, values) if field.holds(values) else None


def _text_column(
    field: _Field, data: NDArray[np.uint8], codes: NDArray[Any], starts: NDArray[Any], lengths: NDArray[Any], runs: int
) -> pl.Series | None:
    spans = zip(starts[:runs].tolist(), lengths[:runs].tolist(), strict=True)
    found = [data[start : start + length].tobytes().decode() for start, length in spans]
    if not all(field.holds_text(text) for text in set(found)):
        return None
    return pl.Series(field.key, found, dtype=pl.String).gather(pl.Series(codes))


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
