"""The verdict document: PROMOTE only if every rule is PASS, and what it judged, by digest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from heldout.documents.verdict import FindingEntry, JudgedBlock, RuleEntry, Verdict
from heldout.gate.outcome import RuleOutcome

SCHEMA = "heldout.verdict/1"
VerdictName = Literal["PROMOTE", "HOLD"]
Advice = Callable[[VerdictName, Sequence[str], str | None], str]
# How much was seen here, the most first: trained here; a model from elsewhere asked here; predictions; only numbers.
LEVELS = ("fitted", "asked", "predicted", "reported")


def verdict_of(outcomes: Sequence[RuleOutcome]) -> VerdictName:
    """PROMOTE if there are rules and all of them PASS; HOLD otherwise."""
    return "PROMOTE" if outcomes and all(outcome.outcome == "PASS" for outcome in outcomes) else "HOLD"


def build_verdict(
    *,
    study: str,
    variant: str,
    seeds: Sequence[int],
    outcomes: Sequence[RuleOutcome],
    findings: Sequence[Mapping[str, Any]],
    smoke: str | None,
    judged: Mapping[str, Any],
    provenance: Mapping[str, Any],
    evidence: Literal["computed", "predicted", "reported"] = "computed",
    advice: Advice | None = None,
) -> dict[str, Any]:
    """Assemble the document.

    Args:
        study: Name of the study.
        variant: Id of the variant.
        seeds: Seeds that were judged.
        outcomes: What every rule says.
        findings: Guard findings.
        smoke: Why this is a smoke run, or None.
        judged: Digests of what was judged.
        provenance: The ``run_provenance`` block.
        evidence: ``computed`` from our own predictions, ``predicted`` by someone else and scored here on sealed groups,
            or ``reported`` by someone else's files.
        advice: What to do now, of verdict, reasons and smoke; ``recommend`` by default.
    """
    verdict = verdict_of(outcomes)
    reasons = [outcome.sentence for outcome in outcomes if outcome.outcome != "PASS"]
    document = Verdict(
        schema=SCHEMA,
        schema_version=1,
        verdict=verdict,
        evidence=evidence,
        generated_at_utc=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        study=study,
        variant=variant,
        seeds=list(seeds),
        rules=[RuleEntry.model_validate(outcome.to_json()) for outcome in outcomes],
        reasons=reasons,
        findings=[FindingEntry.model_validate(finding) for finding in findings],
        smoke=smoke,
        recommendation=(advice or recommend)(verdict, reasons, smoke),
        judged=JudgedBlock.model_validate(judged),
        run_provenance=dict(provenance),
    )
    return document.model_dump(by_alias=True, exclude_unset=True)


def level_of(verdict: Mapping[str, Any]) -> str:
    """The level of evidence of a run's verdict; ``computed``, as older verdicts say of a run, is ``fitted``."""
    stated = str(verdict.get("evidence"))
    return "fitted" if stated == "computed" else stated


def recommend(verdict: VerdictName, reasons: Sequence[str], smoke: str | None) -> str:
    """What to do now, in one sentence."""
    if verdict == "PROMOTE":
        return "Every rule passed: register the run, then promote it."
    if smoke:
        return "Run the study as declared, without overrides; a quick look decides nothing."
    return _keep(reasons)


def recommend_evaluation(verdict: VerdictName, reasons: Sequence[str], smoke: str | None) -> str:
    """What to do now with an evaluation, which is no run and cannot be registered."""
    if verdict == "PROMOTE":
        return "Every rule passed: compare it with what serves now (heldout eval compare), or publish it."
    if smoke:
        return "Evaluate all of the split, without a limit; a smoke evaluation decides nothing."
    return _keep(reasons)


def recommend_exchange(verdict: VerdictName, reasons: Sequence[str], smoke: str | None) -> str:
    """What to do now after a comparison of two evaluations."""
    if verdict == "PROMOTE":
        return "Every rule passed: the challenger may take the champion's place."
    return _keep(reasons)


def _keep(reasons: Sequence[str]) -> str:
    are = "1 rule is" if len(reasons) == 1 else f"{len(reasons)} rules are"
    return f"Keep the champion. {are} in the way: {'; '.join(reasons)}."
