"""The confidence sequence, against simulation and against its own formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from leaderboard_kit import overlapping, rng

from heldout.leaderboard import bounds, log_evidence
from heldout.leaderboard.sequence import mixture_precision

ALPHA = 0.05
DRAWS, COUNT = 2000, 200


def _false_support(values: np.ndarray, scale: float, overlap: float = 1.0) -> tuple[float, float]:
    """Share of histories in which either side, or the upper one, is ever ruled out although the mean is zero."""
    rho = mixture_precision(60, scale, ALPHA, overlap)
    up, down = (
        log_evidence(sign * values, 0.0, rho=rho, overlap=overlap).max(axis=1) >= math.log(2 / ALPHA)
        for sign in (1, -1)
    )
    return float((up | down).mean()), float(up.mean())


@pytest.mark.parametrize("kind", ["normal", "heavy", "cauchy", "jumps", "changing"])
def test_the_level_holds_however_often_one_looks(kind: str) -> None:
    """With a look after every block an arm without any edge would be promoted sooner or later."""
    generator = rng(5)
    shape = (DRAWS, COUNT)
    values = {
        "normal": lambda: generator.standard_normal(shape),
        "heavy": lambda: generator.standard_t(3, shape),
        "cauchy": lambda: generator.standard_cauchy(shape),
        "jumps": lambda: generator.choice([-1.0, 1.0], shape),
        "changing": lambda: generator.standard_normal(shape) * np.exp(np.sin(np.arange(COUNT) / 9)),
    }[kind]()
    either, upper = _false_support(values, 1.0)
    assert either <= ALPHA
    assert upper <= ALPHA / 2


def test_the_level_is_used_and_not_given_away() -> None:
    """A sequence that never errs never finds anything either."""
    either, _ = _false_support(rng(6).standard_normal((DRAWS, 1000)), 1.0)
    assert 0.008 <= either <= ALPHA


@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed"])
def test_the_level_holds_where_blocks_share_outcomes(kind: str) -> None:
    """Outcomes of 21 days, seen from every day, would carry over from block to block as if they were news."""
    values = overlapping(1000, 21 * 150, 21, seed=7, kind=kind).reshape(1000, 150, 21).mean(axis=2)
    either, _ = _false_support(values, 0.8, overlap=1.5)
    assert either <= ALPHA


def test_the_scale_that_is_declared_moves_no_level() -> None:
    """Whoever declares a clip that is too wide or too narrow would change what counts as evidence."""
    values = rng(8).standard_normal((DRAWS, COUNT))
    assert all(_false_support(values, scale)[0] <= ALPHA for scale in (0.01, 0.1, 10.0, 100.0))


def test_the_interval_holds_the_mean_at_every_look() -> None:
    """The interval that is shown would not be the one that was tested."""
    values = 0.7 + rng(9).standard_normal((1000, 120))
    low, high = bounds(values, alpha=0.1, rho=mixture_precision(60, 1.0, 0.1))
    missed = ((low > 0.7) | (high < 0.7)).any(axis=1).mean()
    assert missed <= 0.1


def test_the_ends_are_where_the_evidence_reaches_the_level() -> None:
    """Bounds and evidence would give two answers to one question."""
    values = 0.3 + rng(10).standard_normal(90)
    rho = mixture_precision(50, 1.0, ALPHA)
    low, high = bounds(values, alpha=ALPHA, rho=rho, overlap=1.5)
    target = math.log(2 / ALPHA)
    assert target == pytest.approx(log_evidence(values, low[-1], rho=rho, overlap=1.5)[-1], abs=1e-6)
    assert target == pytest.approx(log_evidence(-values, -high[-1], rho=rho, overlap=1.5)[-1], abs=1e-6)
    assert np.isneginf(low[:10]).all()
    assert low[-1] < values.mean() < high[-1]


@pytest.mark.parametrize("overlap", [1.0, 1.5, 2.5])
def test_an_end_is_there_as_soon_as_any_mean_can_be_ruled_out(overlap: float) -> None:
    """An answer that the evidence gives would be withheld, or one be given without evidence."""
    values = 1.0 + 0.2 * rng(13).standard_normal(40)
    rho, target = 0.5, math.log(2 / ALPHA)
    low, _ = bounds(values, alpha=ALPHA, rho=rho, overlap=overlap)
    below = np.linspace(-12, 1, 4000)[:, None]
    best = np.where(
        below < values.cumsum() / np.arange(1, 41),
        log_evidence(np.broadcast_to(values, (4000, 40)), below, rho=rho, overlap=overlap),
        -np.inf,
    ).max(axis=0)
    assert (best >= target).tolist() == np.isfinite(low).tolist()
    assert 0 < np.isfinite(low).sum() < 40


def test_the_evidence_is_the_mixture_that_it_claims_to_be() -> None:
    """A slip in the closed form would still look like evidence."""
    values, rho, overlap = rng(11).standard_normal(12) + 0.5, 3.0, 1.2
    sums, squares = values.sum(), overlap * (values**2).sum()
    rate, step = np.linspace(0, 12, 400_001, retstep=True)
    density = 2 * math.sqrt(rho / (2 * math.pi)) * np.exp(-(rate**2) * rho / 2)
    integral = float(np.trapezoid(density * np.exp(rate * sums - rate**2 * squares / 2), dx=step))
    assert math.log(integral) == pytest.approx(log_evidence(values, 0.0, rho=rho, overlap=overlap)[-1], abs=1e-6)


def test_units_do_not_matter() -> None:
    """The answer would depend on whether returns are in percent."""
    values = rng(12).standard_normal(80) + 0.4
    low, high = bounds(values, alpha=ALPHA, rho=mixture_precision(40, 1.0, ALPHA))
    cents = bounds(100 * values, alpha=ALPHA, rho=mixture_precision(40, 100.0, ALPHA))
    assert (100 * low[-1], 100 * high[-1]) == pytest.approx((cents[0][-1], cents[1][-1]))


def test_a_constant_lead_and_no_block_at_all() -> None:
    """A division by zero would take the whole board down."""
    low, high = bounds(np.full(60, 0.5), alpha=ALPHA, rho=1.0)
    assert 0 < low[-1] < 0.5 < high[-1]
    assert (0,) == bounds(np.empty(0), alpha=ALPHA, rho=1.0)[0].shape
