"""Rules over metrics, each PASS, FAIL or UNKNOWN with the number and a sentence. UNKNOWN never helps anyone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from heldout.study import GateSpec, RuleSpec

Outcome = Literal["PASS", "FAIL", "UNKNOWN"]


@dataclass(frozen=True)
class RuleOutcome:
    """What one rule says.

    Attributes:
        id: Name of the rule.
        outcome: PASS, FAIL, or UNKNOWN where it cannot be judged.
        observed: The number that was judged; None where there is none.
        bound: The bound, as declared.
        sentence: For people.
    """

    id: str
    outcome: Outcome
    observed: float | None
    bound: str
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """The outcome as a document."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """What a judge must know besides the metrics.

    Attributes:
        seeds: Declared seeds.
        folds: Folds of the split.
        units: Pairs (seed, fold) that have a prediction made for this corpus, variant and split.
        foreign: Units in the run directory that were made for something else.
        groups: Number of groups in the corpus.
        smoke: Why this is a smoke run, or None.
        blocking: Sentences of the blocking guard findings.
    """

    seeds: Sequence[int]
    folds: Sequence[str]
    units: frozenset[tuple[int, str]]
    foreign: Sequence[str]
    groups: int
    smoke: str | None
    blocking: Sequence[str]


def judge(metrics: Mapping[str, Any], gate: GateSpec, facts: Facts) -> list[RuleOutcome]:
    """Judge a run: first the rules that hold for every run, then those that the study declares."""
    return [*_integrity(metrics, gate, facts), *(judge_rule(rule, metrics) for rule in gate.rules)]


def judge_rule(rule: RuleSpec, metrics: Mapping[str, Any]) -> RuleOutcome:
    """Judge one declared rule."""
    name = " ".join(part for part in (_scope_words(rule), rule.metric, _over_words(rule)) if part)
    values, problem = _values(rule, metrics)
    bound_name, bound = ("at_least", rule.at_least) if rule.at_least is not None else ("at_most", rule.at_most)
    assert bound is not None
    words = f"{bound_name} {bound:g}"
    if problem is not None:
        return RuleOutcome(rule.id, "UNKNOWN", None, words, f"{name} cannot be judged: {problem}")
    observed = _statistic(rule, values)
    holds = observed >= bound if rule.at_least is not None else observed <= bound
    relation = {("at_least", True): "≥", ("at_least", False): "<", ("at_most", True): "≤", ("at_most", False): ">"}
    sentence = f"{name} {observed:.6g} {relation[bound_name, holds]} {bound:g}"
    return RuleOutcome(rule.id, "PASS" if holds else "FAIL", observed, words, sentence)


def _statistic(rule: RuleSpec, values: Sequence[float]) -> float:
    match rule.statistic:
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "spread":
            return max(values) - min(values)
        case _:
            return math.fsum(values) / len(values)


def _values(rule: RuleSpec, metrics: Mapping[str, Any]) -> tuple[list[float], str | None]:
    """The numbers that a rule looks at, or why there are none."""
    if rule.scope == "ensemble":
        blocks = {"the ensemble": metrics["ensemble"]}
    else:
        blocks = {f"seed {seed}": block for seed, block in metrics["members"].items()}
    if rule.statistic == "spread" and len(blocks) < 2:
        return [], "one seed has no spread"
    values = []
    for label, block in blocks.items():
        value, problem = _value(rule, block)
        if problem is None and (value is None or not math.isfinite(value)):
            problem = f"it is undefined for {label}"
        if problem is not None:
            return [], problem
        values.append(float(value or 0.0))
    return values, None if values else "there is no seed"


def _value(rule: RuleSpec, block: Mapping[str, Any]) -> tuple[float | None, str | None]:
    part = {"folds": "mean"}.get(rule.over, rule.over)
    if rule.over == "worst_group" and part not in block:
        return _worst_fold(rule, block), None
    if part not in block:
        return None, f"this run has no {rule.over!r} metrics"
    found = block[part]
    if rule.metric not in found:
        return None, f"there is no metric {rule.metric!r}"
    if rule.over == "worst_group":
        value: float | None = found[rule.metric]["value"]
        return value, None
    missing = found.get("undefined_cells", {}).get(rule.metric)
    return found[rule.metric], f"it is undefined in {missing} cells" if missing else None


def _worst_fold(rule: RuleSpec, block: Mapping[str, Any]) -> float | None:
    """A member's worst fold, in the direction that the bound looks."""
    values = [fold.get(rule.metric) for fold in block["folds"].values()]
    if any(value is None for value in values):
        return None
    worst: float = min(values) if rule.at_least is not None else max(values)
    return worst


def _scope_words(rule: RuleSpec) -> str:
    words = {"mean": "mean over seeds of", "min": "the worst seed's" if rule.at_least is not None else "the least"}
    words |= {"max": "the worst seed's" if rule.at_most is not None else "the largest", "spread": "spread of seeds in"}
    return words[rule.statistic] if rule.statistic else "the ensemble's"


def _over_words(rule: RuleSpec) -> str:
    words = {"folds": "(mean over folds)", "pooled": "(pooled)", "cells": "(per clip)"}
    return (words | {"within_cell": "(within clips)", "worst_group": "(worst group)"})[rule.over]


def _integrity(metrics: Mapping[str, Any], gate: GateSpec, facts: Facts) -> list[RuleOutcome]:
    expected = {(seed, fold) for seed in facts.seeds for fold in facts.folds}
    missing = sorted(expected - facts.units)
    undefined = [item["where"] for item in metrics.get("undefined", []) if "not finite" in item["why"]]
    total, foreign, blocking = len(expected), list(facts.foreign), "; ".join(facts.blocking)
    enough = f"at_least {gate.min_groups}", f"at_least {gate.min_seeds}"
    seeds = len(facts.seeds)
    return [
        _fact("complete", not missing, total - len(missing), f"{total} units", f"all {total} units are there",
              f"{len(missing)} of {total} units are missing, such as {_unit(missing)}"),
        _fact("one-evidence", not foreign, len(foreign), "at_most 0", "every unit is of this corpus, variant and split",
              f"{len(foreign)} units are of another corpus, variant or split: {', '.join(foreign[:3])}"),
        _fact("finite", not undefined, len(undefined), "at_most 0", "every prediction is a finite number",
              f"there are predictions that are not finite: {', '.join(undefined[:3])}"),
        _fact("groups", facts.groups >= gate.min_groups, facts.groups, enough[0], "enough groups to judge",
              f"{facts.groups} groups are too few to judge anything: the policy wants {gate.min_groups}"),
        _fact("seeds", seeds >= gate.min_seeds, seeds, enough[1], "enough seeds to judge",
              f"{seeds} seeds are too few to judge anything: the policy wants {gate.min_seeds}"),
        _fact("guards", not facts.blocking, len(facts.blocking), "at_most 0", "no guard found a leak", blocking),
        _fact("not-smoke", facts.smoke is None, None, "not a smoke run", "this is no smoke run",
              f"a smoke run can never PROMOTE: {facts.smoke}"),
    ]  # fmt: skip


def _fact(identifier: str, holds: Any, observed: float | None, bound: str, good: str, bad: str) -> RuleOutcome:
    return RuleOutcome(identifier, "PASS" if holds else "FAIL", observed, bound, good if holds else bad)


def _unit(missing: Sequence[tuple[int, str]]) -> str:
    return f"seed {missing[0][0]}, fold {missing[0][1]}" if missing else ""
