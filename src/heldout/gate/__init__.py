"""Declared rules, tri-state outcomes, verdict documents."""

from heldout.gate.integrity import Facts
from heldout.gate.outcome import Outcome, RuleOutcome
from heldout.gate.rules import judge, judge_rule
from heldout.gate.verdict import SCHEMA, build_verdict, verdict_of

__all__ = ["SCHEMA", "Facts", "Outcome", "RuleOutcome", "build_verdict", "judge", "judge_rule", "verdict_of"]
