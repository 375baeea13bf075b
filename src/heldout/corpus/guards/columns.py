"""Guards over feature columns: those that hold the answer, and those that say nothing."""

from __future__ import annotations

from math import lgamma, log
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.model import Corpus

_EXACT, _ALMOST = 1 - 1e-9, 0.999
# A relation that shuffled targets would show more often than this, over all features together, says nothing.
_CHANCE = 1e-6
# A good feature may order few rows as the target does; so many different values leave no room for its noise.
_ORDERED = 30
_FEW = 1000
_REPEATED = 5
_CLASSES = 8


def check_target(corpus: Corpus) -> GuardResult:
    """HO-G005: a feature that is the target, or is its code.

    Blocking: the target up to scale and offset; a monotone function of the feature is the target; levels of the feature
    and values of the target belong together one to one, in levels that several groups share. Reported: a correlation
    beyond 0.999. Combinations of several features are not looked for.
    """
    answer = _Answer.of(corpus)
    chance = log(_CHANCE / max(1, len(corpus.features.columns)))
    findings = []
    for name in corpus.features.columns:
        column = corpus.features[name]
        blocking, words = True, None
        correlation = _correlation(column, corpus)
        if correlation > _EXACT:
            words = "is the target, up to scale and offset"
        elif corpus.task == "regression" and _numeric(column) and _monotone(column, answer):
            words = "orders the rows exactly as the target does"
        elif _inside_groups(column, answer):
            words = "is the target inside every group, up to scale and offset"
        elif _one_to_one(column, answer, chance):
            words = "has one level for each value of the target, and they always come together"
        elif correlation > _ALMOST:
            blocking, words = False, f"correlates with the target at {correlation:.6f}"
        if words is not None:
            hint = "remove it from the features" if blocking else "make sure that it is known before the target is"
            findings.append(Finding("HO-G005", blocking, f"the feature {name!r} {words}", f"column {name}", hint))
    return GuardResult("HO-G005", tuple(findings))


def check_constant(corpus: Corpus) -> GuardResult:
    """HO-G006: columns with one value."""
    constant = [name for name in corpus.features.columns if corpus.features[name].n_unique() == 1]
    if not constant:
        return GuardResult("HO-G006")
    found = Finding(
        "HO-G006",
        blocking=False,
        what=f"the features {', '.join(constant)} never change",
        where=f"column {constant[0]}",
        hint="remove them, or add data in which they vary",
    )
    return GuardResult("HO-G006", (found,))


class _Answer(NamedTuple):
    """The target as integer codes, ascending by value, and the group of each row as a code."""

    codes: NDArray[np.int64]
    groups: NDArray[np.int64]
    table: NDArray[np.float64]

    @classmethod
    def of(cls, corpus: Corpus) -> _Answer:
        target = corpus.targets("guard")
        codes = np.unique(target, return_inverse=True)[1].astype(np.int64)
        table = target if corpus.task == "regression" else np.equal.outer(target, _frequent(corpus))
        return cls(codes, _codes(corpus.groups), np.atleast_2d(table.T).T.astype(np.float64))


def _correlation(column: pl.Series, corpus: Corpus) -> float:
    """Absolute Pearson correlation; 0 where it is not defined."""
    if corpus.task != "regression" or not _numeric(column):
        return 0.0
    values = column.cast(pl.Float64).to_numpy()
    if not (values.std() > 0 and corpus.targets("guard").std() > 0):
        return 0.0
    return float(abs(np.corrcoef(values, corpus.targets("guard").astype(np.float64))[0, 1]))


def _monotone(column: pl.Series, answer: _Answer) -> bool:
    """Whether the target is a monotone function of the feature: equal features, equal targets, and never a turn."""
    if answer.codes.max() + 1 < _ORDERED:
        return False
    few = slice(None, None, max(1, len(column) // _FEW))
    feature = column.cast(pl.Float64).to_numpy()
    return _never_turns(feature[few], answer.codes[few]) and _never_turns(feature, answer.codes)


def _never_turns(feature: NDArray[np.float64], codes: NDArray[np.int64]) -> bool:
    order = np.lexsort((codes, feature))
    steps, moves = np.diff(feature[order]), np.diff(codes[order])
    return bool((moves[steps == 0] == 0).all() and ((moves >= 0).all() or (moves <= 0).all()))


def _one_to_one(column: pl.Series, answer: _Answer, chance: float) -> bool:
    """Whether feature and target name each other, over at least half of the rows and beyond coincidence.

    Only levels that at least two groups share count: a level of its own in each row, or in each group, says nothing
    of a row that is held out.
    """
    levels = column.n_unique()
    # Levels that hardly repeat are no code: two measured columns belong together one to one wherever rows were copied.
    if levels != int(answer.codes.max()) + 1 or levels < 2 or levels * _REPEATED > len(column):
        return False
    feature = _codes(column)
    width = int(answer.codes.max()) + 1
    if len(np.unique(feature * width + answer.codes)) != levels:
        return False
    groups = int(answer.groups.max()) + 1
    groups_of_level = np.bincount(np.unique(feature * groups + answer.groups) // groups, minlength=levels)
    counts = np.bincount(feature)[groups_of_level >= 2]
    if counts.sum() * 2 < len(feature):
        return False
    return lgamma(len(counts) + 1) - _arrangements(counts) <= chance


def _frequent(corpus: Corpus) -> NDArray[Any]:
    """The most frequent classes, one less than there are: the last one follows."""
    names, counts = np.unique(corpus.targets("guard"), return_counts=True)
    kept: NDArray[Any] = names[np.argsort(-counts, kind="stable")][: min(_CLASSES, max(1, len(names) - 1))]
    return kept


def _inside_groups(column: pl.Series, answer: _Answer) -> bool:
    """Whether in each group some multiple of the feature is the target, up to an offset.

    So is a target without its group's mean, and the mean of the group's other targets. Two rows are always on a line.
    """
    if not _numeric(column):
        return False
    sizes = np.bincount(answer.groups)
    x = _centred(column.cast(pl.Float64).to_numpy(), answer.groups)
    inside = np.bincount(answer.groups, x**2)
    for target in answer.table.T:
        y = _centred(target, answer.groups)
        # A group of one target is fitted by any feature: it says nothing.
        moves = np.bincount(answer.groups, y**2) > 1e-9 * float(target.var())
        if int(np.maximum(sizes - 2, 0)[moves].sum()) < _ORDERED or np.count_nonzero(moves) < 2:
            continue
        slopes = np.bincount(answer.groups, x * y) / np.where(inside > 0, inside, 1.0)
        left = float(((y - slopes[answer.groups] * x) ** 2).sum())
        if left <= (1 - _EXACT) * float((y**2).sum()):
            return True
    return False


def _centred(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = values - (np.bincount(groups, values) / np.bincount(groups))[groups]
    return centred


def _arrangements(counts: NDArray[np.int64]) -> float:
    """Logarithm of the number of orders of a multiset: n! / (c1! c2! ...)."""
    return float(lgamma(int(counts.sum()) + 1) - sum(lgamma(int(count) + 1) for count in counts))


def _codes(column: pl.Series) -> NDArray[np.int64]:
    """Integers from 0, ascending by value."""
    codes: NDArray[np.int64] = column.rank("dense").to_numpy().astype(np.int64) - 1
    return codes


def _numeric(column: pl.Series) -> bool:
    return bool(column.dtype.is_numeric())
