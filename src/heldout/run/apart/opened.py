"""Which files Python opens meanwhile. Libraries that open files by themselves, past Python, are not seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_watching: list[tuple[frozenset[str], list[str]]] = []
_hooked = False


@contextmanager
def watched(paths: Sequence[Path]) -> Iterator[Collection[str]]:
    """Gives a list that fills with those of the paths that are opened, by whatever name."""
    global _hooked
    if not _hooked:  # an audit hook stays for the life of the process: there must be one at most
        sys.addaudithook(_note_opening)
        _hooked = True
    opened: list[str] = []
    _watching.append((frozenset(os.path.realpath(path) for path in paths), opened))
    try:
        yield opened
    finally:
        _watching.pop()


def _note_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watching or not isinstance(arguments[0], str | os.PathLike):
        return
    paths, opened = _watching[-1]
    path = os.path.realpath(arguments[0])
    if path in paths:
        opened.append(path)
