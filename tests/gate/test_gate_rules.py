"""Rules are PASS, FAIL or UNKNOWN, and only a run of which nothing is wrong or unknown is promoted."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.gate import Facts, RuleOutcome, judge, judge_rule, verdict_of
from heldout.run.verdict import build_verdict
from heldout.study import GateSpec, RuleSpec

SEEDS, FOLDS = (0, 1, 2, 3, 4), ("a", "b", "c")
FACTS = Facts(
    seeds=SEEDS,
    folds=FOLDS,
    units=frozenset((seed, fold) for seed in SEEDS for fold in FOLDS),
    foreign=(),
    groups=3,
    smoke=None,
    blocking=(),
)
# The published policy: mean, spread and least of the seeds' mean PLCC over folds.
MEAN = RuleSpec(id="mean-plcc", metric="plcc", scope="members", statistic="mean", at_least=0.95)
SPREAD = RuleSpec(id="plcc-spread", metric="plcc", scope="members", statistic="spread", at_most=0.005)
EVERY = RuleSpec(id="every-seed", metric="plcc", scope="members", statistic="min", at_least=0.95)
POLICY = GateSpec(rules=[MEAN, SPREAD, EVERY], min_groups=3, min_seeds=5)
NAN, INF = float("nan"), float("inf")


def block(plcc: float | None, folds: Mapping[str, float | None] | None = None, **more: Any) -> dict[str, Any]:
    by_fold = {fold: {"rows": 10, "plcc": value} for fold, value in (folds or dict.fromkeys(FOLDS, plcc)).items()}
    return {"folds": by_fold, "mean": {"plcc": plcc}, "pooled": {"plcc": plcc}} | more


def document(plccs: Sequence[float | None] = (0.961, 0.962, 0.963, 0.964, 0.965), **ensemble: Any) -> dict[str, Any]:
    return {
        "members": {str(seed): block(plcc) for seed, plcc in zip(SEEDS, plccs, strict=False)},
        "ensemble": block(0.97) | ensemble,
        "undefined": [],
    }


def by_id(outcomes: Sequence[RuleOutcome]) -> dict[str, RuleOutcome]:
    assert len({outcome.id for outcome in outcomes}) == len(outcomes)
    return {outcome.id: outcome for outcome in outcomes}


def not_passed(metrics: Mapping[str, Any], gate: GateSpec = POLICY, facts: Facts = FACTS) -> dict[str, str]:
    return {each.id: each.outcome for each in judge(metrics, gate, facts) if each.outcome != "PASS"}


def test_a_sound_run_is_promoted() -> None:
    """No model could ever be promoted, and every other test here would pass for the wrong reason."""
    assert {} == not_passed(document())
    assert "PROMOTE" == verdict_of(judge(document(), POLICY, FACTS))


@pytest.mark.parametrize(
    ("plccs", "failing"),
    [
        ((0.95, 0.95, 0.95, 0.95, 0.95), {}),
        ((0.9501, 0.9549, 0.952, 0.952, 0.952), {}),
        ((0.9501, 0.9552, 0.952, 0.952, 0.952), {"plcc-spread": "FAIL"}),
        ((0.9499, 0.954, 0.954, 0.954, 0.954), {"every-seed": "FAIL"}),
        ((0.99, 0.99, 0.99, 0.99, 0.94), {"every-seed": "FAIL", "plcc-spread": "FAIL"}),
        ((0.9499,) * 5, {"mean-plcc": "FAIL", "every-seed": "FAIL"}),
        ((0.96, None, 0.96, 0.96, 0.96), dict.fromkeys(("mean-plcc", "plcc-spread", "every-seed"), "UNKNOWN")),
        ((0.96, 0.96, NAN, 0.96, 0.96), dict.fromkeys(("mean-plcc", "plcc-spread", "every-seed"), "UNKNOWN")),
        ((0.96, 0.96, 0.96, INF, 0.96), dict.fromkeys(("mean-plcc", "plcc-spread", "every-seed"), "UNKNOWN")),
    ],
)
def test_the_published_thresholds(plccs: Sequence[float | None], failing: dict[str, str]) -> None:
    """A mean of .95, a spread of .005 and .95 for every seed would not be what decides."""
    assert failing == not_passed(document(plccs))
    assert ("HOLD" if failing else "PROMOTE") == verdict_of(judge(document(plccs), POLICY, FACTS))


def test_the_default_policy_of_the_video_backbone_is_the_published_one() -> None:
    """A study without rules would be judged by something milder."""
    from heldout.run import load_backbone

    assert GateSpec.model_validate(load_backbone("fr_regressor", {}).default_gate()) == POLICY


@pytest.mark.parametrize("value", [None, NAN, INF, -INF])
@pytest.mark.parametrize("bound", [{"at_least": -10.0}, {"at_most": 10.0}])
@pytest.mark.parametrize("scope", ["ensemble", "members"])
@pytest.mark.parametrize("over", ["folds", "pooled", "cells", "within_cell", "worst_group"])
def test_defect_12_an_undefined_metric_is_unknown_under_every_rule(
    value: float | None, bound: dict[str, float], scope: str, over: str
) -> None:
    """NaN compares false with every bound: it would pass `at_most`, or be left out of a mean."""
    part = block(value, cells={"plcc": value}, within_cell={"plcc": value, "undefined_cells": {}})
    metrics = {"members": {"0": copy.deepcopy(part), "1": copy.deepcopy(part)}, "ensemble": part}
    statistic = "min" if scope == "members" else None
    rule = RuleSpec(id="r", metric="plcc", scope=scope, over=over, statistic=statistic, **bound)  # type: ignore[arg-type]
    found = judge_rule(rule, metrics)
    assert ("UNKNOWN", None) == (found.outcome, found.observed)
    assert "it is undefined for" in found.sentence


def test_defect_12_one_undefined_fold_makes_the_worst_one_unknown() -> None:
    """The worst of the folds that could be scored would stand for the worst of all."""
    rule = RuleSpec(id="r", metric="plcc", over="worst_group", at_least=0.5)
    metrics = document(folds=block(None, {"a": 0.9, "b": None, "c": 0.9})["folds"])
    assert "UNKNOWN" == judge_rule(rule, metrics).outcome


@pytest.mark.parametrize("statistic", [None, "mean", "min", "max", "spread"])
@pytest.mark.parametrize("over", ["folds", "pooled", "cells", "within_cell", "worst_group"])
def test_a_run_without_any_metrics_is_unknown_and_no_crash(statistic: str | None, over: str) -> None:
    """When units fail there are no metrics; a traceback would come instead of the HOLD."""
    scope = "members" if statistic else "ensemble"
    rule = RuleSpec(id="r", metric="plcc", scope=scope, over=over, statistic=statistic, at_least=0.0)  # type: ignore[arg-type]
    assert "UNKNOWN" == judge_rule(rule, {"members": {}, "ensemble": {}, "undefined": []}).outcome
    empty = {"members": {"0": {"folds": {}}, "1": {"folds": {}}}, "ensemble": {"folds": {}}}
    assert "UNKNOWN" == judge_rule(rule, empty).outcome


@pytest.mark.parametrize("over", ["folds", "pooled", "worst_group"])
def test_a_metric_that_does_not_exist_is_unknown_and_named(over: str) -> None:
    """A misspelt metric would pass, or crash after all the training."""
    found = judge_rule(RuleSpec(id="r", metric="plc", over=over, at_most=1.0), document())  # type: ignore[arg-type]
    assert "UNKNOWN" == found.outcome
    assert "there is no metric 'plc'" in found.sentence


def test_a_part_that_this_run_does_not_have_is_unknown() -> None:
    """A rule over clips would pass for a corpus without clips."""
    found = judge_rule(RuleSpec(id="r", metric="plcc", over="cells", at_least=0.0), document())
    assert "UNKNOWN" == found.outcome
    assert "no 'cells' metrics" in found.sentence


def test_a_mean_over_clips_with_an_unscored_one_is_unknown() -> None:
    """The mean inside clips leaves some out, so it may not promote."""
    rule = RuleSpec(id="r", metric="plcc", over="within_cell", at_least=0.5)
    whole = document(within_cell={"plcc": 0.9, "rmse": 1.0, "undefined_cells": {"rmse": 2}})
    assert "PASS" == judge_rule(rule, whole).outcome
    parted = document(within_cell={"plcc": 0.9, "undefined_cells": {"plcc": 2}})
    assert "UNKNOWN" == judge_rule(rule, parted).outcome
    assert "undefined in 2 cells" in judge_rule(rule, parted).sentence


def test_one_seed_has_no_spread() -> None:
    """A run of one seed would prove perfect agreement of its seeds."""
    metrics = document((0.99,))
    assert "UNKNOWN" == judge_rule(SPREAD, metrics).outcome
    assert "PASS" == judge_rule(EVERY, metrics).outcome


@pytest.mark.parametrize(
    ("statistic", "bound", "value", "outcome"),
    [
        ("mean", {"at_least": 3.0}, 3.0, "PASS"),
        ("mean", {"at_least": 3.125}, 3.0, "FAIL"),
        ("min", {"at_least": 1.0}, 1.0, "PASS"),
        ("max", {"at_most": 5.0}, 5.0, "PASS"),
        ("max", {"at_most": 4.5}, 5.0, "FAIL"),
        ("spread", {"at_most": 4.0}, 4.0, "PASS"),
        ("spread", {"at_most": 3.5}, 4.0, "FAIL"),
    ],
)
def test_a_statistic_is_over_the_seeds_and_a_bound_holds_itself(
    statistic: str, bound: dict[str, float], value: float, outcome: str
) -> None:
    """A model exactly at the bound would be refused, or the wrong seed looked at."""
    rule = RuleSpec(id="r", metric="plcc", scope="members", statistic=statistic, **bound)  # type: ignore[arg-type]
    found = judge_rule(rule, document((2.0, 1.0, 5.0, 4.0, 3.0)))
    assert (outcome, value) == (found.outcome, found.observed)
    assert next(f"{name} {number:g}" for name, number in bound.items()) == found.bound
    assert f"{value:g} " in found.sentence


@pytest.mark.parametrize(
    ("bound", "observed", "outcome"),
    [({"at_most": 3.0}, 4.0, "FAIL"), ({"at_least": -3.0}, -5.0, "FAIL"), ({"at_most": 4.0}, 4.0, "PASS")],
)
@pytest.mark.parametrize("apart", [False, True])
def test_the_worst_group_is_the_one_that_breaks_the_bound(
    bound: dict[str, float], observed: float, outcome: str, apart: bool
) -> None:
    """A bias of -5 is the worst by size; a group at 4 would pass `at_most: 3` behind it."""
    groups = {"a": {"bias": 0.0}, "b": {"bias": -5.0}, "c": {"bias": 4.0}}
    worst = {"bias": {"group": "b", "value": -5.0}}
    ensemble: dict[str, Any] = {"worst_group": worst, "folds": groups}
    if apart:
        ensemble = {"worst_group": worst, "groups": groups, "folds": {"part0": {"bias": 0.0}}}
    rule = RuleSpec(id="r", metric="bias", over="worst_group", **bound)  # type: ignore[arg-type]
    found = judge_rule(rule, {"members": {}, "ensemble": ensemble})
    assert (outcome, observed) == (found.outcome, found.observed)


BROKEN: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "missing fold": ({"units": FACTS.units - {(2, "b")}}, {"complete": "FAIL"}),
    "missing seed": ({"units": frozenset(unit for unit in FACTS.units if unit[0] != 4)}, {"complete": "FAIL"}),
    "nothing there": ({"units": frozenset()}, {"complete": "FAIL"}),
    "foreign seed": ({"foreign": ("seed9",)}, {"one-evidence": "FAIL"}),
    "smoke": ({"smoke": "`--set fit.epochs` overrides the declared study"}, {"not-smoke": "FAIL"}),
    "leak": ({"blocking": ("the groups a, b have the same content",)}, {"guards": "FAIL"}),
    "too few groups": ({"groups": 2}, {"groups": "FAIL"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_defect_10_the_gate_reads_more_than_one_number(name: str) -> None:
    """A dry run, one fold of nine, or a seed of another corpus would be promoted by its good PLCC."""
    change, failing = BROKEN[name]
    facts = dataclasses.replace(FACTS, **change)
    assert failing == not_passed(document(), facts=facts)
    assert "HOLD" == verdict_of(judge(document(), POLICY, facts))


def test_defect_10_too_few_seeds_are_not_judged() -> None:
    """One lucky seed would do."""
    facts = dataclasses.replace(FACTS, seeds=SEEDS[:4], units=frozenset(u for u in FACTS.units if u[0] < 4))
    assert {"seeds": "FAIL"} == not_passed(document((0.96,) * 4), facts=facts)


def test_a_run_of_nothing_is_not_complete() -> None:
    """All zero of zero units would be there."""
    facts = dataclasses.replace(FACTS, folds=(), units=frozenset())
    assert "complete" in not_passed(document(), facts=facts)


def test_defect_11_metrics_of_another_run_are_not_judged() -> None:
    """Metrics left over from a run with other seeds or folds would stand for this one's."""
    short = document()
    del short["members"]["3"]
    assert {"complete": "FAIL"} == not_passed(short)
    fold = document()
    del fold["members"]["3"]["folds"]["b"]
    assert {"complete": "FAIL"} == not_passed(fold)
    more = document()
    more["members"]["9"] = block(0.963)
    assert {"one-evidence": "FAIL"} == not_passed(more)
    assert "seed 9, fold a" in by_id(judge(more, POLICY, FACTS))["one-evidence"].sentence


def test_defect_12_a_prediction_that_is_not_finite_holds_whatever_is_ruled() -> None:
    """A NaN in one row would pass under rules that look elsewhere."""
    metrics = document()
    metrics["undefined"] = [{"where": "members/1/folds/b/plcc", "why": "3 predictions are not finite"}]
    assert {"finite": "FAIL"} == not_passed(metrics)
    metrics["undefined"] = [{"where": "ensemble/std/plcc", "why": "one fold has no spread"}]
    assert {} == not_passed(metrics)


def test_a_gate_never_promotes_without_a_rule() -> None:
    """An empty policy is kept by everything."""
    assert "HOLD" == verdict_of([])


CHANGES = st.fixed_dictionaries(
    {
        "broken": st.sets(st.sampled_from(sorted(BROKEN)), max_size=3),
        "plccs": st.lists(st.sampled_from([0.96, 0.961, 0.94, None, NAN, INF]), min_size=5, max_size=5),
        "undefined": st.booleans(),
        "extra": st.lists(
            st.builds(
                lambda over, bound, limit: RuleSpec(id="extra", metric="plcc", over=over, **{bound: limit}),
                st.sampled_from(["folds", "pooled", "worst_group", "cells"]),
                st.sampled_from(["at_least", "at_most"]),
                st.sampled_from([0.5, 0.97, 0.99]),
            ),
            max_size=1,
        ),
    }
)


@settings(max_examples=300)
@given(CHANGES)
def test_nothing_but_a_row_of_passes_is_promoted(change: dict[str, Any]) -> None:
    """Two faults would cancel out, or an UNKNOWN count for a PASS."""
    facts = FACTS
    for name in change["broken"]:
        facts = dataclasses.replace(facts, **BROKEN[name][0])
    metrics = document(change["plccs"])
    if change["undefined"]:
        metrics["undefined"] = [{"where": "ensemble/pooled/plcc", "why": "1 predictions are not finite"}]
    gate = GateSpec(rules=[*POLICY.rules, *change["extra"]], min_groups=3, min_seeds=5)
    outcomes = judge(metrics, gate, facts)
    found = {outcome.outcome for outcome in outcomes}
    sound = not change["broken"] and not change["undefined"] and set(change["plccs"]) <= {0.96, 0.961}
    assert (verdict_of(outcomes) == "PROMOTE") == (found == {"PASS"})
    assert sound or verdict_of(outcomes) == "HOLD"
    if sound and not change["extra"]:
        assert "PROMOTE" == verdict_of(outcomes)
    assert {"PASS", "FAIL", "UNKNOWN"} >= found


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["PASS", "FAIL", "UNKNOWN"]), max_size=8))
def test_the_verdict_over_any_table_of_outcomes(outcomes: list[str]) -> None:
    """A long row of passes would outvote one failure."""
    rows = [RuleOutcome(str(number), outcome, 1.0, "at_least 0", "") for number, outcome in enumerate(outcomes)]  # type: ignore[arg-type]
    assert ("PROMOTE" if set(outcomes) == {"PASS"} else "HOLD") == verdict_of(rows)


def verdict(metrics: Mapping[str, Any], facts: Facts = FACTS) -> dict[str, Any]:
    return build_verdict(
        study="tiny",
        variant="base",
        seeds=SEEDS,
        outcomes=judge(metrics, POLICY, facts),
        findings=[],
        smoke=facts.smoke,
        judged={"corpus_sha256": "0" * 64},
        provenance={"args": {}},
    )


def test_a_promote_names_every_rule_and_has_no_reasons() -> None:
    """Nobody could see what a promoted model was held to."""
    found = verdict(document())
    assert ("PROMOTE", []) == (found["verdict"], found["reasons"])
    assert {"complete", "one-evidence", "finite", "groups", "seeds", "guards", "not-smoke"} | {
        rule.id for rule in POLICY.rules
    } == {rule["id"] for rule in found["rules"]}
    assert {"PASS"} == {rule["outcome"] for rule in found["rules"]}
    assert {"corpus_sha256": "0" * 64} == found["judged"]


def test_a_hold_gives_a_reason_for_every_rule_that_is_not_passed() -> None:
    """People would train again without knowing what to change."""
    facts = dataclasses.replace(FACTS, blocking=("the groups a, b have the same content",))
    found = verdict(document((0.96, None, 0.96, 0.96, 0.96)), facts)
    open_rules = [rule for rule in found["rules"] if rule["outcome"] != "PASS"]
    assert ["guards", "mean-plcc", "plcc-spread", "every-seed"] == [rule["id"] for rule in open_rules]
    assert [rule["sentence"] for rule in open_rules] == found["reasons"]
    assert "the groups a, b have the same content" == found["reasons"][0]
    assert "cannot be judged: it is undefined for seed 1" in found["reasons"][1]
    assert all(reason in found["recommendation"] for reason in found["reasons"])


def test_defect_10_a_smoke_run_says_so_in_its_verdict() -> None:
    """A HOLD of a quick look would be read as the model's failure."""
    found = verdict(document(), dataclasses.replace(FACTS, smoke="1 epoch"))
    assert ("HOLD", "1 epoch") == (found["verdict"], found["smoke"])
    assert ["a smoke run can never PROMOTE: 1 epoch"] == found["reasons"]
    assert "Run the study as declared" in found["recommendation"]


def test_defect_13_a_verdict_names_what_it_judged() -> None:
    """Nothing would tie a verdict to its corpus, nor an export to the verdict's corpus."""
    found = verdict(document())
    assert ("heldout.verdict/1", "tiny", "base", [0, 1, 2, 3, 4], "computed") == (
        found["schema"],
        found["study"],
        found["variant"],
        found["seeds"],
        found["evidence"],
    )
    assert found["generated_at_utc"].endswith("+00:00")
