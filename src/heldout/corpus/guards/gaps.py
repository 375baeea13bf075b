"""How guards look at features with missing values.

Guards over whole rows see each gap as a value of its own: numbers get the middle of their column, words a level, and a
column of truth values says where the gaps were, for a gap may tell the target as well as any value. Guards over single
columns look besides at the rows in which the column has a value, so that a leak with a few gaps is none the less one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.guards.finding import GuardResult
from heldout.corpus.model import Corpus
from heldout.corpus.truth import Known

_LEAST = 2  # rows or groups, below which there is nothing to compare
_LEVEL = "\x00missing"


def without_gaps(corpus: Corpus) -> Corpus:
    """The corpus with its gaps as values, and a column more for each feature that has some."""
    gaps = [column for column in corpus.features.get_columns() if column.has_nulls()]
    if not gaps:
        return corpus
    filled = [_filled(column) for column in gaps]
    flags = [
        column.is_null().alias(f"{column.name} (missing or not)")
        for column in gaps
        if column.null_count() < len(column)
    ]
    return replace(corpus, features=corpus.features.with_columns([*filled, *flags]))


def each_column(guard: Callable[[Corpus], GuardResult], gapped: Corpus, whole: Corpus) -> GuardResult:
    """What a guard over single columns finds: in all rows, and for a column with gaps in those where it has a value.

    Args:
        guard: Says of each column by itself what it finds.
        gapped: The corpus as it is.
        whole: The same without gaps.
    """
    result = guard(whole)
    known, findings = {finding.where for finding in result.findings}, list(result.findings)
    for column in gapped.features.get_columns():
        rows = np.flatnonzero(column.is_not_null().to_numpy())
        if not column.has_nulls() or len(rows) < _LEAST or gapped.groups.gather(rows).n_unique() < _LEAST:
            continue
        found = guard(_part(gapped, column.name, rows)).findings
        findings += [finding for finding in found if finding.where not in known]
    return replace(result, findings=tuple(findings))


def _filled(column: pl.Series) -> pl.Series:
    if column.dtype.is_numeric():
        middle = column.cast(pl.Float64).median()
        return column.cast(pl.Float64).fill_null(0.0 if middle is None else middle)
    if column.dtype == pl.Boolean:
        return column.fill_null(value=False)
    return column.cast(pl.String).fill_null(_LEVEL)


def _part(corpus: Corpus, name: str, rows: NDArray[np.int64]) -> Corpus:
    """One column of some rows."""
    return replace(
        corpus,
        ids=corpus.ids.gather(rows),
        groups=corpus.groups.gather(rows),
        cells=None,
        time=None,
        prints=None,
        aside=None,
        features=corpus.features.select(name)[rows],
        weight=None,
        truth=Known(corpus.targets("guard", rows)),
    )
