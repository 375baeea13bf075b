"""The rule "second hardware": does another machine's run of the same study agree, fold by fold, with ours?

The tolerance is declared when the kit is built, before anybody knows a number of the second run. The outcome is a
document of its own: a verdict says what one run showed and is never rewritten when another one comes in.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from heldout.errors import InputError, StudyError, near_miss
from heldout.gate.outcome import RuleOutcome
from heldout.gate.verdict import verdict_of
from heldout.run.resolve import Resolved
from heldout.task.metric import Metric
from heldout.task.metrics import DEFAULTS, named
from heldout.verify.evidence import RunEvidence

SCHEMA = "heldout.second-hardware/1"
RULE = "second-hardware"
FILE = "second_hardware.json"
DEFAULT = 0.005


def declared_tolerance(resolved: Resolved, asked: Mapping[str, float] | None) -> dict[str, float]:
    """By name of a metric that the study computes, how far a fold may differ.

    Args:
        resolved: The study.
        asked: By name or alias; None takes a small difference in the primary metric.

    Raises:
        InputError: If a number is none, or the study computes no such metric: the rule could never be judged.
    """
    known = _computed(resolved)
    if asked is None:
        return {next(iter(known)): DEFAULT}
    if not asked or any(not 0 <= value < math.inf for value in asked.values()):
        raise InputError("a tolerance is a number from 0", where="--agree", hint="write --agree plcc=0.005")
    found: dict[str, float] = {}
    for name, value in asked.items():
        metric = known.get(_plain(name, known))
        if metric is None:
            exists = named(name) is not None
            what = f"the study does not compute {name!r}" if exists else f"there is no metric {name!r}"
            hint = f"list it under `metrics:` of the study; it computes {', '.join(known)}"
            raise InputError(what, where="--agree", hint=hint if exists else near_miss(name, _names(known)))
        if metric.name in found:
            raise InputError(f"{metric.name} has two tolerances", where="--agree", hint="write it once")
        found[metric.name] = value
    return found


def _computed(resolved: Resolved) -> dict[str, Metric]:
    """The metrics of every fold; the rules say of which kind the target is."""
    found: dict[str, Metric] = {}
    for task in DEFAULTS:
        with contextlib.suppress(StudyError):  # a rule asks for a metric of another kind of target
            found |= {each.name: each for each in resolved.metrics(task) if each.name not in found}
    return found


def _names(known: Mapping[str, Metric]) -> list[str]:
    return [name for each in known.values() for name in (each.name, *each.aliases)]


def _plain(name: str, known: Mapping[str, Metric] | None = None) -> str:
    """The metric's own name; as it is where there is none."""
    found = named(name, known)
    return name if found is None else found.name


def judge_agreement(
    lead: RunEvidence, operator: RunEvidence, tolerance: Mapping[str, float], kit_sha256: str | None
) -> dict[str, object]:
    """Compare two runs and judge the rule.

    Args:
        lead: Our own run, verified.
        operator: The imported run, verified.
        tolerance: By metric, how far the ensemble of a fold may differ; as the kit declares it.
        kit_sha256: Digest of the kit's manifest that declares it.

    Returns:
        The document: PROMOTE only if both verdicts are and every fold agrees.
    """
    folds = [_compared(fold, metric, lead, operator) for metric in sorted(tolerance) for fold in _folds(lead, operator)]
    same = _why_not_comparable(lead, operator)
    rules = [_rule(metric, tolerance[metric], folds, same) for metric in sorted(tolerance)]
    rules = rules or [RuleOutcome(RULE, "UNKNOWN", None, "declared", "the kit declares no tolerance")]
    runs = [_promoted("lead", lead), _promoted("operator", operator)]
    outcomes = [*runs, *rules]
    return {
        "schema": SCHEMA,
        "study": operator.verdict["study"],
        "variant": operator.verdict["variant"],
        "verdict": verdict_of(outcomes),
        "rules": [outcome.to_json() for outcome in outcomes],
        "reasons": [outcome.sentence for outcome in outcomes if outcome.outcome != "PASS"],
        "tolerance": dict(tolerance),
        "kit_sha256": kit_sha256,
        "same_corpus": _judged(lead, "corpus_sha256") == _judged(operator, "corpus_sha256"),
        "same_predictions": _judged(lead, "predictions_sha256") == _judged(operator, "predictions_sha256"),
        "folds": folds,
        "lead": _described(lead),
        "operator": _described(operator),
    }


def _folds(lead: RunEvidence, operator: RunEvidence) -> list[str]:
    return sorted({*lead.metrics["ensemble"]["folds"], *operator.metrics["ensemble"]["folds"]})


def _compared(fold: str, metric: str, lead: RunEvidence, operator: RunEvidence) -> dict[str, object]:
    name = _plain(metric)  # kits of older versions may declare an alias
    ours, theirs = (each.metrics["ensemble"]["folds"].get(fold, {}).get(name) for each in (lead, operator))
    known = ours is not None and theirs is not None and math.isfinite(ours) and math.isfinite(theirs)
    return {
        "fold": fold,
        "metric": metric,
        "lead": ours,
        "operator": theirs,
        "difference": theirs - ours if known else None,
    }


def _why_not_comparable(lead: RunEvidence, operator: RunEvidence) -> str | None:
    """A run cannot confirm itself, nor a run of another configuration or code."""
    if lead.verdict_sha256 == operator.verdict_sha256:
        return "it is the lead's own run"
    for key, words in (("variant_sha256", "configuration"), ("code_sha256", "code")):
        if _judged(lead, key) != _judged(operator, key):
            return f"the two runs are of another {words}"
    return None


def _rule(metric: str, most: float, folds: Sequence[Mapping[str, Any]], same: str | None) -> RuleOutcome:
    identifier, bound = f"{RULE}-{metric}", f"at_most {most:g}"
    mine = [fold for fold in folds if fold["metric"] == metric]
    lacking = [fold["fold"] for fold in mine if fold["difference"] is None]
    name = f"the largest difference of a fold in {metric} between the two machines"
    if same is not None or lacking or not mine:
        why = same or (f"one of them has no {metric} for {', '.join(lacking[:3])}" if lacking else "there is no fold")
        return RuleOutcome(identifier, "UNKNOWN", None, bound, f"{name} cannot be judged: {why}")
    worst = max(mine, key=lambda fold: abs(fold["difference"]))
    observed = abs(float(worst["difference"]))
    holds = observed <= most
    sentence = f"{name} {observed:.3g} {'≤' if holds else '>'} {most:g} ({worst['fold']})"
    return RuleOutcome.of(identifier, holds, observed, bound, sentence)


def _promoted(whose: str, run: RunEvidence) -> RuleOutcome:
    verdict = run.verdict["verdict"]
    sentence = f"the verdict of the {whose}'s run is {verdict}"
    return RuleOutcome.of(f"{whose}-verdict", verdict == "PROMOTE", None, "PROMOTE", sentence)


def _judged(run: RunEvidence, key: str) -> Any:
    return run.verdict["judged"][key]


def _described(run: RunEvidence) -> dict[str, object]:
    provenance = run.verdict["run_provenance"]
    return {
        "run": run.run["run"],
        "verdict": run.verdict["verdict"],
        "verdict_sha256": run.verdict_sha256,
        "host": provenance["host"],
        "device": provenance["device"],
    }
