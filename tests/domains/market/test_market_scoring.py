"""What predictions are worth: rank IC by date, and a frozen policy after costs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from leaderboard_kit import days, rng
from scipy.stats import spearmanr

from heldout.domains.market.board.scoring import Policy, forward_returns, prediction_matrix, rank_ic, trade
from heldout.domains.market.panel.panel import Panel
from heldout.errors import InputError
from heldout.leaderboard import Design, blocks, judge_lead, pair

FREE = Policy(top=3, holding=5, delay=0, half_spread=0.0, fee=0.0, impact=0.0)


def _panel(dates: int = 300, assets: int = 12, seed: int = 1, drift: float = 0.0) -> Panel:
    returns = 0.01 * rng(seed).standard_normal((dates, assets)) + drift
    close = 100 * np.exp(returns.cumsum(axis=0))
    return Panel(days(dates), tuple(f"A{n:02d}" for n in range(assets)), close, np.ones(close.shape, dtype=bool))


def _foresight(panel: Panel, horizon: int) -> np.ndarray:
    return forward_returns(panel, horizon)


def test_rank_ic_is_scipys_on_every_date() -> None:
    """The score of every arm would be another number than the one that it is called."""
    panel = _panel()
    predictions = rng(2).standard_normal(panel.close.shape).round(1)
    predictions[10, 3] = np.nan
    member = panel.member.copy()
    member[20, :4] = False
    panel = replace(panel, member=member)
    found = rank_ic(panel, predictions, horizon=5)
    outcome = forward_returns(panel, 5)
    for date in (0, 10, 20, 100):
        here = member[date] & np.isfinite(predictions[date])
        place = int(np.flatnonzero(found.scores.dates == panel.dates[date])[0])
        expected = spearmanr(predictions[date, here], outcome[date, here]).statistic
        assert expected == pytest.approx(found.scores.values[place])
    assert 295 == len(found.scores.values)


def test_dates_without_a_score_are_missed_and_counted() -> None:
    """A date without predictions would count as a date of no skill, or vanish."""
    panel = _panel(dates=60)
    predictions = rng(3).standard_normal(panel.close.shape)
    predictions[:10] = np.nan
    predictions[20] = np.nan
    predictions[30, 4:] = np.nan
    predictions[40] = 1.0
    found = rank_ic(panel, predictions, horizon=5)
    assert {"too_few_predictions": 2, "no_order_to_speak_of": 1} == found.missed
    assert 60 - 10 - 5 - 3 == len(found.scores.values)
    assert 0 == len(rank_ic(panel, np.full_like(predictions, np.nan), horizon=5).scores.values)


def test_problem_15_a_model_that_only_knows_good_years_ranks_nothing() -> None:
    """Pooled over dates, knowing the market's direction would pass for knowing which asset is better."""
    panel = _panel(dates=400)
    common = np.repeat(rng(4).standard_normal(40), 10)[:, None]
    panel = replace(panel, close=panel.close * np.exp(0.05 * common.cumsum(axis=0)))
    outcome = forward_returns(panel, 5)
    predictions = np.nan_to_num(outcome).mean(axis=1, keepdims=True) + 0.02 * rng(5).standard_normal(panel.close.shape)
    known = np.isfinite(outcome)
    assert spearmanr(predictions[known], outcome[known]).statistic > 0.5
    mean = rank_ic(panel, predictions, horizon=5).scores.mean
    assert mean == pytest.approx(0.0, abs=0.05)


def test_predictions_find_their_place_in_the_panel() -> None:
    """A prediction would be scored against another asset's return."""
    panel = _panel(dates=4, assets=3)
    rows = pl.DataFrame({"date": [panel.names[2], panel.names[0]], "asset": ["A01", "A02"], "prediction": [1.5, -1.0]})
    expected = np.full((4, 3), np.nan)
    expected[2, 1], expected[0, 2] = 1.5, -1.0
    assert np.array_equal(expected, prediction_matrix(panel, rows), equal_nan=True)
    with pytest.raises(InputError, match="A99"):
        prediction_matrix(panel, rows.with_columns(asset=pl.Series(["A01", "A99"])))
    with pytest.raises(InputError, match="given twice"):
        prediction_matrix(panel, pl.concat([rows, rows]))


def test_without_costs_the_policy_earns_what_its_assets_earn() -> None:
    """Every return on the board would be wrong."""
    panel = _panel(dates=23, assets=5)
    predictions = np.tile(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), (23, 1))
    found = trade(panel, predictions, FREE)
    growth = panel.close[5:21:5] / panel.close[0:16:5]
    assert growth[:, :3].mean(axis=1) - 1 == pytest.approx(found.net)
    assert growth.mean(axis=1) - 1 == pytest.approx(found.universe)
    assert panel.dates[[5, 10, 15, 20]].tolist() == found.through.tolist()
    assert 1.0 == found.turnover[0]
    assert 0 < found.turnover[1] < 0.05


def test_costs_are_charged_for_what_is_traded() -> None:
    """An arm that turns its book over every week would cost as little as one that holds."""
    panel = _panel(dates=200, assets=6)
    steady = np.tile(np.arange(6.0), (200, 1))
    restless = np.where((np.arange(200) // 5 % 2 == 0)[:, None], steady, -steady)
    policy = replace(FREE, half_spread=8.0, fee=2.0)
    calm, busy = (trade(panel, each, policy) for each in (steady, restless))
    assert 1e-3 * 1.0 == pytest.approx(calm.cost[0])
    assert busy.cost[1:] == pytest.approx(np.full(len(busy.cost) - 1, 2e-3))
    assert np.full(len(busy.turnover), 1.0) == pytest.approx(busy.turnover)
    assert calm.cost[1:].max() < 1e-4
    assert (1 - busy.cost) * (1 + busy.gross) - 1 == pytest.approx(busy.net)


def test_impact_grows_with_the_root_of_what_is_traded_where_the_volume_is_known() -> None:
    """Capital without limit would trade at the same price as a thousand dollars."""
    panel = _panel(dates=40, assets=6)
    volume = np.full(panel.close.shape, 10_000.0)
    volume[:, 5] = np.nan
    known = replace(panel, volume=volume)
    predictions = np.tile(np.arange(6.0), (40, 1))
    policy = replace(FREE, impact=10.0, capital=1e5)
    small, large = (trade(known, predictions, replace(policy, capital=1e5 * factor)).cost[0] for factor in (1, 4))
    assert 2.0 == pytest.approx(large / small)
    share = 1e5 / 3 / (1e4 * panel.close[0, 3:5])
    assert (10.0 * np.sqrt(share) / 3).sum() * 1e-4 == pytest.approx(small)
    assert 2 / 3 == pytest.approx(trade(known, predictions, policy).known_volume, abs=0.01)
    assert 0.0 == trade(panel, predictions, policy).known_volume
    assert 0.0 == trade(panel, predictions, policy).cost.max()


def test_a_prediction_is_traded_after_it_was_made() -> None:
    """The close from which a prediction was made would still be there to trade at."""
    panel = _panel(dates=120)
    same, next_close = (trade(panel, _foresight(panel, 1), replace(FREE, holding=1, delay=delay)) for delay in (0, 1))
    assert same.alpha is not None
    assert next_close.alpha is not None
    assert same.alpha > 1.0
    assert next_close.alpha == pytest.approx(0.0, abs=0.6)


def test_problem_19_the_benchmark_is_the_population_and_both_are_told() -> None:
    """Noise would show years of alpha over an index, only because its universe beat the index."""
    panel = _panel(dates=252 * 20, assets=20, seed=6, drift=0.0006)
    panel = replace(panel, index=100 * np.exp(np.arange(len(panel.dates)) * 0.0003))
    noise = trade(panel, rng(7).standard_normal(panel.close.shape), Policy(top=5))
    assert noise.alpha is not None
    assert noise.alpha_over_index is not None
    assert noise.alpha_over_index > 0.05
    assert noise.alpha < 0.02
    figures = noise.figures()
    assert 100 * noise.alpha == figures["net alpha, universe [%/yr]"]
    assert 100 * noise.alpha_over_index == figures["net alpha, index [%/yr]"]
    assert trade(replace(panel, index=None), panel.close, FREE).figures()["net alpha, index [%/yr]"] is None


def test_problem_18_a_trading_record_brings_its_ratio_with_its_period() -> None:
    """A yearly number would be tested with the count of periods."""
    found = trade(_panel(), rng(8).standard_normal((300, 12)), FREE)
    sharpe = found.sharpe
    assert sharpe is not None
    assert (len(found.net), 252 / 5) == (sharpe.periods, sharpe.periods_per_year)
    assert found.net.mean() / found.net.std(ddof=1) == pytest.approx(sharpe.per_period)
    assert sharpe.annual == found.figures()["Sharpe, net [/yr]"]
    assert sharpe.annual == pytest.approx(math.sqrt(252 / 5) * sharpe.per_period)


def test_a_noise_arm_has_no_alpha_before_costs() -> None:
    """The policy itself would lean to one side, and every arm be wrong by as much. 5,000 periods."""
    panel = _panel(dates=5 * 500, assets=10, seed=9)
    runs = [trade(panel, rng(100 + draw).standard_normal(panel.close.shape), FREE) for draw in range(10)]
    leads = np.concatenate([run.net - run.universe for run in runs])
    assert leads.mean() / leads.std() * math.sqrt(len(leads)) == pytest.approx(0.0, abs=3.0)


def test_an_asset_that_stops_trading_is_kept_at_its_last_price_and_counted() -> None:
    """A bankruptcy in mid-period would be dropped and the rest renormalised, as if it had never been bought."""
    panel = _panel(dates=22, assets=4)
    close = panel.close.copy()
    close[2, 0] = 1.0
    close[3:, 0] = np.nan
    panel = replace(panel, close=close, member=np.isfinite(close))
    found = trade(panel, np.tile(np.array([9.0, 3.0, 2.0, 1.0]), (22, 1)), FREE)
    others = close[5, 1:3] / close[0, 1:3] - 1
    assert (close[2, 0] / close[0, 0] - 1 + others.sum()) / 3 == pytest.approx(found.net[0])
    assert 1 == found.stale_exits
    assert np.isfinite(found.net).all()


def test_a_rebalancing_without_predictions_keeps_what_is_held() -> None:
    """A day on which the model failed would sell the book."""
    panel = _panel(dates=30, assets=5)
    predictions = np.tile(np.arange(5.0), (30, 1))
    predictions[10] = np.nan
    found = trade(panel, predictions, FREE)
    assert (1, 0.0, 0.0) == (found.untraded, found.turnover[2], found.cost[2])
    assert found.net[2] != 0.0


def test_an_asset_outside_the_universe_is_not_bought() -> None:
    """A name that was not yet, or no longer, a member would be held, and be part of the yardstick."""
    panel = _panel(dates=12, assets=5)
    member = panel.member.copy()
    member[:, 4] = False
    found = trade(replace(panel, member=member), np.tile(np.arange(5.0), (12, 1)), FREE)
    growth = panel.close[5] / panel.close[0] - 1
    assert growth[1:4].mean() == pytest.approx(found.net[0])
    assert growth[:4].mean() == pytest.approx(found.universe[0])


def test_the_index_is_held_over_the_same_dates() -> None:
    """The portfolio of one month would be compared with the index of another."""
    panel = replace(_panel(dates=20), index=np.arange(1.0, 21.0) ** 2)
    found = trade(panel, panel.close, replace(FREE, delay=2))
    assert found.index is not None
    assert [(8 / 3) ** 2 - 1, (13 / 8) ** 2 - 1, (18 / 13) ** 2 - 1] == pytest.approx(found.index.tolist())
    assert panel.dates[[7, 12, 17]].tolist() == found.through.tolist()


def test_impact_grows_with_the_capital_that_was_earned() -> None:
    """A strategy would compound for ever at the costs of its first day."""
    close = np.tile(4.0 ** np.arange(5)[:, None], (1, 4))
    panel = Panel(days(5), tuple("abcd"), close, np.ones(close.shape, dtype=bool), volume=1e6 / close)
    flip = np.where((np.arange(5) % 2 == 0)[:, None], [4.0, 3.0, 1.0, 0.0], [0.0, 1.0, 3.0, 4.0])
    policy = replace(FREE, top=2, holding=1, impact=10.0, capital=1e4, volume_dates=1)
    found = trade(panel, flip, policy)
    assert 2.0 == pytest.approx(found.cost[2] / found.cost[1], rel=1e-3)


def test_drawdown_is_the_largest_fall_from_a_peak() -> None:
    """A fall in the first period would not count, for want of a peak."""
    close = np.repeat(np.array([[100.0], [80.0], [120.0], [60.0], [90.0]]), 3, axis=1)
    panel = Panel(days(5), ("a", "b", "c"), close, np.ones(close.shape, dtype=bool))
    policy = replace(FREE, holding=1)
    assert 0.5 == pytest.approx(trade(panel, close, policy).drawdown)
    first_only = replace(panel, close=close[:2], dates=panel.dates[:2], member=panel.member[:2])
    assert 0.2 == pytest.approx(trade(first_only, close[:2], replace(policy, holding=1)).drawdown)


def test_too_short_a_panel_trades_nothing() -> None:
    """A new arm would be an error instead of an arm without a record."""
    found = trade(_panel(dates=4), np.zeros((4, 12)), FREE)
    assert 0 == len(found.net)
    assert {None} == set(found.figures().values())
    with pytest.raises(InputError, match="not those of a panel"):
        trade(_panel(dates=4), np.zeros((3, 12)), FREE)
    with pytest.raises(InputError, match="cannot be traded"):
        Policy(fee=-1.0)


def test_skill_is_seen_by_the_board_and_noise_is_not() -> None:
    """Scores and statistics would not fit together."""
    panel = _panel(dates=2000, assets=40, seed=11)
    outcome = np.nan_to_num(forward_returns(panel, 5))
    champion = rng(12).standard_normal(panel.close.shape)
    skilled = champion + 4.0 * outcome / outcome.std()
    ics = {name: rank_ic(panel, each, 5).scores for name, each in {"base": champion, "skilled": skilled}.items()}
    ics["noise"] = rank_ic(panel, rng(13).standard_normal(panel.close.shape), 5).scores
    design = Design(horizon=5, effect=0.02, scale=0.1, tests=2)
    answers = {
        name: judge_lead(blocks(pair(ics[name], ics["base"]), 5), design).answer for name in ("skilled", "noise")
    }
    assert "BETTER" == answers["skilled"]
    assert "BETTER" != answers["noise"]
