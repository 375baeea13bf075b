"""What came of a replay, as documents: arms, rules, and whether the score of selection tells anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from heldout.domains.market.board.scoring import Policy, trade
from heldout.domains.market.panel.panel import Matrix, Panel
from heldout.domains.market.replay.relive import Relived, ReplayArm
from heldout.domains.market.replay.vintages import Vintage
from heldout.errors import InputError
from heldout.evidence import finite_or_none
from heldout.leaderboard import DatedScores, regret
from heldout.leaderboard.rules import History


def mean_realised(pieces: Sequence[Vintage], panel: Panel, scores: Mapping[str, DatedScores]) -> Matrix:
    """Mean rank IC of each vintage and arm, ``[vintages, arms]``.

    Raises:
        InputError: If an arm has no score in some vintage.
    """
    found = np.full((len(pieces), len(scores)), np.nan)
    for place, (arm, each) in enumerate(scores.items()):
        edges = np.searchsorted(each.dates, [panel.dates[piece.start] for piece in pieces])
        ends = np.searchsorted(each.dates, [panel.dates[piece.end - 1] for piece in pieces], side="right")
        for number, (low, high) in enumerate(zip(edges, ends, strict=True)):
            if low == high:
                raise InputError(
                    f"{arm} has no score in {pieces[number].name}",
                    where=f"{panel.dates[pieces[number].start]}",
                    hint="begin the replay later, or leave the variant out: it predicted nothing there",
                )
            found[number, place] = each.values[low:high].mean()
    return found


class Traded:
    """One frozen policy over whatever served."""

    def __init__(self, panel: Panel, pieces: Sequence[Vintage], policy: Policy) -> None:
        self._pieces, self._policy = pieces, policy
        end = pieces[-1].end + policy.delay + policy.holding
        self._panel = panel.until(min(end, len(panel.dates)))

    def figures(self, served: Sequence[Matrix]) -> dict[str, float | None]:
        """Net of costs, of the matrix that served in each vintage."""
        found = np.full(self._panel.close.shape, np.nan)
        for piece, matrix in zip(self._pieces, served, strict=True):
            found[piece.start : piece.end] = matrix[piece.start : piece.end]
        return trade(self._panel, found, self._policy, start=self._pieces[0].start).figures()


def arm_document(arm: ReplayArm, scores: DatedScores, figures: Mapping[str, float | None]) -> dict[str, object]:
    """An arm over all vintages."""
    return {
        "id": arm.id,
        "description": arm.description,
        "null": arm.null,
        "mean": scores.mean,
        "dates": len(scores.dates),
        "figures": {name: finite_or_none(value) for name, value in figures.items()},
    }


def rule_document(
    history: History,
    arms: Sequence[ReplayArm],
    pieces: Sequence[Vintage],
    panel: Panel,
    realised: Matrix,
    outputs: Mapping[str, Matrix],
    traded: Traded,
) -> dict[str, object]:
    """A rule over all vintages: whom it served and why, and what came of it."""
    served = [each.arm for each in history.served]
    found = regret(realised, [arm.id for arm in arms], served, [arm.id for arm in arms if arm.null])
    figures = traded.figures([outputs[arm] for arm in served])
    return {
        "id": history.id,
        "description": history.description,
        "mean": found.served,
        "never_switch": found.never_switch,
        "best_fixed": {"arm": found.best_arm, "mean": found.best_fixed},
        "regret": found.regret,
        "switches": found.switches,
        "null_periods": found.of_null,
        "periods": len(served),
        "figures": {name: finite_or_none(value) for name, value in figures.items()},
        "served": [
            {"vintage": piece.name, "arm": each.arm, "why": each.why}
            for piece, each in zip(pieces, history.served, strict=True)
        ],
        "path": {
            "through": [str(panel.dates[piece.end - 1]) for piece in pieces],
            "regret": [float(value) for value in found.path],
        },
    }


def selection_tells(
    relived: Mapping[tuple[str, str], Relived],
    realised: Matrix,
    arms: Sequence[ReplayArm],
    pieces: Sequence[Vintage],
) -> dict[str, object]:
    """Spearman correlation, over arms and vintages, of the score of selection with what was realised after it."""
    from scipy.stats import spearmanr

    pairs = [
        (score, realised[number, place])
        for number, piece in enumerate(pieces)
        for place, arm in enumerate(arms)
        if not arm.null and (score := relived[arm.id, piece.name].selection) is not None
    ]
    value = float(spearmanr(*zip(*pairs, strict=True))[0]) if len(pairs) > 2 else None
    return {"spearman": finite_or_none(value), "pairs": len(pairs)}
