"""Intervals over groups, and whether the seeds' own spread covers the truth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from heldout.study import BootstrapSpec
from heldout.task.uncertainty import bootstrap_mean, gaussian_coverage

VALUES = np.array([0.91, 0.95, 0.99, 0.97, 0.90, 0.96])


def interval(values: np.ndarray, **options: float) -> tuple[float, float]:
    found = bootstrap_mean(values, BootstrapSpec(**options))  # type: ignore[arg-type]
    return found["low"], found["high"]


def test_the_interval_is_the_same_every_time() -> None:
    """Two people would report two intervals of one run, and no verdict could be recomputed."""
    assert bootstrap_mean(VALUES, BootstrapSpec()) == bootstrap_mean(VALUES.copy(), BootstrapSpec())
    assert interval(VALUES) != interval(VALUES, seed=1)


def test_the_interval_says_how_it_was_made() -> None:
    """A reader could not tell a 90 % interval from a 95 % one."""
    found = bootstrap_mean(VALUES, BootstrapSpec(level=0.9, draws=500, seed=7))
    expected = {"level": 0.9, "draws": 500, "seed": 7, "method": "percentile bootstrap over groups", "of": "mean"}
    assert expected == {key: found[key] for key in expected}


def test_the_interval_holds_the_mean_and_grows_with_its_level() -> None:
    """The tails would be taken from the wrong side."""
    intervals = [interval(VALUES, level=level) for level in (0.5, 0.8, 0.95, 0.99)]
    for (low, high), (wider_low, wider_high) in pairwise(intervals):
        assert wider_low < low < VALUES.mean() < high < wider_high
    assert VALUES.min() <= intervals[-1][0]
    assert intervals[-1][1] <= VALUES.max()


def test_the_interval_agrees_with_scipy() -> None:
    """The formula would be ours alone."""
    from scipy import stats

    theirs = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=20_000, method="percentile", confidence_level=0.95, rng=np.random.default_rng(0)
    ).confidence_interval
    assert (theirs.low, theirs.high) == pytest.approx(interval(VALUES, draws=20_000), abs=5e-4)


def test_draws_that_need_several_batches_are_all_drawn() -> None:
    """Beyond the first thousand the means would be uninitialised memory."""
    low, high = interval(VALUES, draws=2500)
    assert (low, high) == pytest.approx(interval(VALUES, draws=100_000), abs=2e-3)


def test_the_interval_covers_about_as_often_as_it_says() -> None:
    """`95 %` would be a decoration. With 30 groups the percentile interval covers slightly less than it says."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(400):
        low, high = interval(rng.normal(loc=3.0, size=30), draws=400)
        hits += low <= 3.0 <= high
    assert 0.90 <= hits / 400 <= 0.98


@pytest.mark.parametrize("values", [[], [0.9], [0.9, float("nan"), 0.8], [0.9, float("inf")]])
def test_defect_12_no_interval_where_a_group_is_undefined_or_alone(values: list[float]) -> None:
    """The undefined group would be drawn as zero or dropped, and one group give an interval of no width."""
    assert (None, None) == interval(np.array(values))


SEGMENTS = {"a": np.arange(0, 4), "b": np.arange(4, 8)}


def test_coverage_counts_what_the_interval_holds() -> None:
    """An interval at 1.96 sigma would be taken at another width, or over the wrong rows."""
    offsets = np.array([0.0, 1.95, -1.95, 1.97, 1.97, -1.97, 5.0, 0.5])
    found = gaussian_coverage(np.zeros(8), offsets * 2.0, np.full(8, 2.0), SEGMENTS)
    assert {
        "mean": 2.0,
        "coverage_95": 0.5,
        "worst_group_coverage_95": {"group": "b", "value": 0.25},
        "by_group": {"a": 0.75, "b": 0.25},
    } == found


def test_a_true_sigma_covers_95_percent() -> None:
    """A calibrated ensemble would look miscalibrated."""
    rng = np.random.default_rng(8)
    sigma = rng.uniform(0.5, 3.0, size=20_000)
    target = rng.normal(scale=sigma)
    found = gaussian_coverage(target, np.zeros(20_000), sigma, {"all": np.arange(20_000)})
    assert 0.95 == pytest.approx(found["coverage_95"], abs=0.005)


def test_seeds_that_agree_on_a_wrong_answer_cover_nothing() -> None:
    """A sigma of zero would count as covering, whatever the error is."""
    found = gaussian_coverage(np.ones(8), np.zeros(8), np.zeros(8), SEGMENTS)
    assert (0.0, 0.0) == (found["mean"], found["coverage_95"])


@pytest.mark.parametrize("side", [0, 1])
def test_defect_12_coverage_of_what_is_not_finite_is_null(side: int) -> None:
    """A comparison with NaN is false: a broken row would count as an honest miss."""
    parts = [np.zeros(8), np.ones(8)]
    parts[side][3] = np.nan
    found = gaussian_coverage(np.zeros(8), parts[0], parts[1], SEGMENTS)
    assert (None, None, None) == (found["mean"], found["coverage_95"], found["worst_group_coverage_95"])
