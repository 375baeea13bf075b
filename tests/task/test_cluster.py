"""Pooled metrics beside what costs nothing: sums, lotteries and intervals over groups."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from heldout.study import BootstrapSpec
from heldout.task import labels as formulas
from heldout.task.cluster import Contender, Draws, beside, expanded_tail, gain, pooled
from heldout.task.uncertainty import bootstrap_mean

SPEC = BootstrapSpec(level=0.95, draws=500, seed=0)
ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.sampled_from("xyz")), min_size=1)


def sums_of(rows: list[tuple[str, str, str]], classes: str = "abcd") -> tuple[Draws, np.ndarray[Any, Any]]:
    draws = Draws([row[2] for row in rows], SPEC)
    sums = formulas.LabelSums(classes, draws.codes)
    return draws, sums.of_labels([row[0] for row in rows], [row[1] for row in rows])


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_metrics_of_sums_are_those_of_rows(rows: list[tuple[str, str, str]]) -> None:
    """A figure would mean something else here than everywhere."""
    _, sums = sums_of(rows)
    truth, said = [row[0] for row in rows], [row[1] for row in rows]
    occurs = sorted(set(truth))
    expected = {
        formulas.accuracy: sk.accuracy_score(truth, said),
        formulas.balanced_accuracy: sk.recall_score(truth, said, labels=occurs, average="macro", zero_division=0),
        formulas.supported_macro_f1: sk.f1_score(truth, said, labels=occurs, average="macro", zero_division=0),
        formulas.macro_f1: sk.f1_score(truth, said, labels=list("abcd"), average="macro", zero_division=0),
    }
    for statistic, value in expected.items():
        assert value == pytest.approx(pooled(sums, statistic), abs=1e-12), statistic.__name__


def test_a_lottery_has_the_sums_that_many_draws_have() -> None:
    """Chance would be too easy, or too hard, to beat."""
    rng = np.random.default_rng(0)
    shares = {"a": 0.6, "b": 0.3, "c": 0.1}
    truth = rng.choice(list("abcd"), size=400, p=[0.4, 0.3, 0.2, 0.1]).tolist()
    sums = formulas.LabelSums("abcd", np.zeros(400, np.int64))
    drawn = [rng.choice(list("abc"), size=400, p=list(shares.values())).tolist() for _ in range(300)]
    mean = np.mean([sums.of_labels(truth, said) for said in drawn], axis=0)
    np.testing.assert_allclose(sums.of_lottery(truth, shares), mean, atol=4)


def test_the_interval_is_that_of_whole_groups() -> None:
    """Rows of one episode are alike: taken one by one they would promise a precision that is not there."""
    rng = np.random.default_rng(1)
    level = rng.random(12)
    rows = [("a", "a" if rng.random() < level[g] else "b", f"g{g}") for g in range(12) for _ in range(50)]
    draws, sums = sums_of(rows)
    found = draws.interval(draws.each(sums, formulas.accuracy))
    by_group = np.array([np.mean([r[0] == r[1] for r in rows if r[2] == f"g{g}"]) for g in range(12)])
    spread = by_group.std(ddof=1) / np.sqrt(12)
    assert found["high"] - found["low"] == pytest.approx(3.92 * spread, rel=0.25)
    assert found == Draws([row[2] for row in rows], SPEC).interval(draws.each(sums, formulas.accuracy))


def test_equal_contenders_gain_nothing_and_beat_nothing() -> None:
    """A model that copies its baseline would beat it by rounding."""
    rows = [("a", "a", "x"), ("b", "a", "x"), ("a", "a", "y"), ("b", "a", "z")]
    draws, sums = sums_of(rows)
    found = beside(draws, formulas.accuracy, sums, {"same": Contender(sums)})
    assert {"gain": 0.0, "low": 0.0, "high": 0.0} == found["baselines"]["same"]["gain"]
    assert (0.5, "same", False) == (found["value"], found["trivial"], found["beats_trivial"])
    shown = beside(draws, formulas.accuracy, sums, {"same": Contender(sums, ruled=False)})
    assert (None, None) == (shown["trivial"], shown["beats_trivial"])


def test_one_group_has_no_interval_and_rare_holes_are_left_out() -> None:
    """An interval would be shown where nothing can be resampled, or vanish for one unlucky draw."""
    draws, sums = sums_of([("a", "a", "x"), ("b", "a", "x")])
    assert beside(draws, formulas.accuracy, sums, {"o": Contender(sums)})["beats_trivial"] is None
    many = Draws([f"g{n}" for n in range(5)], SPEC)
    values = np.linspace(0, 1, 500)
    values[:20] = np.nan
    assert many.interval(values)["low"] is not None
    values[:40] = np.nan
    assert many.interval(values)["low"] is None


def test_smaller_is_better_turns_the_gain_round() -> None:
    """A larger error would be called a gain."""
    draws = Draws(["x", "y", "z"], SPEC)
    ours, theirs = (draws.sums(np.array([[v, 1.0]] * 3)) for v in (1.0, 2.0))
    mean = lambda sums: sums[..., 0] / sums[..., 1]  # noqa: E731
    found = beside(draws, mean, ours, {"copy": Contender(theirs)}, smaller_is_better=True)
    assert (True, 1.0) == (found["beats_trivial"], found["baselines"]["copy"]["gain"]["gain"])
    assert -1.0 == gain(draws, (1.0, np.ones(500)), (2.0, np.full(500, 2.0)))["gain"]


@pytest.mark.slow
def test_many_groups_fit_into_memory() -> None:
    """Intervals over a hundred thousand visitors would take 6 GB, and the evaluation be killed at its end."""
    groups, spec = 50_000, BootstrapSpec(draws=400)
    names, values = [f"g{number}" for number in range(groups)], np.random.default_rng(0).normal(size=groups)
    tracemalloc.start()
    try:
        draws = Draws(names, spec)
        found = draws.each(np.stack([np.sort(values), np.ones(groups)], axis=1), lambda sums: sums[:, 0] / sums[:, 1])
        bootstrap_mean(values, spec)
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()
    taken = np.random.Generator(np.random.Philox(spec.seed)).integers(0, groups, size=(3, groups))
    assert found[:3] == pytest.approx(np.sort(values)[taken].mean(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("groups", [5, 8])
def test_a_gain_that_is_none_seldom_looks_like_one(groups: int) -> None:
    """Few episodes would promote luck two or three times as often as the level says."""
    rng, trials = np.random.default_rng(groups), 1500
    lucky = 0
    for _ in range(trials):
        sizes = rng.integers(2, 9, groups)
        chance = np.clip(0.25 + rng.normal(0, 0.15, groups), 0, 1)
        ours, theirs = rng.binomial(sizes, chance), rng.binomial(sizes, 0.25)
        draws = Draws([f"e{number}" for number in range(groups)], BootstrapSpec(level=0.95, draws=500, seed=0))
        sums = [np.stack([hits, sizes], axis=1).astype(float) for hits in (ours, theirs)]
        sides = [(pooled(one, _share), draws.each(one, _share)) for one in sums]
        lucky += gain(draws, sides[0], sides[1])["low"] > 0
    assert lucky / trials < 0.04  # 2.5 % is said; the plain percentiles have more than 5 %


def test_the_expanded_tail_is_the_plain_one_where_groups_are_many() -> None:
    """A correction for few groups would widen every interval."""
    assert 0.025 == pytest.approx(expanded_tail(0.95, 100_000), rel=1e-3)
    assert expanded_tail(0.95, 5) < expanded_tail(0.95, 6) < expanded_tail(0.95, 50) < 0.025


def _share(sums: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = sums[..., 0] / sums[..., 1]
    return found
