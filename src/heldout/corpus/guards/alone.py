"""HO-G013: one feature that orders the target nearly alone. Reported: physics has such features, and so has a leak."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.guards.levels import Answers, Codes, Floats, carried, codes_of, may_repeat
from heldout.corpus.model import Corpus
from heldout.corpus.perturb import thinned

_ALONE, _IN_PIECES = 0.995, 0.98
_ROWS, _CLASS = 30, 10
_MOST = 50_000


def check_alone(corpus: Corpus) -> GuardResult:
    """Ask how well each feature orders the target: over all rows, inside groups, and in pieces."""
    rows = thinned(corpus.groups, max(1, _MOST // len(corpus.manifest.groups)))
    if len(rows) < _ROWS or len(np.unique(corpus.targets("guard", rows))) < 2:
        return GuardResult("HO-G013", not_applicable=f"fewer than {_ROWS} rows, or one target")
    answers = Answers.of(corpus).take(rows)
    target, groups = corpus.targets("guard", rows), answers.groups
    ordered = _regression if corpus.task == "regression" else _classification
    findings = []
    for every in corpus.features.get_columns():
        column = every.gather(rows)
        numbers = column.cast(pl.Float64).to_numpy() if column.dtype.is_numeric() else None
        words = None if numbers is None else ordered(numbers, target, groups)
        words = words or _levels(column, answers)
        if words is not None:
            findings.append(_finding(column.name, words))
    return GuardResult("HO-G013", tuple(findings))


def _regression(values: Floats, target: NDArray[Any], groups: Codes) -> str | None:
    """In words, how the feature orders the target."""
    x, y = _ranks(values), _ranks(target)
    if not (x.std() > 0 and y.std() > 0):
        return None
    if (found := abs(_correlation(x, y))) >= _ALONE:
        return f"at a rank correlation of {found:.4f}"
    if len(np.unique(x)) * 2 > len(x) and (found := _inside(x, y, groups)) >= _ALONE:
        return f"inside every group, at a rank correlation of {found:.4f}"
    if (found := _in_pieces(x, y)) >= _IN_PIECES:
        return f"in pieces: neighbours in it have the same target, at {found:.4f}"
    return None


def _inside(x: Floats, y: Floats, groups: Codes) -> float:
    """The rank correlation inside groups, over those of at least ten rows."""
    sizes = np.bincount(groups)
    large = sizes[groups] >= _CLASS
    if large.sum() * 2 < len(x) or np.count_nonzero(sizes >= _CLASS) < 2:
        return 0.0
    x, y, groups = x[large], y[large], groups[large]
    first, second = (_ranks_inside(each, groups) / np.bincount(groups)[groups] for each in (x, y))
    return abs(_correlation(first, second))


def _ranks_inside(values: Floats, groups: Codes) -> Floats:
    """Ranks inside each group, around its middle."""
    order = np.lexsort((values, groups))
    sizes = np.bincount(groups)
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values)) - (np.cumsum(sizes) - sizes)[groups[order]]
    return ranks - (sizes[groups] - 1) / 2


def _in_pieces(x: Floats, y: Floats) -> float:
    """One less the ratio of von Neumann: how alike the targets of neighbours in the feature are."""
    steps, repeats = np.diff(y[np.lexsort((y, x))]), len(x) - len(np.unique(x))
    # Rows of one value of the feature were put into the order of the target.
    return 0.0 if repeats * 10 > len(x) else 1 - float((steps**2).mean() / (2 * y.var()))


def _classification(values: Floats, labels: NDArray[Any], groups: Codes) -> str | None:
    """In words, how the feature parts the classes."""
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if np.sort(counts)[-2] < _CLASS:
        return None
    if len(names) == 2:
        ranks = _ranks(values)
        area = (ranks[codes == 1].mean() - (counts[1] + 1) / 2) / counts[0]
        if (area := max(area, 1 - area)) >= _ALONE:
            return f"at an area under the curve of {area:.4f}"
    order = np.lexsort((groups, values))
    apart = groups[order][1:] != groups[order][:-1]
    same = float((codes[order][1:] == codes[order][:-1])[apart].mean()) if apart.sum() >= _ROWS else 0.0
    if same >= _ALONE and counts.max() / len(labels) < _ALONE - 0.1 and len(np.unique(values)) * 2 > len(values):
        return f"in pieces: neighbours in it have the same label, {same:.2%} of them"
    return None


def _levels(column: pl.Series, answers: Answers) -> str | None:
    """In words, how the levels of a column of texts tell the target in other groups."""
    if not may_repeat(column):
        return None
    levels = codes_of(column)
    number = int(levels.max()) + 1
    if number < 2 or number * 5 > len(levels):
        return None
    sums = np.column_stack([np.bincount(levels, each) for each in answers.columns.T])
    # Between levels there is all of the spread: then each level has one answer.
    told = float((sums**2 / np.bincount(levels)[:, None]).sum() / (answers.columns**2).sum())
    measured = carried(levels, answers) if told >= _ALONE else None
    if measured is None or measured.rows < 0.5 or measured.sure < 6:
        return None
    return f"by its levels: they hold {told:.2%} of its spread"


def _ranks(values: Floats) -> Floats:
    ranks: Floats = pl.Series(values).rank("average").to_numpy().astype(np.float64)
    return ranks


def _correlation(x: Floats, y: Floats) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if x.std() > 0 and y.std() > 0 else 0.0


def _finding(name: str, words: str) -> Finding:
    return Finding(
        "HO-G013",
        blocking=False,
        what=f"the feature {name!r} orders the target nearly alone, {words}",
        where=f"column {name}",
        hint="make sure that it is known before the target is, and is not made from it",
    )
