"""Levels and thresholds for many tries, against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from leaderboard_kit import rng

from heldout.errors import InputError
from heldout.leaderboard import bonferroni, deflated_threshold, expected_maximum, holm


@pytest.mark.parametrize("trials", [2, 5, 20, 100])
def test_the_expected_maximum_is_what_simulation_gives(trials: int) -> None:
    """The bar for the best of many would be another than luck sets."""
    simulated = rng(trials).standard_normal((20_000, trials)).max(axis=1).mean()
    assert simulated == pytest.approx(expected_maximum(trials), abs=0.06)
    assert 0.0 == expected_maximum(1)


@pytest.mark.parametrize("method", ["bonferroni", "holm"])
def test_no_true_null_is_rejected_more_often_than_declared(method: str) -> None:
    """Among ten arms of noise one would be called better with every second look."""
    alpha, trials = 0.05, 10
    wrong = 0
    for row in rng(1).random((2000, trials)):
        values = {str(arm): float(value) for arm, value in enumerate(row)}
        if method == "holm":
            wrong += any(holm(values, alpha).values())
        else:
            wrong += min(values.values()) <= bonferroni(alpha, trials)
    assert alpha == pytest.approx(wrong / 2000, abs=0.015)


def test_holm_finds_at_least_what_bonferroni_finds() -> None:
    """The step-down would be stricter than the plain rule that it improves on."""
    values = {"a": 0.004, "b": 0.014, "c": 0.02, "d": 0.9}
    assert {"a": True, "b": True, "c": True, "d": False} == holm(values, 0.05)
    assert {"a"} == {arm for arm, value in values.items() if value <= bonferroni(0.05, 4)}


def test_trials_that_failed_count() -> None:
    """An arm could be tried until it passes, if the failures were forgotten."""
    assert {"a": True} == holm({"a": 0.02}, 0.05)
    assert {"a": False} == holm({"a": 0.02}, 0.05, trials=10)


def test_the_deflated_threshold_is_the_lead_that_the_best_of_noise_shows() -> None:
    """The best of eight arms without skill would seem to lead."""
    scale, blocks, trials = 0.2, 40, 8
    leads = scale * rng(2).standard_normal((3000, trials, blocks)).mean(axis=2)
    assert leads.max(axis=1).mean() == pytest.approx(deflated_threshold(scale, blocks, trials), rel=0.04)
    wider = deflated_threshold(scale, blocks, trials, overlap=1.5)
    assert wider == pytest.approx(np.sqrt(1.5) * deflated_threshold(scale, blocks, trials))


def test_numbers_that_mean_nothing_are_refused() -> None:
    """A p-value of NaN would compare false with every level and pass for a rejection."""
    with pytest.raises(InputError):
        holm({"a": float("nan")}, 0.05)
    with pytest.raises(InputError):
        holm({"a": 0.1, "b": 0.2}, 0.05, trials=1)
    with pytest.raises(InputError):
        bonferroni(0.05, 0)
    with pytest.raises(InputError):
        deflated_threshold(0.1, 0, 3)
