r"""Text of anyone, as it may reach a terminal or a page: what would steer either is shown as an escape.

A group's name may hold the codes that clear a screen, or the character that turns a line around. Documents keep such
names as they are; whatever people look at shows ``\x1b`` and ``\u202e`` instead.
"""

from __future__ import annotations

import re

# Unicode's control, direction and invisible characters, line and paragraph ends, halves of pairs, and no characters.
_STEERS = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff\U0010fffe\U0010ffff"
)
_NAME = re.compile(f"[{_STEERS}]")
_LINES = re.compile(rf"(?![\n\t])[{_STEERS}]")


def printable(text: str) -> str:
    """A name or a value of anyone on one line; the same object where nothing is to be escaped."""
    return _NAME.sub(_escape, text) if not text.isprintable() and _NAME.search(text) else text


def printable_lines(text: str) -> str:
    """A text of several lines: line ends and tabs stay; the same object where nothing is to be escaped."""
    return _LINES.sub(_escape, text) if not text.isprintable() and _LINES.search(text) else text


def printable_json(text: str) -> str:
    """A JSON document on a terminal: what would steer it is escaped as JSON does, so it reads back as the same."""
    return text if text.isascii() else _LINES.sub(_json_escape, text)


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _json_escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x10000:
        return f"\\u{number:04x}"
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
