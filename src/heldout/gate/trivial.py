"""Integrity rule ``non-trivial``: a gate that a contender passes which knows nothing is no gate.

Mean, median, majority or chance are judged by the same declared rules as the run. A rule that says nothing of what is
predicted (what a model costs, how far seeds lie apart) counts as passed: it cannot stand in for one that does. A
contender that has no answer in a fold fails nothing: what it would have scored nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from heldout.gate.outcome import RuleOutcome
from heldout.gate.rules import judge_rule
from heldout.study import COSTS, GateSpec, RuleSpec
from heldout.task.trivial import DESCRIPTIONS

ID = "non-trivial"
_BOUND = "at_most 0"
_TIE = 1e-9  # two equal models differ by rounding


class _Passed(NamedTuple):
    """A rule that a contender passes: by how much, in parts of the bound, and what was said."""

    slack: float
    rule: RuleSpec
    sentence: str


def says_nothing(rule: RuleSpec) -> bool:
    """Whether a rule is over costs or over how far seeds lie apart, and so over nothing that is predicted."""
    return rule.metric in COSTS or rule.statistic == "spread" or rule.interval == "seeds"


def non_trivial(metrics: Mapping[str, Any], gate: GateSpec) -> list[RuleOutcome]:
    """Judge the contenders that know nothing by the declared rules; nothing where a document of before has none."""
    known = metrics.get("trivial")
    if known is None:
        return []
    if known["same_as"] is not None:
        what = f"every prediction is {_described(known['same_as'])}: the model learnt nothing else"
        return [RuleOutcome(ID, "FAIL", 1, _BOUND, what)]
    own = {each["name"] for each in metrics.get("metrics", ()) if each.get("brought")}
    stopped, promoted, silent = [], [], []
    for name, contender in sorted(known["contenders"].items()):
        failed, passed = _judged(contender, gate.rules, own, metrics.get("baselines", {}))
        nowhere = _without_answer(contender)
        if failed is None:
            promoted.append((name, passed))
        elif nowhere is not None:
            silent.append(f"{_described(name)} has no value in fold {nowhere!r}")
        else:
            stopped.append(f"{name} fails {failed.id!r}")
    if promoted:
        return [RuleOutcome(ID, "FAIL", len(promoted), _BOUND, _would_be(*promoted[0]))]
    if silent:
        what = f"{silent[0]}: whether knowing nothing would be promoted cannot be judged"
        return [RuleOutcome(ID, "UNKNOWN", None, _BOUND, f"{what}; bring targets and weights to an ordinary size")]
    return [RuleOutcome(ID, "PASS", 0, _BOUND, f"knowing nothing is not enough: {', '.join(stopped)}")]


def _without_answer(contender: Mapping[str, Any]) -> str | None:
    """The first fold in which a contender has no answer; None if it has one in each."""
    answers = {fold: each if isinstance(each, list) else [each] for fold, each in contender["answers"].items()}
    return next((fold for fold, values in sorted(answers.items()) if None in values), None)


def _judged(
    contender: Mapping[str, Any], rules: Sequence[RuleSpec], own: Collection[str], rivals: Mapping[str, Any]
) -> tuple[RuleSpec | None, list[_Passed]]:
    """The first rule that a contender does not pass, and those before it that it does.

    A metric that the study brings and that has no value for a constant stops nobody: it may have been made so.

    Args:
        contender: What it scores.
        rules: The declared ones.
        own: Names of the metrics that the study or a plug-in brings.
        rivals: What baselines and champion score.
    """
    block = contender["ensemble"]
    metrics = {"ensemble": block, "members": {"0": block}, "comparisons": contender["comparisons"], "baselines": rivals}
    passed: list[_Passed] = []
    for rule in rules:
        if says_nothing(rule):
            continue
        if rule.interval == "normalised":  # one width everywhere, in proportion to a spread that is the same everywhere
            rule = rule.model_copy(update={"interval": "absolute"})
        outcome = judge_rule(rule, metrics)
        if outcome.outcome == "UNKNOWN" and rule.metric in own:
            passed.append(_Passed(math.inf, rule, f"{outcome.sentence}; declare its `guess`"))
            continue
        if outcome.outcome != "PASS" or outcome.observed is None or _ties(rule, metrics):
            return rule, passed
        bound = rule.bound[1]
        scale = max(abs(bound), abs(outcome.observed)) or 1.0
        passed.append(_Passed(abs(outcome.observed - bound) / scale, rule, outcome.sentence))
    return None, passed


def _ties(rule: RuleSpec, metrics: Mapping[str, Any]) -> bool:
    """Whether a contender only draws with an equal one: nobody beats himself by a gain of at least 0."""
    if rule.against is None or rule.bound[1] < 0:
        return False
    found, part = metrics["comparisons"][rule.against][rule.metric], "mean"
    if rule.over == "pooled":
        found, part = found["pooled"], "pooled"
    mine = metrics["ensemble"][part][rule.metric] or 0.0
    return all(abs(found[key]) <= _TIE * max(1e-300, abs(mine)) for key in ("gain", "low", "high"))


def _would_be(name: str, passed: Sequence[_Passed]) -> str:
    who = f"{_described(name)} would be promoted by the same rules"
    if not passed:
        return f"{who}: none of them is over what is predicted; add one that is"
    loosest = max(passed, key=lambda each: each.slack)
    return f"{who}: {loosest.rule.id!r} is the loosest ({loosest.sentence}); set a bound that knowing nothing breaks"


def _described(name: str) -> str:
    return DESCRIPTIONS.get(name, name)
