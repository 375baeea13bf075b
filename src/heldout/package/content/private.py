"""What must not travel: names of persons, of hosts, of home folders."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable

from heldout.errors import RefusedError

# Home folders as every system names them. What follows is somebody's name.
_HOMES = re.compile(rb"(?<![A-Za-z0-9_.~-])(?:/home/|/Users/|[A-Za-z]:\\+Users\\+|/root/)[^/\\\s\"']*")
_MAIL = re.compile(rb"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_HINT = "name files relative to the study or to the working folder, then do it again"
# Account and host names that say nothing of anyone.
_COMMON = frozenset(
    ("root", "user", "ubuntu", "debian", "admin", "runner", "vagrant", "localhost", "nobody", "docker", "build", "test")
)


def private_words() -> list[bytes]:
    """What this machine would give away: its name, the account's name as a folder, its home."""
    words = []
    home = os.environ.get("HOME", "")
    if home.rstrip("/"):
        words.append(f"{home.rstrip('/')}/".encode())
    host = socket.gethostname().partition(".")[0]
    if len(host) >= 4 and host.casefold() not in _COMMON:
        words.append(host.encode())
    try:
        account = getpass.getuser()
    except (OSError, KeyError, ImportError):
        account = ""
    if len(account) >= 3 and account.casefold() not in _COMMON:
        words += [f"/{account}/".encode(), f'"{account}"'.encode()]
    return words


def find_private(data: bytes, words: Iterable[bytes] = ()) -> bytes | None:
    """The first thing in a text that names a person, a host or a home folder; None if there is none."""
    for pattern in (_HOMES, _MAIL):
        match = pattern.search(data)
        if match:
            return match[0]
    for word in words:
        match = re.search(
            rb"(?<![A-Za-z0-9])" + re.escape(word) + rb"(?![A-Za-z0-9])" if word.isalnum() else re.escape(word), data
        )
        if match:
            return match[0]
    return None


def refuse_private(data: bytes, where: str, words: Iterable[bytes] | None = None) -> None:
    """Refuse a text that names a person, a host or a home folder.

    Raises:
        RefusedError: With the place; what was found is not repeated.
    """
    found = find_private(data, private_words() if words is None else words)
    if found is None:
        return
    line = data[: data.find(found)].count(b"\n") + 1
    raise RefusedError(
        "this would tell a person's name, a host's name or a home folder", where=f"{where}:{line}", hint=_HINT
    )
