"""Challengers against a champion over time: paired blocks, intervals that may be looked at any day, decisions."""

from heldout.leaderboard.dated import Blocks, DatedScores, Paired, blocks, overlap_factor, pair
from heldout.leaderboard.design import Design, Readiness, rank_scale
from heldout.leaderboard.document import SCHEMA, Record, build_leaderboard
from heldout.leaderboard.lead import Answer, Lead, judge_lead
from heldout.leaderboard.multiplicity import bonferroni, deflated_threshold, expected_maximum, holm
from heldout.leaderboard.overfit import Overfit, backtest_overfitting
from heldout.leaderboard.sequence import bounds, log_evidence
from heldout.leaderboard.shape import Leaderboard
from heldout.leaderboard.sharpe import Deflated, Sharpe, deflated_sharpe, probabilistic_sharpe
from heldout.leaderboard.switching import Regret, regret
from heldout.leaderboard.vetoes import Veto, VetoPolicy, attendance, behaviour

__all__ = [
    "SCHEMA",
    "Answer",
    "Blocks",
    "DatedScores",
    "Deflated",
    "Design",
    "Lead",
    "Leaderboard",
    "Overfit",
    "Paired",
    "Readiness",
    "Record",
    "Regret",
    "Sharpe",
    "Veto",
    "VetoPolicy",
    "attendance",
    "backtest_overfitting",
    "behaviour",
    "blocks",
    "bonferroni",
    "bounds",
    "build_leaderboard",
    "deflated_sharpe",
    "deflated_threshold",
    "expected_maximum",
    "holm",
    "judge_lead",
    "log_evidence",
    "overlap_factor",
    "pair",
    "probabilistic_sharpe",
    "rank_scale",
    "regret",
]
