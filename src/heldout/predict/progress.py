"""``progress.jsonl`` of an evaluation: an event for what was predicted, as it comes, but not more than twenty a second.

A model that takes seconds a sample has an event for each. One that takes none would spend more time on events than on
samples; theirs are put together, and say of how many samples they speak.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from heldout.documents.names import PROGRESS_FILE
from heldout.evidence import JsonLines, published_event

_APART = 0.05


class Progress:
    """Appends the events of one start; one writer at a time."""

    def __init__(self, folder: Path, total: int, done: int) -> None:
        """Open for appending.

        Args:
            folder: Of the evaluation.
            total: Samples that are asked.
            done: Those that were predicted before.
        """
        self._stream = JsonLines(folder / PROGRESS_FILE)
        self._total, self._done = total, done
        self._waiting, self._seconds, self._last = 0, 0.0, ("", "")
        self._spoke = -_APART

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Tell what waits, and close the file."""
        self._flush()
        self._stream.close()

    def say(self, event: str, **facts: Any) -> None:
        """Append an event, after what waits."""
        self._flush()
        self._stream.append(published_event(event, facts))

    def predicted(self, count: int, sample: str, group: str, seconds: float) -> None:
        """Note that so many samples are on disk, of which this is the last, and how long they took."""
        self._done += count
        self._waiting += count
        self._seconds += seconds
        self._last = (sample, group)
        if time.monotonic() - self._spoke >= _APART:
            self._flush()

    @property
    def done(self) -> int:
        """Samples that are predicted, of all starts."""
        return self._done

    def _flush(self) -> None:
        if not self._waiting:
            return
        facts: dict[str, Any] = {
            "num_eval_samples": self._total,
            "completed_samples": self._done,
            "batch": self._waiting,
            "sample_id": self._last[0],
            "episode_id": self._last[1],
            "seconds": round(self._seconds, 6),
        }
        self._waiting, self._seconds, self._spoke = 0, 0.0, time.monotonic()
        self.say("sample_done", **facts)
