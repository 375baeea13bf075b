"""Contenders that know nothing answer from training targets alone, whatever the split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.evidence import dumps, loads
from heldout.split import Fold
from heldout.study import BootstrapSpec
from heldout.task import Predictions, summarise
from heldout.task.trivial import NAMES, Trivial, trivial_contenders

QUICK = BootstrapSpec(draws=100)
ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-50, 50)), min_size=8, max_size=40)


def _folds(groups: list[str]) -> list[Fold]:
    names = sorted(set(groups))
    return [Fold(f"hold {name}", (name,)) for name in names]


@given(ROWS)
def test_mean_and_median_are_those_of_the_training_rows(rows: list[tuple[str, int]]) -> None:
    """A held-out target in one of them would make the gate look harder than it is."""
    groups, values = [group for group, _ in rows], np.array([float(value) for _, value in rows])
    folds = _folds(groups)
    if len(folds) < 2:
        return
    found = trivial_contenders(values, np.array(groups), folds)
    for fold in folds:
        train = values[~np.isin(groups, fold.apart)]
        assert found["mean"].answers[fold.id][0] == pytest.approx(train.mean(), abs=1e-9)
        assert found["median"].answers[fold.id][0] == np.median(train)
        held_out = np.where(np.isin(groups, fold.test), 1e6, values)
        again = trivial_contenders(held_out, np.array(groups), [fold])
        assert all(again[name].answers[fold.id] == found[name].answers[fold.id] for name in NAMES["regression"])


@given(ROWS)
def test_majority_and_shares_are_those_of_the_training_rows(rows: list[tuple[str, int]]) -> None:
    """The same, for classes."""
    groups, labels = [group for group, _ in rows], np.array(["no", "yes", "maybe"])[[abs(v) % 3 for _, v in rows]]
    folds, classes = _folds(groups), ("maybe", "no", "yes")
    if len(folds) < 2:
        return
    found = trivial_contenders(labels, np.array(groups), folds, classes)
    for fold in folds:
        counts = Counter(labels[~np.isin(groups, fold.apart)].tolist())
        shares = np.array([counts[name] for name in classes]) / counts.total()
        assert found["prior"].answers[fold.id] == pytest.approx(shares)
        assert counts[classes[int(found["majority"].answers[fold.id].argmax())]] == max(counts.values())
        assert all(each.answers[fold.id].sum() == pytest.approx(1) for each in found.values())


@given(st.floats(-1e6, 1e6), st.booleans())
def test_what_was_written_is_read_back(value: float, classes: bool) -> None:
    """Verification would score another contender than the run did."""
    contender = Trivial("mean", {"a": np.array([0.25, 0.75]) if classes else np.array([value])})
    again = Trivial.from_json("mean", loads(dumps(contender.to_json()), where="test"))
    assert again.differs(contender, 1.0) is None
    assert again.differs(Trivial("mean", {"a": contender.answers["a"] + 1}), 1.0) == "a"
    assert again.differs(Trivial("mean", {"b": contender.answers["a"]}), 1.0) == "b"


def test_one_row_in_several_folds_is_answered_by_each() -> None:
    """Purged splits hold a row out more than once, each time without other groups."""
    folds = [Fold("p", ("c",), exceptions=("b",)), Fold("q", ("c",))]
    samples = pl.DataFrame({"sample_id": ["x", "y", "x", "y"], "group": ["c"] * 4, "fold": ["p", "p", "q", "q"]})
    samples = samples.with_columns(target=pl.Series([1.0, 2.0, 1.0, 2.0]), cell=pl.Series(["k"] * 4))
    trivial = trivial_contenders(np.array([0.0, 10.0, 1.0, 2.0]), np.array(["a", "b", "c", "c"]), folds)
    assert [0.0, 0.0, 5.0, 5.0] == trivial["mean"].predict(samples["fold"].to_numpy()).tolist()
    found = summarise(Predictions(samples, {0: np.arange(4.0)}), {}, QUICK, None, trivial)["trivial"]
    assert 0.0 == found["contenders"]["mean"]["ensemble"]["within_cell"]["plcc"]
    assert {} == found["contenders"]["mean"]["ensemble"]["within_cell"]["undefined_cells"]


def test_numbers_of_the_run_stay_what_they_are() -> None:
    """The contenders would move what is judged."""
    rng = np.random.default_rng(0)
    groups = np.repeat(list("abc"), 10)
    samples = pl.DataFrame({"sample_id": [str(i) for i in range(30)], "group": groups, "fold": groups})
    samples = samples.with_columns(target=pl.Series(rng.normal(size=30)))
    found = Predictions(samples, {0: rng.normal(size=30), 1: rng.normal(size=30)})
    folds = [Fold(each, (each,)) for each in "abc"]
    before = summarise(found, {}, QUICK)
    after = summarise(found, {}, QUICK, None, trivial_contenders(found.target, groups, folds))
    assert before == {key: value for key, value in after.items() if key not in ("copies", "trivial")}
    assert {"copies", "trivial"} == set(after) - set(before)


def test_a_target_that_is_too_large_leaves_no_number_behind() -> None:
    """A sum that overflows would be an answer of infinity, or a crash after all the training."""
    groups = np.array(["a", "a", "b", "b"])
    folds = [Fold("a", ("a",)), Fold("b", ("b",))]
    found = trivial_contenders(np.full(4, 1.7e308), groups, folds)
    samples = pl.DataFrame({"sample_id": list("wxyz"), "group": groups, "fold": groups, "target": np.full(4, 1.7e308)})
    document = summarise(Predictions(samples, {0: np.zeros(4)}), {}, QUICK, None, found)
    assert {"a": None, "b": None} == document["trivial"]["contenders"]["mean"]["answers"]
    dumps(document)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
def test_a_quantile_contender_is_numpys_quantile_of_the_rows_that_train(level: float) -> None:
    """The constant that a gate over a quantile is put to would not be the best one."""
    rng = np.random.default_rng(3)
    groups = np.repeat([f"g{number:02d}" for number in range(20)], rng.integers(1, 9, 20))
    target = rng.normal(size=len(groups)).round(1)
    folds = [*(Fold(name, (name,)) for name in np.unique(groups).tolist()), Fold("two", ("g01", "g05"))]
    found = trivial_contenders(target, groups, folds, (), [f"pinball@{level}"])[f"quantile {level}"]
    for fold in folds:
        expected = np.quantile(target[~np.isin(groups, fold.test)], level)
        assert expected == pytest.approx(found.answers[fold.id][0], abs=1e-12)
