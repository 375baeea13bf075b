"""HO-G003: rows of one group that lie in another too, up to rounding, or media that look the same.

Rows are put on grids of three widths, from a hundredth of a column's spread down; two rows in one cell of a grid are
near-duplicates on it. Noise of ``e`` spreads in each of ``d`` columns parts about ``d * e / width`` of the copies, so
that the widest grid still finds most of them at ``d * e = 0.005``, in any order, and the narrow ones tell rows apart
that the wide one cannot. The target counts as a column: the same stimulus shown to two subjects is no copy.

Coarse tables repeat rows by chance. How often is estimated by Good and Turing: of the rows of a group, the share whose
cell holds another row of that group is the chance that a new row falls into a cell that the group has. Only groups that
share more than that, by a Chernoff bound, are near-duplicates (Good 1953, doi:10.1093/biomet/40.3-4.237).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.guards.again import measured_again
from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.guards.levels import group_codes
from heldout.corpus.guards.prints import shared_prints
from heldout.corpus.manifest import column_words
from heldout.corpus.model import Corpus

# The widest twice: copies that the lines of one grid part by bad luck lie in one cell of the other.
_WIDTHS = (1e-2, 1e-2, 1e-4, 1e-7)
_AT_LEAST, _CHANCE = 3, 1e-6
# A cell that many groups share links each group to this many next ones: their number stays linear in the rows.
_NEIGHBOURS = 8
_LARGEST = 2.0**62

Words = NDArray[np.uint64]


class Pair(NamedTuple):
    """Two groups, and the share of the one that is more like the other."""

    share: float
    first: str
    second: str
    how: str


def check_near(corpus: Corpus, shared_rows: float) -> GuardResult:
    """Look at the media's perceptual hashes where the corpus has them, and at the rows."""
    if shared_rows >= 1:
        return GuardResult("HO-G003", not_applicable="the study lets groups share all their rows (split.shared_rows)")
    twins = _twins(corpus)
    found: dict[tuple[str, str], Pair] = {}
    for pair in sorted([*_like_media(corpus, shared_rows), *_like_rows(corpus, shared_rows)]):
        if (pair.first, pair.second) not in twins:
            found[pair.first, pair.second] = pair
    findings = [] if not found else [_finding([*found.values()], blocking=True)]
    again = _again(corpus, {*twins, *found})
    for blocking in (True, False):
        pairs = [pair for pair, blocks in again if blocks is blocking]
        findings += [_finding(pairs, blocking=blocking)] if pairs else []
    return GuardResult("HO-G003", tuple(findings))


def _again(corpus: Corpus, named: set[tuple[str, str]]) -> list[tuple[Pair, bool]]:
    """Pairs of groups that were measured again with noise, and whether each blocks."""
    names = corpus.groups.unique().sort().to_list()
    place = {name: number for number, name in enumerate(names)}
    skip = {(place[one], place[other]) for one, other in named}
    groups = group_codes(corpus)
    numbers, words = _columns(corpus)
    found = measured_again(np.column_stack([numbers, _apart(words, groups)]), groups, skip)
    how = "rows, nearer to those of the other group than to any of their own"
    pairs = [(sorted((names[each.first], names[each.second])), each) for each in found]
    return [(Pair(each.share, first, second, how), each.blocking) for (first, second), each in pairs]


def _apart(words: Words, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Words as numbers that lie far apart ``[rows, columns]``, but for those that only name the group once more."""
    numbers = int(groups.max()) + 1
    kept = [each for each in words.T if len(np.unique(each)) < 0.9 * numbers or _moves(each, groups)]
    scattered = [(each * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(11)).astype(np.float64) / 2.0**53 for each in kept]
    return np.column_stack(scattered) * 20 - 10 if kept else np.empty((len(groups), 0))


def _moves(words: NDArray[np.uint64], groups: NDArray[np.int64]) -> bool:
    """Whether some group has two of the words."""
    order = np.argsort(groups, kind="stable")
    same = np.diff(groups[order]) == 0
    return bool((words[order][1:] != words[order][:-1])[same].any())


def _finding(pairs: list[Pair], *, blocking: bool) -> Finding:
    pairs = sorted(pairs, key=lambda pair: (-pair.share, pair.first, pair.second))
    worst = pairs[0]
    more = f", and {len(pairs) - 1} more pairs of groups share theirs" if len(pairs) > 1 else ""
    return Finding(
        "HO-G003",
        blocking=blocking,
        what=f"the groups {worst.first} and {worst.second} share {worst.share:.0%} of their {worst.how}{more}",
        where=f"{worst.first}, {worst.second}",
        hint="give copies one group, or keep one of them; if groups may share rows, say how many in split.shared_rows",
    )


def _twins(corpus: Corpus) -> set[tuple[str, str]]:
    """Pairs of one content; HO-G002 names those."""
    by_digest: dict[str, list[str]] = {}
    for group in corpus.manifest.groups:
        by_digest.setdefault(group.content, []).append(group.id)
    return {(one, other) for names in by_digest.values() for one in names for other in names if one < other}


def _like_media(corpus: Corpus, shared_rows: float) -> list[Pair]:
    if corpus.prints is None:
        return []
    shares = shared_prints(corpus.prints, at_least=_AT_LEAST)
    how = "frames, by perceptual hash"
    return [Pair(share, one, other, how) for (one, other), share in shares.items() if share > shared_rows]


def _like_rows(corpus: Corpus, shared_rows: float) -> list[Pair]:
    names = corpus.groups.unique().sort().to_list()
    groups = group_codes(corpus)
    numbers, words = _columns(corpus)
    generator = np.random.Generator(np.random.Philox(key=np.array([3, 0], dtype=np.uint64)))
    factors = generator.integers(0, 2**63, numbers.shape[1] + words.shape[1], dtype=np.uint64) * np.uint64(
        2
    ) + np.uint64(1)
    fixed = words @ factors[numbers.shape[1] :]
    pairs = []
    for width in _WIDTHS:
        shifts: NDArray[np.float64] = generator.random((numbers.shape[1],))
        keys = fixed + _cells(numbers, width, shifts) @ factors[: numbers.shape[1]]
        how = f"rows, up to {width:.0e} of a column's spread"
        pairs += [
            Pair(share, names[first], names[second], how)
            for first, second, share in _beyond_chance(keys, groups, shared_rows)
        ]
    return pairs


def _columns(corpus: Corpus) -> tuple[NDArray[np.float64], Words]:
    """Numbers centred and in units of their spread, float64 ``[rows, n]``; everything else as words ``[rows, m]``."""
    columns = [*corpus.features.get_columns(), pl.Series("target", corpus.targets("guard"))]
    numeric = [column.cast(pl.Float64).to_numpy() for column in columns if column.dtype.is_numeric()]
    others = [column_words(column) for column in columns if not column.dtype.is_numeric()]
    rows = len(corpus.groups)
    numbers = np.column_stack(numeric) if numeric else np.empty((rows, 0))
    low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75], axis=0)
    deviation = numbers.std(axis=0)
    spread = np.where(high > low, np.minimum((high - low) / 1.349, deviation), deviation)
    scaled: NDArray[np.float64] = (numbers - middle) / np.where(spread > 0, spread, 1.0)
    return scaled, np.column_stack(others) if others else np.empty((rows, 0), dtype=np.uint64)


def _cells(numbers: NDArray[np.float64], width: float, shifts: NDArray[np.float64]) -> Words:
    """Cell of each number on a shifted grid: round numbers, which are common, do not lie on its lines."""
    cells = np.floor(numbers / width + shifts)
    return np.clip(cells, -_LARGEST, _LARGEST).astype(np.int64).view(np.uint64)


def _beyond_chance(keys: Words, groups: NDArray[np.int64], shared_rows: float) -> list[tuple[int, int, float]]:
    """Pairs of groups that share more of their cells than was declared, and than chance explains."""
    sizes = np.bincount(groups)
    order = np.lexsort((groups, keys))
    keys, groups = keys[order], groups[order]
    starts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]) | (groups[1:] != groups[:-1])])
    keys, groups, counts = keys[starts], groups[starts], np.diff(np.r_[starts, len(keys)])
    alone = np.bincount(groups, weights=counts == 1, minlength=len(sizes))
    chance = np.minimum(1.0, 1.0 - alone / sizes + _AT_LEAST / sizes.sum())
    first, second, rows = _matches(keys, groups, counts, len(sizes))
    pairs = len(sizes) * (len(sizes) - 1) / 2
    found = []
    for one, other, matched in zip(first, second, rows, strict=True):
        shares = matched / sizes[[one, other]]
        side = int(shares.argmax())
        share, size = float(shares[side]), int(sizes[[one, other]][side])
        expected = float(max(chance[one], chance[other]))
        enough = share > shared_rows and matched[side] >= _AT_LEAST and share > expected
        if enough and -size * _divergence(share, expected) <= np.log(_CHANCE / pairs):
            found.append((int(one), int(other), share))
    return found


def _matches(
    keys: Words, groups: NDArray[np.int64], counts: NDArray[np.int64], number: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For pairs of groups with cells in common: both groups, and how many rows of either lie there ``[pairs, 2]``."""
    codes, rows = [], []
    for step in range(1, min(_NEIGHBOURS, number)):
        same = np.flatnonzero(keys[step:] == keys[:-step])
        codes.append(groups[same] * number + groups[same + step])
        rows.append(np.column_stack([counts[same], counts[same + step]]))
    if not codes:
        return (np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2), np.int64))
    pairs, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    both = np.concatenate(rows)
    sums = np.column_stack([np.bincount(inverse, both[:, side], len(pairs)) for side in (0, 1)]).astype(np.int64)
    return pairs // number, pairs % number, sums


def _divergence(share: float, expected: float) -> float:
    """Kullback and Leibler's divergence of two coins, in nats: the exponent of Chernoff's bound."""
    if expected >= 1:
        return 0.0
    rest = (1 - share) * np.log((1 - share) / (1 - expected)) if share < 1 else 0.0
    return float(share * np.log(share / expected) + rest)
