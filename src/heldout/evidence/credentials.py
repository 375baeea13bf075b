"""Passwords that stand in URLs and parameters: recognised by their names, and never shown or written."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import unquote_plus

from heldout.evidence.strict import digest

HIDDEN = "***"
# A password may hold any character, so it goes up to the last `@`; every part is bounded, so the time is linear.
_USER = re.compile(r"(?<![A-Za-z0-9])([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#:@'\"]{0,256}:)[^\s'\"]{0,1024}@")
# ``key=value`` of a query, of libpq's conninfo, or of a command line.
_PAIR = re.compile(
    r"(?<![A-Za-z0-9_.%+-])(?P<key>[A-Za-z0-9_.%+-]{1,128})(?P<equals> ?= ?)"
    r"(?P<value>'[^']{0,1024}'|\"[^\"]{0,1024}\"|[^\s&;,'\")\]}]{1,4096})"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "passfile",
        "passwort",
        "secret",
        "secrets",
        "credential",
        "credentials",
        "sslpassword",
        "apikey",
    ]
)
_SECRET_PAIRS = frozenset(
    f"{first} {second}"
    for first in ("api", "access", "private", "secret", "auth", "account", "shared", "signing", "encryption", "ssl")
    for second in ("key", "token", "signature")
)
_TOKEN = re.compile(r"(?=[A-Za-z0-9_+/=.~-]*[0-9])(?=[A-Za-z0-9_+/=.~-]*[A-Za-z])[A-Za-z0-9_+/=.~-]{16,}")
_KNOWN = re.compile(
    r"(?:hf_|ghp_|gho_|ghs_|github_pat_|glpat-|sk-|xox[abps]-|AKIA|ASIA|AIza|ya29\.|npm_|pypi-)\w[\w.-]{8,}"
)


def is_secret(key: str, value: Any = "") -> bool:
    """Whether a value is a secret: its name says so, or it looks like a token that services give out.

    Args:
        key: The name that it stands under, such as ``password``, ``fit.params.api_key`` or ``hfToken``.
        value: What stands there; only text can be secret under a name that means other things too, such as ``token``.
    """
    words = [word.lower() for word in _WORDS.findall(unquote_plus(key).rpartition(".")[2])]
    pairs = {" ".join(pair) for pair in itertools.pairwise(words)}
    if _SECRET_WORDS.intersection((*words, "".join(words))) or _SECRET_PAIRS & pairs:
        return True
    text = value if isinstance(value, str) else ""
    token = words[-1:] in (["token"], ["key"], ["sig"], ["signature"], ["auth"], ["bearer"])
    return bool((token and _TOKEN.fullmatch(text)) or _KNOWN.fullmatch(text))


def hide_secrets(text: str) -> str:
    """A text without the passwords of the URLs, connection strings and assignments in it."""
    shown = _USER.sub(rf"\1{HIDDEN}@", text) if "://" in text else text
    return _PAIR.sub(_hide_pair, shown) if "=" in shown else shown


def as_digest(value: Any) -> str:
    """What is written in place of a secret: equal secrets are told to be equal, and nothing else."""
    return f"sha256:{digest(value)}"


def _hide_pair(match: re.Match[str]) -> str:
    if is_secret(match["key"], match["value"].strip("'\"")):
        return f"{match['key']}{match['equals']}{HIDDEN}"
    return match[0]
