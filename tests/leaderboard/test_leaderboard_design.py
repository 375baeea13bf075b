"""What a comparison can find, said before it starts, and the three answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from leaderboard_kit import dated, overlapping, rng

from heldout.errors import InputError
from heldout.leaderboard import Design, blocks, bounds, judge_lead, log_evidence, pair, rank_scale


def _lead(values: np.ndarray, design: Design):  # type: ignore[no-untyped-def]
    return judge_lead(blocks(pair(dated(values), dated(np.zeros(len(values)))), design.horizon, design.block), design)


@pytest.mark.parametrize(("effect", "tests"), [(0.5, 1), (0.25, 1), (0.4, 8)])
def test_the_stated_power_is_reached_in_the_stated_time(effect: float, tests: int) -> None:
    """The wait that is printed before starting would be a wish."""
    design = Design(horizon=1, effect=effect, scale=1.0, tests=tests)
    values = effect + rng(3).standard_normal((1000, design.blocks_to_detect))
    found = log_evidence(values, 0.0, rho=design.rho) >= math.log(2 / design.level)
    assert design.power - 0.04 <= found[:, -1].mean() <= design.power + 0.06


def test_the_stated_power_is_reached_where_outcomes_overlap() -> None:
    """The wait would be said for independent dates, which no horizon of 21 days has."""
    scale = math.sqrt(2 / 3)
    design = Design(horizon=21, effect=0.5, scale=scale)
    count = design.blocks_to_detect
    values = 0.5 + overlapping(1000, 21 * count, 21, seed=4).reshape(1000, count, 21).mean(axis=2)
    found = log_evidence(values, 0.0, rho=design.rho, overlap=design.overlap) >= math.log(2 / design.level)
    assert design.power - 0.02 <= found[:, -1].mean() <= design.power + 0.10


def test_problem_09_a_gate_that_can_never_pass_says_so_before_it_starts() -> None:
    """A rule would hold every challenger for ever and nobody would know that it is the rule."""
    design = Design(horizon=21, effect=0.03, scale=0.15)
    perfect = np.full((1, design.least_blocks), 1e6)
    one_less = perfect[:, 1:]
    target = math.log(2 / design.level)
    best = max(log_evidence(perfect * size, 0.0, rho=design.rho, overlap=design.overlap)[0, -1] for size in _sizes())
    short = max(log_evidence(one_less * size, 0.0, rho=design.rho, overlap=design.overlap)[0, -1] for size in _sizes())
    assert short < target <= best
    assert "NOT ENOUGH YET" == _lead(np.full(design.least_dates - 21, 5.0), design).answer
    with pytest.raises(InputError, match="too small to be found"):
        _ = Design(horizon=21, effect=1e-9, scale=1.0).dates_to_detect


def _sizes() -> np.ndarray:
    return np.geomspace(1e-9, 1e-3, 4000)


def test_problem_10_a_window_that_never_holds_enough_matured_dates_is_refused() -> None:
    """Readiness would ask for four weeks of outcomes in a window in which three can mature."""
    design = Design(horizon=21, effect=0.05, scale=0.1)
    with pytest.raises(InputError, match="can never decide"):
        design.check_window(42)
    with pytest.raises(InputError):
        design.check_window(design.least_dates + 20)
    design.check_window(design.least_dates + 21)


def test_problem_17_the_wait_follows_from_the_universe_and_is_printed_first() -> None:
    """A lead that takes decades to see on twenty names would be waited for in silence."""
    waits = [Design(horizon=21, effect=0.03, scale=rank_scale(names)).dates_to_detect for names in (20, 100, 1000)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] > 10 * waits[2]
    text = " ".join(Design(horizon=21, effect=0.03, scale=rank_scale(20)).sentences(252))
    assert f"{waits[0]:,} common dates ({waits[0] / 252:.1f} years)" in text
    assert "Before 294 common dates" in text


def test_problem_17_no_declared_clip_shields_an_incumbent() -> None:
    """A bound that is declared too wide makes incumbents immortal, and one that is too narrow makes the level a lie."""
    values = np.array([0.4 + 0.2 * (-1) ** block for block in range(60)]).repeat(21)
    answers = {_lead(values, Design(horizon=21, effect=0.05, scale=scale)).answer for scale in (0.05, 0.2, 0.8)}
    assert {"BETTER"} == answers
    wild = rng(17).standard_cauchy((1000, 150))
    design = Design(horizon=1, effect=0.05, scale=0.05)
    found = log_evidence(wild, 0.0, rho=design.rho).max(axis=1) >= math.log(2 / design.alpha)
    assert found.mean() <= design.alpha / 2


def test_rank_scale_is_the_spread_of_rank_correlations_of_noise() -> None:
    """The wait would be computed for another universe than the one that is traded."""
    generator, names = rng(18), 20
    ranks = generator.random((2, 4000, names)).argsort(axis=-1).argsort(axis=-1) - (names - 1) / 2
    outcome = np.arange(names) - (names - 1) / 2
    correlations = (ranks * outcome).sum(axis=-1) / (outcome**2).sum()
    assert rank_scale(names) == pytest.approx((correlations[0] - correlations[1]).std(), rel=0.05)


def test_three_answers() -> None:
    """Not knowing would be told as not being better, or as being better."""
    noise = rng(19).standard_normal(21 * 60).reshape(60, 21).mean(axis=1).repeat(21)
    design = Design(horizon=21, effect=0.3, scale=0.25)
    assert "BETTER" == _lead(0.5 + noise, design).answer
    assert "NOT BETTER" == _lead(-0.2 + noise, design).answer
    early = _lead((0.2 + noise)[: 21 * 16], design)
    assert "NOT ENOUGH YET" == early.answer
    assert "more would show a lead of 0.3" in early.reason


def test_a_lead_too_small_to_matter_is_not_better() -> None:
    """With enough dates every hair's breadth would be worth a switch."""
    noise = 0.01 * np.sin(np.arange(400))
    found = _lead(0.1 + noise, Design(horizon=1, effect=0.5, scale=0.1))
    assert found.low is not None
    assert found.low > 0
    assert "NOT BETTER" == found.answer
    assert "ruled out" in found.reason


def test_an_interval_that_touches_zero_is_not_enough() -> None:
    """Almost sure would pass for sure."""
    design = Design(horizon=1, effect=0.5, scale=1.0)
    noise = rng(22).standard_normal(150)
    spread = bounds(noise, alpha=design.level, rho=design.rho)[0][-1]
    just_below, just_above = (_lead(noise - spread + shift, design) for shift in (-0.002, 0.002))
    assert ("NOT ENOUGH YET", "BETTER") == (just_below.answer, just_above.answer)
    assert just_below.low is not None
    assert -0.01 < just_below.low < 0


def test_even_a_giant_lead_waits_for_the_first_date_that_can_decide() -> None:
    """The wait that is announced would be shorter than any answer can be."""
    design = Design(horizon=21, effect=100.0, scale=0.1)
    assert design.blocks_to_detect >= design.least_blocks


def test_no_date_is_not_enough() -> None:
    """An arm that was registered today would be an error instead of an arm that waits."""
    found = _lead(np.empty(0), Design(horizon=21, effect=0.1, scale=0.1))
    assert ("NOT ENOUGH YET", None, None) == (found.answer, found.mean, found.low)


def test_wrong_calls_are_rarer_than_the_level_whoever_looks_when() -> None:
    """BETTER at any look for an arm without an edge would be commoner than was declared."""
    design = Design(horizon=1, effect=0.4, scale=1.0)
    low, high = bounds(rng(20).standard_normal((1000, 100)), alpha=design.level, rho=design.rho)
    assert ((low > 0) & (high >= design.effect)).any(axis=1).mean() <= design.alpha / 2


def test_sharing_the_level_keeps_it_over_all_challengers() -> None:
    """With twenty arms of noise one of them would nearly always be promoted."""
    design = Design(horizon=1, effect=0.4, scale=1.0, tests=20)
    values = rng(21).standard_normal((1000, 20, 60))
    found = log_evidence(values, 0.0, rho=design.rho).max(axis=(1, 2)) >= math.log(2 / design.level)
    assert found.mean() <= design.alpha / 2


@pytest.mark.parametrize("wrong", [{"effect": 0.0}, {"scale": math.nan}, {"alpha": 1.0}, {"horizon": 0}, {"length": 5}])
def test_a_design_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    """A typing slip in the policy would become a decision rule."""
    with pytest.raises(InputError):
        Design(**({"horizon": 21, "effect": 0.1, "scale": 0.1} | wrong))  # type: ignore[arg-type]
