"""A gate that cannot pass is found before it costs anything, and its power is as stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heldout.gate.plan import detectable_effect, plan_gate
from heldout.study import BootstrapSpec, GateSpec
from heldout.task.uncertainty import paired_gain


def _plan(rule: dict[str, Any], **facts: Any) -> Any:
    known = {"groups": 12, "seeds": (0, 1, 2), "cells": True, "attempt": 1} | facts
    slices = [rule["slice"]] if "slice" in rule else []
    gate = GateSpec(rules=[{"id": "rule", **rule}], slices=slices)  # type: ignore[list-item]
    return plan_gate(gate, BootstrapSpec(), **known)[-1]


@pytest.mark.parametrize(
    ("rule", "facts", "can"),
    [
        ({"metric": "plcc", "at_least": 0.9}, {}, True),
        ({"metric": "plcc", "scope": "members", "statistic": "spread", "at_most": 1}, {"seeds": (0,)}, False),
        ({"metric": "rmse", "over": "cells", "at_most": 1}, {"cells": False}, False),
        ({"metric": "coverage", "level": 0.95, "at_least": 0.9}, {"groups": 19}, False),
        ({"metric": "coverage", "level": 0.95, "at_least": 0.9}, {"groups": 20}, True),
        ({"metric": "coverage", "level": 0.9, "interval": "seeds", "at_least": 0.9}, {}, False),
        ({"metric": "coverage", "level": 0.8, "interval": "normalised", "at_least": 0.7}, {"seeds": (0,)}, False),
        ({"metric": "rmse", "against": "linear", "at_least": 0}, {"groups": 1}, False),
    ],
)
def test_a_rule_that_cannot_pass_is_named(rule: dict[str, Any], facts: dict[str, Any], can: bool) -> None:
    """Days of training would end in an UNKNOWN that was certain from the start."""
    assert can == _plan(rule, **facts).can_pass


def test_too_few_groups_seeds_and_attempts_are_named() -> None:
    """The same, for what holds for every run."""
    gate = GateSpec(rules=[], min_groups=5, min_seeds=3, max_attempts=2)
    plans = plan_gate(gate, BootstrapSpec(), groups=4, seeds=(0,), cells=False, attempt=3)
    assert [("groups", False), ("seeds", False), ("attempts", False)] == [(p.id, p.can_pass) for p in plans]


@pytest.mark.parametrize("groups", [8, 20])
def test_the_stated_effect_is_seen_with_the_stated_power(groups: int) -> None:
    """A plan could promise a power that the interval has not."""
    rng = np.random.default_rng(groups)
    effect = detectable_effect(groups, 0.95)
    seen = [paired_gain(rng.normal(effect, 1, groups), np.zeros(groups), 0.95)["low"] > 0 for _ in range(400)]
    assert np.mean(seen) > 0.8 - 3 * np.sqrt(0.8 * 0.2 / len(seen))


def test_more_groups_see_smaller_effects() -> None:
    """The sentence would tell people to collect less."""
    effects = [detectable_effect(groups, 0.95) for groups in (3, 6, 12, 24, 48)]
    assert sorted(effects, reverse=True) == effects
