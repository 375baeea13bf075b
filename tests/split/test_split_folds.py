"""Splits by group, as laws over any corpus: nobody is trained on what they are judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.corpus import Corpus, CorpusManifest, GroupRecord, Known, group_records
from heldout.errors import CorpusError, InputError
from heldout.evidence import canonical, digest
from heldout.split import Fold, Split, Splitter, load_splitter, read_split, split_corpus

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=5)
SIZES = st.dictionaries(NAMES, st.integers(1, 50), min_size=2, max_size=9)
ROWS = st.lists(NAMES, min_size=2, max_size=40).filter(lambda rows: len(set(rows)) > 1)


def splitter(kind: str = "leave-one-group-out", **params: Any) -> Splitter:
    """A splitter as a study's block names it."""
    return load_splitter({"kind": kind} | params)


LOGO = splitter()


def manifest(sizes: Mapping[str, int] | Sequence[tuple[str, int]], *, salt: str = "") -> CorpusManifest:
    pairs = sizes.items() if isinstance(sizes, Mapping) else sizes
    records = tuple(GroupRecord(name, samples, f"{salt}{name}") for name, samples in pairs)
    rows = sum(record.samples for record in records)
    return CorpusManifest("table", "rows.csv", "0" * 64, rows, "regression", "y", ("x",), records)


def corpus(rows: Sequence[str]) -> Corpus:
    groups = pl.Series("group", list(rows))
    features = pl.DataFrame({"x": np.arange(len(rows), dtype=np.float64)})
    target = np.arange(len(rows), dtype=np.float64)
    records = group_records(groups, features, target, "rows.csv")
    document = CorpusManifest("table", "rows.csv", "0" * 64, len(rows), "regression", "y", ("x",), records)
    ids = pl.Series([f"row{number}" for number in range(len(rows))])
    return Corpus(ids, groups, None, features, Known(target), document)


def check_laws(split: Split, names: set[str]) -> None:
    """What holds for every split: disjoint parts, every group used, each held out at most once."""
    held_out = Counter(name for fold in split.folds for name in fold.test)
    assert {1} == set(held_out.values())
    for fold in split.folds:
        train = set(fold.train(names))
        assert train
        assert fold.test
        assert set() == train & set(fold.apart)
        assert names == train | set(fold.apart)
    assert len({fold.id for fold in split.folds}) == len(split.folds)


@settings(max_examples=60)
@given(ROWS)
def test_every_sample_is_held_out_exactly_once(rows: list[str]) -> None:
    """A sample would be predicted by a model that has seen its group, counted twice, or left out of the metrics."""
    data = corpus(rows)
    split = split_corpus(LOGO, data.manifest)
    times = np.zeros(len(rows), dtype=int)
    for fold in split.folds:
        test, train = data.rows_of(fold.test), data.rows_but(fold.apart)
        times[test] += 1
        assert len(rows) == len(test) + len(train)
        assert set() == {rows[row] for row in test} & {rows[row] for row in train}
        assert {fold.id} == {rows[row] for row in test}, "a fold is named after the group that it holds out"
    assert [1] * len(rows) == times.tolist()


@pytest.mark.slow
@settings(max_examples=60)
@given(SIZES, st.data())
def test_no_group_stands_in_two_parts_of_any_split(sizes: dict[str, int], data: st.DataObject) -> None:
    """A clip would lend its frames to training and test at once."""
    folds = data.draw(st.integers(2, len(sizes)))
    some = data.draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=len(sizes) - 1, unique=True))
    check_laws(split_corpus(LOGO, manifest(sizes)), set(sizes))
    parts = split_corpus(splitter(kind="group-k-fold", folds=folds), manifest(sizes))
    check_laws(parts, set(sizes))
    assert folds == len(parts.folds)
    assert set(sizes) == {name for fold in parts.folds for name in fold.test}
    fixed = split_corpus(splitter(kind="fixed", test=some), manifest(sizes))
    check_laws(fixed, set(sizes))
    assert [("test", tuple(sorted(some)))] == [(fold.id, fold.test) for fold in fixed.folds]


@settings(max_examples=60)
@given(SIZES.flatmap(lambda sizes: st.tuples(st.just(sizes), st.permutations(sorted(sizes)))), st.data())
def test_the_order_of_groups_changes_nothing(pair: tuple[dict[str, int], list[str]], data: st.DataObject) -> None:
    """Sorting the corpus would move groups between folds, and no two people could compare their numbers."""
    sizes, names = pair
    shuffled = manifest([(name, sizes[name]) for name in names])
    folds = data.draw(st.integers(2, len(sizes)))
    for spec in (LOGO, splitter(kind="group-k-fold", folds=folds), splitter(kind="fixed", test=names[:1])):
        one, two = split_corpus(spec, manifest(sizes)), split_corpus(spec, shuffled)
        assert one == two
        assert one.sha256 == two.sha256


@settings(max_examples=40)
@given(SIZES, st.integers(2, 9))
def test_the_parts_of_a_k_fold_are_balanced(sizes: dict[str, int], folds: int) -> None:
    """One fold would hold out nearly everything, and its model learn from nearly nothing."""
    folds = min(folds, len(sizes))
    split = split_corpus(splitter(kind="group-k-fold", folds=folds), manifest(sizes))
    parts = [sum(sizes[name] for name in fold.test) for fold in split.folds]
    assert max(parts) - min(parts) <= max(sizes.values()), "no part exceeds another by more than one group"


def test_a_large_group_is_placed_first() -> None:
    """The order of names would decide: the largest group would join a part that is full already."""
    split = split_corpus(splitter(kind="group-k-fold", folds=2), manifest({"a": 1, "b": 1, "c": 1, "d": 9}))
    assert [("part0", ("d",)), ("part1", ("a", "b", "c"))] == [(fold.id, fold.test) for fold in split.folds]


def test_the_digest_is_stable_between_releases() -> None:
    """Every finished run would look like one of another split after an upgrade."""
    split = split_corpus(LOGO, manifest({"b": 2, "a": 1, "c": 3}))
    assert {
        "schema": "heldout.split/2",
        "kind": "leave-one-group-out",
        "folds": [{"id": "a", "test": ["a"]}, {"id": "b", "test": ["b"]}, {"id": "c", "test": ["c"]}],
    } == split.to_json()
    assert "ea69f6d9dab5b7ce8be6d8ed1c8372d9b14929c17274eae3e7a093ff4e61d606" == split.sha256


def test_the_digest_that_older_runs_recorded_is_known() -> None:
    """An upgrade would make every champion one of another split, and every variant a new attempt."""
    split = split_corpus(LOGO, manifest({"b": 2, "a": 1, "c": 3}))
    assert {
        "schema": "heldout.split/1",
        "kind": "leave-one-group-out",
        "folds": [
            {"id": "a", "train": ["b", "c"], "test": ["a"]},
            {"id": "b", "train": ["a", "c"], "test": ["b"]},
            {"id": "c", "train": ["a", "b"], "test": ["c"]},
        ],
    } == split.to_older_json()
    older = "a5152028547f086731973a418482dcc21628fed14d998f89fd66e0965dad8d17"
    assert older == split.older_sha256 == digest(split.to_older_json())
    assert split.is_named(older)
    assert split.is_named(split.sha256)
    assert not split.is_named("0" * 64)
    assert split == read_split(split.to_older_json(), "cab") == read_split(split.to_json(), "bca")


def test_the_digest_is_of_the_split_and_not_of_the_rows() -> None:
    """A corrected label would be taken for another split; a renamed group for the same."""
    base = split_corpus(LOGO, manifest({"a": 1, "b": 2, "c": 3})).sha256
    assert base == split_corpus(LOGO, manifest({"a": 7, "b": 2, "c": 3}, salt="x")).sha256
    assert base != split_corpus(LOGO, manifest({"a": 1, "b": 2, "d": 3})).sha256
    assert base != split_corpus(splitter(kind="group-k-fold", folds=3), manifest({"a": 1, "b": 2, "c": 3})).sha256


def test_another_test_set_is_another_split() -> None:
    """A verdict on one test set would be shown for another."""
    sizes = {"a": 1, "b": 2, "c": 3}
    digests = {split_corpus(splitter(kind="fixed", test=[name]), manifest(sizes)).sha256 for name in sizes}
    assert 3 == len(digests)
    one, two = (split_corpus(splitter(kind="fixed", test=test), manifest(sizes)) for test in (["a", "b"], ["b", "a"]))
    assert one.sha256 == two.sha256


@pytest.mark.parametrize(
    ("spec", "sizes", "what", "where"),
    [
        (LOGO, {"a": 9}, "1 groups cannot be split", "split"),
        (LOGO, {}, "0 groups cannot be split", "split"),
        (splitter(kind="group-k-fold", folds=4), {"a": 1, "b": 1, "c": 1}, "cannot fill 4 folds", "split.folds"),
        (splitter(kind="fixed", test=["z"]), {"a": 1, "b": 1}, "no group 'z'", "split.test"),
        (splitter(kind="fixed", test=["a", "b"]), {"a": 1, "b": 1}, "cannot be split", "split.test"),
    ],
)
def test_a_split_that_cannot_be_is_refused(spec: Splitter, sizes: dict[str, int], what: str, where: str) -> None:
    """A model would be trained on nothing, or judged on nothing."""
    with pytest.raises(CorpusError, match=what) as caught:
        split_corpus(spec, manifest(sizes))
    assert where == caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize(
    "folds",
    [
        (Fold("one", ("b", "c"), exceptions=("b",)),),
        (Fold("one", ("c",)), Fold("two", ("c",))),
    ],
)
def test_a_split_with_a_straddling_group_cannot_be_built(folds: tuple[Fold, ...]) -> None:
    """A plug-in's or a file's split would leak, and nothing after it would look."""
    with pytest.raises(CorpusError, match="two parts of the split") as caught:
        Split("fixed", folds, ("a", "b", "c"))
    assert "HO-G001" == caught.value.code
    assert f"fold {folds[-1].id}, group {'b' if len(folds) == 1 else 'c'}" == caught.value.where


@pytest.mark.slow
def test_a_hundred_thousand_groups_make_folds() -> None:
    """Each group of a table of visitors would be looked for in every part again, for minutes before a run begins."""
    many = manifest({f"g{number:06}": 1 + number % 7 for number in range(100_000)})
    split = split_corpus(splitter(kind="group-k-fold", folds=5), many)
    sizes = {record.id: record.samples for record in many.groups}
    counts = [sum(sizes[name] for name in fold.test) for fold in split.folds]
    assert max(counts) - min(counts) <= 7
    assert 100_000 == len(split.held_out)


def test_a_split_is_as_large_as_its_corpus_has_groups() -> None:
    """Every fold would name all groups that train: at 10,000 of them a gigabyte, and a plan that no laptop can make."""
    small, large = (
        len(canonical(split_corpus(LOGO, manifest({f"g{number:05}": 1 for number in range(count)})).to_json()))
        for count in (500, 5000)
    )
    assert large < 11 * small


def test_a_fold_that_is_none_is_refused() -> None:
    """A fold of a document or a plug-in would test nothing, learn from nothing, or hide behind another's name."""
    for folds, what in (
        ((Fold("one", ()),), "holds nothing out"),
        ((Fold("one", ("a",)), Fold("one", ("b",))), "has the name of another"),
        ((Fold("one", ("z",)),), "is no group of the corpus"),
        ((Fold("one", ("a",), val=("b",), exceptions=("c",)),), "leaves no group to learn from"),
    ):
        with pytest.raises(CorpusError, match=what) as caught:
            Split("mine", folds, ("a", "b", "c"))
        assert caught.value.hint
    with pytest.raises(InputError, match=r"heldout\.split/9"):
        read_split({"schema": "heldout.split/9"}, "abc")
