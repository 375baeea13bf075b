"""Which window is the future of which: the one that starts the horizon later, in seconds, in the same episode.

A future that would leave its episode, or that the index has no window for, makes no pair, and is written down with its
code. A horizon counted in rows of an index would be another time after every skipped window.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from heldout.corpus.guards import Finding
from heldout.domains.embodied.index.shape import Record
from heldout.errors import CorpusError, InputError

HORIZON_CODE = "HO-G136"
SkipCode = Literal["horizon_leaves_episode", "no_window_at_horizon"]


class Pair(NamedTuple):
    """A window and its future."""

    id: str
    context: Record
    future: Record


class SkippedPair(NamedTuple):
    """A window without a future, and why."""

    context_record_id: str
    episode_id: str
    split: str
    code: SkipCode


def horizon_frames(seconds: float, clock_hz: float) -> int:
    """The horizon on an episode's clock, to the nearest frame.

    Raises:
        InputError: If it is not at least half a frame.
    """
    frames = round(seconds * clock_hz) if 0 < seconds < 3600 else 0
    if frames < 1:
        raise InputError(f"a horizon of {seconds:g} s is none", where="--horizon", hint="seconds, such as 0.5")
    return frames


def pair(records: Iterable[Record], seconds: float) -> tuple[list[Pair], list[SkippedPair]]:
    """Pair the windows of an index, in their order.

    Args:
        records: Of any splits; a pair never leaves its episode, split or scale.
        seconds: From the start of a window to the start of its future.
    """
    groups: dict[tuple[str, str, str], dict[tuple[int, int], Record]] = defaultdict(dict)
    ordered = list(records)
    for record in ordered:
        groups[_group(record)][_span(record)] = record
    numbers: Counter[str] = Counter()
    pairs: list[Pair] = []
    skipped: list[SkippedPair] = []
    for record in ordered:
        episode = str(record["episode_id"])
        shift = horizon_frames(seconds, float(record["provenance"]["clock_hz"]))
        start, end = _span(record)
        future = groups[_group(record)].get((start + shift, end + shift))
        number, numbers[episode] = numbers[episode], numbers[episode] + 1
        if future is not None:
            pairs.append(Pair(f"{episode}:future:{number:05d}:h{seconds:g}s", record, future))
            continue
        leaves = end + shift >= int(record["provenance"]["episode_frames"])
        code: SkipCode = "horizon_leaves_episode" if leaves else "no_window_at_horizon"
        skipped.append(SkippedPair(str(record["id"]), episode, str(record["split"]), code))
    return pairs, skipped


def require_pairs(pairs: Sequence[Pair], skipped: Sequence[SkippedPair], seconds: float, where: str) -> None:
    """See that there is anything to predict.

    Raises:
        CorpusError: If no window has a future.
    """
    if not pairs:
        codes = Counter(skip.code for skip in skipped)
        told = ", ".join(f"{count} {code}" for code, count in sorted(codes.items())) or "no windows"
        hint = "a horizon that is a multiple of the stride, and shorter than the episodes; --min-label-fraction 0.5"
        raise CorpusError(f"no window has a future {seconds:g} s later: {told}", where=where, hint=hint)


def check_pairs(rows: Iterable[Mapping[str, Any]], seconds: float, where: str) -> list[Finding]:
    """HO-G136: rows of ``future_windows.jsonl`` whose future is not where the horizon says, or not in their episode."""
    wrong: list[str] = []
    for row in rows:
        shift = horizon_frames(seconds, float(row["clock_hz"]))
        here, there = row["window"], row["future_window"]
        inside = here["start_frame"] >= 0 and there["end_frame"] < row["episode_frames"]
        apart = [there[key] - here[key] for key in ("start_frame", "end_frame")]
        episode = str(row["episode_id"])
        own = all(episode in str(row[key]) for key in ("context_record_id", "future_record_id"))
        if not inside or apart != [shift, shift] or not own:
            wrong.append(str(row["id"]))
    if not wrong:
        return []
    shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    what = f"{len(wrong)} futures leave their episode, or are not {seconds:g} s after their window"
    return [Finding(HORIZON_CODE, blocking=True, what=what, where=f"{where}: {shown}", hint="export again")]


def _group(record: Record) -> tuple[str, str, str]:
    return str(record["episode_id"]), str(record["split"]), str(record.get("scale_id", ""))


def _span(record: Record) -> tuple[int, int]:
    return int(record["window"]["start_frame"]), int(record["window"]["end_frame"])
