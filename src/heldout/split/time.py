"""Folds in time: a training label must be known before the held-out window begins, or begin after it is over.

Every group has a span (``heldout.corpus.spans``): its first sample, its last one, and when its labels had matured. How
far a label looks ahead is read from the spans and from nowhere else, so a study cannot declare a horizon and purge for
another. A training group stays in a fold if

- its labels had matured, and the embargo had passed since its last sample, when the held-out window begins, or
- it begins when the window's labels had matured and the embargo has passed.

The embargo that a study does not declare is the longest look ahead of any group. Source: M. Lopez de Prado, "Advances
in Financial Machine Learning" (2018), chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from math import comb
from typing import NamedTuple

from heldout.corpus import GroupRecord
from heldout.errors import CorpusError, StudyError
from heldout.study import SplitSpec

MOST_FOLDS = 1000
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
Embargo = float | str | None


class Parts(NamedTuple):
    """The groups of one fold."""

    id: str
    train: tuple[str, ...]
    test: tuple[str, ...]


class Window(NamedTuple):
    """Groups in one piece of time, as numbers: first sample, last sample, and when the last label had matured."""

    first: float
    last: float
    matures: float


def walk_forward(spec: SplitSpec, records: Sequence[GroupRecord]) -> list[Parts]:
    """Each window of groups after the warm-up is predicted from what was known before it.

    Raises:
        CorpusError: If groups have no times, or a window has nothing before it to learn from.
    """
    ordered, embargo = in_time(records), embargo_of(spec.embargo, records)
    warmup, size = spec.warmup or 1, spec.window or 1
    if warmup >= len(ordered):
        raise CorpusError(
            f"{len(ordered)} groups leave nothing to test after a warm-up of {warmup}",
            where="split.warmup",
            hint=f"use at most {max(1, len(ordered) - 1)}",
        )
    found = []
    for start in range(warmup, len(ordered), size):
        tested = ordered[start : start + size]
        window = _window(tested)
        before = [each for each in ordered[:start] if is_before(_window([each]), window, embargo)]
        found.append(_parts(tested[0].id, before, tested))
    return found


def combinatorial_purged(spec: SplitSpec, records: Sequence[GroupRecord]) -> list[Parts]:
    """Every choice of ``held_out`` out of ``folds`` parts in time; each part is held out by several folds.

    Raises:
        CorpusError: If groups have no times, are too few, or a fold has nothing left to learn from.
    """
    ordered, embargo = in_time(records), embargo_of(spec.embargo, records)
    count, chosen = spec.folds or 2, spec.held_out or 1
    if count > len(ordered):
        raise CorpusError(
            f"{len(ordered)} groups cannot fill {count} parts", where="split.folds", hint=f"use at most {len(ordered)}"
        )
    if comb(count, chosen) > MOST_FOLDS:
        raise StudyError(
            f"{chosen} of {count} parts make {comb(count, chosen)} folds",
            where="split",
            hint=f"hold out fewer parts, or make fewer: at most {MOST_FOLDS} folds",
        )
    edges = [index * len(ordered) // count for index in range(count + 1)]
    parts = [ordered[low:high] for low, high in pairwise(edges)]
    width = len(str(count - 1))
    found = []
    for numbers in combinations(range(count), chosen):
        windows = [_window(parts[number]) for number in numbers]
        tested = [each for number in numbers for each in parts[number]]
        rest = [each for number, part in enumerate(parts) if number not in numbers for each in part]
        train = [each for each in rest if all(is_apart(_window([each]), window, embargo) for window in windows)]
        found.append(_parts("+".join(f"part{number:0{width}d}" for number in numbers), train, tested))
    return found


def is_before(train: Window, test: Window, embargo: float) -> bool:
    """Whether everything of the training groups was known, and the embargo had passed, when the window begins."""
    return train.last < test.first and train.matures <= test.first and train.last + embargo <= test.first


def is_apart(train: Window, test: Window, embargo: float) -> bool:
    """Whether the training groups lie wholly before the window, or after it and the embargo."""
    after = train.first > test.last and train.first >= test.matures + embargo
    return after or is_before(train, test, embargo)


def in_time(records: Sequence[GroupRecord]) -> list[GroupRecord]:
    """Groups by their first moment, ties by name: the order in the file says nothing.

    Raises:
        CorpusError: If a group has no time.
    """
    lacking = sorted(each.id for each in records if each.span is None)
    if lacking:
        raise CorpusError(
            "a split in time needs the time of every group",
            where=f"group {lacking[0]}",
            hint="name the column of times as `corpus.time`",
        )
    return sorted(records, key=lambda each: (_window([each]).first, each.id))


def embargo_of(declared: Embargo, records: Iterable[GroupRecord]) -> float:
    """The declared embargo in the units of the spans; undeclared, the longest look ahead of any label."""
    spans = [each.span for each in records if each.span is not None]
    if declared is not None:
        return length(declared, dated=any(span.dated for span in spans))
    return max((matures - last for _, last, matures in (span.ticks for span in spans)), default=0.0)


def length(embargo: float | str, *, dated: bool) -> float:
    """The embargo in the units of the times: microseconds for dates.

    Raises:
        StudyError: If it is no length of time in these units.
    """
    if not dated and not isinstance(embargo, str):
        return embargo
    if dated and embargo == 0:
        return 0
    if not dated or not isinstance(embargo, str):
        raise StudyError(
            f"the embargo {embargo!r} does not fit times that are {'dates' if dated else 'numbers'}",
            where="split.embargo",
            hint="write a length such as 12h or 3d" if dated else "write a number in the units of the column",
        )
    return round(float(embargo[:-1]) * _SECONDS[embargo[-1]] * 1_000_000)


def _window(groups: Sequence[GroupRecord]) -> Window:
    found = [each.span.ticks for each in groups if each.span is not None]
    return Window(min(each[0] for each in found), max(each[1] for each in found), max(each[2] for each in found))


def _parts(name: str, train: Sequence[GroupRecord], test: Sequence[GroupRecord]) -> Parts:
    if not train:
        raise CorpusError(
            "nothing is left to learn from: every other group's labels reach into the held-out window",
            where=f"fold {name}",
            hint="use a longer warm-up, fewer or shorter windows, or shorter groups",
        )
    return Parts(name, *(tuple(sorted(each.id for each in part)) for part in (train, test)))
