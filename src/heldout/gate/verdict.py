"""What follows from outcomes: PROMOTE only if every rule is PASS, and what to do now in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from heldout.gate.outcome import RuleOutcome

SCHEMA = "heldout.verdict/1"
VerdictName = Literal["PROMOTE", "HOLD"]
Advice = Callable[[VerdictName, Sequence[str], str | None], str]
# How much was seen here, the most first: trained here; a model from elsewhere asked here; predictions; only numbers.
LEVELS = ("fitted", "asked", "predicted", "reported")


def verdict_of(outcomes: Sequence[RuleOutcome]) -> VerdictName:
    """PROMOTE if there are rules and all of them PASS; HOLD otherwise."""
    return "PROMOTE" if outcomes and all(outcome.outcome == "PASS" for outcome in outcomes) else "HOLD"


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


def recommend_asked(attested: str | None, verdict: VerdictName, reasons: Sequence[str], smoke: str | None) -> str:
    """What to do now with a model from elsewhere; whoever relies on a word is told so first."""
    told = recommend(verdict, reasons, smoke)
    return told if attested is None else f"{attested[0].upper()}{attested[1:].rstrip('.')}. {told}"


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
