"""The probability of backtest overfitting, against simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from leaderboard_kit import overlapping, rng

from heldout.errors import InputError
from heldout.leaderboard import backtest_overfitting


@pytest.mark.parametrize("arms", [4, 5])
def test_problem_20_arms_without_any_difference_give_the_value_of_luck(arms: int) -> None:
    """Overlapping folds made noise look well chosen: 0.40 where luck alone is 0.60 for five arms."""
    horizon, dates = 5, 160
    found = []
    for draw in range(1000):
        scores = overlapping(arms, dates, horizon, seed=1000 * arms + draw).T
        found.append(backtest_overfitting(scores, horizon=horizon, groups=8))
    assert ((arms + 1) // 2) / arms == found[0].by_luck
    assert found[0].by_luck == pytest.approx(np.mean([each.probability for each in found]), abs=0.03)


def test_an_arm_that_is_really_better_is_chosen_rightly() -> None:
    """A good choice would be called overfitting."""
    scores = rng(1).standard_normal((400, 5)) + np.array([0, 0, 0, 0, 0.6])
    assert backtest_overfitting(scores, horizon=5).probability < 0.02


def test_an_arm_that_is_good_in_one_era_only_is_found_out() -> None:
    """The winner of one lucky stretch would pass for the best arm."""
    scores = 0.05 * rng(2).standard_normal((400, 6))
    scores[:40, 0] += 5.0
    scores[40:, 0] -= 0.3
    assert backtest_overfitting(scores, horizon=1).probability > 0.4


def test_the_splits_are_those_of_the_definition() -> None:
    """A slip in the bookkeeping of halves would still give a share between 0 and 1."""
    scores = rng(3).standard_normal((60, 5))
    found = backtest_overfitting(scores, horizon=1, groups=6)
    groups, losses = np.array_split(np.arange(60), 6), []
    for chosen in combinations(range(6), 3):
        inside = np.concatenate([groups[each] for each in chosen])
        outside = np.setdiff1d(np.arange(60), inside)
        best = scores[inside].mean(axis=0).argmax()
        rank = (scores[outside].mean(axis=0).argsort().argsort() + 1)[best]
        losses.append(rank / 6 <= 0.5)
    assert (20, np.mean(losses)) == (found.splits, found.probability)


def test_problem_20_no_outcome_is_on_both_sides_of_a_split() -> None:
    """What was seen in training would be seen again in the test, through outcomes that span the border."""
    scores = np.zeros((80, 3))
    scores[[20, 23, 40, 43, 60, 63]] = [100.0, 0.0, 0.0]
    with_border = backtest_overfitting(scores + 1e-3 * rng(4).standard_normal((80, 3)), horizon=5, groups=4)
    without = np.zeros((80, 3)) + 1e-3 * rng(4).standard_normal((80, 3))
    assert with_border.logits.tolist() == backtest_overfitting(without, horizon=5, groups=4).logits.tolist()


@pytest.mark.parametrize(
    ("shape", "options"),
    [((100, 1), {}), ((100, 3), {"groups": 7}), ((100, 3), {"groups": 2}), ((100, 3), {"horizon": 21}), ((100,), {})],
)
def test_what_cannot_be_split_is_refused(shape: tuple[int, ...], options: dict[str, int]) -> None:
    """A number would be given for data that allow none."""
    with pytest.raises(InputError):
        backtest_overfitting(np.zeros(shape), **({"horizon": 5} | options))


def test_a_score_that_is_missing_is_named() -> None:
    """NaN would sort to one side and pass for a rank."""
    scores = np.zeros((100, 3))
    scores[7, 2] = np.nan
    with pytest.raises(InputError, match="date 7, arm 2"):
        backtest_overfitting(scores, horizon=1)
