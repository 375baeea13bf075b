"""The leaderboard document: every arm's record, its lead over the champion, and what to do, with reasons.

Same records, same bytes: nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from heldout.errors import InputError, near_miss
from heldout.evidence import finite_or_none
from heldout.leaderboard.dated import Blocks, DatedScores, Dates, Floats, Paired, blocks, pair
from heldout.leaderboard.design import Design
from heldout.leaderboard.lead import Answer, Lead, judge_lead
from heldout.leaderboard.multiplicity import deflated_threshold
from heldout.leaderboard.overfit import backtest_overfitting
from heldout.leaderboard.shape import ChallengerRow, Decision, Leaderboard, Row
from heldout.leaderboard.switching import Regret
from heldout.leaderboard.vetoes import Veto, VetoPolicy, attendance, unchecked

SCHEMA = "heldout.leaderboard/1"
_GROUPS = (10, 8, 6, 4)


@dataclass(frozen=True)
class Record:
    """What is known of one arm.

    Attributes:
        scores: Its score of every date.
        description: What it is, in a few words.
        version: The version that holds its weights today.
        trials: How often it looked at held-out data, failures included.
        checks: What its outputs were checked for; a challenger that was not checked is not cleared.
        figures: Further numbers to show, by name with unit; None where undefined. They decide nothing.
        scale: Standard deviation that a block's difference to the champion is expected to have, from anything but
            outcomes; the design's where None.
    """

    scores: DatedScores
    description: str = ""
    version: str | None = None
    trials: int = 1
    checks: Sequence[Veto] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    scale: float | None = None


def build_leaderboard(
    arms: Mapping[str, Record],
    *,
    champion: str,
    design: Design,
    score: str = "score",
    policy: VetoPolicy | None = None,
    switching: tuple[Regret, Dates] | None = None,
    sharpe: Mapping[str, Any] | None = None,
    per_year: float | None = None,
    notes: Sequence[str] = (),
) -> Leaderboard:
    """Judge every challenger against the champion.

    Args:
        arms: Record of every arm by name, the champion's included.
        champion: The arm that serves.
        design: What was declared before the first look; its ``tests`` count every challenger ever tried.
        score: What the scores are, for people.
        policy: Bounds on behaviour.
        switching: What switching has cost so far, with the last date of each of its periods.
        sharpe: The best net Sharpe ratio and what is left of it after all tries, if anything was traded.
        per_year: Dates a year, so that waits are told in years too.
        notes: What a reader must know, such as a universe of survivors.

    Raises:
        InputError: If the champion has no record, or more challengers are compared than the design counts.
    """
    if champion not in arms:
        raise InputError(f"the champion {champion!r} has no record", where="champion", hint=near_miss(champion, arms))
    challengers = sorted(set(arms) - {champion})
    if len(challengers) > design.tests:
        raise InputError(
            f"{len(challengers)} challengers share a level that was declared for {design.tests}",
            where="design.tests",
            hint="count every challenger that was ever tried, from the ledger",
        )
    rows = [_challenger(name, arms[name], arms[champion], design, policy) for name in challengers]
    rows.sort(key=_best_first)
    decision = _decision(rows, champion)
    served = _row(champion, arms[champion], "champion", _why_champion(champion, decision))
    return {
        "schema": SCHEMA,
        "score": score,
        "champion": champion,
        "as_of": max((row["last"] for row in [*rows, served] if row["last"]), default=None),
        "design": design.to_json(),
        "plan": design.sentences(per_year),
        "trials": {"challengers": len(challengers), "counted": design.tests, "looks": _looks(arms)},
        "rows": [served, *rows],
        "overfitting": _overfitting(arms, design.horizon),
        "sharpe": None if sharpe is None else dict(sharpe),
        "switching": None if switching is None else _switching(*switching),
        "decision": decision,
        "notes": list(notes),
    }


def _row(name: str, record: Record, role: str, why: str) -> Row:
    dates = record.scores.dates
    return {
        "arm": name,
        "role": role,
        "description": record.description,
        "version": record.version,
        "trials": record.trials,
        "dates": len(dates),
        "first": _date(dates[0]) if len(dates) else None,
        "last": _date(dates[-1]) if len(dates) else None,
        "mean": record.scores.mean,
        "figures": {key: finite_or_none(value) for key, value in record.figures.items()},
        "checks": [check.to_json() for check in record.checks],
        "why": why,
    }


def _challenger(
    name: str, record: Record, champion: Record, design: Design, policy: VetoPolicy | None
) -> ChallengerRow:
    paired = pair(record.scores, champion.scores)
    design = design if record.scale is None else replace(design, scale=record.scale)
    cut = blocks(paired, design.horizon, design.block)
    lead = judge_lead(cut, design)
    checks = [*record.checks, *unchecked(record.checks), attendance(paired, policy)]
    answer, reasons = _with_checks(lead, checks)
    return {
        **_row(name, record, "challenger", f"{answer}: {'; '.join(reasons)}."),
        "checks": [check.to_json() for check in checks],
        "lead": _lead(lead, cut, paired, design),
        "path": {
            "through": [_date(date) for date in cut.through],
            "mean": _numbers(lead.means),
            "low": _numbers(lead.lows),
            "high": _numbers(lead.highs),
        },
        "readiness": design.readiness(len(paired.dates)).to_json(),
        "answer": answer,
        "reasons": reasons,
    }


def _with_checks(lead: Lead, checks: Sequence[Veto]) -> tuple[Answer, list[str]]:
    """A veto is absolute, and what could not be measured is not passed; neither ever helps a challenger."""
    vetoes = [f"veto, {check.id}: {check.sentence}" for check in checks if check.outcome == "VETO"]
    unknown = [f"not cleared, {check.id}: {check.sentence}" for check in checks if check.outcome == "UNKNOWN"]
    if vetoes:
        return "NOT BETTER", [*vetoes, lead.reason]
    if unknown and lead.answer == "BETTER":
        return "NOT ENOUGH YET", [*unknown, lead.reason]
    return lead.answer, [lead.reason, *unknown]


def _lead(lead: Lead, cut: Blocks, paired: Paired, design: Design) -> dict[str, object]:
    count = len(cut.values)
    luck = None
    if count > 1:
        luck = deflated_threshold(float(cut.values.std(ddof=1)), count, design.tests, cut.overlap)
    return {
        "common_dates": len(paired.dates),
        "missed_dates": paired.missed,
        "blocks": count,
        "unused_dates": cut.unused,
        "scale": design.scale,
        "dates_to_detect": design.dates_to_detect,
        "dates_left": max(design.dates_to_detect - count * cut.length, 0),
        "mean": lead.mean,
        "low": lead.low,
        "high": lead.high,
        "level": 1 - design.level,
        "best_by_luck": luck,
    }


def _best_first(row: ChallengerRow) -> tuple[int, float, str]:
    order = {"BETTER": 0, "NOT ENOUGH YET": 1, "NOT BETTER": 2}
    mean = row["lead"]["mean"]
    return order[row["answer"]], math.inf if mean is None else -mean, row["arm"]


def _decision(rows: Sequence[ChallengerRow], champion: str) -> Decision:
    """The supported lead with the largest lower end serves; without one the champion stays."""
    better = [row for row in rows if row["answer"] == "BETTER"]
    if better:
        best = max(better, key=lambda row: (row["lead"]["low"], row["arm"]))
        others = f", and more surely so than {len(better) - 1} others" if len(better) > 1 else ""
        return {"switch_to": best["arm"], "reasons": [f"{best['arm']}: {best['reasons'][0]}{others}"]}
    if not rows:
        return {"switch_to": None, "reasons": [f"{champion} has no challenger: nothing was compared"]}
    return {"switch_to": None, "reasons": [f"{row['arm']}: {row['reasons'][0]}" for row in rows]}


def _why_champion(champion: str, decision: Decision) -> str:
    """One sentence on why the champion stays or goes."""
    target = decision["switch_to"]
    if target is not None:
        return f"SWITCH to {decision['reasons'][0]}."
    return f"KEEP {champion}: no challenger has a lead that its interval supports and no veto stops."


def _overfitting(arms: Mapping[str, Record], horizon: int) -> dict[str, object]:
    """Of the choice among all arms, on the dates that all of them have."""
    nothing: dict[str, object] = {"probability": None, "by_luck": None, "splits": 0, "groups": 0, "dates": 0}
    if len(arms) < 2:
        return nothing | {"why": "it takes two arms"}
    common = reduce(np.intersect1d, (record.scores.dates for record in arms.values()))
    groups = next((count for count in _GROUPS if len(common) // count >= horizon), None)
    if groups is None:
        return nothing | {"dates": len(common), "why": f"{len(common)} dates of all arms are too few to split"}
    matrix = np.stack([record.scores.values[np.isin(record.scores.dates, common)] for record in arms.values()], axis=1)
    found = backtest_overfitting(matrix, horizon=horizon, groups=groups)
    return {
        "probability": found.probability,
        "by_luck": found.by_luck,
        "splits": found.splits,
        "groups": groups,
        "dates": len(common),
        "why": None,
    }


def _switching(regret: Regret, through: Dates) -> dict[str, object]:
    if len(through) != len(regret.path):
        raise InputError(f"{len(through)} dates for {len(regret.path)} periods of serving", where="switching")
    return {
        "served": regret.served,
        "never_switch": regret.never_switch,
        "best_fixed": {"arm": regret.best_arm, "mean": regret.best_fixed},
        "switches": regret.switches,
        "null_periods": regret.of_null,
        "periods": len(regret.path),
        "regret": regret.regret,
        "path": {"through": [_date(date) for date in through], "regret": _numbers(regret.path)},
    }


def _looks(arms: Mapping[str, Record]) -> int:
    return sum(record.trials for record in arms.values())


def _numbers(values: Floats) -> list[float | None]:
    return [finite_or_none(float(value)) for value in values]


def _date(date: np.datetime64) -> str:
    return str(date.astype("datetime64[D]"))
