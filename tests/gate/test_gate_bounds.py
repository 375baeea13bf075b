"""A bound decides only if some result keeps it and some result breaks it: algebra over every metric."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.gate import bounds
from heldout.study import RuleSpec
from heldout.task.classification import CLASSIFICATION, MORE_OF_CLASSES
from heldout.task.metrics import BUILT_IN, named
from heldout.task.regression import MORE_OF_VALUES, REGRESSION

BOUNDS = st.floats(-1e6, 1e6)
KEYS = st.sampled_from(["at_least", "at_most"])
METRIC = st.sampled_from([each.name for each in (*REGRESSION, *MORE_OF_VALUES, *CLASSIFICATION, *MORE_OF_CLASSES)])


def complaint(rule: RuleSpec) -> bounds.Complaint | None:
    metric = named(rule.metric)
    assert metric is not None
    return bounds.complaint(rule, metric)


def _rule(metric: str, key: str, bound: float, **more: Any) -> RuleSpec:
    return RuleSpec.model_validate({"id": "r", "metric": metric, key: bound, **more})


def _keeps(value: float, key: str, bound: float) -> bool:
    return value >= bound if key == "at_least" else value <= bound


@given(METRIC, KEYS, st.floats(-2, 2) | BOUNDS)
def test_a_bound_that_stands_can_be_broken_and_kept(metric: str, key: str, bound: float) -> None:
    """A rule that every result passes would be shown as a hurdle that was taken."""
    low, high = BUILT_IN[metric].range
    kept = [_keeps(limit, key, bound) for limit in (max(low, -1e7), min(high, 1e7))]
    if complaint(_rule(metric, key, bound, why="meant so here")) is None:
        assert any(kept)
        assert not all(kept)
    else:
        assert all(kept) or not any(kept)


@given(METRIC, KEYS, st.floats(0, 1))
def test_a_bound_without_a_reason_is_kept_by_the_best_value(metric: str, key: str, share: float) -> None:
    """A model could be refused for being too good, or promoted for being bad, by a slip of one word."""
    low, high = (min(max(limit, -9.0), 9.0) for limit in BUILT_IN[metric].range)
    bound = low + share * (high - low)
    if complaint(_rule(metric, key, bound)) is None:
        assert _keeps(BUILT_IN[metric].best, key, bound)
    elif complaint(_rule(metric, key, bound, why="meant so here")) is None:
        assert not _keeps(BUILT_IN[metric].best, key, bound)


@given(METRIC, KEYS, BOUNDS)
def test_a_reason_turns_a_bound_round_and_does_not_empty_it(metric: str, key: str, bound: float) -> None:
    """`why:` would be a way past every check."""
    with_reason = complaint(_rule(metric, key, bound, why="meant so here"))
    low, high = BUILT_IN[metric].range
    assert (with_reason is not None) == (_keeps(low, key, bound) == _keeps(high, key, bound) and not low < bound < high)


@pytest.mark.parametrize("statistic", ["min", "max", "mean", "spread"])
@pytest.mark.parametrize("over", ["folds", "pooled", "cells", "within_cell"])
def test_members_and_parts_have_the_range_of_the_metric(statistic: str, over: str) -> None:
    """The same empty bound would pass under another scope."""
    more = {"scope": "members", "statistic": statistic, "over": over}
    least = {"at_most": 2} if statistic == "spread" else {"at_least": -1}
    found = complaint(RuleSpec.model_validate({"id": "r", "metric": "plcc", **least, **more}))
    assert found is not None
    assert "every result passes" in found.what


@pytest.mark.parametrize(("alias", "name"), [("pearson", "plcc"), ("spearman", "srocc")])
def test_plain_names_are_the_metrics_of_documents(alias: str, name: str) -> None:
    """A rule in plain words would judge nothing."""
    assert named(alias) is BUILT_IN[name]
    assert named("no such metric") is None


@pytest.mark.parametrize("margin", [-2.0, -2.5])
def test_a_gain_of_less_than_the_whole_span_is_no_bound(margin: float) -> None:
    """A correlation cannot lose more than two."""
    assert complaint(_rule("plcc", "at_least", margin, against="other")) is not None
    assert complaint(_rule("plcc", "at_least", -0.05, against="other")) is None
    assert complaint(_rule("rmse", "at_least", -0.05, against="other")) is None


@pytest.mark.parametrize(
    ("metric", "key", "share", "decides"),
    [
        ("accuracy", "at_least", -0.02, True),
        ("accuracy", "at_least", -1, False),  # whoever has nothing left has lost all, and not more
        ("accuracy", "above", 3, True),  # four times as good as little
        ("rmse", "at_least", -2, True),  # three times the error
        ("rmse", "above", 0.5, True),
        ("rmse", "above", 1.5, False),  # nobody has less than no error
        ("plcc", "at_least", -1.5, True),
    ],
)
def test_a_share_that_every_result_keeps_or_none_is_refused(metric: str, key: str, share: float, decides: bool) -> None:
    """A margin of everything would be shown as a rule that was kept."""
    found = complaint(_rule(metric, key, share, against="linear", over="pooled", relative=True))
    assert decides == (found is None), found
