"""Splitters that look at names and sizes of groups, or at a column that says where each belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapreplace
from typing import ClassVar

from pydantic import Field

from heldout.corpus import GroupRecord
from heldout.errors import CorpusError, near_miss
from heldout.split.fold import Fold, Reads
from heldout.split.splitter import Splitter
from heldout.study import SplitSpec

# What a column may call the parts of one fold; with any other value in it, each value is the name of a fold.
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


class LeaveOneGroupOut(Splitter):
    """Every group is held out once, by a fold of its name."""

    kind: ClassVar[str] = "leave-one-group-out"
    Params = SplitSpec

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """As many as there are groups."""
        for name in sorted(group.id for group in groups):
            yield Fold(name, (name,))


class PartsParams(SplitSpec):
    """The `split:` block of parts."""

    folds: int = Field(ge=2, description="number of parts")


class GroupKFold(Splitter):
    """Every group is held out once, in one of several parts of about equally many rows."""

    kind: ClassVar[str] = "group-k-fold"
    Params = PartsParams
    params: PartsParams

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """As many as there are parts."""
        check_count(self.params.folds, groups)
        ordered = sorted(groups, key=lambda group: (-group.samples, group.id))
        return named("part", _filled(ordered, self.params.folds))


class RepeatedParams(PartsParams):
    """The `split:` block of parts that are drawn several times."""

    times: int = Field(ge=2, le=1000, description="how often parts are drawn: each group is held out so often")
    seed: int = Field(0, ge=0, description="of the draws")


class Repeated(Splitter):
    """Parts as of group-k-fold, drawn several times; a group is held out once in each draw."""

    kind: ClassVar[str] = "repeated"
    Params = RepeatedParams
    params: RepeatedParams
    repeats: ClassVar[bool] = True

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """Draw by draw."""
        check_count(self.params.folds, groups)
        width = len(str(self.params.times - 1))
        for draw in range(self.params.times):

            def place(group: GroupRecord, draw: int = draw) -> bytes:
                # A digest draws alike with every version of every library; no generator promises that.
                return hashlib.sha256(f"{self.params.seed}\x00{draw}\x00{group.id}".encode()).digest()

            parts = _filled(sorted(groups, key=place), self.params.folds)
            yield from named(f"draw{draw:0{width}d}-part", parts)


class FixedParams(SplitSpec):
    """The `split:` block of one test set."""

    test: list[str] = Field(min_length=1, description="groups of the test set")


class Fixed(Splitter):
    """One fold, whose test set the study names."""

    kind: ClassVar[str] = "fixed"
    Params = FixedParams
    params: FixedParams

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """The fold `test`."""
        test, known = set(self.params.test), {group.id for group in groups}
        if test - known:
            unknown = min(test - known)
            raise CorpusError(
                f"the corpus has no group {unknown!r}", where="split.test", hint=near_miss(unknown, known, "its groups")
            )
        if test == known:
            raise CorpusError(
                f"{len(known)} groups cannot be split: all of them are tested, and none is left to learn from",
                where="split.test",
                hint="leave some groups out of the test set",
            )
        yield Fold("test", tuple(sorted(test)))


class DeclaredParams(SplitSpec):
    """The `split:` block of a column that says where each row belongs."""

    column: str = Field(min_length=1, description="holds train, val and test, or the fold that tests the row")


class Declared(Splitter):
    """Folds that a column of the table names; that column is no feature.

    Where it holds nothing but train, val and test, there is one fold, and `val` reaches the trainer and no verdict.
    """

    kind: ClassVar[str] = "declared"
    Params = DeclaredParams
    params: DeclaredParams
    reads: ClassVar[Reads | None] = "column"

    @property
    def column(self) -> str:
        """As the study names it."""
        return self.params.column

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """By name; or the fold `test`."""
        parts: dict[str, list[str]] = {}
        for group in sorted(groups, key=lambda each: each.id):
            if len(group.levels) != 1:
                raise CorpusError(
                    f"the group {group.id!r} stands in two parts: {' and '.join(map(repr, group.levels[:2]))}",
                    where="split.column",
                    hint="write one part into all rows of a group, or name a finer group column",
                    code="HO-G001",
                )
            parts.setdefault(group.levels[0], []).append(group.id)
        if all(name.strip().lower() in _PARTS for name in parts):
            yield self._one(parts)
            return
        strange = [name for name in parts if name.strip().lower() not in _PARTS]
        if any(_PARTS.get(name.strip().lower()) == "train" for name in parts):
            raise self._lacking(f"names parts, and {strange[0]!r} beside them")
        if len(parts) < 2:
            raise self._lacking(f"holds nothing but {next(iter(parts), '')!r}")
        for name in sorted(parts):
            yield Fold(name, tuple(parts[name]))

    def _one(self, parts: dict[str, list[str]]) -> Fold:
        found: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        for name, groups in parts.items():
            found[_PARTS[name.strip().lower()]] += groups
        if not found["train"] or not found["test"]:
            raise self._lacking(f"names no group for {'test' if found['train'] else 'train'}")
        return Fold("test", tuple(sorted(found["test"])), val=tuple(sorted(found["val"])))

    def _lacking(self, what: str) -> CorpusError:
        hint = "write train, val and test, or at least two names of folds"
        return CorpusError(f"the column {self.column!r} {what}", where="split.column", hint=hint)


def check_count(folds: int, groups: Sequence[GroupRecord]) -> None:
    """Refuse more folds than there are groups.

    Raises:
        CorpusError: Whose place is the number of folds.
    """
    if folds > len(groups):
        raise CorpusError(
            f"{len(groups)} groups cannot fill {folds} folds", where="split.folds", hint=f"use at most {len(groups)}"
        )


def named(prefix: str, parts: Sequence[Iterable[str]]) -> Iterator[Fold]:
    """A fold for each part, numbered."""
    width = len(str(len(parts) - 1))
    for number, part in enumerate(parts):
        yield Fold(f"{prefix}{number:0{width}d}", tuple(sorted(part)))


def _filled(ordered: Iterable[GroupRecord], folds: int) -> list[list[str]]:
    """Each group, in this order, into the part that is smallest so far: none exceeds another by more than a group."""
    parts: list[list[str]] = [[] for _ in range(folds)]
    smallest_first = [(0, 0, index) for index in range(folds)]  # samples, groups, number of the part
    for group in ordered:
        samples, count, index = smallest_first[0]
        heapreplace(smallest_first, (samples + group.samples, count + 1, index))
        parts[index].append(group.id)
    return parts
