"""The rules that hold for every run, whatever its study declares: they make a PROMOTE by accident impossible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from heldout.gate.asked import AskedModel, asked_rules
from heldout.gate.outcome import RuleOutcome
from heldout.gate.rules import copies_sentence
from heldout.study import GateSpec


@dataclass(frozen=True)
class Policy:
    """What was written down of the policy before anybody looked.

    Attributes:
        sha256: Digest of the policy that judges.
        registered: Whether it may decide: it was written down before the first look at these groups, is stricter than
            what was, or was amended with a reason.
        registered_at: When that was written down; None if it was not.
        amendments: Reasons for every change on these groups.
        rules_sha256: Digest of gate, intervals, split and yardsticks; None in older verdicts, as all that follows.
        registration: Digest of the record that it was written down in.
        head: Digest of the last record at that moment.
        against: What forbids it, if it is not registered.
        notes: What needed no reason and is counted, or was noticed.
    """

    sha256: str
    registered: bool
    registered_at: str | None
    amendments: tuple[str, ...] = ()
    rules_sha256: str | None = None
    registration: str | None = None
    head: str | None = None
    against: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The block ``policy`` of a verdict."""
        return asdict(self) | {"amendments": list(self.amendments), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, block: Mapping[str, Any]) -> Policy:
        """The policy as a verdict states it; older ones say less."""
        lists = {key: tuple(block.get(key, ())) for key in ("amendments", "notes")}
        return cls(**{**block, **lists})


@dataclass(frozen=True)
class Stored:
    """What stored models of foreign code answered when they were asked once more, in fresh processes.

    Attributes:
        units: Number of units with foreign code.
        asked: How many of them were asked.
        deterministic: Whether their backbones say that the same rows get the same answer.
        different: Units that answered otherwise than what was judged.
        uneven: Units whose answer for a row depends on the rows that are asked with it.
        fence: What held the processes: reading, writing, network, leftovers.
    """

    units: int
    asked: int
    deterministic: bool
    different: tuple[str, ...] = ()
    uneven: tuple[str, ...] = ()
    fence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What a judge must know besides the metrics.

    Attributes:
        seeds: Declared seeds.
        folds: Folds of the split.
        units: Pairs (seed, fold) that have a prediction made for this corpus, variant and split.
        foreign: Units in the run directory that were made for something else.
        groups: Number of groups that were held out.
        smoke: Why this is a smoke run, or None.
        blocking: Sentences of the blocking guard findings.
        reported: Codes of the guard findings that do not block.
        attempt: The variant's place among those of the study that looked at held-out rows; None where nobody counts.
        policy: What was registered; None where nothing is.
        required: Verdict of each variant that this one stands on; None where there is none.
        costs: What a fitted model costs, by name; empty where no rule asks.
        stored: What stored models of foreign code answered; None where there is none.
        model: What is known of the model from elsewhere that is judged; None where models are fitted here.
    """

    seeds: Sequence[int]
    folds: Sequence[str]
    units: frozenset[tuple[int, str]]
    foreign: Sequence[str]
    groups: int
    smoke: str | None
    blocking: Sequence[str]
    attempt: int | None = None
    policy: Policy | None = None
    required: Mapping[str, str | None] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    reported: Sequence[str] = ()
    stored: Stored | None = None
    model: AskedModel | None = None


def integrity(metrics: Mapping[str, Any], gate: GateSpec, facts: Facts) -> list[RuleOutcome]:
    """Judge what every run must be: whole, finite, of one evidence, large enough, without a leak, and no smoke run."""
    expected = {(seed, fold) for seed in facts.seeds for fold in facts.folds}
    scored = _scored(metrics)
    missing = sorted(expected - facts.units) or sorted(expected - scored)
    undefined = [
        item["where"]
        for item in metrics.get("undefined", [])
        if "not finite" in item["why"] and not item["where"].startswith("baselines/")
    ]
    foreign = [*facts.foreign, *(_unit([unit]) for unit in sorted(scored - expected))]
    total, blocking = len(expected), "; ".join(facts.blocking)
    enough = f"at_least {gate.min_groups}", f"at_least {gate.min_seeds}"
    copies = metrics.get("copies", {})
    seeds = len(facts.seeds) - len(copies)
    alike = f" ({copies_sentence(metrics)})" if copies else ""
    are = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
    return [
        _fact("complete", total and not missing, total - len(missing), f"{total} units", f"all {total} units are there",
              f"{len(missing)} of {total} units are missing, such as {_unit(missing)}"),
        _fact("one-evidence", not foreign, len(foreign), "at_most 0", "every unit is of this corpus, variant and split",
              f"{len(foreign)} units are of another corpus, variant or split: {', '.join(foreign[:3])}"),
        _fact("finite", not undefined, len(undefined), "at_most 0", "every prediction is a finite number",
              f"there are predictions that are not finite: {', '.join(undefined[:3])}"),
        _fact("groups", facts.groups >= gate.min_groups, facts.groups, enough[0], "enough groups to judge",
              f"{facts.groups} held-out groups are too few to judge anything: the policy wants {gate.min_groups}"),
        _fact("seeds", seeds >= gate.min_seeds, seeds, enough[1], f"enough seeds to judge{alike}",
              f"{are} too few to judge anything: the policy wants {gate.min_seeds}{alike}"),
        _fact("guards", not facts.blocking, len(facts.blocking), "at_most 0", _guards(facts.reported), blocking),
        _fact("not-smoke", facts.smoke is None, None, "not a smoke run", "this is no smoke run",
              f"a smoke run can never PROMOTE: {facts.smoke}"),
        *asked_rules(facts.model),
        *_stored(facts.stored),
        *_policy(facts),
        *_attempts(gate, facts),
        *(_required(variant, verdict) for variant, verdict in sorted(facts.required.items())),
    ]  # fmt: skip


def _guards(reported: Sequence[str]) -> str:
    """What the guards say where none of them blocks."""
    if not reported:
        return "no guard found a leak"
    found = "1 finding is" if len(reported) == 1 else f"{len(reported)} findings are"
    return f"no finding blocks; {found} reported: {', '.join(sorted(set(reported)))}"


def _stored(stored: Stored | None) -> list[RuleOutcome]:
    """What is judged must be what the stored model answers, wherever and whenever it is asked."""
    if stored is None:
        return []
    asked, different = f"{stored.asked} of {stored.units} units", len(stored.different)
    apart = " in fresh processes" if stored.fence else ""
    good = f"{asked} were asked again{apart}: the stored models answer what was judged"
    bad = (
        f"the stored models of {different} of {stored.asked} units answer otherwise than what was judged, such as "
        f"{', '.join(stored.different[:1])}: answer from what `save` stores and from the rows, and from nothing else"
    )
    if different and not stored.deterministic:
        good = f"{asked} were asked again: {different} answer otherwise, as their backbone says they may"
    if stored.uneven:
        good += f"; in {len(stored.uneven)} of them the answer for a row depends on the rows that are asked with it"
    if stored.fence and (stored.fence.get("reading") != "landlock" or stored.fence.get("network") != "seccomp"):
        good += "; this system could not keep the model's code from other files or the network"
    holds = stored.asked and not (different and stored.deterministic)
    return [_fact("stored-model", holds, different, "at_most 0", good, bad)]


def _policy(facts: Facts) -> list[RuleOutcome]:
    """Rules that are chosen after the result was seen decide nothing."""
    if facts.policy is None:
        return []
    quick = None if facts.smoke is None else "a smoke run registers no rules: run the study as declared"
    return [pre_registered(facts.policy, "heldout gate amend STUDY --reason ...", quick)]


def pre_registered(policy: Policy, amend: str, quick: str | None = None) -> RuleOutcome:
    """The rule ``pre-registered``.

    Args:
        policy: What the ledgers say.
        amend: The command that gives the reason for a change.
        quick: Of a smoke run, why it registers nothing; said where that is no change of rules.
    """
    why = quick if policy.against is None else None
    changes = len(policy.amendments)
    good = "rules, split and yardsticks are those that were written down before the first look"
    if changes:
        reasons = "; ".join(policy.amendments)
        times = "once" if changes == 1 else f"{changes} times"
        good = f"rules, split or yardsticks were amended {times} on these groups, with reasons: {reasons}"
    because = f" ({policy.against})" if policy.against else ""
    bad = why or (
        f"rules, split or yardsticks were changed after the first look at these groups{because}: restore them, or give "
        f"the reason with `{amend}`"
    )
    good, bad = ("; ".join([text, *policy.notes]) for text in (good, bad))
    return _fact("pre-registered", policy.registered, None, "registered before the first look", good, bad)


def _attempts(gate: GateSpec, facts: Facts) -> list[RuleOutcome]:
    """Whoever tries often enough finds a variant that passes by luck: a policy may say how often."""
    most, attempt = gate.max_attempts, facts.attempt
    if most is None:
        return []
    words = f"at_most {most}"
    if attempt is None:
        return [RuleOutcome("attempts", "UNKNOWN", None, words, "nobody counted the variants that were tried")]
    return [
        _fact("attempts", attempt <= most, attempt, words, f"variant {attempt} of the {most} that the policy allows",
              f"this is variant {attempt} that looked at held-out rows: the policy allows {most}"),
    ]  # fmt: skip


def _required(variant: str, verdict: str | None) -> RuleOutcome:
    """The same model, judged along another axis, must hold there too."""
    identifier, bound = f"requires-{variant}", "PROMOTE"
    if verdict is None:
        sentence = f"the variant {variant!r} has no finished run on this corpus file and code: run it first"
        return RuleOutcome(identifier, "UNKNOWN", None, bound, sentence)
    return RuleOutcome.of(
        identifier, verdict == bound, None, bound, f"the verdict of the variant {variant!r} is {verdict}"
    )


def _scored(metrics: Mapping[str, Any]) -> set[tuple[int, str]]:
    """Pairs (seed, fold) whose metrics are in the document, for the seed and for the ensemble."""
    folds = set(metrics.get("ensemble", {}).get("folds", {}))
    members = metrics.get("members", {})
    return {(int(seed), fold) for seed, block in members.items() for fold in block["folds"] if fold in folds}


def _fact(identifier: str, holds: Any, observed: float | None, bound: str, good: str, bad: str) -> RuleOutcome:
    return RuleOutcome.of(identifier, bool(holds), observed, bound, good if holds else bad)


def _unit(missing: Sequence[tuple[int, str]]) -> str:
    return f"seed {missing[0][0]}, fold {missing[0][1]}" if missing else ""
