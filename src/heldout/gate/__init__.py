"""Declared rules, tri-state outcomes, verdict documents."""

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.gate.decide import judge
    from heldout.gate.integrity import Facts, Policy
    from heldout.gate.outcome import Outcome, RuleOutcome
    from heldout.gate.rules import judge_rule
    from heldout.gate.verdict import SCHEMA, verdict_of

__all__ = ["SCHEMA", "Facts", "Outcome", "Policy", "RuleOutcome", "judge", "judge_rule", "verdict_of"]

_HOLDS = {
    "integrity": ("Facts", "Policy"),
    "outcome": ("Outcome", "RuleOutcome"),
    "decide": ("judge",),
    "rules": ("judge_rule",),
    "verdict": ("SCHEMA", "verdict_of"),
}
__getattr__ = lazily(__name__, _HOLDS)
