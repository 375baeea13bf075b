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

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from math import comb
from typing import ClassVar, NamedTuple

from pydantic import Field, model_validator

from heldout.corpus import GroupRecord
from heldout.errors import CorpusError, StudyError
from heldout.split.fold import Fold
from heldout.split.groups import PartsParams
from heldout.split.splitter import Splitter
from heldout.study import SplitSpec

MOST_FOLDS = 1000
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
Embargo = float | str | None


class Window(NamedTuple):
    """Groups in one piece of time, as numbers: first sample, last sample, and when the last label had matured."""

    first: float
    last: float
    matures: float


class WalkForwardParams(SplitSpec):
    """The `split:` block of a walk forward."""

    warmup: int = Field(ge=1, description="groups before the first window")
    window: int = Field(ge=1, description="groups that one fold tests")


class WalkForward(Splitter):
    """Each window of groups after the warm-up is predicted from what was known before it."""

    kind: ClassVar[str] = "walk-forward"
    Params = WalkForwardParams
    params: WalkForwardParams
    ordered: ClassVar[bool] = True

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """Window by window.

        Raises:
            CorpusError: If groups have no times, or a window has nothing before it to learn from.
        """
        ordered, embargo = in_time(groups), embargo_of(self.params.embargo, groups)
        warmup, size = self.params.warmup, self.params.window
        if warmup >= len(ordered):
            raise CorpusError(
                f"{len(ordered)} groups leave nothing to test after a warm-up of {warmup}",
                where="split.warmup",
                hint=f"use at most {max(1, len(ordered) - 1)}",
            )
        known = [_window([each]) for each in ordered]
        for start in range(warmup, len(ordered), size):
            tested = ordered[start : start + size]
            window = _window(tested)
            late = [ordered[place] for place in range(start) if not is_before(known[place], window, embargo)]
            yield _fold(tested[0].id, tested, [*late, *ordered[start + size :]], len(ordered))


class CombinatorialParams(PartsParams):
    """The `split:` block of every choice of some parts in time."""

    held_out: int = Field(ge=1, description="parts that one fold tests")

    @model_validator(mode="after")
    def _some_part_is_left(self) -> CombinatorialParams:
        if self.held_out >= self.folds:
            raise ValueError("`held_out` must leave a part to learn from: use less than `folds`")
        return self


class CombinatorialPurged(Splitter):
    """Every choice of `held_out` out of `folds` parts in time; each part is held out by several folds.

    Groups whose labels overlap those of the parts are left out.
    """

    kind: ClassVar[str] = "combinatorial-purged"
    Params = CombinatorialParams
    params: CombinatorialParams
    repeats: ClassVar[bool] = True

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """Choice by choice.

        Raises:
            CorpusError: If groups have no times, are too few, or a fold has nothing left to learn from.
        """
        ordered, embargo = in_time(groups), embargo_of(self.params.embargo, groups)
        count, chosen = self.params.folds, self.params.held_out
        if count > len(ordered):
            raise CorpusError(
                f"{len(ordered)} groups cannot fill {count} parts",
                where="split.folds",
                hint=f"use at most {len(ordered)}",
            )
        if comb(count, chosen) > MOST_FOLDS:
            raise StudyError(
                f"{chosen} of {count} parts make {comb(count, chosen)} folds",
                where="split",
                hint=f"hold out fewer parts, or make fewer: at most {MOST_FOLDS} folds",
            )
        edges = [index * len(ordered) // count for index in range(count + 1)]
        parts = [ordered[low:high] for low, high in pairwise(edges)]
        width, alone = len(str(count - 1)), {each.id: _window([each]) for each in ordered}
        for numbers in combinations(range(count), chosen):
            windows = [_window(parts[number]) for number in numbers]
            tested = [each for number in numbers for each in parts[number]]
            rest = [each for number, part in enumerate(parts) if number not in numbers for each in part]
            near = [each for each in rest if not all(is_apart(alone[each.id], one, embargo) for one in windows)]
            yield _fold("+".join(f"part{number:0{width}d}" for number in numbers), tested, near, len(ordered))


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
            f"a split in time needs the time of every group, and {lacking[0]!r} has none",
            where="split.kind",
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


def _fold(name: str, test: Sequence[GroupRecord], left_out: Sequence[GroupRecord], groups: int) -> Fold:
    if len(test) + len(left_out) == groups:
        raise CorpusError(
            f"nothing is left to learn from in the fold {name!r}: every other group's labels reach into its window",
            where="split",
            hint="use a longer warm-up, fewer or shorter windows, or shorter groups",
        )
    tested, exceptions = (tuple(sorted(each.id for each in part)) for part in (test, left_out))
    return Fold(name, tested, exceptions=exceptions)
