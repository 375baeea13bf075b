"""Regret against never switching."""

from __future__ import annotations

import math

import numpy as np
import pytest
from leaderboard_kit import rng

from heldout.errors import InputError
from heldout.leaderboard import Design, bounds, regret

ARMS = ("base", "better", "noise-1", "noise-2")


def test_problem_14_the_freshest_best_is_shown_to_lose_to_never_switching() -> None:
    """A rule that promotes whatever led last year would serve noise, and no number would say so."""
    scores = np.array([0.02, 0.025, 0.0, 0.0]) + 0.04 * rng(1).standard_normal((1000, 25, len(ARMS)))
    found = [regret(each, ARMS, _freshest_best(each), ("noise-1", "noise-2")) for each in scores]
    assert np.mean([each.switches for each in found]) > 10
    assert np.mean([each.of_null for each in found]) > 5
    assert np.mean([each.regret for each in found]) > 0.002
    design = Design(horizon=1, effect=0.02, scale=0.056, tests=3)
    leads = (scores[..., 2:] - scores[..., :1]).transpose(0, 2, 1)
    low, _ = bounds(leads, alpha=design.level, rho=design.rho, overlap=design.overlap)
    assert (low > 0).any(axis=(1, 2)).mean() <= design.alpha / 2


def _freshest_best(scores: np.ndarray) -> list[str]:
    return ["base", *(ARMS[int(row.argmax())] for row in scores[:-1])]


def test_problem_14_what_switching_cost_is_counted_to_the_period() -> None:
    """Regret would be told against an arm that never served."""
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    found = regret(scores, ["a", "b"], ["a", "b", "b", "b"], ["b"])
    assert [0.0, 1.0, -2.0, -1.0] == found.path.tolist()
    assert (1, 3, -0.25) == (found.switches, found.of_null, found.regret)
    assert (1.0, 0.75, 0.75, "a") == (found.served, found.never_switch, found.best_fixed, found.best_arm)


def test_never_switching_has_no_regret() -> None:
    """The yardstick itself would be found wanting."""
    found = regret(rng(2).standard_normal((9, 2)), ["a", "b"], ["b"] * 9)
    assert (0, 0.0) == (found.switches, found.regret)


def test_what_does_not_fit_is_refused() -> None:
    """A column would be read for another arm."""
    with pytest.raises(InputError, match="do not match"):
        regret(np.zeros((3, 2)), ["a", "b"], ["a", "b"])
    with pytest.raises(InputError, match="no arm 'c'"):
        regret(np.zeros((2, 2)), ["a", "b"], ["a", "c"])
    with pytest.raises(InputError, match="not finite"):
        regret(np.full((2, 2), math.nan), ["a", "b"], ["a", "b"])
