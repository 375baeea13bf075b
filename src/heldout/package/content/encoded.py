"""Things that hide in text: long runs of an encoding, and numbers in bulk where a document should be."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_RUN = re.compile(r"[A-Za-z0-9+/_=-]{512,}")
_DENSE = re.compile(r"[!-~]{1024,}")
# An encoder breaks its lines: many in a row, all of one length, all of its letters.
_WRAPPED = re.compile(r"(?:^[ \t]*[A-Za-z0-9+/_=-]{40,}[ \t]*\r?\n?){12,}", re.MULTILINE)
_DENSE_BITS, _RUN_BITS = 5.5, 3.2
_MOST_NUMBERS, _MOST_PARAMETERS = 4096, 8
_PARAMETER = re.compile(
    r"(?:^|[._/])(?:weights?|biase?s?|kernel|gamma|beta|running_mean|running_var|lora_[AB]|embeddings?|state_dict"
    r"|[qkvo]_proj|(?:gate|up|down)_proj|coef_|intercept_|theta)(?:$|[._/])"
)


class Hidden(NamedTuple):
    """A run of encoded text.

    Attributes:
        place: Offset of its first character.
        length: Characters.
        data: What it decodes to; None where that is not known.
    """

    place: int
    length: int
    data: bytes | None


def find_encoded(text: str, *, markup: bool = False) -> Iterator[Hidden]:
    """Runs of text that are an encoding of something else.

    Args:
        text: The text.
        markup: Whether it is a page, where long runs of punctuation are scripts.
    """
    if len(text) < 480:
        return
    seen = 0
    for pattern in (_RUN, _WRAPPED):
        for match in pattern.finditer(text):
            run = re.sub(r"\s+", "", match[0])
            if match.start() >= seen and entropy(run) > _RUN_BITS:
                seen = match.end()
                yield Hidden(match.start(), len(run), _decoded(run))
    if not markup:
        for match in _DENSE.finditer(text):
            if match.start() >= seen and entropy(match[0]) > _DENSE_BITS:
                yield Hidden(match.start(), len(match[0]), None)


def entropy(text: str) -> float:
    """Bits a character, by Shannon, of the text's own letters."""
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values()) if total else 0.0


def find_bulk(value: Any, place: str = "") -> Iterator[tuple[str, int, bool]]:
    """Numbers in bulk in a JSON value: where, how many, and whether their key is that of a model's parameter."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = f"{place}/{key}"
            if isinstance(item, list) and _PARAMETER.search(str(key)) and _numbers(item) >= _MOST_PARAMETERS:
                yield inner, _numbers(item), True
            else:
                yield from find_bulk(item, inner)
    elif isinstance(value, list):
        count = _numbers(value)
        if count > _MOST_NUMBERS:
            yield place or "/", count, False
        else:
            for number, item in enumerate(value):
                if isinstance(item, dict | list):
                    yield from find_bulk(item, f"{place}/{number}")


def _numbers(value: list[Any]) -> int:
    """Numbers in a list and in the lists in it."""
    return sum(
        _numbers(item) if isinstance(item, list) else isinstance(item, int | float) and not isinstance(item, bool)
        for item in value
    )


def _decoded(run: str) -> bytes | None:
    if re.fullmatch(r"[0-9a-fA-F]+", run):
        return bytes.fromhex(run[: len(run) // 2 * 2])
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return None
