"""Rules of the default gate of embodied evaluations: every primary metric must beat its trivial baselines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from heldout.evidence import digest
from heldout.gate.outcome import RuleOutcome

JSON_VALIDITY = 0.98
# The chance that five episodes all gain by luck is below a twentieth; with fewer an interval promises too much.
LEAST_EPISODES = 5
_COUNTS = "held_out_episode_count"
_FORM = "json_validity_rate"
_SHOWN = 5


def judge(metrics: Mapping[str, Any], primary: Sequence[str]) -> list[RuleOutcome]:
    """Judge a document of metrics.

    Args:
        metrics: ``metrics.json``.
        primary: The contract's primary metrics; each is a rule.
    """
    rules = [_rows(metrics), _split(metrics), _episodes(metrics)]
    if metrics.get("smoke"):
        rules.append(RuleOutcome("smoke", "FAIL", None, "none", f"a smoke evaluation: {metrics['smoke']}"))
    for name in primary:
        if name == _FORM:
            rules.append(_form(metrics))
        elif name != _COUNTS:
            rules.append(_beats(metrics.get("evidence", {}), name))
    return rules


def policy_sha256(primary: Sequence[str]) -> str:
    """What the rules are, by digest."""
    return digest(
        {"gate": "beats_trivial/2", "validity": JSON_VALIDITY, "episodes": LEAST_EPISODES, "of": list(primary)}
    )


def files_rule(required: Sequence[str], made: Collection[str], broken: Sequence[str]) -> RuleOutcome:
    """Every required file is there and keeps its schema.

    Args:
        required: Names of the files that the contract requires.
        made: Names of those that are there.
        broken: Where one does not keep its schema.
    """
    problems = [f"{name} is missing" for name in required if name not in made] + list(broken)
    rest = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    words = "; ".join(problems[:_SHOWN]) + rest if problems else "every required file is there and keeps its schema"
    return RuleOutcome("required_files", "FAIL" if problems else "PASS", len(problems), "at_most 0", words)


def _rows(metrics: Mapping[str, Any]) -> RuleOutcome:
    count = metrics["rows_that_disagree_with_themselves"]
    good = "every row holds what follows from its raw prediction and its truth"
    bad = f"{count} rows say something else than what follows from their raw prediction and their truth"
    return RuleOutcome("rows", "FAIL" if count else "PASS", count, "at_most 0", bad if count else good)


def _split(metrics: Mapping[str, Any]) -> RuleOutcome:
    split = metrics["eval_split"]
    return RuleOutcome("split", "PASS" if split == "test" else "FAIL", None, "test", f"the rows are of {split}")


def _episodes(metrics: Mapping[str, Any]) -> RuleOutcome:
    count = metrics[_COUNTS]
    outcome: Any = "PASS" if count >= LEAST_EPISODES else "FAIL"
    words = f"{count} held-out episodes (at least {LEAST_EPISODES} required)"
    return RuleOutcome("episodes", outcome, count, f"at_least {LEAST_EPISODES}", words)


def _form(metrics: Mapping[str, Any]) -> RuleOutcome:
    value, loose = metrics.get("json_validity_strict"), metrics.get(_FORM)
    if value is None:
        return RuleOutcome("json_validity", "UNKNOWN", None, f"at_least {JSON_VALIDITY:g}", "there are no answers")
    holds = value >= JSON_VALIDITY
    words = f"strict validity {value:.4g} {'≥' if holds else '<'} {JSON_VALIDITY:g} (all keys there: {loose:.4g})"
    return RuleOutcome("json_validity", "PASS" if holds else "FAIL", value, f"at_least {JSON_VALIDITY:g}", words)


def _beats(evidence: Mapping[str, Any], name: str) -> RuleOutcome:
    rule, bound = f"beats_trivial:{name}", "gain over every trivial baseline > 0"
    found = evidence.get(name)
    if found is None or found["value"] is None:
        why = "it was not computed" if found is None else found.get("why", "it is undefined")
        return RuleOutcome(rule, "UNKNOWN", None, bound, f"{name} cannot be judged: {why}")
    ruled = {key: one for key, one in found["baselines"].items() if one["ruled"]}
    if found["beats_trivial"] is None:
        why = "there is no trivial baseline to compare with" if not ruled else "an interval is undefined"
        return RuleOutcome(rule, "UNKNOWN", None, bound, f"{name} cannot be judged: {found.get('why', why)}")
    key = min(ruled, key=lambda other: (ruled[other]["gain"]["low"], other))
    gain = ruled[key]["gain"]
    does = "beats" if found["beats_trivial"] else "does not beat"
    span = f"gain {gain['gain']:.4g} ({gain['low']:.4g} to {gain['high']:.4g})"
    shown = found.get("judged_on", name)  # a raw error has no scale that its baselines share
    words = f"{shown} {evidence[shown]['value']:.4g} {does} {key} {ruled[key]['value']:.4g} by its interval: {span}"
    return RuleOutcome(rule, "PASS" if found["beats_trivial"] else "FAIL", gain["low"], bound, words)
