"""What work says of itself while it runs, in one vocabulary: an event a line of ``progress.jsonl``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from heldout.evidence.files import JsonLines

Listener = Callable[[Mapping[str, Any]], None]


@dataclass
class Events:
    """Writes events as ``event, unit, done, total, ts`` and facts, and hands them on without the time.

    Attributes:
        log: Where they are appended.
        listener: Who is told besides.
        counted: Events that each stand for one more unit that is done.
        total: Units there are.
        done: Units that are done.
    """

    log: JsonLines
    listener: Listener | None = None
    counted: frozenset[str] = frozenset()
    total: int = 0
    done: int = 0

    def __call__(self, event: str, unit: str, **facts: Any) -> None:
        """Say that something happened to a unit."""
        self.done += event in self.counted
        self.say(event, unit, self.done, self.total, **facts)

    def say(self, event: str, unit: str, done: int, total: int, **facts: Any) -> None:
        """Say it with counts of the caller's own."""
        record = {"event": event, "unit": unit, "done": done, "total": total} | facts
        self.log.append(record | {"ts": _now()})
        if self.listener is not None:
            self.listener(record)


def published_event(event: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """An event as the published trainings and evaluations write it, with their own facts under their own names."""
    return {"event": event, "time": _now(), **facts}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
