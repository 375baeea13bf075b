"""Scores by date, common dates, and blocks."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest
from leaderboard_kit import dated, days, overlapping, rng

from heldout.errors import InputError, RefusedError
from heldout.leaderboard import DatedScores, Design, blocks, judge_lead, log_evidence, overlap_factor, pair


def test_dates_may_be_text_or_dates_in_any_order() -> None:
    """The order in which a file lists its dates would decide which block a score falls into."""
    found = DatedScores.of({"2021-03-02": 2.0, dt.date(2021, 3, 1): 1.0})
    assert ["2021-03-01", "2021-03-02"] == [str(date) for date in found.dates]
    assert [1.0, 2.0] == found.values.tolist()
    assert 1.5 == found.mean


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_not_finite_names_its_date(bad: float) -> None:
    """One NaN would turn an arm's whole record into nothing, silently."""
    with pytest.raises(InputError, match="2021-03-02"):
        DatedScores.of({"2021-03-01": 1.0, "2021-03-02": bad})


def test_a_date_given_twice_or_in_no_calendar_is_refused() -> None:
    """A date would count as two pieces of evidence."""
    with pytest.raises(InputError, match="not repeat"):
        DatedScores.of({"2021-03-01": 1.0, dt.date(2021, 3, 1): 2.0})
    with pytest.raises(InputError, match="no date"):
        DatedScores.of({"2021-13-01": 1.0})


def test_problem_13_only_common_dates_are_compared() -> None:
    """A challenger scored on kinder dates would beat a champion that had to serve through a crash."""
    champion = dated(np.concatenate([np.full(50, -1.0), np.full(50, 0.5)]))
    challenger = DatedScores(champion.dates[50:], np.full(50, 0.4))
    found = pair(challenger, champion)
    assert challenger.values.mean() > champion.values.mean()
    assert -0.1 == pytest.approx(found.differences.mean())
    assert (50, 0) == (len(found.dates), found.missed)


def test_dates_that_the_challenger_sat_out_are_counted() -> None:
    """An arm that fails on hard days would look better than one that always answers."""
    champion = dated(np.zeros(40))
    kept = np.delete(np.arange(40), [0, 1, 10, 20, 30])
    found = pair(DatedScores(champion.dates[kept], np.zeros(35)), champion)
    assert (38, 3) == (found.offered, found.missed)


def test_blocks_are_means_of_disjoint_runs_and_the_rest_waits() -> None:
    """A half-filled block would be judged before its dates are there."""
    found = blocks(pair(dated(np.arange(10.0)), dated(np.zeros(10))), horizon=4)
    assert [1.5, 5.5] == found.values.tolist()
    assert 2 == found.unused
    assert days(8)[[3, 7]].tolist() == found.through.tolist()


def test_later_dates_never_move_a_block() -> None:
    """An interval that was announced would change when the next month arrives."""
    values = rng(1).standard_normal(500)
    early, late = (blocks(pair(dated(values[:n]), dated(np.zeros(n))), horizon=21) for n in (300, 500))
    assert early.values.tolist() == late.values[: len(early.values)].tolist()


def test_no_common_date_gives_no_block() -> None:
    """Two arms of different years would crash the board for all others."""
    found = blocks(pair(dated(np.zeros(30)), dated(np.zeros(30), "2010-01-04")), horizon=5)
    assert 0 == len(found.values)


def test_problem_16_blocks_shorter_than_the_horizon_are_refused() -> None:
    """The same outcome would be counted once for every date that it overlaps, and noise would be significant."""
    paired = pair(dated(np.arange(100.0)), dated(np.zeros(100)))
    with pytest.raises(RefusedError, match="shorter than the horizon"):
        blocks(paired, horizon=21, length=5)
    with pytest.raises(InputError, match="not those of the design"):
        judge_lead(blocks(paired, horizon=5), Design(horizon=21, effect=0.1, scale=0.1))


def test_problem_16_overlapping_outcomes_keep_their_level() -> None:
    """Looking every month for 15 years would find support for an arm without any edge, as single dates do."""
    horizon, count = 21, 180
    differences = overlapping(1000, horizon * count, horizon, seed=16)
    design = Design(horizon=horizon, effect=0.2, scale=0.8)
    values = differences.reshape(1000, count, horizon).mean(axis=2)
    found = log_evidence(values, 0.0, rho=design.rho, overlap=design.overlap)
    share = (found.max(axis=1) >= math.log(2 / design.alpha)).mean()
    assert share <= design.alpha / 2
    by_date = log_evidence(differences[:300], 0.0, rho=design.rho)
    assert (by_date.max(axis=1) >= math.log(2 / design.alpha)).mean() > 0.25


@pytest.mark.parametrize(("length", "horizon"), [(21, 21), (42, 21), (10, 3), (5, 1)])
def test_the_overlap_factor_is_the_variance_that_blocks_share(length: int, horizon: int) -> None:
    """The interval would be too narrow by what neighbouring blocks repeat."""
    count, draws = 20, 4000
    values = overlapping(draws, length * count, horizon, seed=length).reshape(draws, count, length).mean(axis=2)
    measured = values.sum(axis=1).var() / (count * values.var())
    edge = 1 - (1 - 1 / overlap_factor(length, horizon)) / count
    assert overlap_factor(length, horizon) * edge == pytest.approx(measured, rel=0.06)


def test_what_does_not_overlap_needs_no_factor() -> None:
    """Independent dates would be made to wait half as long again."""
    assert 1.0 == overlap_factor(1, 1) == overlap_factor(30, 1)
    assert 1.5 == pytest.approx(overlap_factor(21, 21), abs=0.002)
