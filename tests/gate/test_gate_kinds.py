"""Rules beyond one bound on one metric: against another model, over slices, of coverage, of costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from heldout.gate import judge_rule
from heldout.study import BootstrapSpec, GateSpec, RuleSpec
from heldout.task import Predictions, summarise
from heldout.task.rivals import Wanted

GROUPS, ROWS = 24, 30


def _metrics(
    better_by: float = 2.0, spoilt: str | None = None, groups: int = GROUPS, wanted: Wanted | None = None
) -> dict[str, Any]:
    """A run whose errors have half the size of its baseline's, with one slice spoilt on request."""
    rng = np.random.default_rng(4)
    names = np.repeat([f"g{i:02}" for i in range(groups)], ROWS)
    kind = np.tile(["x264", "x265", "av1"], len(names) // 3)
    samples = pl.DataFrame({"sample_id": [f"s{i}" for i in range(len(names))], "group": names, "fold": names})
    target = rng.uniform(0, 100, len(names))
    samples = samples.with_columns(pl.Series("target", target), pl.Series("slice:encoder", kind))
    noise = rng.normal(0, 1, (4, len(names)))
    if spoilt:
        noise[:, kind == spoilt] *= 10
    ours = Predictions(samples, {seed: target + noise[seed] for seed in range(3)})
    theirs = Predictions(samples, {0: target + better_by * noise[3]})
    return summarise(ours, {}, BootstrapSpec(draws=500), {"linear": ("a line", theirs)}, wanted=wanted)


def _rule(**fields: Any) -> RuleSpec:
    return RuleSpec(id="rule", **fields)


def test_a_gain_is_judged_by_the_lower_end_of_its_interval() -> None:
    """A gain that a handful of lucky groups made would promote."""
    metrics = _metrics()
    found = metrics["comparisons"]["linear"]["rmse"]
    assert found["low"] < found["gain"] < found["high"]
    between = (found["low"] + found["gain"]) / 2
    assert "FAIL" == judge_rule(_rule(metric="rmse", against="linear", at_least=between), metrics).outcome
    outcome = judge_rule(_rule(metric="rmse", against="linear", at_least=0), metrics)
    assert ("PASS", found["low"]) == (outcome.outcome, outcome.observed)


@pytest.mark.parametrize("metric", ["rmse", "mae", "plcc", "srocc", "abs_bias"])
def test_a_gain_is_positive_where_the_run_is_better(metric: str) -> None:
    """For an error, smaller is better: the sign of the comparison would be turned round."""
    assert _metrics(better_by=6.0)["comparisons"]["linear"][metric]["gain"] > 0
    assert _metrics(better_by=0.01)["comparisons"]["linear"][metric]["gain"] < 0


def test_the_gain_is_paired_by_group() -> None:
    """Groups differ more than models do: an unpaired interval would hide every real gain."""
    found = _metrics(better_by=1.3)["comparisons"]["linear"]["rmse"]
    metrics = _metrics(better_by=1.3)
    spread = metrics["ensemble"]["intervals"]["rmse"]
    assert found["high"] - found["low"] < 3 * (spread["high"] - spread["low"])
    assert found["gain"] == pytest.approx(
        metrics["baselines"]["linear"]["mean"]["rmse"] - metrics["ensemble"]["mean"]["rmse"]
    )


def test_a_relative_bound_is_a_share_of_what_the_other_scores() -> None:
    """A margin in the metric's own unit is another one for every corpus: nobody could declare "no more than 2 %"."""
    rule = {"metric": "rmse", "against": "linear", "over": "pooled"}
    metrics = _metrics(better_by=0.5, wanted=Wanted({"linear": ["rmse"]}))
    low, value = (metrics[key]["linear"] for key in ("comparisons", "baselines"))
    low, value = low["rmse"]["pooled"]["low"], value["pooled"]["rmse"]
    assert low < 0 < value
    for share, expected in ((low / value - 1e-6, "PASS"), (low / value + 1e-6, "FAIL")):
        outcome = judge_rule(_rule(**rule, relative=True, at_least=share), metrics)
        assert (expected, low) == (outcome.outcome, outcome.observed), outcome
        assert "of linear's value" in outcome.bound
    del metrics["baselines"]["linear"]["pooled"]["rmse"]
    assert "UNKNOWN" == judge_rule(_rule(**rule, relative=True, at_least=-0.5), metrics).outcome


@pytest.mark.parametrize(
    "more",
    [{}, {"against": "linear"}, {"against": "trivial", "over": "pooled"}, {"over": "pooled"}],
)
def test_a_share_of_nothing_that_stands_in_the_table_is_refused(more: dict[str, Any]) -> None:
    """The rule would be UNKNOWN in every run, after all the fits."""
    with pytest.raises(ValidationError, match="relative"):
        _rule(metric="rmse", relative=True, at_least=-0.02, **more)


def test_a_rival_that_was_not_scored_cannot_be_beaten() -> None:
    """A missing champion would be beaten by default."""
    outcome = judge_rule(_rule(metric="rmse", against="champion", at_least=0), _metrics())
    assert ("UNKNOWN", None) == (outcome.outcome, outcome.observed)


def test_the_worst_slice_decides() -> None:
    """One encoder could be ten times worse and vanish in the mean."""
    metrics = _metrics(spoilt="av1")
    rule = _rule(metric="rmse", over="worst_slice", slice="encoder", at_most=2)
    outcome = judge_rule(rule, metrics)
    assert "FAIL" == outcome.outcome
    assert metrics["ensemble"]["slices"]["encoder"]["av1"]["rmse"] == outcome.observed
    assert "PASS" == judge_rule(rule, _metrics()).outcome


def test_coverage_is_of_groups_that_did_not_calibrate() -> None:
    """An interval could be declared good on the rows that made it."""
    metrics = _metrics()
    found = metrics["ensemble"]["conformal"]["kinds"]["absolute"]["0.9"]
    rule = _rule(metric="coverage", level=0.9, at_least=0.8)
    assert found["coverage"] == judge_rule(rule, metrics).observed
    worst = _rule(metric="coverage", level=0.9, over="worst_group", at_least=0.8)
    assert found["worst_group"]["value"] == judge_rule(worst, metrics).observed
    assert "UNKNOWN" == judge_rule(rule.model_copy(update={"level": 0.97}), metrics).outcome
    seeds = _rule(metric="coverage", level=0.95, interval="seeds", at_least=0.5)
    assert metrics["ensemble"]["sigma"]["coverage_95"] == judge_rule(seeds, metrics).observed


def test_coverage_with_too_few_groups_is_unknown() -> None:
    """Nine groups cannot show 95 %, and a number would say that they do."""
    outcome = judge_rule(_rule(metric="coverage", level=0.95, at_least=0.5), _metrics(groups=9))
    assert "UNKNOWN" == outcome.outcome
    assert "20 are needed" in outcome.sentence


def test_costs_are_judged_only_if_they_were_measured() -> None:
    """A model that nobody timed would be fast enough."""
    rule = _rule(metric="latency_us", at_most=10)
    assert "UNKNOWN" == judge_rule(rule, _metrics()).outcome
    assert "PASS" == judge_rule(rule, _metrics(), {"latency_us": 3.0, "model_bytes": 9.0}).outcome
    assert "FAIL" == judge_rule(rule, _metrics(), {"latency_us": 30.0, "model_bytes": 9.0}).outcome


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": "rmse", "against": "linear", "at_most": 1},
        {"metric": "rmse", "against": "linear", "at_least": 0, "over": "worst_group"},
        {"metric": "rmse", "above": 1},
        {"metric": "rmse", "against": "linear", "at_least": 0, "above": 0},
        {"metric": "rmse", "against": "linear", "at_least": 0, "scope": "members", "statistic": "min"},
        {"metric": "bias", "against": "linear", "at_least": 0},
        {"metric": "rmse", "over": "worst_slice", "at_most": 1},
        {"metric": "rmse", "slice": "encoder", "at_most": 1},
        {"metric": "coverage", "at_least": 0.9},
        {"metric": "rmse", "level": 0.9, "at_most": 1},
        {"metric": "rmse", "interval": "absolute", "at_most": 1},
        {"metric": "model_bytes", "scope": "members", "statistic": "max", "at_most": 1},
        {"metric": "coverage", "level": 0.9, "over": "cells", "at_least": 0.5},
    ],
)
def test_a_rule_whose_parts_do_not_fit_is_refused(fields: dict[str, Any]) -> None:
    """A part of a rule that is not read would look as if it were judged."""
    with pytest.raises(ValidationError):
        _rule(**fields)


def test_a_slice_must_be_declared() -> None:
    """A typing error in a slice would make its rule UNKNOWN only after training."""
    rule = {"id": "a", "metric": "rmse", "over": "worst_slice", "slice": "encoder", "at_most": 1}
    assert ["encoder"] == GateSpec(rules=[rule], slices=["encoder"]).slices  # type: ignore[list-item]
    with pytest.raises(ValidationError, match="not declared"):
        GateSpec(rules=[rule], slices=["codec"])  # type: ignore[list-item]


def test_the_interval_widens_with_every_attempt() -> None:
    """Whoever tries a hundred variants would promote the luckiest."""
    metrics = _metrics(better_by=1.3)
    rule = _rule(metric="rmse", against="linear", at_least=0)
    lows = [judge_rule(rule, metrics, None, attempt).observed for attempt in (None, 1, 5, 50)]
    assert lows == sorted(lows, reverse=True)  # type: ignore[type-var]
    assert 4 == len(set(lows))
    assert metrics["comparisons"]["linear"]["rmse"]["low"] == lows[0]
    assert "corrected for attempt 5" in judge_rule(rule, metrics, None, 5).sentence
    assert "UNKNOWN" == judge_rule(rule, metrics, None, 0).outcome


@pytest.mark.parametrize("groups", [2, 3, 5, 12])
def test_few_groups_promote_by_luck_no_oftener_than_is_said(groups: int) -> None:
    """With three groups a model that gains nothing would promote in one study of nine, by an interval called 95 %."""
    from heldout.task.uncertainty import paired_gain

    rng, studies = np.random.default_rng(groups), 2000
    rule, intervals = _rule(metric="rmse", against="linear", at_least=0), {"intervals": {"rmse": {"level": 0.95}}}
    promoted = 0
    for _ in range(studies):
        gain = paired_gain(rng.normal(size=groups), np.zeros(groups), 0.95)
        metrics = {"comparisons": {"linear": {"rmse": gain}}, "ensemble": intervals}
        promoted += "PASS" == judge_rule(rule, metrics).outcome
    assert abs(promoted / studies - 0.025) < 4 * np.sqrt(0.025 / studies)


@pytest.mark.slow
def test_correcting_keeps_the_rate_of_false_promotions_over_all_attempts() -> None:
    """Twenty equal variants, each judged at 95 %: one in three studies would crown one of them by chance."""
    from heldout.task.uncertainty import paired_gain

    rng = np.random.default_rng(1)
    rule, studies, attempts = _rule(metric="rmse", against="linear", at_least=0), 300, 20
    promoted = {"none": 0, "bonferroni": 0}
    for _ in range(studies):
        any_promoted = dict.fromkeys(promoted, False)
        for attempt in range(1, attempts + 1):
            gain = paired_gain(rng.normal(size=GROUPS), np.zeros(GROUPS), 0.95)
            metrics = {
                "comparisons": {"linear": {"rmse": gain}},
                "ensemble": {"intervals": {"rmse": {"level": 0.95, "draws": 400, "seed": 0}}},
            }
            for name, corrected in (("none", None), ("bonferroni", attempt)):
                any_promoted[name] |= "PASS" == judge_rule(rule, metrics, None, corrected).outcome
        for name in promoted:
            promoted[name] += any_promoted[name]
    assert promoted["none"] / studies > 0.2
    assert promoted["bonferroni"] / studies < 0.025 + 4 * np.sqrt(0.025 / studies)
