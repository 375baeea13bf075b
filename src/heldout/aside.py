"""What libraries and estimators print, in Python or in C, led to where it does not mix with what heldout says."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def words_aside(wanted: bool = True) -> Iterator[None]:
    """Let what is printed go to standard error, so that a document stands alone on standard output.

    Args:
        wanted: False leaves it alone.
    """
    if not wanted:
        yield
        return
    with _led((1,), 2), contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def words_to(log: Path) -> Iterator[None]:
    """Let all that this process prints go to the end of a file, which is not there afterwards if it is empty.

    Warnings are among it, each once for a place in the code, whatever was warned of before.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            log.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as stream,
            _led((1, 2), stream.fileno()),
            contextlib.redirect_stdout(stream),
            contextlib.redirect_stderr(stream),
            warnings.catch_warnings(),
        ):
            warnings.showwarning = _show  # whoever called us may collect warnings, as pytest does
            yield
    finally:
        with contextlib.suppress(OSError):
            if not log.stat().st_size:
                log.unlink()


def _show(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))


@contextlib.contextmanager
def _led(descriptors: tuple[int, ...], to: int) -> Iterator[None]:
    """Lead descriptors to another one, for what no stream of Python writes."""
    _flush()
    kept = {each: os.dup(each) for each in descriptors}
    for each in descriptors:
        os.dup2(to, each)
    try:
        yield
    finally:
        _flush()
        for each, before in kept.items():
            os.dup2(before, each)
            os.close(before)


def _flush() -> None:
    """Write what streams hold back: those of Python, and those of C, which would keep it until the process ends."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]  # there may be none
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
