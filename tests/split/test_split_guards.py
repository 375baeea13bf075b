"""HO-G007: times of training and held-out groups keep the declared distance, whatever the column's kind."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.corpus.guards import GuardResult
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError, StudyError
from heldout.split import Fold, Split, Splitter, load_splitter, split_corpus
from heldout.split.guards import check_split, check_time

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)


def splitter(kind: str = "leave-one-group-out", **params: Any) -> Splitter:
    """A splitter as a study's block names it."""
    return load_splitter({"kind": kind} | params)


def table(path: Path, times: list[Any], groups: list[str], **more: Any) -> TableReader:
    """A table with one noisy feature and a column of times."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"when": times, "block": groups, "x": rng.normal(size=len(times))})
    frame.with_columns(y=pl.col("x") + rng.normal(size=len(times))).write_csv(path / "rows.csv")
    return TableReader(TableOptions(path=path / "rows.csv", group="block", target="y", time="when", **more))


def guard(reader: TableReader, embargo: float | str | None) -> GuardResult:
    corpus = reader.read()
    return check_time(corpus, split_corpus(splitter(), corpus.manifest), embargo)


def days(count: int, gap: int) -> tuple[list[str], list[str]]:
    """Three blocks of so many days, so many days apart from last to first."""
    first = [block * (count - 1 + gap) for block in range(3)]
    times = [(START + dt.timedelta(days=start + day)).isoformat() for start in first for day in range(count)]
    return times, np.repeat(["a", "b", "c"], count).tolist()


@pytest.mark.parametrize(
    ("gap", "embargo", "sound"), [(3, "3d", True), (3, "4d", False), (3, "73h", False), (1, 0, True)]
)
def test_the_declared_distance_is_kept(tmp_path: Path, gap: int, embargo: float | str, sound: bool) -> None:
    """A label that looks three days ahead would be known to the rows that train on the next day."""
    found = guard(table(tmp_path, *days(5, gap)), embargo)
    assert sound == (() == found.findings)
    if not sound:
        (finding,) = found.findings
        assert ("HO-G007", True, "fold a, groups a and b") == (finding.code, finding.blocking, finding.where)
        assert "in 3 of 3 folds" in finding.what
        assert "a from 2026-01-01T00:00:00 to 2026-01-05T00:00:00 is held out" in finding.what


def test_one_moment_in_two_groups_is_an_overlap(tmp_path: Path) -> None:
    """With an embargo of nothing, the last moment of training would be the first that is held out."""
    (finding,) = guard(table(tmp_path, *days(5, 0)), 0).findings
    assert finding.blocking


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=2, max_size=6), st.integers(0, 10))
def test_it_is_the_distance_of_spans(tmp_path_factory: Any, spans: list[tuple[int, int]], embargo: int) -> None:
    """A group that lies inside another, or one that touches it, would slip through."""
    times = [float(value) for low, length in spans for value in (low, low + length)]
    groups = [f"g{number}" for number in range(len(spans)) for _ in range(2)]
    pairs = [(one, other) for one in spans for other in spans if one is not other]
    gaps = [max(two[0] - (one[0] + one[1]), one[0] - (two[0] + two[1])) for one, two in pairs]
    expected = all(gap > 0 and gap >= embargo for gap in gaps)
    found = guard(table(tmp_path_factory.mktemp("spans"), times, groups), embargo)
    assert expected == (() == found.findings)


def test_without_times_or_embargo_there_is_nothing_to_say(tmp_path: Path) -> None:
    """Subjects who were measured on the same day would be refused though nobody spoke of time."""
    reader = table(tmp_path, *days(5, 0))
    assert "NOT APPLICABLE" == guard(reader, None).state
    corpus = reader.read()
    assert [] == check_split(corpus, split_corpus(splitter(), corpus.manifest), splitter())
    assert corpus.features.columns == ["x"]


@pytest.mark.parametrize(("times", "embargo"), [([1.0] * 6, "3d"), (["2026-01-01"] * 6, 3.0)])
def test_an_embargo_in_other_units_is_refused(tmp_path: Path, times: list[Any], embargo: float | str) -> None:
    """Three of something would be taken for three of something else."""
    with pytest.raises(StudyError, match="does not fit times"):
        guard(table(tmp_path, times, ["a", "b"] * 3), embargo)


def test_an_embargo_without_a_time_column_is_refused(tmp_path: Path) -> None:
    """A study would declare a distance that nobody measures."""
    reader = table(tmp_path, *days(5, 0))
    options = TableOptions(path=reader.options.path, group="block", target="y", ignore=["when"])
    with pytest.raises(StudyError, match="needs a time column"):
        guard(TableReader(options), "1d")


def test_times_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """Times that are words would be compared as words."""
    with pytest.raises(CorpusError, match="cannot be read"):
        table(tmp_path, ["soon", "later"] * 3, ["a", "b"] * 3).read()


@pytest.mark.parametrize("embargo", [-1, "3y", "-3d", "d"])
def test_an_embargo_is_a_number_or_a_length(embargo: Any) -> None:
    """A typing error would mean no embargo."""
    with pytest.raises(StudyError, match="embargo"):
        splitter(embargo=embargo)


def test_zones_are_compared_in_utc(tmp_path: Path) -> None:
    """Two stations in two zones would overlap, or not, by their clocks."""
    zoned = [
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T06:00:00+00:00",
        "2026-01-01T05:00:00-05:00",
        "2026-01-01T12:00:00-05:00",
    ]
    assert () == guard(table(tmp_path, zoned, ["a", "a", "b", "b"]), "4h").findings
    assert 1 == len(guard(table(tmp_path, zoned, ["a", "a", "b", "b"]), "5h").findings)


def maturing(path: Path, ahead: int, **more: Any) -> TableReader:
    """Six blocks of ten days, one after the other, with labels that look so many days ahead."""
    days = [START + dt.timedelta(days=day) for day in range(60)]
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"when": days, "known": [day + dt.timedelta(days=ahead) for day in days]})
    frame = frame.with_columns(block=pl.Series(np.repeat(list("abcdef"), 10)), x=pl.Series(rng.normal(size=60)))
    frame.with_columns(y=pl.col("x") + rng.normal(size=60)).write_csv(path / "rows.csv")
    options = {"group": "block", "target": "y", "time": "when", "matures": "known"} | more
    return TableReader(TableOptions(path=path / "rows.csv", **options))


@pytest.mark.parametrize(("ahead", "sound"), [(0, True), (1, True), (2, False), (15, False)])
def test_a_label_may_not_reach_into_held_out_times(tmp_path: Path, ahead: int, sound: bool) -> None:
    """Blocks that touch would share the days of a label, and leaving one out would not hold it out."""
    found = guard(maturing(tmp_path, ahead), None)
    assert sound == (() == found.findings)
    if not sound:
        (finding,) = found.findings
        assert ("HO-G007", True) == (finding.code, finding.blocking)
        assert "a label of one is known only within the other" in finding.what


def test_a_split_in_time_keeps_what_the_guard_asks(tmp_path: Path) -> None:
    """Split and guard would measure two different distances, and one of them would be wrong."""
    corpus = maturing(tmp_path, 4).read()
    assert ["x"] == corpus.features.columns
    for spec in (
        splitter(kind="walk-forward", warmup=2, window=1),
        splitter(kind="combinatorial-purged", folds=6, held_out=1, embargo="4d"),
        splitter(kind="combinatorial-purged", folds=6, held_out=1),
    ):
        found = check_time(corpus, split_corpus(spec, corpus.manifest), spec.params.embargo)
        assert "OK" == found.state, found


def test_a_maturity_without_its_time_is_refused(tmp_path: Path) -> None:
    """Nobody could say how far a label looks ahead."""
    with pytest.raises(ValueError, match="needs `time`"):
        maturing(tmp_path, 1, time=None)


def test_a_split_in_time_and_its_guard_round_alike(tmp_path: Path) -> None:
    """A walk forward that leaves its embargo exactly would be held for leaving less: 10.1 - 9.9 is less than 0.2."""
    reader = table(tmp_path, [9.0, 9.9, 10.1, 11.0, 11.2, 12.0], ["a", "a", "b", "b", "c", "c"])
    corpus = reader.read()
    split = split_corpus(splitter(kind="walk-forward", warmup=1, window=1, embargo=0.2), corpus.manifest)
    assert (("a",), ("a", "b")) == tuple(fold.train(split.groups) for fold in split.folds)
    assert () == check_time(corpus, split, 0.2).findings


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6), st.integers(0, 9)), min_size=2, max_size=8),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_no_pair_of_training_and_held_out_is_passed_over(
    tmp_path_factory: Any, spans: list[tuple[int, int, int]], embargo: int, random: Any
) -> None:
    """A short group behind a long one would hide it, and a training label that reaches far would not be seen."""
    names = [f"g{number}" for number in range(len(spans))]
    rows = [(float(low + part * width), low + width + ahead) for low, width, ahead in spans for part in (0, 1)]
    frame = pl.DataFrame(
        {"when": [each[0] for each in rows], "known": [float(each[1]) for each in rows], "block": np.repeat(names, 2)}
    )
    path = tmp_path_factory.mktemp("pairs") / "rows.csv"
    frame.with_columns(x=pl.int_range(pl.len()), y=pl.int_range(pl.len()) * 0.5).write_csv(path)
    reader = TableReader(TableOptions(path=path, group="block", target="y", time="when", matures="known"))
    test = tuple(sorted(random.sample(names, random.randint(1, len(names) - 1))))
    fold = Fold("only", test)

    def near(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
        (low, width, ahead), (low2, width2, ahead2) = one, other
        gap = max(low2 - low - width, low - low2 - width2)
        return gap <= 0 or gap < embargo or (low2 + width2 + ahead2 > low and low2 < low + width + ahead)

    span = dict(zip(names, spans, strict=True))
    expected = [(one, other) for one in test for other in fold.train(names) if near(span[one], span[other])]
    found = check_time(reader.read(), Split("fixed", (fold,), tuple(names)), embargo).findings
    assert bool(expected) == bool(found)
    if expected:
        assert "fold only, groups {} and {}".format(*expected[0]) == found[0].where


@pytest.mark.slow
def test_a_hundred_thousand_groups_can_be_asked(tmp_path: Path) -> None:
    """Every pair of groups would be laid out in memory, 75 GiB a table, and the run be killed before it began."""
    count = 100_000
    times, blocks = np.arange(count), [f"g{number:06}" for number in range(count)]
    corpus = table(tmp_path, times.tolist(), blocks).read()
    split = split_corpus(splitter(kind="group-k-fold", folds=5), corpus.manifest)
    (finding,) = check_time(corpus, split, 2).findings
    assert "in 5 of 5 folds" in finding.what
