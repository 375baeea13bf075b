"""Bounds that decide nothing: those that every result keeps, that none can keep, or that look the wrong way."""

from __future__ import annotations

import math
from typing import NamedTuple

from heldout.study import RuleSpec
from heldout.task.metric import Metric

# The square of anything larger is no number: no result of a metric without a limit lies beyond.
_BEYOND = 1e154


class Complaint(NamedTuple):
    """What is wrong with a rule.

    Attributes:
        key: The key of the rule that is wrong.
        what: The fact.
        hint: What to write instead.
    """

    key: str
    what: str
    hint: str


class _Asked(NamedTuple):
    """What a rule asks of a metric: in words, in which range it lies, and its best value; None where none is best."""

    words: str
    low: float
    high: float
    best: float | None


def complaint(rule: RuleSpec, metric: Metric) -> Complaint | None:
    """Why a rule decides nothing, whatever comes out; None if it decides.

    Args:
        rule: The rule as declared.
        metric: What it asks.
    """
    if rule.against is not None and metric.better == "near zero":
        what = f"rule {rule.id!r}: {rule.metric} is best near zero, so a difference of two has no better direction"
        return Complaint("against", what, "judge its size, such as abs_bias")
    asked = _asked(rule, metric)
    key, bound = rule.bound
    upwards = key != "at_most"
    lowest, highest = max(asked.low, -_BEYOND), min(asked.high, _BEYOND)
    range_words = f"{asked.words} lies between {_plain(asked.low)} and {_plain(asked.high)}"
    if bound <= lowest if upwards else bound >= highest:
        what = f"rule {rule.id!r}: every result passes `{key}: {bound:g}`, because {range_words}"
        return Complaint(key, what, "set a bound that a poor result breaks")
    if bound > highest if upwards else bound < lowest:
        what = f"rule {rule.id!r}: no result passes `{key}: {bound:g}`, because {range_words}"
        return Complaint(key, what, "set a bound that a good result keeps")
    best = asked.best
    if best is not None and rule.why is None and (best < bound if upwards else best > bound):
        return _wrong_way(rule, metric, key, bound)
    return None


def _asked(rule: RuleSpec, metric: Metric) -> _Asked:
    low, high = metric.range
    if rule.relative:  # of what cannot be negative, all that the other has can be lost, or gained where it is an error
        words = f"a gain in {rule.metric}, as a share of {rule.against}'s value,"
        most = 1.0 if low >= 0 else math.inf
        return _Asked(words, *((-math.inf, most) if metric.better == "lower" else (-most, math.inf)), None)
    if rule.against is not None:
        return _Asked(f"a gain in {rule.metric}", low - high, high - low, None)
    if rule.statistic == "spread":
        return _Asked(f"a spread in {rule.metric}", 0.0, high - low, 0.0)
    return _Asked(rule.metric, low, high, metric.best)


def _wrong_way(rule: RuleSpec, metric: Metric, key: str, bound: float) -> Complaint:
    direction = "lower" if rule.statistic == "spread" else metric.better
    better = "best near zero" if direction == "near zero" else f"better when {direction}"
    words = f"a spread in {rule.metric}" if rule.statistic == "spread" else rule.metric
    other = "at_most" if key == "at_least" else "at_least"
    what = f"rule {rule.id!r}: `{key}: {bound:g}` looks the wrong way, because {words} is {better}"
    return Complaint(key, what, f"write `{other}`; if the bound is meant so, add the reason: `why: ...`")


def _plain(value: float) -> str:
    """A limit in words."""
    return "minus infinity" if value == -math.inf else "infinity" if value == math.inf else f"{value:g}"
