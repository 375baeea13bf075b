"""Who serves next: three rules, over histories whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from leaderboard_kit import days, overlapping, rng
from nightly import times

from heldout.leaderboard import DatedScores, Design, Record, behaviour, regret
from heldout.leaderboard.rules import fresh_best, never_switch, supported_lead

HORIZON, YEAR, YEARS = 21, 252, 12
DESIGN = Design(horizon=HORIZON, effect=0.05, scale=0.08, tests=3)
OUTPUTS = rng(1).standard_normal((40, 20))
CLEARED = behaviour(OUTPUTS + 0.1 * rng(2).standard_normal((40, 20)), OUTPUTS)


def _history(seed: int, leads: Mapping[str, float], years: int = YEARS) -> dict[str, DatedScores]:
    dates = days(years * YEAR)
    shared = 0.1 * overlapping(1, len(dates), HORIZON, seed=1000 + seed)[0]
    own = 0.05 * overlapping(len(leads), len(dates), HORIZON, seed=seed)
    return {name: DatedScores(dates, shared + lead + own[place]) for place, (name, lead) in enumerate(leads.items())}


def _serve(scores: Mapping[str, DatedScores], years: int = YEARS) -> list[str]:
    first = next(iter(scores))

    def known(period: int, champion: str) -> dict[str, Record]:
        matured = max(period * YEAR - HORIZON, 0)
        return {
            name: Record(DatedScores(each.dates[:matured], each.values[:matured]), checks=CLEARED)
            for name, each in scores.items()
        }

    return [each.arm for each in supported_lead(known, years, first, DESIGN).served]


def test_a_supported_lead_is_served_and_the_reason_says_how_large_it_is() -> None:
    """A rule that never switches would be as safe, and of no use."""
    served = _serve(_history(3, {"base": 0.0, "better": 0.12, "same": 0.0, "worse": -0.1}))
    assert "base" == served[0]
    assert "better" == served[-1]
    assert 1 == sum(one != other for one, other in pairwise(served))


def test_problem_14_fresh_best_chases_luck() -> None:
    """A fresh best of luck would be taken for progress: 1,000 histories of four equal arms, eleven decisions each."""
    moved = 0
    for seed in range(1000):
        draws = rng(seed).normal(scale=0.02, size=(YEARS, 4))
        selection = [dict(zip("abcd", row, strict=True)) for row in draws.tolist()]
        moved += {each.arm for each in fresh_best(selection, "a").served} != {"a"}
    assert moved >= 990


@pytest.mark.slow
def test_problem_14_a_supported_lead_is_served_by_luck_no_more_often_than_declared() -> None:
    """The honest rule would chase luck too, more slowly: histories of four equal arms over six years."""
    leads = dict.fromkeys(("base", "one", "two", "three"), 0.0)
    histories = times(300, 1000)
    moved = sum(set(_serve(_history(seed, leads, 6), 6)) != {"base"} for seed in range(histories))
    assert moved <= histories * DESIGN.alpha / 2


def test_the_freshest_best_needs_a_score_above_the_floor_and_keeps_the_incumbent_without_one() -> None:
    """An arm that could not be measured would win or lose by that."""
    selection = [
        {"a": 0.0, "b": 0.0, "c": 0.0},
        {"a": 0.02, "b": None, "c": 0.01},
        {"a": None, "b": 0.03, "c": 0.01},
        {"a": 0.05, "b": -0.01, "c": -0.02},
        {"a": -0.05, "b": -0.01, "c": -0.02},
    ]
    assert ["a", "a", "b", "a", "a"] == [each.arm for each in fresh_best(selection, "a").served]
    whys = [each.why for each in fresh_best(selection, "a").served]
    assert "its score of selection is 0.0300, a's not known" == whys[2]


def test_a_margin_keeps_the_incumbent() -> None:
    """The margin of the rule would be a number that nobody reads."""
    selection = [{"a": 0.0, "b": 0.0}, {"a": 0.010, "b": 0.015}]
    assert ["b", "a"] == [fresh_best(selection, "a", margin=margin).served[-1].arm for margin in (0.0, 0.01)]


def test_never_switching_has_no_regret() -> None:
    """The yardstick itself would be off."""
    scores = rng(4).normal(size=(7, 2))
    served = [each.arm for each in never_switch(7, "b").served]
    assert 0.0 == regret(scores, ["a", "b"], served).regret


def test_an_arm_that_nobody_checked_is_never_served() -> None:
    """A rotation could hand the book to outputs that nobody had looked at."""
    scores = _history(3, {"base": 0.0, "better": 0.3})

    def unchecked(period: int, champion: str) -> dict[str, Record]:
        return {name: Record(each) for name, each in scores.items()}

    history = supported_lead(unchecked, 3, "base", DESIGN)
    assert ["base"] * 3 == [each.arm for each in history.served]
    assert "nobody checked it" in history.served[-1].why


@pytest.mark.parametrize("rule", ["never-switch", "fresh-best", "supported-lead"])
def test_the_first_arm_serves_the_first_period_under_every_rule(rule: str) -> None:
    """Rules would be compared from different beginnings."""
    scores = _history(3, {"base": 0.0, "better": 0.12})
    histories = {
        "never-switch": never_switch(3, "base"),
        "fresh-best": fresh_best([{"base": 0.0, "better": 1.0}] * 3, "base"),
        "supported-lead": supported_lead(
            lambda period, champion: {name: Record(each, checks=CLEARED) for name, each in scores.items()},
            3,
            "base",
            DESIGN,
        ),
    }
    assert "base" == histories[rule].served[0].arm
    assert rule == histories[rule].id
