"""All rules over one run: those that hold for every run, then those that its study declares. UNKNOWN helps nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heldout.gate.integrity import Facts, integrity
from heldout.gate.outcome import RuleOutcome
from heldout.gate.rules import judge_rule
from heldout.gate.trivial import non_trivial
from heldout.study import GateSpec


def judge(metrics: Mapping[str, Any], gate: GateSpec, facts: Facts) -> list[RuleOutcome]:
    """Judge a run: first the rules that hold for every run, then those that the study declares."""
    attempt = None if gate.correct_for_attempts == "none" else facts.attempt or 0
    rules = (judge_rule(rule, metrics, facts.costs, attempt) for rule in gate.rules)
    return [*integrity(metrics, gate, facts), *non_trivial(metrics, gate), *rules]
