"""HO-G014: rows that were copied inside a group.

A copy counts twice in every metric, and thirty copies of an easy row make a group easy. Coarse tables repeat rows by
chance, so repeats are compared with how often rows that differ are equal in single columns.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.guards.levels import Codes, group_codes
from heldout.corpus.manifest import column_words
from heldout.corpus.model import Corpus

_CHANCE = 1e-6
_AT_LEAST = 3
_BLOCKS = 0.2


def check_copies(corpus: Corpus) -> GuardResult:
    """Look for rows that are equal in every feature and in the target, inside one group."""
    groups = group_codes(corpus)
    columns = [column_words(each) for each in (*corpus.features.get_columns(), pl.Series(corpus.targets("guard")))]
    rows = np.zeros(len(corpus.groups), np.uint64)
    for number, words in enumerate([groups.astype(np.uint64), *columns]):
        rows = (rows ^ (words + np.uint64(number))) * np.uint64(0x9E3779B97F4A7C15)
        rows = (rows ^ (rows >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    _, first, of_row, counts = np.unique(rows, return_index=True, return_inverse=True, return_counts=True)
    extra = int((counts - 1).sum())
    if extra < _AT_LEAST:
        return GuardResult("HO-G014")
    from scipy.special import pdtrc  # the tail of scipy.stats.poisson, imported in a tenth of the time

    pairs = int((counts * (counts - 1) // 2).sum())
    expected = _expected(columns, groups, first, len(rows))
    if expected >= pairs or pdtrc(pairs - 1, expected) > _CHANCE:
        return GuardResult("HO-G014")
    return GuardResult("HO-G014", (_finding(corpus, groups, of_row.reshape(-1), counts, extra),))


def _expected(columns: list[NDArray[np.uint64]], groups: Codes, first: Codes, total: int) -> float:
    """Pairs of equal rows that chance gives: from how often two different rows of a group are equal in one column.

    Columns depend on each other, so the chances are multiplied by their roots only.
    """
    kept = np.sort(first)
    inside = groups[kept]
    sizes = np.bincount(inside)
    possible = float((sizes * (sizes - 1) / 2).sum())
    if possible <= 0:
        return 0.0
    chance = 1.0
    for words in columns:
        cells = np.unique(np.column_stack([inside.astype(np.uint64), words[kept]]), axis=0, return_counts=True)[1]
        equal = float((cells * (cells - 1) / 2).sum())
        chance *= np.sqrt(max(equal, 0.5) / possible)
    everything = np.bincount(groups)
    return float((everything * (everything - 1) / 2).sum() * min(1.0, chance))


def _finding(corpus: Corpus, groups: Codes, of_row: Codes, counts: Codes, extra: int) -> Finding:
    copies = 1 - 1 / counts[of_row]  # of each row: which part of it is a copy
    by_group = np.bincount(groups, copies)
    names = corpus.groups.unique().sort()
    worst, sizes = int(by_group.argmax()), np.bincount(groups)
    share, most = extra / len(groups), int(counts.max())
    return Finding(
        "HO-G014",
        blocking=share >= _BLOCKS and most >= _AT_LEAST,
        what=f"{extra} rows ({share:.0%}) are copies of other rows of their group, one is there {most} times; "
        f"of the group {names[worst]!r} {by_group[worst] / sizes[worst]:.0%} are copies",
        where=f"group {names[worst]}",
        hint="keep each row once: copies count in every metric, and outweigh the rows that differ",
    )
