"""Splits in time, as laws over any spans: no training label is known only after the held-out window begins."""

from __future__ import annotations

from collections import Counter
from math import comb
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from heldout.corpus import CorpusManifest, GroupRecord, TimeSpan, group_spans
from heldout.errors import CorpusError, StudyError
from heldout.split import Split, Splitter, load_splitter, split_corpus
from heldout.split.time import embargo_of

Spans = dict[str, TimeSpan]
# Groups of any length that may overlap, nest or leave gaps, each with labels that look ahead as far as they like.
SPANS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 15), st.integers(0, 40)), min_size=3, max_size=12).map(
    lambda found: {
        f"g{number:02d}": TimeSpan(float(first), float(first + more), float(first + more + ahead))
        for number, (first, more, ahead) in enumerate(found)
    }
)
EMBARGO = st.one_of(st.none(), st.integers(0, 30).map(float))


def splitter(kind: str = "leave-one-group-out", **params: Any) -> Splitter:
    """A splitter as a study's block names it."""
    return load_splitter({"kind": kind} | params)


def manifest(spans: Spans, *, order: list[str] | None = None) -> CorpusManifest:
    records = tuple(GroupRecord(name, 1, name, span=spans[name]) for name in order or spans)
    return CorpusManifest("table", "rows.csv", "0" * 64, len(spans), "regression", "y", ("x",), records)


def split(spec: Splitter, spans: Spans, *, order: list[str] | None = None) -> Split:
    """The split; a draw that leaves a fold nothing to learn from is refused with that reason, and is no example."""
    try:
        return split_corpus(spec, manifest(spans, order=order))
    except CorpusError as error:
        assume("nothing is left to learn from" not in error.what)
        raise


def blocks(count: int, *, length: int = 20, ahead: int = 0) -> Spans:
    """Blocks of so many days one after the other, as a panel has them; a label looks so many days ahead."""
    return {
        f"b{number:02d}": TimeSpan(
            float(number * length), float((number + 1) * length - 1), float((number + 1) * length - 1 + ahead)
        )
        for number in range(count)
    }


def check_apart(found: Split, spans: Spans, embargo: float) -> None:
    """No training label interval meets a tested group's, and after it the embargo has passed as well."""
    for fold in found.folds:
        assert fold.train(spans)
        for tested in (spans[name] for name in fold.test):
            for train in (spans[name] for name in fold.train(spans)):
                first, last, matures = tested.ticks
                before = train.ticks[2] <= first and train.ticks[1] < first and train.ticks[1] + embargo <= first
                after = train.ticks[0] >= matures + embargo and train.ticks[0] > last
                assert before or after, (fold.id, train, tested)


@pytest.mark.slow
@settings(max_examples=150)
@given(SPANS, EMBARGO, st.integers(1, 4), st.integers(1, 4))
def test_walk_forward_trains_only_on_labels_that_were_known(
    spans: Spans, embargo: float | None, warmup: int, window: int
) -> None:
    """A model would have learnt from returns that end after the day on which it first predicts."""
    assume(warmup < len(spans))
    spec = splitter(kind="walk-forward", warmup=warmup, window=window, embargo=embargo)
    found = split(spec, spans)
    check_apart(found, spans, embargo_of(embargo, manifest(spans).groups))
    for fold in found.folds:
        begins = min(spans[name].ticks[0] for name in fold.test)
        assert all(spans[name].ticks[2] <= begins for name in fold.train(spans))


@pytest.mark.slow
@settings(max_examples=150)
@given(SPANS, EMBARGO, st.data())
def test_no_training_label_overlaps_a_tested_window_plus_embargo(
    spans: Spans, embargo: float | None, data: st.DataObject
) -> None:
    """Half of a training label's days would be days of the test, and the score would be of memory."""
    folds = data.draw(st.integers(2, len(spans)))
    held_out = data.draw(st.integers(1, min(2, folds - 1)))
    spec = splitter(kind="combinatorial-purged", folds=folds, held_out=held_out, embargo=embargo)
    check_apart(split(spec, spans), spans, embargo_of(embargo, manifest(spans).groups))


@pytest.mark.slow
@settings(max_examples=80)
@given(st.integers(4, 30), st.integers(1, 3), st.integers(1, 5), st.integers(0, 20))
def test_every_date_after_the_warm_up_is_tested_once(count: int, warmup: int, window: int, ahead: int) -> None:
    """Dates would be missing from the record, or counted twice, and nobody would see which."""
    assume(warmup + 1 < count)
    spans = blocks(count, ahead=ahead)
    spec = splitter(kind="walk-forward", warmup=warmup, window=window)
    tested = Counter(name for fold in split(spec, spans).folds for name in fold.test)
    assert dict.fromkeys(sorted(spans)[warmup:], 1) == dict(sorted(tested.items()))


@settings(max_examples=80)
@given(st.integers(12, 40), st.integers(4, 10), st.integers(1, 3), st.integers(0, 20))
def test_every_date_is_tested_by_every_combination_of_its_part(
    count: int, folds: int, held_out: int, ahead: int
) -> None:
    """Some dates would count in more folds than others, and the mean over folds lean on them."""
    spans = blocks(count, ahead=ahead)
    found = split(splitter(kind="combinatorial-purged", folds=folds, held_out=held_out), spans)
    assert comb(folds, held_out) == len(found.folds) == len({fold.id for fold in found.folds})
    tested = Counter(name for fold in found.folds for name in fold.test)
    assert dict.fromkeys(spans, comb(folds - 1, held_out - 1)) == dict(tested)


@pytest.mark.slow
@settings(max_examples=60)
@given(SPANS, st.data())
def test_the_order_of_groups_changes_nothing(spans: Spans, data: st.DataObject) -> None:
    """Sorting the panel by asset would give another split, and another result for the same data."""
    order = data.draw(st.permutations(list(spans)))
    for spec in (
        splitter(kind="walk-forward", warmup=2, window=1),
        splitter(kind="combinatorial-purged", folds=3, held_out=1),
    ):
        one, two = split(spec, spans), split(spec, spans, order=order)
        assert one == two
        assert one.sha256 == two.sha256


def test_problem_01_a_longer_horizon_purges_more_without_being_told() -> None:
    """A 60-day study would train with the gap of a 21-day one, because a second knob was forgotten."""
    spec = splitter(kind="walk-forward", warmup=6, window=1)
    last_trained = {}
    for ahead in (0, 15, 30, 60):
        fold = split(spec, blocks(8, ahead=ahead)).folds[0]
        assert ("b06",) == fold.test
        last_trained[ahead] = max(fold.train(blocks(8)))
    assert {0: "b05", 15: "b04", 30: "b03", 60: "b02"} == last_trained


def test_the_gap_is_as_short_as_the_labels_allow() -> None:
    """Data that was known would be thrown away: a label that matures on the day of the first prediction is known."""
    spec = splitter(kind="walk-forward", warmup=2, window=1)
    assert ("b00", "b01") == split(spec, blocks(3, ahead=1)).folds[0].train(blocks(3))
    assert ("b00",) == split(spec, blocks(3, ahead=2)).folds[0].train(blocks(3))


def test_the_embargo_is_the_horizon_unless_declared() -> None:
    """Features that look back over the tested window would train beside it."""
    spans = blocks(12, ahead=20)
    assert 20.0 == embargo_of(None, manifest(spans).groups)
    found = {fold.id: fold for fold in split(splitter(kind="combinatorial-purged", folds=6, held_out=1), spans).folds}
    assert ("b04", "b05") == found["part2"].test
    # b03's labels reach into the window; b06 begins while the window's labels are open; b07 in the embargo after that.
    assert ("b00", "b01", "b02", "b08", "b09", "b10", "b11") == found["part2"].train(spans)
    spec = splitter(kind="combinatorial-purged", folds=6, held_out=1, embargo=0)
    assert "b07" in {fold.id: fold for fold in split(spec, spans).folds}["part2"].train(spans)


def test_dates_are_purged_as_numbers_are(tmp_path: Path) -> None:
    """A calendar with weekends would be purged by the row and not by the day."""
    days = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2020, 12, 31), "1d", time_unit="us", eager=True)
    groups = days.dt.strftime("%Y-%m")
    spans = group_spans(groups, days, days.dt.offset_by("40d"))
    assert TimeSpan("2020-01-01T00:00:00", "2020-01-31T00:00:00", "2020-03-11T00:00:00") == spans["2020-01"]
    found = split(splitter(kind="walk-forward", warmup=6, window=2), spans)
    assert [("2020-07", "2020-08"), ("2020-09", "2020-10"), ("2020-11", "2020-12")] == [f.test for f in found.folds]
    assert ("2020-01", "2020-02", "2020-03", "2020-04") == found.folds[0].train(found.groups)
    at_once = split(splitter(kind="walk-forward", warmup=6, window=2), group_spans(groups, days))
    assert "2020-05" in at_once.folds[0].train(spans)


def test_a_label_known_before_its_sample_is_refused() -> None:
    """A column that was given the wrong way round would purge nothing at all."""
    time = pl.Series([1.0, 2.0, 3.0])
    with pytest.raises(CorpusError, match="before its sample") as caught:
        group_spans(pl.Series(["a", "b", "c"]), time, pl.Series([1.0, 1.5, 9.0]))
    assert "row 2" == caught.value.where


@pytest.mark.parametrize(
    ("spec", "count", "what"),
    [
        (splitter(kind="walk-forward", warmup=3, window=1), 3, "nothing to test"),
        (splitter(kind="combinatorial-purged", folds=4, held_out=1), 3, "cannot fill 4 parts"),
        (splitter(kind="combinatorial-purged", folds=2, held_out=1, embargo=99.0), 2, "nothing is left to learn from"),
    ],
)
def test_a_split_in_time_that_cannot_be_is_refused(spec: Splitter, count: int, what: str) -> None:
    """A model would be trained on nothing, or judged on nothing."""
    with pytest.raises(CorpusError, match=what) as caught:
        split_corpus(spec, manifest(blocks(count)))
    assert caught.value.hint


def test_more_folds_than_anyone_can_fit_are_refused() -> None:
    """A typing error would start a hundred thousand fits."""
    with pytest.raises(StudyError, match="make 184756 folds"):
        split_corpus(splitter(kind="combinatorial-purged", folds=20, held_out=10), manifest(blocks(20)))


def test_groups_without_times_are_refused() -> None:
    """Groups would be taken in the order of their names for an order in time."""
    records = tuple(GroupRecord(name, 1, name) for name in "abc")
    document = CorpusManifest("table", "rows.csv", "0" * 64, 3, "regression", "y", ("x",), records)
    with pytest.raises(CorpusError, match="needs the time of every group"):
        split_corpus(splitter(kind="walk-forward", warmup=1, window=1), document)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"kind": "walk-forward", "warmup": 3}, r"`split\.window` is missing"),
        ({"kind": "walk-forward", "warmup": 3, "window": 1, "folds": 3}, r"unknown key `split\.folds`"),
        ({"kind": "combinatorial-purged", "folds": 3}, r"`split\.held_out` is missing"),
        ({"kind": "combinatorial-purged", "folds": 3, "held_out": 3}, "must leave a part"),
        ({"kind": "leave-one-group-out", "warmup": 3}, r"unknown key `split\.warmup`"),
    ],
)
def test_a_field_of_another_kind_of_split_is_refused(fields: dict[str, object], what: str) -> None:
    """A study would declare a warm-up or a purge that nobody reads."""
    with pytest.raises(StudyError, match=what):
        load_splitter(fields)
