"""What predictions are worth: rank IC by date, and one frozen policy after costs, against the universe and the index.

The policy is the same for every arm, so that a difference between two arms is one of their predictions. The outcome is
that of the scorer and never that of a model's own label: an arm that was trained for 60 days is judged like the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.domains.market.panel.panel import Matrix, Panel
from heldout.errors import InputError
from heldout.leaderboard import DatedScores, Sharpe

SESSIONS_PER_YEAR = 252
_BPS = 1e-4


@dataclass(frozen=True)
class RankIC:
    """Rank IC by date.

    Attributes:
        scores: One value for every date that has one, in order of dates.
        missed: How many matured dates have none, by reason.
    """

    scores: DatedScores
    missed: dict[str, int]


def prediction_matrix(panel: Panel, predictions: pl.DataFrame) -> Matrix:
    """Predictions as ``[dates, assets]`` of the panel; NaN where there is none.

    Args:
        panel: The panel.
        predictions: Columns ``date`` (date or ISO text), ``asset`` and ``prediction``; one row an asset and date.

    Raises:
        InputError: On a date or asset that the panel does not have, or one that is given twice.
    """
    days = predictions["date"].cast(pl.String).to_numpy().astype("datetime64[D]")
    names = predictions["asset"].cast(pl.String).to_numpy().astype(str)
    day, asset = np.searchsorted(panel.dates, days), np.searchsorted(np.array(panel.assets), names)
    known = (day < len(panel.dates)) & (asset < len(panel.assets))
    known[known] &= (panel.dates[day[known]] == days[known]) & (np.array(panel.assets)[asset[known]] == names[known])
    if not known.all():
        bad = int(np.argmin(known))
        raise InputError(
            "a prediction is for a date or asset that the panel does not have",
            where=f"{days[bad]}/{names[bad]}",
            hint="score predictions on the panel that they were made from",
        )
    place = day * len(panel.assets) + asset
    if len(np.unique(place)) < len(place):
        raise InputError(
            f"{len(place) - len(np.unique(place))} predictions are given twice",
            where="predictions",
            hint="one for each asset and date; average over folds first",
        )
    found = np.full(len(panel.dates) * len(panel.assets), np.nan)
    found[place] = predictions["prediction"].cast(pl.Float64).to_numpy()
    return found.reshape(len(panel.dates), len(panel.assets))


def forward_returns(panel: Panel, horizon: int) -> Matrix:
    """Log return over the next ``horizon`` dates, ``[dates, assets]``; NaN where it has not matured or has no price."""
    found = np.full_like(panel.close, np.nan)
    if 0 < horizon < len(panel.dates):
        found[:-horizon] = np.log(panel.close[horizon:] / panel.close[:-horizon])
    return found


def rank_ic(panel: Panel, predictions: Matrix, horizon: int, min_assets: int = 5) -> RankIC:
    """Spearman correlation of prediction and outcome across the members of each date.

    Never pooled over dates: a model that only knows which years were good would look as if it could rank.

    Args:
        panel: The panel.
        predictions: ``[dates, assets]``; NaN where there is none.
        horizon: Dates that the outcome takes to mature.
        min_assets: Assets below which a date has no score.
    """
    outcome = forward_returns(panel, horizon)
    both = panel.member & np.isfinite(predictions) & np.isfinite(outcome)
    matured = (panel.member & np.isfinite(outcome)).sum(axis=1) >= min_assets
    days = np.flatnonzero((panel.member & np.isfinite(predictions)).any(axis=1))
    live = np.zeros(len(panel.dates), dtype=bool)
    if len(days):
        live[days[0] : days[-1] + 1] = matured[days[0] : days[-1] + 1]
    enough = live & (both.sum(axis=1) >= min_assets)
    values = np.full(len(panel.dates), np.nan)
    values[enough] = _correlations(_ranks(predictions, both)[enough], _ranks(outcome, both)[enough], both[enough])
    scored = np.isfinite(values)
    missed = {"too_few_predictions": int((live & ~enough).sum()), "no_order_to_speak_of": int((enough & ~scored).sum())}
    return RankIC(DatedScores(panel.dates[scored], values[scored]), missed)


def _ranks(values: Matrix, here: NDArray[np.bool_]) -> Matrix:
    """Average ranks inside each date, what is not there last."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.where(here, values, np.inf), axis=1), dtype=np.float64)


def _correlations(one: Matrix, other: Matrix, here: NDArray[np.bool_]) -> Matrix:
    """Pearson correlation of each row over what is there; NaN where one side is constant."""
    count = here.sum(axis=1, keepdims=True)
    centred = [
        np.where(here, side - np.where(here, side, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
        for side in (one, other)
    ]
    spread = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    found = np.full(len(one), np.nan)
    np.divide((centred[0] * centred[1]).sum(axis=1), spread, out=found, where=spread > 1e-12)
    return found


@dataclass(frozen=True)
class Policy:
    """How predictions become a portfolio: long the ``top`` assets, equally weighted, until the next rebalancing.

    Attributes:
        top: Assets held.
        holding: Dates between rebalancings.
        delay: Dates between a prediction and the close at which it is traded.
        half_spread: Basis points of what is traded.
        fee: Basis points of what is traded.
        impact: Basis points for trading a whole day's volume; grows with the square root of the share that is traded
            (Almgren, Thum, Hauptmann and Li 2005). It is charged where the volume is known.
        volume_dates: Dates over which the volume is averaged.
        capital: What is traded with at the start, in the panel's currency.
    """

    top: int = 5
    holding: int = 21
    delay: int = 1
    half_spread: float = 2.5
    fee: float = 0.5
    impact: float = 10.0
    volume_dates: int = 20
    capital: float = 1_000_000.0

    def __post_init__(self) -> None:
        whole = self.top >= 1 and self.holding >= 1 and self.delay >= 0 and self.volume_dates >= 1 and self.capital > 0
        if not whole or min(self.half_spread, self.fee, self.impact) < 0:
            raise InputError("the policy cannot be traded", where="policy", hint="positive counts, no negative cost")


@dataclass(frozen=True, eq=False)
class Trading:
    """What the policy did, period by period; periods do not overlap.

    Attributes:
        through: Last date of each period, ``datetime64[D]`` of shape ``[periods]``.
        gross: Return before costs.
        net: Return after costs.
        universe: Return of all members of the universe, equally weighted, without costs.
        index: Return of the index; None without one.
        turnover: Share of the portfolio that was replaced at the start of the period; 1 for the first purchase.
        cost: Share of the portfolio that trading took.
        periods_per_year: How many of them make a year.
        known_volume: Share of trades whose impact was charged.
        stale_exits: Positions that had no price at the end of a period and were valued at their last one.
        untraded: Rebalancings without enough predictions: what was held stayed.
    """

    through: NDArray[np.datetime64]
    gross: Matrix
    net: Matrix
    universe: Matrix
    index: Matrix | None
    turnover: Matrix
    cost: Matrix
    periods_per_year: float
    known_volume: float
    stale_exits: int
    untraded: int

    @property
    def alpha(self) -> float | None:
        """Net return over that of the universe, a year; the yardstick that a ranking can be blamed or praised for."""
        return self._yearly(self.net - self.universe)

    @property
    def alpha_over_index(self) -> float | None:
        """Net return over that of the index, a year; most of it may be the universe and not the ranking."""
        return None if self.index is None else self._yearly(self.net - self.index)

    @property
    def sharpe(self) -> Sharpe | None:
        """Of net returns."""
        return Sharpe.of(self.net, self.periods_per_year)

    @property
    def sharpe_over_universe(self) -> Sharpe | None:
        """Of net returns over those of the universe."""
        return Sharpe.of(self.net - self.universe, self.periods_per_year)

    @property
    def drawdown(self) -> float | None:
        """Largest loss from a peak, net, seen at the ends of periods; 0 without any."""
        if not len(self.net):
            return None
        value = np.concatenate([[1.0], (1 + self.net).cumprod()])
        return float((1 - value / np.maximum.accumulate(value)).max())

    @property
    def scores(self) -> DatedScores:
        """Net return over the universe of every period: what two arms can be compared by, at a horizon of 1."""
        return DatedScores(self.through, self.net - self.universe)

    def figures(self) -> dict[str, float | None]:
        """The numbers for a leaderboard, with their units."""
        percent = {
            "net alpha, universe [%/yr]": self.alpha,
            "net alpha, index [%/yr]": self.alpha_over_index,
            "net return [%/yr]": self._yearly(self.net),
            "costs [%/yr]": self._yearly(self.cost),
            "worst drawdown [%]": self.drawdown,
        }
        found = {name: None if value is None else 100 * value for name, value in percent.items()}
        over = self.sharpe_over_universe
        return found | {
            "Sharpe, net [/yr]": None if self.sharpe is None else self.sharpe.annual,
            "Sharpe over universe [/yr]": None if over is None else over.annual,
            "turnover [/yr]": self._yearly(self.turnover),
        }

    def _yearly(self, values: Matrix) -> float | None:
        return math.fsum(values) / len(values) * self.periods_per_year if len(values) else None


def trade(panel: Panel, predictions: Matrix, policy: Policy | None = None, start: int | None = None) -> Trading:
    """Follow the policy from the first date with enough predictions to the last whole period.

    Args:
        panel: The panel.
        predictions: ``[dates, assets]``; NaN where there is none.
        policy: The policy; the same for all arms that are compared.
        start: Number of the first date; give all arms the same, so that they trade on the same days.

    Raises:
        InputError: If the shapes do not match.
    """
    policy = policy or Policy()
    if predictions.shape != panel.close.shape:
        raise InputError(
            f"predictions of shape {predictions.shape} are not those of a panel of {panel.close.shape}",
            where="predictions",
            hint="one row a date, one column an asset",
        )
    ready = (panel.member & np.isfinite(predictions) & np.isfinite(panel.close)).sum(axis=1) >= policy.top
    first = start if start is not None else int(np.argmax(ready)) if ready.any() else len(ready)
    decisions = np.arange(first, len(panel.dates) - policy.delay - policy.holding, policy.holding)
    book = _Book(panel, predictions, policy)
    for date in decisions:
        book.period(int(date))
    return book.result(decisions + policy.delay)


class _Book:
    """The portfolio while it is traded: weights, value, and a line for every period."""

    def __init__(self, panel: Panel, predictions: Matrix, policy: Policy) -> None:
        self.panel, self.predictions, self.policy = panel, predictions, policy
        self.priced = pl.DataFrame(panel.close).fill_nan(None).fill_null(strategy="forward").to_numpy()
        self.volume = _money_volume(panel, policy.volume_dates)
        self.weights = np.zeros(panel.close.shape[1])
        self.value = 1.0
        self.lines: list[tuple[float, float, float, float, float]] = []
        self.trades = self.known = self.stale = self.untraded = 0

    def period(self, date: int) -> None:
        """Decide on ``date``, trade after the delay, hold."""
        enter = date + self.policy.delay
        leave = enter + self.policy.holding
        eligible = self.panel.member[date] & np.isfinite(self.panel.close[enter])
        turnover, cost = self._rebalance(date, enter, eligible)
        growth = np.nan_to_num(self.priced[leave] / self.priced[enter], nan=1.0)
        self.stale += int(((self.weights > 0) & ~np.isfinite(self.panel.close[leave])).sum())
        gross = float((self.weights * (growth - 1)).sum())
        universe = float(growth[eligible].mean() - 1) if eligible.any() else 0.0
        net = (1 - cost) * (1 + gross) - 1
        self.lines.append((gross, net, universe, turnover, cost))
        self.weights = self.weights * growth / (1 + gross)
        self.value *= 1 + net

    def _rebalance(self, date: int, enter: int, eligible: NDArray[np.bool_]) -> tuple[float, float]:
        """Buy the highest predictions. Returns turnover and cost, both as shares of the portfolio."""
        found = np.where(eligible & np.isfinite(self.predictions[date]), self.predictions[date], -np.inf)
        if np.isfinite(found).sum() < self.policy.top:
            self.untraded += 1
            return 0.0, 0.0
        target = np.zeros_like(self.weights)
        target[np.argsort(-found, kind="stable")[: self.policy.top]] = 1 / self.policy.top
        traded = np.abs(target - self.weights)
        cash = abs(float(target.sum() - self.weights.sum()))
        self.weights = target
        return 0.5 * (float(traded.sum()) + cash), self._cost(traded, enter)

    def _cost(self, traded: Matrix, enter: int) -> float:
        share = traded * self.policy.capital * self.value / self.volume[enter]
        known = np.isfinite(share)
        self.trades += int((traded > 0).sum())
        self.known += int(((traded > 0) & known).sum())
        impact = self.policy.impact * np.sqrt(np.where(known, share, 0.0))
        return float((traded * (self.policy.half_spread + self.policy.fee + impact)).sum()) * _BPS

    def result(self, enters: NDArray[np.int64]) -> Trading:
        columns = np.array(self.lines, dtype=np.float64).reshape(-1, 5).T
        leaves = enters + self.policy.holding
        index = self.panel.index
        return Trading(
            through=self.panel.dates[leaves],
            gross=columns[0],
            net=columns[1],
            universe=columns[2],
            index=None if index is None else index[leaves] / index[enters] - 1,
            turnover=columns[3],
            cost=columns[4],
            periods_per_year=SESSIONS_PER_YEAR / self.policy.holding,
            known_volume=self.known / self.trades if self.trades else 0.0,
            stale_exits=self.stale,
            untraded=self.untraded,
        )


def _money_volume(panel: Panel, dates: int) -> Matrix:
    """Mean of what was traded on the last dates, in money, ``[dates, assets]``; NaN where it is not known or zero."""
    if panel.volume is None:
        return np.full_like(panel.close, np.nan)
    money = pl.DataFrame(panel.volume * panel.close).fill_nan(None)
    mean = money.select(pl.all().rolling_mean(dates, min_samples=1)).fill_null(float("nan")).to_numpy()
    return np.where(mean > 0, mean, np.nan)
