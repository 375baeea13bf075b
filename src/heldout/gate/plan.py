"""Before compute is spent: can each rule pass at all, and how small an effect could it see?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from heldout.gate.rules import SEEDS_LEVEL, corrected_level
from heldout.gate.trivial import ID as NON_TRIVIAL
from heldout.gate.trivial import says_nothing
from heldout.study import BootstrapSpec, GateSpec, RuleSpec
from heldout.task.conformal import groups_needed

POWER = 0.8


class RulePlanBlock(TypedDict):
    """The plan of a rule in a document."""

    id: str
    can_pass: bool
    detectable: float | None
    sentence: str


@dataclass(frozen=True)
class RulePlan:
    """What is known of a rule before a run.

    Attributes:
        id: Name of the rule.
        can_pass: Whether any result could make it PASS.
        detectable: The smallest effect that it sees with the stated power, in standard deviations over groups; None
            where the rule compares nothing.
        sentence: For people.
    """

    id: str
    can_pass: bool
    detectable: float | None
    sentence: str

    def to_json(self) -> RulePlanBlock:
        """The plan as a document."""
        return {
            "id": self.id,
            "can_pass": self.can_pass,
            "detectable": self.detectable,
            "sentence": self.sentence,
        }


def plan_gate(
    gate: GateSpec, bootstrap: BootstrapSpec, *, groups: int, seeds: Sequence[int], cells: bool, attempt: int | None
) -> list[RulePlan]:
    """Plan every rule of a policy.

    Args:
        gate: The policy.
        bootstrap: How intervals are made.
        groups: Groups that are held out.
        seeds: Declared seeds.
        cells: Whether the corpus has cells.
        attempt: The place that this variant will have among those that looked.
    """
    plans = [
        _enough("groups", groups, gate.min_groups),
        _enough("seeds", len(seeds), gate.min_seeds),
    ]
    if gate.max_attempts is not None and attempt is not None:
        allowed = attempt <= gate.max_attempts
        sentence = f"this is variant {attempt} of the {gate.max_attempts} that the policy allows"
        plans.append(RulePlan("attempts", allowed, None, sentence))
    if gate.rules and all(says_nothing(rule) for rule in gate.rules):
        sentence = "every rule is over costs or over the spread of seeds, which a model that learnt nothing passes too"
        plans.append(RulePlan(NON_TRIVIAL, False, None, sentence))
    level = bootstrap.level
    if gate.correct_for_attempts != "none" and attempt is not None:
        level = corrected_level(level, attempt)
    return plans + [_plan(rule, level, groups, len(seeds), cells) for rule in gate.rules]


def detectable_effect(groups: int, level: float, power: float = POWER) -> float:
    """The smallest mean difference that a paired interval over groups tells from zero, in standard deviations.

    Student's t: ``(t(1 - (1 - level) / 2) + t(power)) / sqrt(groups)`` with ``groups - 1`` degrees of freedom.
    """
    from scipy.stats import t

    tails = t.ppf([1 - (1 - level) / 2, power], groups - 1)
    return float(tails.sum() / math.sqrt(groups))


def _plan(rule: RuleSpec, level: float, groups: int, seeds: int, cells: bool) -> RulePlan:
    if rule.against is not None:
        if groups < 2:
            return RulePlan(rule.id, False, None, "one group has no interval")
        effect = detectable_effect(groups, level)
        share = " of its value" if rule.relative else ""
        sentence = (
            f"{groups} groups tell a gain over {rule.against} from {rule.bound[1]:g}{share} with {POWER:.0%} power "
            f"if it is larger by {effect:.2f} standard deviations of the difference between groups"
        )
        return RulePlan(rule.id, True, effect, sentence)
    reason = never_judged(rule, groups, seeds, cells)
    return RulePlan(rule.id, reason is None, None, reason or "can be judged")


def never_judged(rule: RuleSpec, groups: int, seeds: int, cells: bool) -> str | None:
    """Why a rule cannot be judged, whatever comes out; None if it can.

    Args:
        rule: The rule as declared.
        groups: Groups that are held out.
        seeds: Number of declared seeds.
        cells: Whether the corpus has cells.
    """
    if rule.statistic == "spread" and seeds < 2:
        return "one seed has no spread: declare two or more"
    if rule.over in {"cells", "within_cell"} and not cells:
        return "the corpus has no cells"
    if rule.metric == "coverage" and rule.level is not None:
        if rule.interval == "seeds":
            if seeds < 2 or rule.level != SEEDS_LEVEL:
                return f"the seeds' spread gives an interval at {SEEDS_LEVEL:g} only, from at least two seeds"
        elif groups <= groups_needed(rule.level):
            return (
                f"{groups} groups cannot show {rule.level:g}, each calibrated on the others: "
                f"{groups_needed(rule.level) + 1} are needed"
            )
        elif rule.interval == "normalised" and seeds < 2:
            return "one seed has no spread to scale the interval by"
    return None


def _enough(name: str, found: int, wanted: int) -> RulePlan:
    return RulePlan(name, found >= wanted, None, f"{found} {name}; the policy wants at least {wanted}")
