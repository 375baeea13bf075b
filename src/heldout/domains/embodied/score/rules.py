"""Rules of the default gate of embodied evaluations: every primary metric must beat its trivial baselines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from heldout.evidence import digest
from heldout.gate.outcome import RuleOutcome

JSON_VALIDITY = 0.98
# The chance that five episodes all gain by luck is below a twentieth; with fewer an interval promises too much.
LEAST_EPISODES = 5
NON_TRIVIAL = "non-trivial"
GATE, OLDER_GATE = "beats_trivial/3", "beats_trivial/2"
COUNTS = "held_out_episode_count"
FORM = "json_validity_rate"
_SHOWN = 5
# What a model of futures must not be mistaken for. A label metric knows neither, so it alone cannot tell them apart.
_OF_FUTURES = ("copy_last", "train_mean")


def judge(metrics: Mapping[str, Any], primary: Sequence[str], *, older: bool = False) -> list[RuleOutcome]:
    """Judge a document of metrics.

    Args:
        metrics: ``metrics.json``.
        primary: The contract's primary metrics; each is a rule.
        older: Whether by the gate of older verdicts, which did not judge the trivial contenders.
    """
    rules = [_rows(metrics), _split(metrics), episodes_rule(metrics)]
    if metrics.get("smoke"):
        rules.append(RuleOutcome.of("smoke", False, None, "none", f"a smoke evaluation: {metrics['smoke']}"))
    for name in primary:
        if name == FORM:
            rules.append(_form(metrics))
        elif name != COUNTS:
            rules.append(_beats(metrics.get("evidence", {}), name))
    return rules if older else [*rules, _non_trivial(metrics.get("evidence", {}), primary)]


def policy_sha256(primary: Sequence[str], *, older: bool = False) -> str:
    """What the rules are, by digest; of older verdicts, by the gate of then."""
    gate = OLDER_GATE if older else GATE
    return digest({"gate": gate, "validity": JSON_VALIDITY, "episodes": LEAST_EPISODES, "of": list(primary)})


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
    return RuleOutcome.of("required_files", not problems, len(problems), "at_most 0", words)


def _rows(metrics: Mapping[str, Any]) -> RuleOutcome:
    count = metrics["rows_that_disagree_with_themselves"]
    good = "every row holds what follows from its raw prediction and its truth"
    bad = f"{count} rows say something else than what follows from their raw prediction and their truth"
    return RuleOutcome.of("rows", not count, count, "at_most 0", bad if count else good)


def _split(metrics: Mapping[str, Any]) -> RuleOutcome:
    split = metrics["eval_split"]
    return RuleOutcome.of("split", split == "test", None, "test", f"the rows are of {split}")


def episodes_rule(metrics: Mapping[str, Any]) -> RuleOutcome:
    """Enough episodes were held out to judge anything."""
    count = metrics[COUNTS]
    words = f"{count} held-out episodes (at least {LEAST_EPISODES} required)"
    return RuleOutcome.of("episodes", count >= LEAST_EPISODES, count, f"at_least {LEAST_EPISODES}", words)


def _non_trivial(evidence: Mapping[str, Any], primary: Sequence[str]) -> RuleOutcome:
    """Whether a contender that costs nothing would be promoted by the same rules.

    A rule asks for a gain over every trivial baseline of its metric, and nothing gains over itself: whoever is a
    baseline of one primary metric is held by it. Well-formed answers, enough episodes and whole files are what any
    trivial contender has. Persistence of a field other than ``next_action`` needs sealed answers, so it is none.
    """
    bound = "no trivial contender would be promoted"
    known = {name: evidence[name]["baselines"] for name in primary if name in evidence}
    held = sorted({key for found in known.values() for key, one in found.items() if one["ruled"]})
    if not held:
        words = "trivial contenders would be promoted: no primary metric of the contract compares with one"
        return RuleOutcome.of(NON_TRIVIAL, False, 0, bound, words)
    missing = [name for name in _OF_FUTURES if "future_retrieval_mrr" in evidence and name not in held]
    if missing:
        words = f"cannot be judged: no primary metric compares with {' and '.join(missing)}, which may pass them all"
        return RuleOutcome.of(NON_TRIVIAL, None, len(held), bound, words)
    return RuleOutcome.of(NON_TRIVIAL, True, len(held), bound, f"{', '.join(held)} would be held by the same rules")


def _form(metrics: Mapping[str, Any]) -> RuleOutcome:
    value, loose, bound = metrics.get("json_validity_strict"), metrics.get(FORM), f"at_least {JSON_VALIDITY:g}"
    if value is None:
        return RuleOutcome.of("json_validity", None, None, bound, "there are no answers")
    holds = value >= JSON_VALIDITY
    words = f"strict validity {value:.4g} {'≥' if holds else '<'} {JSON_VALIDITY:g} (all keys there: {loose:.4g})"
    return RuleOutcome.of("json_validity", holds, value, bound, words)


def _beats(evidence: Mapping[str, Any], name: str) -> RuleOutcome:
    rule, bound = f"beats_trivial:{name}", "gain over every trivial baseline > 0"
    found = evidence.get(name)
    ruled = {key: one for key, one in found["baselines"].items() if one["ruled"]} if found else {}
    if found is None or found["value"] is None or found["beats_trivial"] is None:
        why = "an interval is undefined" if ruled else "there is no trivial baseline to compare with"
        why = "it is undefined" if found and found["value"] is None else why
        why = found.get("why", why) if found else "it was not computed"
        return RuleOutcome.of(rule, None, None, bound, f"{name} cannot be judged: {why}")
    key = min(ruled, key=lambda other: (ruled[other]["gain"]["low"], other))
    gain = ruled[key]["gain"]
    does = "beats" if found["beats_trivial"] else "does not beat"
    span = f"gain {gain['gain']:.4g} ({gain['low']:.4g} to {gain['high']:.4g})"
    shown = found.get("judged_on", name)  # a raw error has no scale that its baselines share
    words = f"{shown} {evidence[shown]['value']:.4g} {does} {key} {ruled[key]['value']:.4g} by its interval: {span}"
    return RuleOutcome.of(rule, found["beats_trivial"], gain["low"], bound, words)
