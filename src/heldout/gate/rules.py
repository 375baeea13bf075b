"""Declared rules over metrics, each PASS, FAIL or UNKNOWN with the number and a sentence."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heldout.gate.outcome import RuleOutcome
from heldout.study import COSTS, NOTHING, RuleSpec
from heldout.task.uncertainty import mean_interval

SEEDS_LEVEL = 0.95
_HOLDS = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le}
_RELATION = {
    ("at_least", True): "≥", ("at_least", False): "<", ("above", True): ">", ("above", False): "≤",
    ("at_most", True): "≤", ("at_most", False): ">",
}  # fmt: skip


def judge_rule(
    rule: RuleSpec,
    metrics: Mapping[str, Any],
    costs: Mapping[str, float] | None = None,
    attempt: int | None = None,
) -> RuleOutcome:
    """Judge one declared rule.

    Args:
        rule: The rule.
        metrics: The document ``metrics.json``.
        costs: What a fitted model costs, by name.
        attempt: Place of this variant among those that looked, if intervals are to be corrected for it; 0 if nobody
            counted.
    """
    name, observed, problem = _observed(rule, metrics, costs or {}, attempt)
    key, bound = rule.bound
    words, told = f"{key} {bound:g}", f"{bound:g}"
    if rule.relative:
        words += f" of {rule.against}'s value"
        value = metrics.get("baselines", {}).get(rule.against, {}).get("pooled", {}).get(rule.metric)
        if value is None:
            problem = problem or f"the value of {rule.against} is undefined"
        else:
            bound *= abs(value)
            told = f"{bound:.6g}, {told} of {value:.6g}"
    if problem is None and (observed is None or not math.isfinite(observed)):
        problem = "it is undefined"
    if problem is not None or observed is None:
        return RuleOutcome.of(rule.id, None, None, words, f"{name} cannot be judged: {problem}")
    holds = _HOLDS[key](observed, bound)
    why = f" ({rule.why})" if rule.why else ""
    sentence = f"{name} {observed:.6g} {_RELATION[key, holds]} {told}{why}"
    return RuleOutcome.of(rule.id, holds, observed, words, sentence)


def _observed(
    rule: RuleSpec, metrics: Mapping[str, Any], costs: Mapping[str, float], attempt: int | None
) -> tuple[str, float | None, str | None]:
    """What the rule looks at in words, its number, and why there is none."""
    if rule.against is not None:
        return _gain(rule, rule.against, metrics, attempt)
    if rule.metric == "coverage":
        return _coverage(rule, metrics)
    if rule.metric in COSTS:
        known = costs.get(rule.metric)
        return f"a model's {rule.metric}", known, None if known is not None else "nobody measured it"
    name = " ".join(part for part in (_scope_words(rule), rule.metric, _over_words(rule)) if part)
    values, problem = _values(rule, metrics)
    return name, None if problem else _statistic(rule, values), problem


def _gain(
    rule: RuleSpec, other: str, metrics: Mapping[str, Any], attempt: int | None
) -> tuple[str, float | None, str | None]:
    """The lower end of the paired interval: what is gained even if the groups were unlucky."""
    name = f"the gain in {rule.metric} over {'whoever knows nothing' if other == NOTHING else other}"
    found = metrics.get("comparisons", {}).get(other)
    if found is None:
        return name, None, f"{other!r} was not scored on these groups"
    if rule.metric not in found:
        return name, None, f"there is no metric {rule.metric!r}"
    if rule.over == "pooled":
        return _pooled_gain(f"{name} over all rows", found[rule.metric].get("pooled"), attempt)
    gain, low, high = (found[rule.metric][key] for key in ("gain", "low", "high"))
    if gain is None or low is None:
        return name, None, "it is undefined for a group, or there is one group only"
    if attempt is not None:
        if attempt == 0:
            return name, None, "nobody counted the variants that were tried"
        level = corrected_level(metrics["ensemble"]["intervals"][rule.metric]["level"], attempt)
        low, high = mean_interval(np.array(found[rule.metric]["differences"]), level)
    corrected = f", corrected for attempt {attempt}" if attempt else ""
    return f"{name} is {gain:.4g} ({low:.4g} to {high:.4g}, paired by group{corrected}); its lower end", low, None


def _pooled_gain(
    name: str, found: Mapping[str, Any] | None, attempt: int | None
) -> tuple[str, float | None, str | None]:
    """The lower end of the interval of the difference over all rows, whole groups drawn."""
    if found is None:
        return name, None, "nobody computed it"
    if attempt is not None:
        return name, None, "its interval is not corrected for attempts: judge the gain over groups, without `over`"
    if found["gain"] is None or found["low"] is None:
        return name, None, found.get("why", "it is undefined, or there are too few groups to draw from")
    gain, low, high = (found[key] for key in ("gain", "low", "high"))
    return f"{name} is {gain:.4g} ({low:.4g} to {high:.4g}, whole groups drawn); its lower end", low, None


def corrected_level(level: float, attempt: int) -> float:
    """The level of the interval that the k-th attempt must keep its bound with.

    The k-th attempt spends ``(1 - level) / (k (k + 1))``; summed over all k that is ``1 - level``: however many are
    tried, the chance that any of them is promoted by luck stays below that of one alone (Bonferroni, spent in
    advance).
    """
    return 1 - (1 - level) / (attempt * (attempt + 1))


def _coverage(rule: RuleSpec, metrics: Mapping[str, Any]) -> tuple[str, float | None, str | None]:
    """How often the declared interval holds on groups that did not calibrate it."""
    kind, worst = rule.interval or "absolute", rule.over == "worst_group"
    name = f"coverage of the {rule.level:.0%} interval ({kind}{', worst group' if worst else ''})"
    ensemble = metrics["ensemble"]
    if kind == "seeds":
        found = ensemble.get("sigma")
        if found is None and metrics.get("copies"):
            return name, None, copies_sentence(metrics)
        if found is None or rule.level != SEEDS_LEVEL:
            return name, None, f"the seeds' spread gives an interval at {SEEDS_LEVEL:g} only, from at least two seeds"
        group, overall = found["worst_group_coverage_95"], found["coverage_95"]
    else:
        levels = ensemble.get("conformal", {}).get("kinds", {}).get(kind)
        found = (levels or {}).get(f"{rule.level:g}")
        if levels is None and kind == "normalised" and metrics.get("copies"):
            return name, None, copies_sentence(metrics)
        if found is None:
            return name, None, f"the levels are {', '.join(levels)}" if levels else f"this run has no {kind} interval"
        if found["coverage"] is None:
            return name, None, found["why"]
        group, overall = found["worst_group"], found["coverage"]
    return name, (group or {}).get("value") if worst else overall, None


def copies_sentence(metrics: Mapping[str, Any]) -> str:
    """Which seeds are one model."""
    by_first: dict[int, list[str]] = {}
    for seed, first in metrics["copies"].items():
        by_first.setdefault(first, []).append(seed)
    parts = [
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)} predict{'' if len(seeds) > 1 else 's'} the same as "
        f"seed {first} in every row"
        for first, seeds in sorted(by_first.items())
    ]
    return "; ".join(parts) + ": copies of one model count as one seed"


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
        copies = metrics.get("copies", {})
        blocks = {f"seed {seed}": block for seed, block in metrics["members"].items() if seed not in copies}
        if copies and len(blocks) < 2 and rule.statistic != "mean":
            return [], copies_sentence(metrics)
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
        return _worst(rule, block.get("groups") or block.get("folds") or {}, "this run has no 'worst_group' metrics")
    if rule.over == "worst_slice":
        found = block.get("slices", {}).get(rule.slice, {})
        return _worst(rule, found, f"this run has no slices by {rule.slice!r} here")
    part = {"folds": "mean"}.get(rule.over, rule.over)
    if part not in block:
        return None, f"this run has no {rule.over!r} metrics"
    found = block[part]
    if rule.metric not in found:
        return None, f"there is no metric {rule.metric!r}"
    missing = found.get("undefined_cells", {}).get(rule.metric)
    return found[rule.metric], f"it is undefined in {missing} cells" if missing else None


def _worst(rule: RuleSpec, parts: Mapping[str, Any], nothing: str) -> tuple[float | None, str | None]:
    """The worst group or slice in the direction that the bound looks.

    The bound decides and not the metric: a bias of -5 is worse than one of 4, but it is 4 that breaks `at_most: 3`.
    """
    if not parts:
        return None, nothing
    if any(rule.metric not in part for part in parts.values()):
        return None, f"there is no metric {rule.metric!r}"
    values = [part[rule.metric] for part in parts.values()]
    if any(value is None or not math.isfinite(value) for value in values):
        return None, None
    return min(values) if rule.at_least is not None else max(values), None


def _scope_words(rule: RuleSpec) -> str:
    words = {"mean": "mean over seeds of", "min": "the worst seed's" if rule.at_least is not None else "the least"}
    words |= {"max": "the worst seed's" if rule.at_most is not None else "the largest", "spread": "spread of seeds in"}
    return words[rule.statistic] if rule.statistic else "the ensemble's"


def _over_words(rule: RuleSpec) -> str:
    words = {"folds": "(mean over folds)", "pooled": "(pooled)", "cells": "(means of cells)"}
    return (words | {"within_cell": "(within cells)", "worst_group": "(worst group)"}).get(
        rule.over, f"(worst {rule.slice})"
    )
