"""Sharpe ratios, probabilistic and deflated, against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from leaderboard_kit import rng
from scipy.special import ndtr

from heldout.errors import InputError
from heldout.leaderboard import Sharpe, deflated_sharpe, expected_maximum, probabilistic_sharpe


def _sharpes(returns: np.ndarray, per_year: float = 12.0) -> list[Sharpe]:
    found = [Sharpe.of(row, per_year) for row in returns]
    return [each for each in found if each is not None]


def test_the_published_example_comes_out() -> None:
    """Bailey and Lopez de Prado's own example would be contradicted: 1,250 days, 100 trials, an annual 2.5."""
    best = Sharpe(2.5 / math.sqrt(250), 1250, 250.0, skewness=-3.0, kurtosis=10.0)
    threshold = math.sqrt(0.5 / 250) * expected_maximum(100)
    assert 0.1132 == pytest.approx(threshold, abs=2e-4)
    assert 0.9004 == pytest.approx(probabilistic_sharpe(best, threshold), abs=1e-4)


def test_the_variance_of_a_ratio_is_that_of_its_moments() -> None:
    """A record with rare crashes would be as convincing as one without."""
    short = Sharpe(0.5, 10, 12.0, skewness=-1.0, kurtosis=5.0)
    expected = 0.5 * math.sqrt(9 / (1 + 0.5 + 0.25))
    assert ndtr(expected) == pytest.approx(probabilistic_sharpe(short))


def test_arms_that_agree_do_not_lower_the_bar() -> None:
    """Ten copies of one arm would make luck look small."""
    best = Sharpe(0.3, 60, 12.0)
    alone, copies = deflated_sharpe(best, trials=10), deflated_sharpe(best, trials=10, others=[best] * 10)
    assert alone.threshold == copies.threshold
    apart = deflated_sharpe(best, trials=10, others=[best, Sharpe(-0.9, 60, 12.0)])
    assert apart.threshold > alone.threshold


@pytest.mark.parametrize("periods", [24, 120])
def test_a_probabilistic_sharpe_of_95_percent_is_passed_by_five_in_a_hundred_without_skill(periods: int) -> None:
    """The number would not be the chance that it is called."""
    chances = [probabilistic_sharpe(each) for each in _sharpes(rng(1).standard_normal((4000, periods)))]
    passed = np.mean([chance is not None and chance > 0.95 for chance in chances])
    assert 0.05 == pytest.approx(passed, abs=0.012)


def test_skill_is_seen() -> None:
    """A test that nothing passes keeps its level too."""
    returns = 0.4 + rng(2).standard_normal((1000, 60))
    passed = np.mean([(probabilistic_sharpe(each) or 0) > 0.95 for each in _sharpes(returns)])
    assert passed > 0.85


def _best_of_five(returns: np.ndarray, *, annualised: bool) -> float:
    """Share of `[draws, 5, periods]` without skill whose best arm passes 0.95 after deflation."""
    passed = 0
    for draw in returns:
        arms = _sharpes(draw)
        best = max(arms, key=lambda each: each.per_period)
        if annualised:
            best = Sharpe(best.annual, best.periods, best.periods_per_year, best.skewness, best.kurtosis)
        found = deflated_sharpe(best, trials=5, others=arms)
        passed += found.probability is not None and found.probability >= 0.95
    return passed / len(returns)


def test_problem_18_the_unit_of_a_sharpe_ratio_travels_with_it() -> None:
    """An annual ratio judged with the number of months lets the best of five without skill pass far too often."""
    returns = rng(3).standard_normal((1000, 5, 12))
    honest, mixed = _best_of_five(returns, annualised=False), _best_of_five(returns, annualised=True)
    assert honest <= 0.01
    assert mixed > 0.05
    monthly, yearly = (Sharpe.of(returns[0, 0], per_year) for per_year in (12.0, 1.0))
    assert monthly is not None and yearly is not None  # noqa: PT018
    assert monthly.annual == pytest.approx(math.sqrt(12) * monthly.per_period)
    assert probabilistic_sharpe(monthly) == probabilistic_sharpe(yearly)
    with pytest.raises(InputError, match="not comparable"):
        deflated_sharpe(monthly, trials=2, others=[monthly, yearly])


def test_problem_18_scaling_returns_changes_nothing() -> None:
    """A record in percent would be more convincing than the same record in fractions."""
    returns = rng(4).standard_normal(60) + 0.2
    one, hundred = Sharpe.of(returns, 12.0), Sharpe.of(100 * returns, 12.0)
    assert one is not None
    assert hundred is not None
    assert probabilistic_sharpe(one) == pytest.approx(probabilistic_sharpe(hundred))


@pytest.mark.slow
def test_the_best_of_many_without_skill_rarely_passes_however_many_there_are() -> None:
    """Whoever tries longer would win."""
    returns = rng(5).standard_normal((1000, 40, 60))
    passed = 0
    for draw in returns:
        arms = _sharpes(draw)
        found = deflated_sharpe(max(arms, key=lambda each: each.per_period), trials=40, others=arms)
        passed += (found.probability or 0) >= 0.95
    assert passed / len(returns) <= 0.05


def test_failed_trials_raise_the_bar() -> None:
    """An arm that crashed thirty times before it ran would look like a first guess."""
    best = Sharpe(0.3, 60, 12.0)
    chances = [deflated_sharpe(best, trials=trials).probability for trials in (1, 5, 50, 500)]
    assert chances == sorted(chances, reverse=True)  # type: ignore[type-var]
    assert chances[0] == probabilistic_sharpe(best)
    with pytest.raises(InputError, match="fewer than"):
        deflated_sharpe(best, trials=1, others=[best, best])


def test_what_has_no_ratio_has_none() -> None:
    """A flat record would have an infinite ratio, and a short one any ratio at all."""
    assert Sharpe.of([0.01, 0.01, 0.01, 0.01], 12.0) is None
    assert Sharpe.of([0.01, 0.02], 12.0) is None
    with pytest.raises(InputError, match="period 1"):
        Sharpe.of([0.01, math.nan, 0.02], 12.0)
    with pytest.raises(InputError, match="cannot be judged"):
        Sharpe(0.1, 1, 12.0)
    assert probabilistic_sharpe(Sharpe(1.0, 12, 12.0, skewness=6.0, kurtosis=3.0)) is None
