"""Strict JSON: the one grammar in which heldout reads and writes documents.

Reading refuses what JSON readers disagree on: a byte-order mark, a duplicate key, NaN and infinities (also
``1e999``), numbers of hundreds of digits, half of a surrogate pair, more than 128 levels, and bytes after the value.
Writing sorts keys, ends with a newline and refuses non-finite numbers: whoever has a metric that is not a number writes
``null`` and says why beside it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

from heldout.errors import InputError
from heldout.evidence.depth import refuse_deep_json
from heldout.evidence.machine import machine_error
from heldout.evidence.opening import DOCUMENT_BYTES, read_plain

_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_INTEGER = re.compile(r"\d{300}")  # no float64 holds more digits


def loads(data: bytes | str, *, where: str, allow_nan: bool = False) -> Any:
    """Parse one strict JSON value.

    Args:
        data: UTF-8 bytes or text.
        where: The name of the file, for the message.
        allow_nan: Let ``NaN``, ``Infinity`` and overflowing numbers through as non-finite floats. Only for judging a
            document of someone else's, where they become a finding and not a crash.

    Raises:
        InputError: With line and column where the grammar is broken.
    """
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    refuse_deep_json(raw, where)
    if isinstance(data, bytes):
        if data.startswith(_BOM):
            raise InputError(
                "the file starts with a byte-order mark",
                where=f"{where}:1:1",
                hint="save it as UTF-8 without BOM",
            )
        try:
            data = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"byte {error.start} is not UTF-8", where=where, hint="save the file as UTF-8") from None
    try:
        value = json.loads(
            data,
            object_pairs_hook=_no_duplicates,
            parse_constant=float if allow_nan else _no_constant,
            parse_float=float if allow_nan else _finite,
            parse_int=_short_integer if _LONG_INTEGER.search(data) else None,
        )
        if _SURROGATE.search(data):
            _whole_characters(value)
        return value
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg}", where=f"{where}:{error.lineno}:{error.colno}", hint="mend the file"
        ) from None
    except (_RuleBrokenError, RecursionError, ValueError) as error:
        raise InputError(f"not strict JSON: {error}", where=where, hint="remove or repair that value") from None


def read_json(path: Path, *, links: bool = True) -> Any:
    """Read one strict JSON document.

    Args:
        path: The file.
        links: Whether a link to a plain file will do.

    Raises:
        InputError: If the file is missing, unreadable, no plain file, too large or not strict JSON.
    """
    try:
        data = read_plain(path, most=DOCUMENT_BYTES, links=links)
    except OSError as error:
        raise machine_error(error) or InputError(
            f"cannot read the file: {error.strerror}", where=str(path), hint="check the path"
        ) from None
    return loads(data, where=str(path))


def dumps(value: Any) -> bytes:
    """Serialise for people and diffs: two-space indent, sorted keys, one final newline.

    Raises:
        ValueError: On NaN or infinity.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8") + b"\n"


def canonical(value: Any) -> bytes:
    """Serialise for hashing: compact, sorted, no NaN. Equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


def digest(value: Any) -> str:
    """Sha256 (hex) of the canonical form of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def finite_or_none(value: float | None) -> float | None:
    """The number, or None where JSON could not hold it. Say why beside it."""
    return None if value is None or not math.isfinite(value) else float(value)


class _RuleBrokenError(Exception):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _RuleBrokenError(f"key {_short(key)!r} appears twice")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise _RuleBrokenError(f"{name} is not a JSON number")


def _whole_characters(value: Any) -> None:
    """Refuse text that holds half of a surrogate pair: it has no UTF-8 form, so it could never be written again."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise _RuleBrokenError("an escape names half of a surrogate pair") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RuleBrokenError(f"{_short(text)} overflows to infinity")
    return value


def _short_integer(text: str) -> int:
    if len(text) > 300:
        raise _RuleBrokenError(f"{_short(text)} has too many digits")
    return int(text)


def _short(text: str) -> str:
    """Text of someone else's file as a message may quote it."""
    return text if len(text) <= 60 else text[:57] + "..."
