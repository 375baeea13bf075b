"""Guards over a corpus as it is split: those of the corpus, and HO-G007, times that are too close."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus import Corpus
from heldout.corpus.guards import Finding, GuardResult, examine_corpus, findings_of
from heldout.errors import StudyError, near_miss
from heldout.split.fold import Fold, Split
from heldout.split.splitter import Splitter
from heldout.split.time import length
from heldout.study import SplitSpec


def check_split(corpus: Corpus, split: Split, splitter: Splitter) -> list[Finding]:
    """What every guard finds that needs no model."""
    return findings_of(examine_split(corpus, split, splitter))


def examine_split(corpus: Corpus, split: Split, splitter: Splitter) -> list[GuardResult]:
    """What every guard says that needs no model, in the order of the codes."""
    spec: SplitSpec = splitter.params
    crossed = list(spec.crossed or ())
    known = {*corpus.features.columns, *(corpus.aside.columns if corpus.aside is not None else ())}
    for name in crossed:
        if name not in known:
            raise StudyError(
                f"the corpus has no column {name!r}", where="split.crossed", hint=near_miss(name, known, "its columns")
            )
    if splitter.column is not None:
        crossed.append(splitter.column)  # the name of a part stands in many groups, and is no subject
    results = [*examine_corpus(corpus, spec.shared_rows, crossed), check_time(corpus, split, spec.embargo)]
    return sorted(results, key=lambda result: result.code)


def check_time(corpus: Corpus, split: Split, embargo: float | str | None) -> GuardResult:
    """HO-G007: the times of a training group come closer to those of a held-out one than the declared embargo.

    A group takes the time from its first sample to its last. Two groups that share a moment are too close at any
    embargo, also at 0. Where the corpus says when labels are known, no training label may reach into held-out times,
    nor a held-out one into training times, whether or not an embargo is declared.

    Raises:
        StudyError: If the embargo is no length of time in the units of the time column.
    """
    if corpus.time is None:
        why = "the corpus has no time column" if embargo is None else "`split.embargo` needs a time column"
        if embargo is not None:
            raise StudyError(why, where="split.embargo", hint="name the column of times as `corpus.time`")
        return GuardResult("HO-G007", not_applicable=why)
    ahead = {each.id: each.span.ticks[2] for each in corpus.manifest.groups if each.span is not None}
    if embargo is None and not _looks_ahead(corpus):
        return GuardResult("HO-G007", not_applicable="the study declares no split.embargo")
    spans = corpus.groups.to_frame("group").with_columns(time=corpus.time).group_by("group", maintain_order=True)
    table = spans.agg(low=pl.col("time").min(), high=pl.col("time").max()).sort("group")
    times = _Times.of(table, ahead, length(embargo or 0, dated=not corpus.time.dtype.is_numeric()))
    number = {name: index for index, name in enumerate(table["group"])}

    def codes(names: Iterable[str]) -> NDArray[np.int64]:
        return np.array([number[name] for name in names], dtype=np.int64)

    found: list[tuple[Fold, int]] = []
    for fold in split.folds:
        test, trains = codes(fold.test), np.ones(len(number), dtype=bool)
        trains[codes((*fold.test, *fold.exceptions))] = False  # a trainer sees what it validates on
        near = test[times.near(test, trains)]
        found += [(fold, int(near[0]))] if len(near) else []
    if not found:
        return GuardResult("HO-G007")
    fold, held_out = found[0]
    first = next(each for each in codes((*fold.train(table["group"]), *fold.val)) if times.touch(held_out, int(each)))
    named = (fold.id, table["group"][held_out], table["group"][int(first)])
    words = f"in {len(found)} of {len(split.folds)} folds"
    return GuardResult("HO-G007", (_finding(table, named, words, embargo or 0, _looks_ahead(corpus)),))


def _looks_ahead(corpus: Corpus) -> bool:
    spans = [each.span for each in corpus.manifest.groups if each.span is not None]
    return any(span.matures != span.last for span in spans)


def _finding(
    table: pl.DataFrame, named: tuple[str, str, str], where: str, embargo: float | str, ahead: bool
) -> Finding:
    labels = ", or a label of one is known only within the other" if ahead else ""
    fold, held_out, train = named
    first, second = (_words(table.row(by_predicate=pl.col("group") == name)) for name in (held_out, train))
    return Finding(
        "HO-G007",
        blocking=True,
        what=f"{where}, training and held-out times overlap or are closer than the embargo of "
        f"{embargo}{labels}: {first} is held out, {second} trains",
        where=f"fold {fold}, groups {held_out} and {train}",
        hint="hold out whole blocks of time with a gap between them, or use a split in time, which leaves the gap",
    )


def _words(row: tuple[Any, ...]) -> str:
    name, low, high = row
    return f"{name} from {_moment(low)} to {_moment(high)}"


def _moment(value: float | dt.datetime) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else f"{value:g}"


class _Times(NamedTuple):
    """When each group begins, ends and has its last label known, ``[groups]``; the distance; groups by beginning."""

    low: NDArray[Any]
    high: NDArray[Any]
    known: NDArray[Any]
    distance: float
    by_beginning: NDArray[np.int64]

    @classmethod
    def of(cls, table: pl.DataFrame, ahead: Mapping[str, float], distance: float) -> _Times:
        low, high = (table[name].to_physical().to_numpy() for name in ("low", "high"))
        known = [ahead.get(name, float(last)) for name, last in zip(table["group"], high, strict=True)]
        return cls(low, high, np.array(known), distance, np.argsort(low, kind="stable"))

    def near(self, test: NDArray[np.int64], trains: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each held-out group, whether a training one is too close to it.

        That is: they share a moment, are closer than the distance, or a label of one is known only within the other.
        Of the training groups that begin soon enough only the latest end matters: no pair is looked at by itself, so
        that a hundred thousand groups can be asked. Sums as in ``heldout.split.time``, which must round alike.
        """
        train = self.by_beginning[trains[self.by_beginning]]
        begins = self.low[train]
        ends, known = (np.maximum.accumulate(each[train]) for each in (self.high, self.known))
        low, side = self.low[test], "left" if self.distance > 0 else "right"
        close = np.searchsorted(begins, self.high[test] + self.distance, side=side)  # type: ignore[call-overload]
        ahead = np.searchsorted(begins, self.known[test], side="left")
        touching = (ends[close - 1] >= low) | (ends[close - 1] + self.distance > low)
        found: NDArray[np.bool_] = (close > 0) & touching | (ahead > 0) & (known[ahead - 1] > low)
        return found

    def touch(self, one: int, other: int) -> bool:
        """Whether two groups are too close."""
        trains = np.zeros(len(self.low), dtype=bool)
        trains[other] = True
        return bool(self.near(np.array([one]), trains)[0])
