"""HO-G010: a column, or a few together, whose levels stand in several groups and carry the target: a hidden subject.

Where a group is a visit and a column says whose visit it was, a model learns the subject's answers from the other
visits. Nobody can know from a table alone whether a level is a subject or an honest kind (a product in several shops),
so strength decides: what has many levels, one answer a level that no other feature explains, and stands in the groups
as evenly as repeated measurements do, blocks; what has only some of that is reported. ``split.crossed`` names columns
whose levels are meant to be known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.guards.levels import Answers, Carried, Codes, Floats, carried, codes_of, matrix_of, may_repeat
from heldout.corpus.model import Corpus

# Fewer levels are kinds (a sex, a weekday), not subjects; a dozen may be months.
_FEW, _KINDS, _SUBJECTS = 6, 10, 15
_SURE = 5.0
_LIKELY, _REPORTED, _STRONG, _ALL = 0.15, 0.3, 0.5, 0.9
_EVEN = 0.5
_STRADDLING = 0.5
# Levels of a column that may be predicted from the other features, and columns that are tried together.
_MOST_LEVELS, _TOGETHER, _SEEDS = 400, 24, 6
_ROWS = 50_000


class _Suspect(NamedTuple):
    """Columns that have one partition of the rows, its levels, and for which rows: None for all."""

    columns: tuple[str, ...]
    levels: Codes
    used: bool
    rows: NDArray[np.int64] | None = None


def check_subjects(corpus: Corpus, crossed: Collection[str] = ()) -> GuardResult:
    """Look at every column with levels, also at those that are no features, and at columns together."""
    answers = Answers.of(corpus)
    if answers.number < 2:
        return GuardResult("HO-G010", not_applicable="the corpus has one group")
    suspects = _single(corpus, crossed)
    found = {each.columns: finding for each in suspects if (finding := _examine(each, corpus, answers)) is not None}
    blocked = {name for columns, finding in found.items() if finding.blocking for name in columns}
    for each in _together(corpus, answers, suspects, crossed):
        finding = None if blocked & set(each.columns) else _examine(each, corpus, answers)
        if finding is not None:
            blocked |= set(each.columns) if finding.blocking else set()
            # What the columns have together, each of them has a part of.
            found = {columns: one for columns, one in found.items() if not set(columns) <= set(each.columns)}
            found[each.columns] = finding
    return GuardResult("HO-G010", tuple(sorted(found.values(), key=lambda one: not one.blocking)))


def _columns(corpus: Corpus) -> Iterator[tuple[pl.Series, bool]]:
    """Every column, and whether it is a feature."""
    for column in corpus.features.get_columns():
        yield column, True
    if corpus.aside is not None:
        for column in corpus.aside.get_columns():
            yield column, False


def _single(corpus: Corpus, crossed: Collection[str]) -> list[_Suspect]:
    """Columns whose values repeat; those of one partition together, as a name and its hash have one."""
    found: dict[bytes, _Suspect] = {}
    for column, used in _columns(corpus):
        if column.name in crossed or not may_repeat(column):
            continue
        levels = codes_of(column)
        if not _FEW <= levels.max() + 1 <= len(levels) / 2:
            continue
        key = np.unique(levels, return_index=True)[1][levels].tobytes()
        before = found.get(key, _Suspect((), levels, used=False))
        found[key] = _Suspect((*before.columns, column.name), before.levels, before.used or used)
    return list(found.values())


def _together(
    corpus: Corpus, answers: Answers, suspects: list[_Suspect], crossed: Collection[str]
) -> Iterator[_Suspect]:
    """Columns that repeat together across groups, though each alone has few levels: the static part of a subject.

    Columns are joined as long as most rows find their joint value in another group; that is a subject only if there are
    far fewer joint values than independent columns would have. Factors of a design have as many.
    """
    few = [each for each in corpus.features.get_columns() if each.name not in crossed and may_repeat(each)]
    coded = [(each.name, codes_of(each)) for each in few if each.n_unique() > 1]
    coded = sorted(coded, key=lambda each: -int(each[1].max()))
    coded = [each for each in coded if each[1].max() + 1 <= len(each[1]) / 3][:_TOGETHER]
    known = {np.unique(each.levels, return_index=True)[1][each.levels].tobytes() for each in suspects}
    for number in range(min(_SEEDS, len(coded))):
        rows = _part(coded[number][1])
        among, taken = (answers, slice(None)) if rows is None else (answers.take(rows), rows)
        names, levels = [coded[number][0]], _from_zero(coded[number][1][taken])
        parts = [levels]
        for name, every in coded[:number] + coded[number + 1 :]:
            other = every[taken]
            joint = np.unique(levels * (int(other.max()) + 1) + other, return_inverse=True)[1].reshape(-1)
            if joint.max() > levels.max() and _straddle(joint, among) >= 0.8:
                names, levels, parts = [*names, name], joint, [*parts, other]
        key = np.unique(levels, return_index=True)[1][levels].tobytes()
        if len(names) > 1 and key not in known and levels.max() + 1 >= _KINDS and _fewer(levels, parts):
            known.add(key)
            yield _Suspect(tuple(names), levels, used=True, rows=rows)


def _straddle(levels: Codes, answers: Answers) -> float:
    """Share of the rows whose level stands in another group too."""
    pairs = np.unique(levels * answers.number + answers.groups)
    return float((np.bincount(pairs // answers.number) > 1)[levels].mean())


def _fewer(levels: Codes, parts: list[Codes]) -> bool:
    """Whether the columns have at most half of the joint values that they had if they were independent."""
    rng = np.random.Generator(np.random.Philox(key=np.array([10, 1], dtype=np.uint64)))
    joint = np.zeros(len(levels), np.int64)
    for part in parts:
        joint = np.unique(joint * (int(part.max()) + 1) + rng.permutation(part), return_inverse=True)[1].reshape(-1)
    return bool((levels.max() + 1) * 2 <= joint.max() + 1)


def _part(levels: Codes) -> NDArray[np.int64] | None:
    """Rows of an even part of the levels, each with all of its rows; None where all of them are few enough."""
    step = -(-len(levels) // _ROWS)
    if step <= 1:
        return None
    if levels.max() + 1 >= 4 * _SUBJECTS * step:
        return np.flatnonzero(levels % step == 0)
    return np.arange(0, len(levels), step)


def _examine(suspect: _Suspect, corpus: Corpus, answers: Answers) -> Finding | None:
    rows, levels = suspect.rows, suspect.levels
    if rows is None and (rows := _part(levels)) is not None:
        levels = _from_zero(levels[rows])
    if rows is None:
        return _judge(suspect, corpus.features, answers)
    return _judge(suspect._replace(levels=levels), corpus.features[rows], answers.take(rows))


def _from_zero(levels: Codes) -> Codes:
    """Levels numbered without gaps."""
    codes: Codes = np.unique(levels, return_inverse=True)[1].reshape(-1)
    return codes


def _judge(suspect: _Suspect, features: pl.DataFrame, answers: Answers) -> Finding | None:
    measured = carried(suspect.levels, answers)
    if measured.share < _LIKELY or measured.sure < _SURE or measured.rows < 0.1:
        return None
    told = _explained(suspect.levels, features, answers, nested=measured.nested)
    # Of few levels the best of several fits tells something by luck; where it may be no luck, nothing blocks.
    luck = min(0.5, 4 / measured.levels)
    own = measured.share * (1 - max(0.0, (told - luck) / (1 - luck)))
    even, few = measured.evenness <= _EVEN, measured.levels < _KINDS
    if own < (_STRONG if few else _LIKELY if even else _REPORTED) or (few and not even):
        return None
    return _finding(suspect, measured, own, blocking=_blocks(measured, measured.share * (1 - told), used=suspect.used))


def _blocks(measured: Carried, own: float, *, used: bool) -> bool:
    if measured.levels < _SUBJECTS or measured.rows < _STRADDLING:
        return False
    if measured.nested:
        return own >= 0.95
    return (measured.evenness <= _EVEN and own >= _STRONG) or (used and own >= _ALL)


def _explained(levels: Codes, features: pl.DataFrame, answers: Answers, *, nested: bool) -> float:
    """How much of the levels' answers the features tell of a level that was left out: an honest dose, a known stimulus.

    Gaussian-process regression over the levels' means, one left out at a time, from the order of the levels alone and
    from all features.
    """
    counts = np.bincount(levels)
    kept = np.linspace(0, len(counts) - 1, min(_MOST_LEVELS, len(counts))).astype(np.int64)
    table = answers.columns if nested else answers.within
    means = np.column_stack([np.bincount(levels, each) for each in table.T]) / counts[:, None]
    table = matrix_of(features)
    by_level = np.column_stack([np.bincount(levels, each) / counts for each in table.T]) if table.size else None
    best = _left_out(np.arange(len(kept), dtype=float)[:, None], means[kept])
    if by_level is not None:
        best = max(best, _left_out(by_level[kept], means[kept]))
    return min(1.0, max(0.0, best))


def _left_out(features: Floats, answers: Floats) -> float:
    """R squared of a left-out level, of the best of a few widths and noises."""
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0))[:, spread > 1e-12] / spread[spread > 1e-12]
    answers = answers - answers.mean(axis=0)
    total = float((answers**2).sum())
    if not scaled.size or total <= 0:
        return 0.0
    square = (scaled**2).sum(axis=1)
    distance = np.maximum(0.0, square[:, None] + square - 2 * scaled @ scaled.T)
    linear: NDArray[np.float64] = scaled @ scaled.T / scaled.shape[1]
    best = -np.inf
    for width in (0.05, 0.5):
        kernel = linear + np.exp(-distance / (2 * width * max(float(np.median(distance)), 1e-12)))
        for noise in (0.01, 0.1, 1.0):
            inverse = np.linalg.inv(kernel + 1.0 + noise * np.eye(len(kernel)))
            errors = (inverse @ answers) / np.diag(inverse)[:, None]
            best = max(best, 1 - float((errors**2).sum()) / total)
    return best


def _finding(suspect: _Suspect, measured: Carried, own: float, *, blocking: bool) -> Finding:
    names = ", ".join(repr(name) for name in suspect.columns[:4])
    names += f" and {len(suspect.columns) - 4} more" if len(suspect.columns) > 4 else ""
    what = "column" if len(suspect.columns) == 1 else "columns"
    ignored = "" if suspect.used else " (no feature)"
    have = "has" if len(suspect.columns) == 1 else "have together"
    return Finding(
        "HO-G010",
        blocking=blocking,
        what=f"the {what} {names}{ignored} {have} {measured.levels} levels that stand in several groups, for "
        f"{measured.rows:.0%} of the rows, and carry {own:.0%} of the target's spread from one group to the next",
        where=f"{what} {', '.join(suspect.columns)}",
        hint="if a level is a subject, name it as `corpus.group`; if the same levels will be met in use, say so in "
        "split.crossed",
    )
