"""Freeze windows: times in which no champion changes hands, read from a file by the gate and not from prose by people.

    # freeze.yaml: times are UTC
    - {from: 2026-12-20, to: 2027-01-03, reason: holidays}
    - {from: 2026-11-05T14:00:00Z, to: 2026-11-05T18:00:00Z, reason: migration}

``from`` is inside the window, ``to`` is not; a day without an hour ends with that day. A file that cannot be read or
understood to its last key refuses every promotion.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError, RefusedError

_KEYS = {"from", "to", "reason"}
_HINT = "mend the file; until then nothing is promoted"


@dataclass(frozen=True)
class Window:
    """A time in which nothing is promoted."""

    start: dt.datetime
    end: dt.datetime
    reason: str

    def covers(self, moment: dt.datetime) -> bool:
        """Whether the moment lies in the window."""
        return self.start <= moment < self.end

    def sentence(self) -> str:
        """For people."""
        return f"promotions are frozen from {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC: {self.reason}"


def read_windows(path: Path) -> list[Window]:
    """Read a freeze file.

    Raises:
        RefusedError: If there is anything in it that is not understood.
    """
    from heldout.study.yaml import load_yaml

    try:
        document = load_yaml(path)
    except HeldoutError as error:
        raise RefusedError(f"the freeze file cannot be read: {error.what}", where=error.where, hint=_HINT) from None
    if not isinstance(document.value, list):
        raise RefusedError("the freeze file is not a list of windows", where=str(path), hint=_HINT)
    windows = []
    for index, item in enumerate(document.value):
        try:
            windows.append(_window(item))
        except ValueError as error:
            raise RefusedError(
                f"the freeze window is not understood: {error}", where=document.where((index,)), hint=_HINT
            ) from None
    return windows


def active_window(path: Path, moment: dt.datetime, *, must_exist: bool = False) -> Window | None:
    """The window that covers the moment, if any. No file means no windows, unless it was asked for by name.

    Raises:
        RefusedError: If the file cannot be read or understood.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        if not must_exist:
            return None
    except OSError as error:
        raise RefusedError(f"the freeze file cannot be read: {error.strerror}", where=str(path), hint=_HINT) from None
    return next((window for window in read_windows(path) if window.covers(moment)), None)


def _window(item: Any) -> Window:
    if not isinstance(item, dict) or set(item) != _KEYS:
        raise ValueError("a window has exactly the keys from, to, reason")
    reason = item["reason"]
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError("the reason is empty")
    start, end = _moment(item["from"]), _moment(item["to"], end=True)
    if start >= end:
        raise ValueError("it ends before it starts")
    return Window(start, end, reason)


def _moment(value: Any, *, end: bool = False) -> dt.datetime:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no time")  # noqa: TRY004 - one kind of complaint
    if len(value) == len("2026-12-20"):
        day = dt.datetime.combine(dt.date.fromisoformat(value), dt.time(), dt.UTC)
        return day + dt.timedelta(days=1) if end else day
    moment = dt.datetime.fromisoformat(value)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
