"""Passwords in addresses and parameters, recognised by their names: they belong into no message, file or report."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from heldout.evidence.strict import digest

HIDDEN = "***"
# A password may hold any character, so it goes up to the last `@`; every part is bounded, or given back as a whole, so
# the time is linear.
# A path that was made of an address has one slash of its two.
_USER = re.compile(r"(?<![A-Za-z0-9])([A-Za-z][A-Za-z0-9+.-]{0,30}://?[^\s/?#:@'\"]{0,256}:)[^\s'\"]{0,1024}@")
# ``key=value`` of a query, of libpq's conninfo, or of a command line.
_PAIR = re.compile(
    r"(?<![A-Za-z0-9_.%+-])(?P<key>[A-Za-z0-9_.%+-]++)(?P<equals> ?= ?)"
    r"(?P<value>'[^']{0,1024}'|\"[^\"]{0,1024}\"|[^\s&;,'\")\]}]{1,4096})"
)
_QUERY = re.compile(r"([?&;])([^\s?=&;'\"]++)=[^\s&;'\"]+")
_SECRET_PART = re.compile(r"(?i)pass|pwd|secret|token|key|credential")
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
_TOKEN = re.compile(r"(?=[A-Za-z0-9_+=.~-]*[0-9])(?=[A-Za-z0-9_+=.~-]*[A-Za-z])[A-Za-z0-9_+=.~-]{16,}")
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
    joined = "".join(words)
    said = any(word in joined for word in ("password", "passwd", "passphrase"))
    if said or _SECRET_WORDS.intersection((*words, joined)) or _SECRET_PAIRS & pairs:
        return True
    text = value if isinstance(value, str) else ""
    token = words[-1:] in (["token"], ["key"], ["sig"], ["signature"], ["auth"], ["bearer"])
    return bool((token and _TOKEN.fullmatch(text)) or _KNOWN.fullmatch(text))


def without_passwords(text: str) -> str:
    """The text with ``***`` for each password of an address, before its ``@`` or in its query, and of an assignment."""
    shown = _USER.sub(rf"\1{HIDDEN}@", text) if ":/" in text else text
    return _PAIR.sub(_hide_pair, _QUERY.sub(_hide_part, shown)) if "=" in shown else shown


def _hide_part(part: re.Match[str]) -> str:
    return f"{part[1]}{part[2]}={HIDDEN}" if _SECRET_PART.search(part[2]) else part[0]


def without_secret_values(arguments: Sequence[str]) -> list[str]:
    """A command's arguments as they may be written: of ``--set key=value``, a secret value by its digest."""
    shown = []
    for text in arguments:
        option, key, equals, value = ["", *text.partition("=")] if not text.startswith("--") else _option(text)
        secret = bool(equals) and "://" not in key and is_secret(key.lstrip("-"), value)
        shown.append(f"{option}{key}={as_digest(value)}" if secret else without_passwords(text))
    return shown


def secret_leaves(key: str, value: Any) -> Iterator[Any]:
    """Every secret in a value of a study: itself, or those inside it by their own names."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from secret_leaves(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secret_leaves(key, item)
    elif value not in (None, "", True, False) and is_secret(key, value):
        yield value


def with_digests(value: Any, secrets: Sequence[Any]) -> Any:
    """The same value with its secret leaves replaced by their digests."""
    if isinstance(value, Mapping):
        return {key: with_digests(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_digests(item, secrets) for item in value]
    known = any(type(each) is type(value) and each == value for each in secrets)
    return as_digest(value) if known else value


def as_digest(value: Any) -> str:
    """What is written in place of a secret: equal secrets are told to be equal, and nothing else."""
    return f"sha256:{digest(value)}"


def _option(text: str) -> list[str]:
    """``--set=key=value`` apart; of other options the name and the value."""
    option, _, rest = text.partition("=")
    if "=" in rest:
        key, equals, value = rest.partition("=")
        return [f"{option}=", key, equals, value]
    return ["", option, "=" if rest else "", rest]


def _hide_pair(match: re.Match[str]) -> str:
    key, equals, value = match["key"], match["equals"], match["value"]
    if is_secret(key, value.strip("'\"")):
        return f"{key}{equals}{HIDDEN}"
    names = value.split("=")[:-1]  # what came before may have lost its separator
    first = next((place for place, name in enumerate(names) if is_secret(name)), None)
    return match[0] if first is None else f"{key}{equals}{'='.join(names[: first + 1])}={HIDDEN}"
