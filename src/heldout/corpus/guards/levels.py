"""What the levels of a column say of the target in *other* groups: the measure that the guards over columns share.

The target is taken as ranks (a regression) or as one column a class, without its groups' means, so that neither an
outlier nor a group that lies high counts as a level's doing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.model import Corpus

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
_MOST_CLASSES = 8
_SCREENED = 10_000
_PERMUTATIONS = 20


@dataclass(frozen=True)
class Answers:
    """Groups and the target of all rows, or of some.

    Attributes:
        groups: Group of each row, from 0.
        columns: Ranks of a regression's target; of a classification, a column for each of the most frequent classes;
            standardised, ``[rows, columns]``.
    """

    groups: Codes
    columns: Floats

    @classmethod
    def of(cls, corpus: Corpus) -> Answers:
        """Those of a corpus."""
        target = corpus.targets("guard")
        if corpus.task == "regression":
            table = pl.Series(target).rank("average").to_numpy().astype(np.float64)[:, None]
        else:
            classes, counts = np.unique(target, return_counts=True)
            table = np.equal.outer(target, classes[np.argsort(-counts, kind="stable")][:_MOST_CLASSES]).astype(float)
        table = table - table.mean(axis=0)
        return cls(group_codes(corpus), table / max(float(np.sqrt((table**2).sum() / len(table))), 1e-300))

    def take(self, rows: NDArray[np.int64]) -> Answers:
        """Those of some rows, the groups numbered as before."""
        return Answers(self.groups[rows], self.columns[rows])

    @cached_property
    def number(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1

    @cached_property
    def within(self) -> Floats:
        """The columns without their groups' means."""
        return without_means(self.columns, self.groups)


class Carried(NamedTuple):
    """What the levels of a column carry of the target.

    Attributes:
        share: Part of the target's spread that a level has in one group and in the others alike: 0 where levels say
            nothing, 1 where a level's answer is always the same.
        sure: ``share`` in units of its spread when answers are shuffled.
        rows: Share of the rows whose level has rows in other groups too.
        levels: How many levels there are.
        evenness: 0 where each level stands in each group equally often, 1 where levels are drawn at random, more where
            a level belongs to few groups.
        nested: Whether groups have one level each: the column is coarser than the groups.
    """

    share: float
    sure: float
    rows: float
    levels: int
    evenness: float
    nested: bool


def codes_of(column: pl.Series) -> Codes:
    """Integers from 0, ascending by value, gaps before all; texts that are numbers ascend by number."""
    if not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        column = column.cast(pl.String, strict=False)
        numbers = column.cast(pl.Float64, strict=False)
        column = column if numbers.is_null().any() else numbers
    ranks: Codes = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    codes: Codes = ranks - ranks.min()
    return codes


def _ranked(column: pl.Series) -> Codes:
    ranks: Codes = column.rank("dense").to_numpy().astype(np.int64)
    return ranks - 1


def group_codes(corpus: Corpus) -> Codes:
    """The group of each row, numbered from 0 in the order of the groups' names."""
    return _ranked(corpus.groups)


def may_repeat(column: pl.Series) -> bool:
    """Whether some value is there twice, by a sample of the rows: a column of measurements is dismissed quickly."""
    few = column.gather_every(max(1, len(column) // _SCREENED))
    plain = not (column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary))
    return plain and not few.is_null().all() and few.n_unique() < len(few)


def without_means(table: Floats, groups: Codes) -> Floats:
    """A table without the means of its groups."""
    counts = np.maximum(1, np.bincount(groups))
    means = np.column_stack([np.bincount(groups, each) / counts for each in table.T])
    result: Floats = table - means[groups]
    return result


def carried(levels: Codes, answers: Answers) -> Carried:
    """Measure one column; see :class:`Carried`."""
    cells = _Cells.of(levels, answers.groups, answers.number)
    per_group = np.bincount(cells.group, minlength=answers.number)
    nested = bool((per_group == 1).mean() > 0.9)
    table = answers.columns if nested else answers.within
    share, rows = cells.share(table), cells.straddling()
    sure = 0.0
    if share > 0.1 and rows > 0.1:
        rng = np.random.Generator(np.random.Philox(key=np.array([10, 0], dtype=np.uint64)))
        shuffled = [cells.shuffled(table, rng, nested=nested) for _ in range(_PERMUTATIONS)]
        sure = (share - float(np.mean(shuffled))) / max(float(np.std(shuffled)), 1e-3)
    return Carried(share, sure, rows, int(levels.max()) + 1, cells.evenness(), nested)


class _Cells(NamedTuple):
    """Every pair of a level and a group that has rows: level, group and rows ``[cells]``, and the cell of each row."""

    level: Codes
    group: Codes
    counts: Codes
    of_row: Codes

    @classmethod
    def of(cls, levels: Codes, groups: Codes, number: int) -> _Cells:
        pairs, of_row, counts = np.unique(levels * number + groups, return_inverse=True, return_counts=True)
        return cls(pairs // number, pairs % number, counts, of_row.reshape(-1))

    def share(self, table: Floats) -> float:
        """Covariance of a row with the mean of its level in other groups, in units of the target's spread.

        Its mean is the part of the variance that levels carry, however few rows a level has.
        """
        others = np.bincount(self.level, self.counts)[self.level] - self.counts
        used = others > 0
        together = spread = 0.0
        for column in table.T:
            sums = np.bincount(self.of_row, column, len(self.counts))
            rest = np.bincount(self.level, sums)[self.level] - sums
            together += float((sums[used] * rest[used] / others[used]).sum())
            spread += float(np.bincount(self.of_row, column**2, len(self.counts))[used].sum())
        return together / spread if spread > 0 else 0.0

    def straddling(self) -> float:
        """Share of the rows whose level stands in another group too."""
        several = np.bincount(self.level) > 1
        return float(self.counts[several[self.level]].sum() / self.counts.sum())

    def evenness(self) -> float:
        """Chi square of the table of levels and groups over its degrees of freedom."""
        total = self.counts.sum()
        rows, columns = np.bincount(self.level, self.counts), np.bincount(self.group, self.counts)
        freedom = max(1, (len(rows) - 1) * (np.count_nonzero(columns) - 1))
        expected = rows[self.level] * columns[self.group] / total
        return float(((self.counts**2 / expected).sum() - total) / freedom)

    def shuffled(self, table: Floats, rng: np.random.Generator, *, nested: bool) -> float:
        """The share when answers are dealt anew inside each group, or groups among the levels."""
        if nested:
            return self._replace(level=rng.permutation(self.level)).share(table)
        group = self.group[self.of_row]
        order, dealt = np.argsort(group, kind="stable"), np.lexsort((rng.random(len(group)), group))
        moved = np.empty_like(table)
        moved[order] = table[dealt]
        return self.share(moved)


def matrix_of(frame: pl.DataFrame) -> Floats:
    """Numeric columns, and words of few values as one column each, standardised ``[rows, columns]``."""
    parts: list[Any] = []
    for column in frame.get_columns():
        if column.dtype.is_numeric() or column.dtype == pl.Boolean:
            parts.append(column.cast(pl.Float64).fill_null(0.0).to_numpy())
        elif not column.dtype.is_nested() and column.n_unique() <= _MOST_CLASSES:
            parts += [(column == level).fill_null(value=False).to_numpy() for level in column.unique().sort()]
    table = np.column_stack(parts).astype(np.float64) if parts else np.empty((frame.height, 0))
    spread = table.std(axis=0)
    result: Floats = (table - table.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    return result
