"""How deeply JSON is nested, counted before any parser sees it: parsers recurse, and a stranger chooses how often."""

from __future__ import annotations

import re
from array import array
from itertools import accumulate

from heldout.errors import InputError

JSON_DEPTH = 128
# The last quote may be missing, so that a text that never ends is passed over once and not once a quote.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = bytes({0x5B: 1, 0x7B: 1}.get(byte, 255) for byte in range(256))
_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def json_depth(data: bytes) -> int:
    """The deepest nesting of arrays and objects, whether or not the rest is JSON; in time linear in the bytes."""
    steps = array("b", _TEXT.sub(b"", data).translate(None, _OTHERS).translate(_STEPS))
    return max(accumulate(steps, initial=0))


def refuse_deep_json(data: bytes, where: str, most: int = JSON_DEPTH) -> None:
    """Refuse JSON that is nested more deeply than any honest document.

    Raises:
        InputError: If it is.
    """
    # Few brackets cannot be deep: most lines of a stream end here.
    if data.count(b"[") + data.count(b"{") > most and json_depth(data) > most:
        raise InputError(
            f"not strict JSON: it is nested more than {most} levels deep", where=where, hint="flatten the document"
        )
