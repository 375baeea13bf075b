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
        attempt: The variant's place among those of the study that looked at held-out rows; None where nobody counts.
    """

    seeds: Sequence[int]
    folds: Sequence[str]
    units: frozenset[tuple[int, str]]
    foreign: Sequence[str]
    groups: int
    smoke: str | None
    blocking: Sequence[str]
    attempt: int | None = None


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
    if rule.over == "worst_group":
        return _worst_group(rule, block)
    part = {"folds": "mean"}.get(rule.over, rule.over)
    if part not in block:
        return None, f"this run has no {rule.over!r} metrics"
    found = block[part]
    if rule.metric not in found:
        return None, f"there is no metric {rule.metric!r}"
    missing = found.get("undefined_cells", {}).get(rule.metric)
    return found[rule.metric], f"it is undefined in {missing} cells" if missing else None


def _worst_group(rule: RuleSpec, block: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """The worst group in the direction that the bound looks; the worst fold where groups were not scored apart.

    The bound decides and not the metric: a bias of -5 is worse than one of 4, but it is 4 that breaks `at_most: 3`.
    """
    groups = (block.get("groups") or block.get("folds") or {}).values()
    if not groups:
        return None, "this run has no 'worst_group' metrics"
    if any(rule.metric not in group for group in groups):
        return None, f"there is no metric {rule.metric!r}"
    values = [group[rule.metric] for group in groups]
    if any(value is None or not math.isfinite(value) for value in values):
        return None, None
    return min(values) if rule.at_least is not None else max(values), None


def _scope_words(rule: RuleSpec) -> str:
    words = {"mean": "mean over seeds of", "min": "the worst seed's" if rule.at_least is not None else "the least"}
    words |= {"max": "the worst seed's" if rule.at_most is not None else "the largest", "spread": "spread of seeds in"}
    return words[rule.statistic] if rule.statistic else "the ensemble's"


def _over_words(rule: RuleSpec) -> str:
    words = {"folds": "(mean over folds)", "pooled": "(pooled)", "cells": "(per clip)"}
    return (words | {"within_cell": "(within clips)", "worst_group": "(worst group)"})[rule.over]


def _integrity(metrics: Mapping[str, Any], gate: GateSpec, facts: Facts) -> list[RuleOutcome]:
    expected = {(seed, fold) for seed in facts.seeds for fold in facts.folds}
    scored = _scored(metrics)
    missing = sorted(expected - facts.units) or sorted(expected - scored)
    undefined = [item["where"] for item in metrics.get("undefined", []) if "not finite" in item["why"]]
    foreign = [*facts.foreign, *(_unit([unit]) for unit in sorted(scored - expected))]
    total, blocking = len(expected), "; ".join(facts.blocking)
    enough = f"at_least {gate.min_groups}", f"at_least {gate.min_seeds}"
    seeds = len(facts.seeds)
    return [
        _fact("complete", total and not missing, total - len(missing), f"{total} units", f"all {total} units are there",
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
        *_attempts(gate, facts),
    ]  # fmt: skip


def _attempts(gate: GateSpec, facts: Facts) -> list[RuleOutcome]:
    """Whoever tries often enough finds a variant that passes by luck: a policy may say how often."""
    most, attempt = gate.max_attempts, facts.attempt
    if most is None:
        return []
    words = f"at_most {most}"
    if attempt is None:
        return [RuleOutcome("attempts", "UNKNOWN", None, words, "nobody counted the variants that were tried")]
    return [
        _fact("attempts", attempt <= most, attempt, words, f"variant {attempt} of the {most} that the policy allows",
              f"this is variant {attempt} that looked at held-out rows: the policy allows {most}"),
    ]  # fmt: skip


def _scored(metrics: Mapping[str, Any]) -> set[tuple[int, str]]:
    """Pairs (seed, fold) whose metrics are in the document, for the seed and for the ensemble."""
    folds = set(metrics.get("ensemble", {}).get("folds", {}))
    members = metrics.get("members", {})
    return {(int(seed), fold) for seed, block in members.items() for fold in block["folds"] if fold in folds}


def _fact(identifier: str, holds: Any, observed: float | None, bound: str, good: str, bad: str) -> RuleOutcome:
    return RuleOutcome(identifier, "PASS" if holds else "FAIL", observed, bound, good if holds else bad)


def _unit(missing: Sequence[tuple[int, str]]) -> str:
    return f"seed {missing[0][0]}, fold {missing[0][1]}" if missing else ""
