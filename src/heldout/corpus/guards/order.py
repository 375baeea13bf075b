"""HO-G012: a feature that says where in the file a row stood.

A counter is no measurement. In a file that is sorted by the target, with its groups interleaved, it tells the answer of
a held-out row by those of its neighbours, which train.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.guards.levels import Answers, Codes, Floats
from heldout.corpus.model import Corpus

_ROWS = 20
# Neighbours in the file whose answers are alike to this degree give the answer away.
_BLOCKS, _SURE = 0.5, 6.0
_RISING = 0.9999


def check_order(corpus: Corpus) -> GuardResult:
    """Look for features that count the rows, or that only rise or fall from the first row to the last."""
    if len(corpus.groups) < _ROWS:
        return GuardResult("HO-G012", not_applicable=f"the corpus has fewer than {_ROWS} rows")
    answers = Answers.of(corpus)
    findings = []
    for column in corpus.features.get_columns():
        if column.dtype.is_numeric() or column.dtype.is_temporal():
            physical = column.to_physical() if column.dtype.is_temporal() else column
            found = _examine(column.name, physical.cast(pl.Float64).fill_null(0.0).to_numpy(), answers)
            findings += [] if found is None else [found]
    return GuardResult("HO-G012", tuple(findings))


def _examine(name: str, values: Floats, answers: Answers) -> Finding | None:
    steps = np.diff(values)
    rising = max(float((steps > 0).mean()), float((steps < 0).mean())) >= _RISING
    order = np.arange(len(values)) if rising else np.argsort(values, kind="stable")
    counts = _counts(values[order])
    if not rising and not counts:
        return None
    alike, sure = _alike_neighbours(order, answers)
    blocking = counts and _from_start(values[order]) and alike >= _BLOCKS and sure >= _SURE
    kind = "counts the rows" if counts else "only rises or falls from the first row of the file to the last"
    more = f", and neighbours of different groups in this order have answers that correlate at {alike:.2f}"
    return Finding(
        "HO-G012",
        blocking=blocking,
        what=f"the feature {name!r} {kind}{more if sure >= _SURE and alike >= 0.1 else ''}",
        where=f"column {name}",
        hint="remove it, or name it in `ignore`: where a row stood in a file is nothing that a new row has",
    )


def _counts(ordered: Floats) -> bool:
    """Whether the values are evenly spaced, one a row, up to rows that were left out: at most a fifth of them."""
    steps = np.abs(np.diff(ordered))
    unit = float(np.median(steps))
    if unit <= 0:
        return False
    whole = steps / unit
    return bool(
        (np.abs(whole - np.round(whole)) < 1e-6).all() and whole.min() > 0.5 and whole.sum() <= 1.25 * len(whole)
    )


def _from_start(ordered: Floats) -> bool:
    """Whether the count begins at nothing: years and dates are evenly spaced too, and begin far from there."""
    unit = float(np.median(np.abs(np.diff(ordered))))
    return bool(0 <= float(ordered.min()) <= unit * max(2.0, 0.25 * len(ordered)))


def _alike_neighbours(order: Codes, answers: Answers) -> tuple[float, float]:
    """Correlation of the answers of neighbours of different groups, and the same in units of its spread by chance."""
    groups, table = answers.groups[order], answers.columns[order]
    apart = groups[1:] != groups[:-1]
    pairs = int(apart.sum())
    if pairs < max(_ROWS // 2, len(order) // 20):
        return 0.0, 0.0
    first, second = table[:-1][apart], table[1:][apart]
    alike = float((first * second).sum() / max(1e-300, np.sqrt((first**2).sum() * (second**2).sum())))
    return alike, alike * float(np.sqrt(pairs))
