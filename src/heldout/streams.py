"""Standard output and standard error that no encoding, full disk or closed pipe can turn into another exit code.

What would steer a terminal is written as an escape, unless our own console writes it. A symbol that the encoding lacks
is written in ASCII. Standard error never fails: what it cannot take is dropped, for
the exit code and the files say the same. Standard output keeps the error of its first failure, so that whoever ends
the process can tell a reader that went away from a fault.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterable
from typing import Any, Self, TextIO

from heldout.printable import printable_lines

FALLBACK = "heldout.fallback"
_LINES = {line: "-" if line in "─━═" else "|" if line in "│┃║" else "+" for line in "─━═│┃║┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┡┩╇╈"}
_PLAIN = _LINES | {
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "←": "<-",
    "↔": "<->",
    "⇒": "=>",
    "±": "+-",
    "·": "*",
    "×": "x",
    "÷": "/",
    "−": "-",
    "–": "-",
    "—": "--",
    "…": "...",
    "≈": "~",
    "≠": "!=",
    "∞": "inf",
    "\N{NO-BREAK SPACE}": " ",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "•": "*",
    "✓": "ok",
    "✔": "ok",
    "✗": "x",
    "✘": "x",
    "ρ": "rho",
    "τ": "tau",
    "σ": "sigma",
    "μ": "mu",
    "α": "alpha",
}


def plain(symbol: str) -> str:
    """A symbol in ASCII: by its usual digraph, or else by its number."""
    return _PLAIN.get(symbol) or symbol.encode("ascii", "backslashreplace").decode()


def _fall_back(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(plain(symbol) for symbol in error.object[error.start : error.end]), error.end


codecs.register_error(FALLBACK, _fall_back)


class Output:
    """A text stream that remembers how it failed.

    It has no ``buffer``: whoever takes the bytes' stream by himself would write past the encoding and the memory of
    the failure (Click does where the encoding is ASCII).
    """

    def __init__(self, stream: TextIO | None, *, quiet: bool) -> None:
        """Wrap a stream.

        Args:
            stream: None if the descriptor was closed when the process began.
            quiet: Drop what cannot be written.
        """
        self._stream, self._quiet = stream, quiet
        self.failed: OSError | None = None
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors=FALLBACK)  # type: ignore[union-attr]  # a stream of another kind has no such thing

    def write(self, text: str) -> int:
        """Write text; it counts as written where it is dropped."""
        self.write_codes(printable_lines(text))
        return len(text)

    def write_codes(self, text: str) -> None:
        """Write text with the codes that colour it."""
        try:
            self._tried(lambda stream: stream.write(text))
        except UnicodeEncodeError:  # a foreign stream that cannot be told how to fall back
            self._tried(lambda stream: stream.write(text.encode("ascii", FALLBACK).decode()))

    @property
    def rich_proxied_file(self) -> _Codes:
        """Where Rich writes to. All its consoles are made by ``heldout.terminal``, which filters what they show."""
        return _Codes(self)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand everything to the system; a failure that was said before is not said again."""
        if self._stream is not None and self.failed is None:
            self._tried(lambda stream: stream.flush())

    def _tried(self, do: Any) -> None:
        if self.failed is None:
            try:
                if self._stream is None:
                    raise BrokenPipeError(errno.EPIPE, "it was closed before the command began")
                do(self._stream)
                return
            except UnicodeEncodeError:
                raise
            except (OSError, ValueError) as error:  # ValueError: it was closed meanwhile
                self.failed = error if isinstance(error, OSError) else BrokenPipeError(errno.EPIPE, str(error))
                self._forget()
        if not self._quiet:
            raise self.failed

    def _forget(self) -> None:
        """Lead the descriptor nowhere, so that what waits in buffers cannot fail again when the process ends."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            if self._stream is not None:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    @property
    def encoding(self) -> str:
        """As of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:
        """As of the stream."""
        return getattr(self._stream, "errors", None)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Its descriptor."""
        if self._stream is None:
            raise OSError(errno.EBADF, "it is closed")
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "_stream") or self._stream is None:
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.flush()


class _Codes:
    """An output for whoever has filtered the text already."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, text: str) -> int:
        """Write text as it is."""
        self._output.write_codes(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        if name == "_output":
            raise AttributeError(name)
        return getattr(self._output, name)


def prepare() -> tuple[Output, Output]:
    """Put such streams in the place of standard output and standard error, once; they come back."""
    _occupy()
    out: Any = sys.stdout if isinstance(sys.stdout, Output) else Output(sys.stdout, quiet=False)
    told: Any = sys.stderr if isinstance(sys.stderr, Output) else Output(sys.stderr, quiet=True)
    sys.stdout, sys.stderr = out, told
    return out, told


def _occupy() -> None:
    """Keep the three descriptors: the next file that is opened would take a closed one's place, and be written to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_RDWR)
                if nowhere != descriptor:
                    os.dup2(nowhere, descriptor)
                    os.close(nowhere)
