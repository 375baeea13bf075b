"""The part of HO-G003 that looks beyond grids: the same rows measured again, with noise up to a tenth of the spread.

Two samples of one population are as near to each other as each is to itself. So of each row of a group the nearest row
of another group is compared with the nearest one of its own: where the other is nearer for nearly all rows, the other
group is no new sample. If most groups have such a partner, the same things were measured in each by design (every rater
saw the same pictures), which HO-G010 looks at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.corpus.guards.levels import Codes, Floats

_ROWS = 10
_CHANCE = {True: 1e-8, False: 1e-5}
_BEYOND = {True: 0.3, False: 0.2}
_DIMENSIONS = 6
_ASKED, _PER_GROUP = 8_000, 100
# Of a row's rows near it, one that is so much farther than the nearest will do.
_NEAR = 0.5
_NEIGHBOURS, _OTHERS = 6, 2000
_PARTNERS, _MOSTLY = 0.5, 0.3


class Again(NamedTuple):
    """Two groups, the share of rows that are nearer to the other group than to their own, and whether that blocks."""

    share: float
    first: int
    second: int
    blocking: bool


def measured_again(numbers: Floats, groups: Codes, skip: set[tuple[int, int]]) -> list[Again]:
    """Pairs of groups that are one, up to noise.

    Args:
        numbers: Standardised columns, the target among them.
        groups: Group of each row, from 0.
        skip: Pairs that are named already.
    """
    number = int(groups.max()) + 1
    points = _projected(numbers)
    if points.shape[1] < 2 or number < 2:
        return []
    order = np.argsort(groups, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    asked = _asked(rows)
    candidates = [pair for pair in _candidates(points, groups, rows, asked) if (min(pair), max(pair)) not in skip]
    found: dict[tuple[int, int], Again] = {}
    for one, other in candidates:
        again = _compare(points, rows, one, other, len(candidates))
        key = min(one, other), max(one, other)
        if again is not None and (key not in found or again.share > found[key].share):
            found[key] = again
    involved = {each for pair in found for each in pair}
    by_design = len(involved) > _PARTNERS * number and number > 3
    return [again._replace(blocking=again.blocking and not by_design) for again in found.values()]


def _projected(numbers: Floats) -> Floats:
    """Columns without spread left out; many columns as eight random sums, in which near rows stay near."""
    numbers = np.clip(np.nan_to_num(numbers), -10, 10)
    numbers = numbers[:, numbers.std(axis=0) > 0]
    if numbers.shape[1] <= _DIMENSIONS:
        return numbers
    rng = np.random.Generator(np.random.Philox(key=np.array([3, 1], dtype=np.uint64)))
    turned: NDArray[np.float64] = numbers @ rng.normal(size=(numbers.shape[1], _DIMENSIONS))
    scaled: Floats = turned / np.sqrt(numbers.shape[1])
    return scaled


def _asked(rows: list[Codes]) -> list[int]:
    """Groups that are asked: all, or of very many an even choice."""
    sizes = np.minimum([len(each) for each in rows], _PER_GROUP)
    most = max(2, int(_ASKED / max(1.0, float(sizes.mean()))))
    return [int(each) for each in np.linspace(0, len(rows) - 1, min(most, len(rows)))]


def _tree(points: Floats) -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(points)


def _by_chance(nearer: int, told: int, expected: float) -> float:
    """How likely so many of the rows that were told, or more, lie nearer by chance."""
    from scipy.special import bdtrc  # the tail of scipy.stats.binom, imported in a tenth of the time

    return float(bdtrc(nearer - 1, told, expected))


def _few(rows: Codes) -> Codes:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _PER_GROUP)).astype(np.int64)]


def _candidates(points: Floats, groups: Codes, rows: list[Codes], asked: list[int]) -> Iterator[tuple[int, int]]:
    """Each group with the one that has the nearest rows of most of its rows."""
    tree = _tree(points)
    for one in asked:
        few = _few(rows[one])
        if len(few) < _ROWS:
            continue
        near = groups[np.atleast_2d(tree.query(points[few], k=min(_NEIGHBOURS, len(points)), eps=_NEAR)[1])]
        foreign = near != one
        first = near[np.arange(len(few)), foreign.argmax(axis=1)][foreign.any(axis=1)]
        if len(first) * 2 >= len(few):
            counts = np.bincount(first)
            if counts.max() >= _MOSTLY * len(few):
                yield one, int(counts.argmax())


def _special(points: Floats, rows: list[Codes], few: Codes, across: Floats, one: int, other: int) -> bool:
    """Whether the rows lie nearer to this group than to all others: else each group has measured the same things."""
    rest = [each for number, each in enumerate(rows) if number not in (one, other)]
    if not rest:
        return True
    others = np.concatenate(rest)
    # A sample is as good: what chance gives follows from how many are compared.
    others = others[np.linspace(0, len(others) - 1, min(len(others), _OTHERS)).astype(np.int64)]
    away = _tree(points[others]).query(points[few])[0]
    nearer, told = int((across < away).sum()), int((across != away).sum())
    expected = len(rows[other]) / (len(rows[other]) + len(others))
    beyond = nearer / max(1, told) - expected >= min(_BEYOND[False], (1 - expected) / 2)
    return beyond and _by_chance(nearer, told, expected) <= 1e-4


def _compare(points: Floats, rows: list[Codes], one: int, other: int, tests: int) -> Again | None:
    """Whether the rows of one group lie nearer to the other group than to their own."""
    mine, theirs = rows[one], rows[other]
    if len(theirs) < _ROWS:
        return None
    few = _few(mine)
    inside = _tree(points[mine]).query(points[few], k=2)[0][:, 1]
    across = _tree(points[theirs]).query(points[few])[0]
    nearer, told = int((across < inside).sum()), int((across != inside).sum())
    expected = len(theirs) / (len(theirs) + len(mine) - 1)
    if told < _ROWS or not _special(points, rows, few, across, one, other):
        return None
    share, chance = nearer / told, _by_chance(nearer, told, expected) * max(1, tests)
    for blocking in (True, False):
        if share - expected >= _BEYOND[blocking] and chance <= _CHANCE[blocking]:
            return Again(share, one, other, blocking)
    return None
