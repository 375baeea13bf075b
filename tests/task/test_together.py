"""Gains over all rows: drawn by groups, against a computation that draws row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.study import BootstrapSpec
from heldout.task import together
from heldout.task.cluster import Draws
from heldout.task.metric import Metric, Rows
from heldout.task.metrics import named
from heldout.task.together import drawn, gain_together

SPEC = BootstrapSpec(draws=100)


def metric(name: str) -> Metric:
    found = named(name)
    assert found is not None
    return found


def rows(seed: int, count: int, *, ties: bool, weighted: bool) -> Rows:
    rng = np.random.default_rng(seed)
    yes = rng.random(count).round(1) if ties else rng.random(count)
    weight = rng.integers(0, 4, count).astype(np.float64) if weighted else None
    return Rows(rng.integers(0, 2, count), np.column_stack([1 - yes, yes]), ("no", "yes"), weight)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(12, 60), st.booleans(), st.booleans(), st.sampled_from(["", "@no", "@yes"]))
def test_pairs_of_groups_give_the_area_of_every_draw(
    seed: int, count: int, ties: bool, weighted: bool, of_class: str
) -> None:
    """Areas that are added up from pairs would be other areas."""
    sample = rows(seed, count, ties=ties, weighted=weighted)
    draws = Draws([f"g{number % 5}" for number in range(count)], SPEC)
    area = metric(f"roc_auc{of_class}")
    quick = drawn(area, sample, draws).draws
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "_GROUPS_AT_MOST", 0)
        slow = drawn(area, sample, draws).draws
    np.testing.assert_allclose(slow, quick, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["rmse", "r2", "median_absolute_error"])
def test_a_draw_is_its_groups_as_often_as_they_were_drawn(name: str) -> None:
    """A group that was drawn twice counts twice, and one that was not does not."""
    rng = np.random.default_rng(0)
    truth, codes = rng.normal(size=60), np.arange(60) % 6
    said = truth + rng.normal(size=60)
    draws = Draws([f"g{code}" for code in codes], SPEC)
    found = drawn(metric(name), Rows(truth, said), draws).draws
    for number in (0, 7, 42):
        often = draws.counts[number].astype(int)
        taken = np.concatenate([np.flatnonzero(codes == group) for group in np.repeat(np.arange(6), often)])
        assert metric(name).score(Rows(truth[taken], said[taken])) == pytest.approx(found[number])


def test_a_copy_gains_nothing_and_a_nan_nobody_knows() -> None:
    """Nothing would be told from zero, or a broken prediction from a good one."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=40)
    draws = Draws([f"g{number % 8}" for number in range(40)], SPEC)
    one = drawn(metric("rmse"), Rows(truth, truth + 1.0), draws)
    found = gain_together(metric("rmse"), one, one, draws)
    assert (0.0, 0.0, 0.0) == (found["gain"], found["low"], found["high"])
    broken = drawn(metric("rmse"), Rows(truth, np.where(truth > 1, np.nan, truth)), draws)
    found = gain_together(metric("rmse"), broken, one, draws)
    assert (None, None, None) == (found["gain"], found["low"], found["high"])
