"""Blocks of rows with the keys of one sound row, decoded by polars where that can give nothing but what is written.

Polars is quick and refuses what is no JSON, but of two equal keys it takes one, an unknown key it drops, and what is no
text it makes one. So a block comes here only if its bytes show that none of this can happen: no escape, no nesting, no
colon but behind a key, as many keys as its lines should have, and as many quotes as those keys and their texts need. As
every key then has a value in every line, none can stand twice. A block is taken as a whole or not at all.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

_NEWLINE, _RETURN, _BLANK, _QUOTE, _COLON, _OPEN, _CLOSE = b'\n\r ":{}'
_KEY = np.frombuffer(b'":', dtype=np.uint16)[0]
_TYPES: dict[type, Any] = {str: pl.String, int: pl.Int64, float: pl.Float64}


class _Limits(NamedTuple):
    """The bounds of one key: ``ge``, ``gt``, ``le`` of a number; ``min_length``, ``pattern`` of a text."""

    kind: type
    bounds: Mapping[str, Any]

    def hold(self, values: pl.Series) -> bool:
        """Whether every value is within them."""
        if self.kind is str:
            shortest, pattern = self.bounds.get("min_length") or 0, self.bounds.get("pattern")
            return all(len(text) >= shortest and (not pattern or re.search(pattern, text)) for text in values.unique())
        low, high = values.min(), values.max()
        at_least, above, at_most = (self.bounds.get(name) for name in ("ge", "gt", "le"))
        fits = (at_least is None or low >= at_least) and (above is None or low > above)
        return bool(fits and (at_most is None or high <= at_most))


class BlockLayout:
    """Reads blocks in which every line has the keys of one row."""

    def __init__(self, limits: Mapping[str, _Limits]) -> None:
        """Take what each key may hold."""
        self._limits = limits
        self._schema = {key: _TYPES[each.kind] for key, each in limits.items()}
        self._quotes = 2 * len(limits) + 2 * sum(each.kind is str for each in limits.values())

    @classmethod
    def of(cls, row: Mapping[str, Any], types: Mapping[str, Any]) -> BlockLayout | None:
        """The layout of a row, or None if rows like it are left to other readers.

        Args:
            row: The row.
            types: The msgspec types of known keys; values of other keys may be any text or number.
        """
        if not row or any(
            not isinstance(value, str | int | float) or value is True or value is False for value in row.values()
        ):
            return None
        return cls(
            {key: _limits(types.get(key, str if isinstance(value, str) else float)) for key, value in row.items()}
        )

    def read(self, block: bytes) -> pl.DataFrame | None:
        """The rows of whole lines; None if a line may have other keys or a fault."""
        lines, data = block.count(b"\n"), np.frombuffer(block, dtype=np.uint8)
        flat = b"\\" not in block and b"[" not in block and np.count_nonzero(data == _OPEN) == lines
        if not flat or not np.count_nonzero(data == _COLON) == _keys(data) == lines * len(self._limits):
            return None
        if np.count_nonzero(data == _QUOTE) != lines * self._quotes:
            return None
        try:
            frame = pl.read_ndjson(io.BytesIO(block), schema=self._schema)
        except pl.exceptions.ComputeError:
            return None
        whole = frame.height == lines and not any(frame.null_count().row(0))  # a key that is missing is null here
        return frame if whole and all(limits.hold(frame[key]) for key, limits in self._limits.items()) else None


def has_keys(block: bytes, size: int) -> bool:
    """Whether each line is one object by its ends, and the block holds ``size`` times ``":`` a line.

    A colon at a distance from its key would escape the count, so there must be none.
    """
    data = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    before = data[ends - 1]
    before = np.where(before == _RETURN, data[ends - 2], before)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not ((before == _CLOSE).all() and (data[starts] == _OPEN).all()):
        return False
    ahead = data[np.flatnonzero(data == _COLON) - 1]
    return bool(np.count_nonzero(ahead == _QUOTE) == size * len(ends) and not (ahead <= _BLANK).any())


def _keys(data: NDArray[np.uint8]) -> int:
    """How often a colon stands right behind a quote: two bytes at a time, from even and from odd places."""
    halves = (data[at : at + (len(data) - at) // 2 * 2].view(np.uint16) for at in (0, 1))
    return sum(int(np.count_nonzero(half == _KEY)) for half in halves)


def _limits(kind: Any) -> _Limits:
    """By a msgspec type, or its only type beside null."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.UnionType):
        info = next(each for each in info.types if not isinstance(each, msgspec.inspect.NoneType))
    kinds = {msgspec.inspect.StrType: str, msgspec.inspect.IntType: int, msgspec.inspect.FloatType: float}
    return _Limits(kinds[type(info)], msgspec.structs.asdict(info))
