"""Passwords in addresses: they belong into no message, file or report."""

from __future__ import annotations

import re

_USER = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:'\"]*):[^\s/'\"]*@")
_QUERY = re.compile(r"(?i)(?P<head>[?&;][^\s=&;'\"]*(?:pass|pwd|secret|token|key|credential)[^\s=&;'\"]*=)[^\s&;'\"]+")


def without_passwords(text: str) -> str:
    """The text with ``***`` for every password in an address: before the ``@``, and in its query."""
    return _QUERY.sub(r"\g<head>***", _USER.sub(r"\g<head>:***@", text))
