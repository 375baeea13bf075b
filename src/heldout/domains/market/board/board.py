"""The leaderboard of arms over a panel: rank IC by date decides, one frozen policy after costs is told beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from heldout.domains.market.board.arms import Arm, Tried, arms_of_runs
from heldout.domains.market.board.outputs import checks_against, expected_scale, notes_on
from heldout.domains.market.board.scoring import SESSIONS_PER_YEAR, Policy, Trading, prediction_matrix, rank_ic, trade
from heldout.domains.market.panel.options import PanelOptions
from heldout.domains.market.panel.panel import Matrix, Panel, read_panel
from heldout.errors import InputError, near_miss
from heldout.evidence import sha256_file
from heldout.leaderboard import (
    Design,
    Leaderboard,
    Record,
    Regret,
    Sharpe,
    VetoPolicy,
    build_leaderboard,
    deflated_sharpe,
    rank_scale,
)
from heldout.study import BASE
from heldout.verify.evidence import RunEvidence

_CORRELATION = 0.5


@dataclass(frozen=True)
class Terms:
    """What is declared before the first look.

    Attributes:
        effect: Smallest lead in rank IC that is worth a switch.
        alpha: Chance of any wrong answer, shared by all challengers ever tried.
        window: Dates that are looked back over at most; None for all of them.
        policy: How predictions are traded.
    """

    effect: float = 0.02
    alpha: float = 0.05
    window: int | None = None
    policy: Policy = field(default_factory=Policy)

    @classmethod
    def declared(cls, *, effect: float, alpha: float, window: int | None, top: int) -> Terms:
        """Terms with a policy that holds so many names."""
        return cls(effect, alpha, window, Policy(top=top))

    def design(self, panel: Panel, horizon: int, challengers: int, scales: Sequence[float] = ()) -> Design:
        """The comparison, planned for the arm that is least like the champion.

        Args:
            panel: The panel.
            horizon: Dates that an outcome takes to mature.
            challengers: How many were ever tried.
            scales: What is expected of each (``expected_scale``); by default two arms of this universe, half alike.

        Raises:
            InputError: If the window is one in which no answer is possible.
        """
        names = int(np.median(panel.member.sum(axis=1)))
        scale = max(scales, default=rank_scale(names, _CORRELATION))
        design = Design(horizon, self.effect, scale, self.alpha, tests=max(challengers, 1))
        if self.window is not None:
            design.check_window(self.window)
        return design


def board_of_runs(
    runs: Sequence[Path],
    panel: Path,
    *,
    champion: str | None = None,
    terms: Terms | None = None,
    volume: str | None = None,
    versions: Mapping[Path, str] | None = None,
) -> Leaderboard:
    """Judge finished runs by what they predicted of dates that they had not trained on.

    Args:
        runs: Run directories over one panel.
        panel: The panel's file, which must be the one that they were trained on.
        champion: The arm that serves; ``base`` by default, or the first.
        terms: What was declared.
        volume: Column of volumes, for the impact of trading.
        versions: Registered versions of runs.

    Raises:
        InputError: If a run is over another panel, or there is no such champion.
    """
    if not runs:
        raise InputError("there is no run", where="leaderboard", hint="name run directories, or a slot")
    arms, tried = arms_of_runs(runs, versions)
    sha256 = sha256_file(panel)
    for arm in arms:
        if arm.panel_sha256 != sha256:
            raise InputError(
                f"the run {arm.version} was not made from this panel",
                where=str(panel),
                hint="give the file that it was trained on",
            )
    read = read_panel(run_options(RunEvidence.open(runs[0]).lock["corpus"], panel, volume))
    return market_board(read, arms, champion=champion, terms=terms, tried=tried)


def run_options(block: Mapping[str, Any], panel: Path, volume: str | None = None) -> PanelOptions:
    """The locked ``corpus:`` block of a run, over a file: it names the columns of the panel."""
    named = {key: value for key, value in block.items() if key != "reader"}
    return PanelOptions.model_validate(named | {"path": panel, "volume": volume})


def market_board(
    panel: Panel,
    arms: Sequence[Arm],
    *,
    champion: str | None = None,
    terms: Terms | None = None,
    tried: Tried | None = None,
    switching: tuple[Regret, Any] | None = None,
    notes: Sequence[str] = (),
) -> Leaderboard:
    """Judge arms by the outcomes of a panel.

    Args:
        panel: Prices, as far as outcomes have matured.
        arms: The champion's among them.
        champion: The arm that serves; ``base`` by default, or the first.
        terms: What was declared.
        tried: What the ledgers say; without them only the arms that are shown are counted.
        switching: What switching has cost so far.
        notes: What a reader must know besides.

    Raises:
        InputError: If there is no such champion.
    """
    terms = terms or Terms()
    by_name = {arm.id: arm for arm in arms}
    serving = _serving(by_name, champion)
    horizon = by_name[serving].forward_days
    counted = max(tried.variants if tried else 0, len(arms))
    outputs = {name: prediction_matrix(panel, arm.outputs) for name, arm in by_name.items()}
    if terms.window is not None:
        outputs = {name: _last(matrix, terms.window) for name, matrix in outputs.items()}
    rivals = [name for name in by_name if name != serving]
    scales = {name: expected_scale(outputs[name], outputs[serving], horizon) for name in rivals}
    design = terms.design(panel, horizon, counted - 1, [scale for scale in scales.values() if scale])
    trading = _trading(panel, outputs, terms.policy)
    luck = _deflated({name: each.sharpe_over_universe for name, each in trading.items()}, counted)
    veto = VetoPolicy(used=terms.policy.top)
    records = {
        name: Record(
            rank_ic(panel, outputs[name], horizon).scores,
            description=_description(arm, horizon),
            version=arm.version,
            trials=arm.looks,
            checks=() if name == serving else checks_against(outputs[name], outputs[serving], veto),
            figures=trading[name].figures() | {"deflated Sharpe [chance]": luck["by_arm"][name]},
            scale=scales.get(name),
        )
        for name, arm in by_name.items()
    }
    told = [*notes, *notes_on(panel, terms.policy)]
    if tried is not None:
        told += [f"There is no trial ledger at {path}: only arms that are shown are counted." for path in tried.missing]
    return build_leaderboard(
        records,
        champion=serving,
        design=design,
        score=f"rank IC over {horizon} dates",
        policy=veto,
        switching=switching,
        sharpe={key: value for key, value in luck.items() if key != "by_arm"},
        per_year=SESSIONS_PER_YEAR,
        notes=told,
    )


def _serving(arms: Mapping[str, Arm], champion: str | None) -> str:
    if champion is None:
        return BASE if BASE in arms else next(iter(arms))
    if champion not in arms:
        raise InputError(f"there is no arm {champion!r}", where="--champion", hint=near_miss(champion, arms, "arms"))
    return champion


def _last(matrix: Matrix, window: int) -> Matrix:
    found = matrix.copy()
    found[: max(len(matrix) - window, 0)] = np.nan
    return found


def _trading(panel: Panel, outputs: Mapping[str, Matrix], policy: Policy) -> dict[str, Trading]:
    """Every arm traded over the dates that all of them answered."""
    answered = [np.flatnonzero(np.isfinite(matrix).sum(axis=1) >= policy.top) for matrix in outputs.values()]
    if any(not len(each) for each in answered):
        first, last = len(panel.dates), len(panel.dates)
    else:
        first, last = max(each[0] for each in answered), min(each[-1] for each in answered)
    past = panel.until(min(int(last) + 1 + policy.delay + policy.holding, len(panel.dates)))
    return {name: trade(past, matrix[: len(past.dates)], policy, start=int(first)) for name, matrix in outputs.items()}


class Luck(TypedDict):
    """The best ratio, and the chance that each arm's is more than luck."""

    best: str | None
    annual: float | None
    probability: float | None
    threshold_per_period: float | None
    periods: int | None
    trials: int
    by_arm: dict[str, float | None]


def _deflated(ratios: Mapping[str, Sharpe | None], trials: int) -> Luck:
    """The chance that each arm's ratio over the universe is more than the luck of so many tries."""
    known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    others = list(known.values())
    found = {name: deflated_sharpe(ratio, trials=trials, others=others) for name, ratio in known.items()}
    best = max(known, key=lambda name: (known[name].per_period, name), default=None)
    return {
        "best": best,
        "annual": None if best is None else known[best].annual,
        "probability": None if best is None else found[best].probability,
        "threshold_per_period": None if best is None else found[best].threshold,
        "periods": None if best is None else known[best].periods,
        "trials": trials,
        "by_arm": {name: found[name].probability if name in found else None for name in ratios},
    }


def _description(arm: Arm, horizon: int) -> str:
    return "" if arm.forward_days == horizon else f"trained for {arm.forward_days} dates"
