"""How far a training or an evaluation is, from its ``progress.jsonl``: done of total, time left, when it last spoke."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from heldout.evidence import read_json_lines

COMPLETE = frozenset({"complete", "eval_complete"})
FAILED = frozenset({"failed", "error", "eval_failed"})


class Progress(NamedTuple):
    """What a stream of events says.

    Attributes:
        latest: Name of the last event; None before the first.
        rows: Events so far.
        done: Units of work that are done; None where no event counts them.
        total: Of how many.
        eta_seconds: Until the end at the mean pace so far; None where no pace is known.
        silent_seconds: Since the last event.
    """

    latest: str | None
    rows: int
    done: int | None
    total: int | None
    eta_seconds: float | None
    silent_seconds: float | None


def read_progress(path: Path, now: dt.datetime) -> Progress:
    """Read a stream; a torn last line is left out.

    Args:
        path: ``progress.jsonl``; it need not be there yet.
        now: With a time zone.

    Raises:
        InputError: If a line in the middle is no event.
    """
    events = read_json_lines(path)
    if not events:
        return Progress(None, 0, None, None, None, None)
    counted = [(count, when(event)) for event in events if (count := _count(event)) is not None]
    done, total = counted[-1][0] if counted else (None, None)
    last = next((time for event in reversed(events) if (time := when(event))), None)
    silent = max(0.0, (now - last).total_seconds()) if last else None
    latest = str(events[-1].get("event"))
    return Progress(latest, len(events), done, total, _eta(counted), silent)


def when(event: Mapping[str, Any]) -> dt.datetime | None:
    """Time of an event, under either of the names that are in use; without a zone it is UTC."""
    value = event.get("time", event.get("timestamp"))
    try:
        if isinstance(value, int | float):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        time = dt.datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _count(event: Mapping[str, Any]) -> tuple[int, int] | None:
    """Done and total: of steps if their number is fixed, of samples of all epochs, or of evaluated samples."""
    for done, total in (("global_step", "max_train_steps"), ("completed_samples", "num_eval_samples")):
        if _positive(event.get(total)) and _counts(event.get(done)):
            return int(event[done]), int(event[total])
    seen, each = event.get("rank0_seen"), event.get("rank0_samples_per_epoch")
    if _counts(seen) and _positive(each):
        epochs = event.get("epochs") if _positive(event.get("epochs")) else 1
        epoch = event.get("epoch") if _counts(event.get("epoch")) else 0
        # The published trainer counts samples anew in every epoch, from epoch 0.
        return int(seen or 0) + int(epoch or 0) * int(each or 0), int(each or 0) * max(
            int(epochs or 1), int(epoch or 0) + 1
        )
    return None


def _eta(counted: Sequence[tuple[tuple[int, int], dt.datetime | None]]) -> float | None:
    timed = [(done, total, time) for (done, total), time in counted if time is not None]
    if len(timed) < 2:
        return None
    (first, _, start), (done, total, end) = timed[0], timed[-1]
    seconds = (end - start).total_seconds()
    if done <= first or seconds <= 0:
        return None
    return max(0.0, (total - done) * seconds / (done - first))


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _positive(value: Any) -> bool:
    return _counts(value) and value > 0
