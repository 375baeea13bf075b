"""Intervals by group: they hold at their level on groups never seen, and no number is made up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.task.conformal import conformal, groups_needed, hierarchical_quantile, left_out_quantiles


def _corpus(rng: np.random.Generator, groups: int, rows: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Targets and predictions whose error has a scale and an offset of its own in every group."""
    scale, offset = rng.gamma(4, 0.5, groups), rng.normal(0, 1, groups)
    mean = rng.uniform(0, 100, groups * rows)
    error = np.repeat(scale, rows) * rng.normal(size=groups * rows) + np.repeat(offset, rows)
    segments = {f"g{i:03}": np.arange(i * rows, (i + 1) * rows) for i in range(groups)}
    return mean + error, mean, segments


@pytest.mark.parametrize(("level", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_defect_25_too_few_groups_give_no_number(level: float, needed: int) -> None:
    """A level would be claimed that so few groups cannot hold."""
    assert needed == groups_needed(level)
    scores = [np.ones(5)] * needed
    assert math.isfinite(hierarchical_quantile(scores, level))
    assert math.inf == hierarchical_quantile(scores[:-1], level) or needed == 1


@given(st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), min_size=9, max_size=14), st.floats(0.05, 0.9))
def test_defect_25_quantile_is_an_order_statistic(scores: list[list[float]], level: float) -> None:
    """An interpolated quantile lies below what was observed, and covers less than it says."""
    arrays = [np.array(part) for part in scores]
    found = hierarchical_quantile(arrays, level)
    assert found in np.concatenate(arrays)
    share = np.mean([(part <= found).mean() for part in arrays]) * len(arrays) / (len(arrays) + 1)
    assert share >= level - 1e-6


def test_defect_24_a_new_group_is_covered_at_the_level() -> None:
    """Calibrated on rows instead of groups, the interval would hold on average and fail on the next group."""
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(400):
        target, mean, segments = _corpus(rng, 25, 30)
        names = sorted(segments)
        scores = [np.abs(target - mean)[segments[name]] for name in names]
        covered.append((scores[-1] <= hierarchical_quantile(scores[:-1], 0.9)).mean())
    error = np.std(covered) / np.sqrt(len(covered))
    assert np.mean(covered) >= 0.9 - 3 * error
    assert np.mean(covered) <= 0.9 + 1 / 25 + 3 * error


def test_coverage_is_measured_on_groups_that_did_not_calibrate() -> None:
    """A group far from all others would be covered by its own residuals."""
    rng = np.random.default_rng(3)
    target, mean, segments = _corpus(rng, 24, 40)
    target[segments["g007"]] += 50
    found = conformal(target, mean, None, segments)["kinds"]["absolute"]["0.9"]
    assert {"group": "g007", "value": 0.0} == found["worst_group"]
    assert 0.8 < found["coverage"] < 1


def test_too_few_groups_say_how_many_are_needed() -> None:
    """An empty cell in the report would look like a mistake."""
    target, mean, segments = _corpus(np.random.default_rng(0), 12, 20)
    found = conformal(target, mean, None, segments)["kinds"]["absolute"]
    assert found["0.95"]["half_width"] is None
    assert "20 are needed" in found["0.95"]["why"]
    assert found["0.9"]["half_width"] > 0


def test_defect_25_seeds_that_agree_do_not_give_a_width_of_zero() -> None:
    """Where all seeds agree by chance the interval would be a point."""
    rng = np.random.default_rng(5)
    target, mean, segments = _corpus(rng, 24, 40)
    sigma = rng.gamma(2, 1, len(mean))
    sigma[segments["g003"]] = 0.0
    found = conformal(target, mean, sigma, segments)["kinds"]["normalised"]["0.9"]
    assert found["by_group"]["g003"] > 0.2
    assert "normalised" not in conformal(target, mean, np.zeros_like(mean), segments)["kinds"]


def test_wider_level_covers_more() -> None:
    """Levels could be mixed up."""
    target, mean, segments = _corpus(np.random.default_rng(9), 40, 30)
    found = conformal(target, mean, None, segments)["kinds"]["absolute"]
    widths = [found[level]["half_width"] for level in ("0.8", "0.9", "0.95")]
    assert sorted(widths) == widths
    assert found["0.8"]["coverage"] < found["0.95"]["coverage"]


@given(
    st.lists(st.lists(st.integers(0, 6).map(float), min_size=1, max_size=7), min_size=1, max_size=14),
    st.floats(0.05, 0.9),
)
def test_all_left_out_quantiles_are_those_of_one_group_after_the_other(scores: list[list[float]], level: float) -> None:
    """Sorting once could shift a quantile by a place, where values are equal or a group's own rows stand there."""
    arrays = [np.array(part) for part in scores]
    expected = [hierarchical_quantile(arrays[:i] + arrays[i + 1 :], level) if len(arrays) > 1 else math.inf
                for i in range(len(arrays))]  # fmt: skip
    assert expected == left_out_quantiles(arrays, level).tolist()
