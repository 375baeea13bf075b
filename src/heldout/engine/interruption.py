"""Ctrl-C that does not get lost: a library written in C may clear the exception that tells of it, and go on."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interruption:
    """Remembers, while it is open, that a signal asked this process to end.

    The handlers that were there act as before; those of C, and what is ignored, are left alone. Outside the main
    thread, where Python takes no handlers, it remembers nothing.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._came = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen."""
        for number in _ENDING:
            handler = signal.getsignal(number)
            if callable(handler):
                try:
                    signal.signal(number, self._hear)
                except ValueError:  # not in the main thread
                    return self
                self._before[number] = handler
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the handlers back, where nobody else put another."""
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._hear:
                signal.signal(number, handler)

    def check(self) -> None:
        """Go on only if no such signal came.

        Raises:
            KeyboardInterrupt: If one came, and what its handler raised got lost.
        """
        if self._came:
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        self._before[number](number, frame)
