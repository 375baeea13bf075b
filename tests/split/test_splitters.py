"""Every splitter, as laws over any groups: what is tested never trains, and nothing but the groups decides."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout import plugins
from heldout.corpus import Corpus, GroupRecord, TimeSpan
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError, HeldoutError, PrerequisiteError, StudyError
from heldout.split import Fold, Split, Splitter, load_splitter, read_split, split_corpus, split_groups

LABELS = st.lists(st.sampled_from(["no", "yes", "maybe"]), min_size=1, max_size=12)
NUMBERS = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=12)
KINDS: dict[str, dict[str, Any]] = {
    "leave-one-group-out": {},
    "group-k-fold": {"folds": 3},
    "fixed": {"test": ["g01"]},
    "walk-forward": {"warmup": 2, "window": 1},
    "combinatorial-purged": {"folds": 3, "held_out": 1},
    "stratified-group-k-fold": {"folds": 3},
    "repeated": {"folds": 3, "times": 4, "seed": 7},
    "declared": {"column": "part"},
    "sklearn.model_selection.GroupKFold": {"params": {"n_splits": 3}},
    "sklearn.model_selection:GroupShuffleSplit": {"params": {"n_splits": 4, "test_size": 0.3, "random_state": 0}},
}
TIMES = {"fixed": {0, 1}, "walk-forward": {0, 1}, "repeated": {4}, "sklearn.model_selection:GroupShuffleSplit": None}


def splitter(kind: str, **params: Any) -> Splitter:
    return load_splitter({"kind": kind} | params)


def records(targets: Sequence[Sequence[Any]]) -> list[GroupRecord]:
    """Groups one after the other in time, each with its targets and the name of a fold."""
    return [
        GroupRecord(
            f"g{number:02d}", len(each), "", span=TimeSpan(3.0 * number, 3.0 * number + 1, 3.0 * number + 1),
            targets=np.sort(np.array(each)), levels=(f"fold{number % 3}",),
        )
        for number, each in enumerate(targets)
    ]  # fmt: skip


def check_laws(split: Split, times: set[int] | None) -> None:
    held_out = Counter(name for fold in split.folds for name in fold.test)
    for fold in split.folds:
        train = fold.train(split.groups)
        assert train
        assert fold.test
        assert sorted(split.groups) == sorted([*train, *fold.apart])
        assert all(list(part) == sorted(set(part)) for part in (fold.test, fold.val, fold.exceptions))
    assert len({fold.id for fold in split.folds}) == len(split.folds)
    assert times is None or {held_out[name] for name in split.groups} <= times
    assert split.repeats or max(held_out.values()) == 1
    assert split == read_split(split.to_json(), split.groups)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(targets=st.one_of(*(st.lists(each, min_size=6, max_size=12) for each in (LABELS, NUMBERS))), data=st.data())
def test_the_laws_hold_for_every_splitter(kind: str, targets: list[list[Any]], data: st.DataObject) -> None:
    """A group would train the model that it judges; or a sorted table would be split otherwise."""
    if kind.startswith("sklearn"):
        pytest.importorskip("sklearn")
    made, groups = splitter(kind, **KINDS[kind]), records(targets)
    split = split_groups(made, groups)
    check_laws(split, TIMES.get(kind, {1}))
    assert split == split_groups(made, data.draw(st.permutations(groups)))
    assert split == split_groups(splitter(kind, **KINDS[kind]), groups)


def test_every_installed_splitter_is_held_to_the_laws() -> None:
    """One that is added would be checked by nobody."""
    ours = {"class" if "." in kind else kind for kind in KINDS}
    assert set(plugins.names("splitters")) == ours


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=4, max_size=15), st.integers(2, 4))
def test_parts_of_one_class_are_as_balanced_as_rows_can_be(sizes: list[int], folds: int) -> None:
    """Stratified folds would be worse than plain ones where there is nothing to stratify."""
    split = split_groups(splitter("stratified-group-k-fold", folds=folds), records([["a"] * size for size in sizes]))
    rows = [sum(sizes[int(name[1:])] for name in fold.test) for fold in split.folds]
    assert max(rows) - min(rows) <= max(sizes)
    assert folds == len(split.folds)


@pytest.mark.parametrize("numeric", [False, True])
def test_stratified_parts_are_more_alike_than_plain_ones(numeric: bool) -> None:
    """A fold would hold out one class alone, and its score say nothing of the others."""
    rng, wrong = np.random.default_rng(0), {"group-k-fold": 0.0, "stratified-group-k-fold": 0.0}
    for _ in range(10):
        rates = rng.beta(0.3, 0.3, size=40)
        targets = [rng.random(int(rng.integers(5, 40))) + rate if numeric else rng.random(20) < rate for rate in rates]
        groups = records([each if numeric else each.astype(str) for each in targets])
        share = np.concatenate(targets).mean()
        for kind in wrong:
            for fold in split_groups(splitter(kind, folds=4), groups).folds:
                mine = np.concatenate([targets[int(name[1:])] for name in fold.test])
                wrong[kind] += abs(mine.mean() - share)
    assert wrong["stratified-group-k-fold"] < wrong["group-k-fold"] / 3


@given(st.integers(0, 5), st.integers(2, 6))
def test_repeated_draws_differ_and_a_seed_gives_them_again(seed: int, times: int) -> None:
    """Ten repetitions would be one, or nobody could make them again."""
    groups = records([["a"]] * 30)
    split = split_groups(splitter("repeated", folds=3, times=times, seed=seed), groups)
    draws = [frozenset(fold.test for fold in split.folds[first : first + 3]) for first in range(0, 3 * times, 3)]
    assert all({*split.groups} == {name for test in draw for name in test} for draw in draws)
    assert len(set(draws)) == times
    assert split != split_groups(splitter("repeated", folds=3, times=times, seed=seed + 1), groups)


def corpus(path: Path, parts: Sequence[str | None], groups: Sequence[str] | None = None) -> Corpus:
    frame = pl.DataFrame({"g": groups or [f"g{n}" for n in range(len(parts))], "part": parts})
    frame.with_columns(x=pl.int_range(pl.len()), y=pl.int_range(pl.len()) * 0.5).write_parquet(path / "t.parquet")
    return TableReader(TableOptions(path=path / "t.parquet", group="g", target="y", ignore=["part"])).read()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["train", "test", "train", "val"], [Fold("test", ("g1",), val=("g3",))]),
        (["Train", "TEST", "train", "test"], [Fold("test", ("g1", "g3"))]),
        (["b", "a", "b", "a"], [Fold("a", ("g1", "g3")), Fold("b", ("g0", "g2"))]),
        (["1", "test", "1", "2"], [Fold("1", ("g0", "g2")), Fold("2", ("g3",)), Fold("test", ("g1",))]),
    ],
)
def test_a_column_says_where_groups_belong(tmp_path: Path, parts: list[str], expected: list[Fold]) -> None:
    """The folds of a published benchmark could not be used as they are."""
    split = split_corpus(splitter("declared", column="part"), corpus(tmp_path, parts))
    assert expected == list(split.folds)
    assert "column" == split.to_json()["reads"]


@pytest.mark.parametrize(
    ("parts", "groups", "what", "where"),
    [
        (["train", "test", "test"], ["a", "a", "b"], "'a' stands in two parts: 'test' and 'train'", "split.column"),
        (["train", "train"], None, "names no group for test", "split.column"),
        (["val", "test"], None, "names no group for train", "split.column"),
        (["one", "one"], None, "holds nothing but 'one'", "split.column"),
        (["train", None], None, "does not say of every row", "split.column"),
        (["train", " "], None, "does not say of every row", "split.column"),
    ],
)  # fmt: skip
def test_a_column_that_says_no_split_is_refused(
    tmp_path: Path, parts: list[str | None], groups: list[str] | None, what: str, where: str
) -> None:
    """A group would be in training and test at once, or nothing be tested."""
    with pytest.raises(CorpusError, match=what) as caught:
        split_corpus(splitter("declared", column="part"), corpus(tmp_path, parts, groups))
    assert where == caught.value.where
    assert caught.value.hint
    assert ("HO-G001" if groups else "HO-E120") == caught.value.code


FOREIGN = """
import numpy as np

class Halves:
    def split(self, X, y, groups):
        assert X.shape == (len(groups), 1) and X.sum() == 2 * len(groups) and len(y) == len(groups)
        half = len(groups) // 2
        yield np.arange(half), np.arange(half, len(groups))

class Any:
    def __init__(self, folds): self.folds = folds
    def split(self, X, y, groups): return iter(self.folds)

class Moody:
    turn = 0
    def split(self, X, y, groups):
        Moody.turn += 1
        yield [0, 1], [2 + Moody.turn % 2]

class Ranks:
    def split(self, X, y, groups): raise ValueError("no ranks")
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_splits.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_splits", raising=False)


@pytest.mark.usefixtures("theirs")
def test_a_class_of_the_users_own_splits_groups() -> None:
    """Whoever has a splitter would have to write a plug-in for it."""
    groups = records([["a", "b"]] * 4)
    split = split_groups(splitter("their_splits:Halves"), groups)
    assert (Fold("fold0", ("g02", "g03")),) == split.folds
    assert ("their_splits:Halves", "targets") == (split.kind, split.reads)
    partly = split_groups(splitter("their_splits.Any", params={"folds": [([0], [1, 3]), ([1], [3])]}), groups)
    assert [("g02",), ("g00", "g02")] == [fold.exceptions for fold in partly.folds]


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("kind", "params", "what", "where"),
    [
        ("their_splits:Any", {"folds": [[[0, 1], [1]]]}, "group on both sides", "split"),
        ("their_splits:Any", {"folds": [[[0, 1], [4]]]}, "names test groups that are none", "split"),
        ("their_splits:Any", {"folds": [[[0, -1], [1]]]}, "names training groups that are none", "split"),
        ("their_splits:Any", {"folds": [[[0], [1, 1]]]}, "names a test group twice", "split"),
        ("their_splits:Any", {"folds": [[[0.5], [1]]]}, "names training groups that are none", "split"),
        ("their_splits:Any", {"folds": [[[], [1]]]}, "has no training groups", "split"),
        ("their_splits:Any", {"folds": [[[0], []]]}, "has no test groups", "split"),
        ("their_splits:Any", {"folds": []}, "gives no folds", "split"),
        ("their_splits:Any", {"folds": [3]}, "cannot split 4 groups: TypeError", "split"),
        ("their_splits:Any", {"fold": 3}, "refuses its arguments", "split.params"),
        ("their_splits:Moody", {}, "other folds each time", "split"),
        ("their_splits:Ranks", {}, "ValueError: no ranks", "split"),
        ("their_splits:Nobody", {}, "there is no 'Nobody'", "split.kind"),
        ("their_splits:np", {}, "is no splitter", "split.kind"),
        ("no_such_module:Splits", {}, "cannot import", "split.kind"),
    ],
)
def test_a_class_that_does_not_split_is_refused(kind: str, params: dict[str, Any], what: str, where: str) -> None:
    """What somebody else's code answers would be believed."""
    with pytest.raises(HeldoutError, match=what) as caught:
        split_groups(splitter(kind, params=params), records([["a", "b"]] * 4))
    assert (where, 2) == (caught.value.where, caught.value.exit_code)
    assert caught.value.hint


@pytest.mark.usefixtures("theirs")
def test_a_strangers_class_is_not_run_where_documents_are_read() -> None:
    """Whoever verifies a stranger's run would run his code."""
    made = splitter("their_splits:Halves")
    with plugins.installed_only(), pytest.raises(PrerequisiteError, match="--trust-code"):
        split_groups(made, records([["a", "b"]] * 4))
    assert "their_splits" not in sys.modules


def test_a_split_without_a_seed_is_refused_with_the_way_out() -> None:
    """Nobody could make the folds again, and a second run would have others."""
    pytest.importorskip("sklearn")
    made = splitter("sklearn.model_selection.GroupShuffleSplit", params={"n_splits": 5})
    with pytest.raises(CorpusError, match="other folds each time") as caught:
        split_groups(made, records([["a"]] * 30))
    assert "random_state" in (caught.value.hint or "")


def test_a_class_that_goes_forward_is_asked_in_order_of_time() -> None:
    """Of groups named by site the future would train."""
    pytest.importorskip("sklearn")
    groups = [
        GroupRecord(name, 1, "", span=TimeSpan(start, start, start), targets=np.array(["a"]))
        for name, start in (("z", 1.0), ("a", 2.0), ("m", 3.0))
    ]
    split = split_groups(splitter("sklearn.model_selection.TimeSeriesSplit", params={"n_splits": 2}), groups)
    assert [("a",), ("m",)] == [fold.test for fold in split.folds]
    assert [("m",), ()] == [fold.exceptions for fold in split.folds]


@pytest.mark.parametrize("kind", ["class", "random", "a b.c", "x:", ".y"])
def test_a_kind_that_is_none_is_refused(kind: str) -> None:
    """A study would be split by something that nobody named."""
    with pytest.raises(StudyError) as caught:
        splitter(kind)
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["subprocess:Popen", "http.server:HTTPServer", "polars:Series", "builtins:str"])
def test_a_class_that_a_document_of_somebody_else_names_is_not_made(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever verifies a run would start what its sender chose."""
    from heldout.split import foreign

    made: list[str] = []
    monkeypatch.setattr(foreign, "import_module", lambda name: made.append(name))
    with plugins.installed_only(), pytest.raises(PrerequisiteError, match="--trust-code"):
        list(splitter(kind, params={"args": ["x"]}).folds(records([["a"]] * 6)))
    with plugins.installed_only(), plugins.trusting_code(calls=False), pytest.raises(PrerequisiteError):
        list(splitter(kind, params={"args": ["x"]}).folds(records([["a"]] * 6)))
    assert [] == made
