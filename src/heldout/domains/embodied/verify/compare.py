"""``heldout eval compare``: whether a challenger's evaluation deserves the place of the champion's.

Both are verified first and then scored again from their rows, on the same draws of the same episodes, so that every
gain is paired. The challenger must gain by its interval on one metric, lose no more than a margin on every other
primary metric of the contract, and have passed its own gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.policy.closed_loop import FOLDER, METRIC, ROWS_FILE, success_evidence
from heldout.domains.embodied.score.rules import COUNTS, LEAST_EPISODES, episodes_rule
from heldout.domains.embodied.score.score import Row, metrics_of
from heldout.domains.embodied.verify.chain import reread
from heldout.domains.embodied.verify.compare_books import Meeting, registered_rule, sitting_of
from heldout.domains.embodied.verify.rules import contract_of, is_older
from heldout.errors import InputError, RefusedError, near_miss
from heldout.evidence import digest, dumps, read_json_lines, sha256_bytes, sha256_file, write_json
from heldout.evidence import provenance as made
from heldout.gate import judge_rule
from heldout.gate.outcome import RuleOutcome
from heldout.gate.verdict import recommend_exchange
from heldout.ledger.declaration import CHAMPION
from heldout.run.verdict import build_verdict, write_verdict
from heldout.study import RuleSpec
from heldout.task.cluster import paired
from heldout.verify.evaluations import EvaluationEvidence, verify_evaluation

SCHEMA = "heldout.eval-compare/1"
FILE = "comparison.json"
MARGIN = 0.02
_NOT_COMPARED = ("held_out_episode_count", "json_validity_rate")  # bars of the own gate, the same for both


_NOWHERE: Gain = {"challenger": None, "champion": None, "gain": None, "low": None, "high": None,
                  "why": "it is not scored on both sides"}  # fmt: skip
_DOES = {
    False: ("is not shown to be better", "is better"),
    True: ("may be worse by more than the margin", "is no worse"),
}


@dataclass(frozen=True)
class Rules:
    """What a challenger must show.

    Attributes:
        gain: Metric that must be better by its interval; the first primary one that is scored by default.
        margin: Share of the champion's value that any other primary metric may lose, by the lower end of its interval.
    """

    gain: str | None = None
    margin: float = MARGIN

    def check(self) -> Rules:
        """Return itself.

        Raises:
            InputError: If the margin is no share.
        """
        if not 0 <= self.margin < 1:
            raise InputError(f"a margin of {self.margin:g}", where="--margin", hint="a share: 0 or more, below 1")
        return self


class Side(NamedTuple):
    """One of the two.

    Attributes:
        folder: Of the evaluation.
        family: Name of the file of predictions.
        verdict: What its own gate said.
        verdict_sha256: Of that file.
        contract: As it was evaluated by.
        rows: Its predictions.
        truth: What its rows say is true, by digest, with their ids and order.
        metrics: Scored again.
        facts: Index, predictions, evidence, split, smoke, and whether its gate was an older one.
    """

    folder: Path
    family: str
    verdict: str
    verdict_sha256: str
    contract: BackboneContract
    rows: list[Row]
    truth: str
    metrics: Mapping[str, Any]
    facts: Mapping[str, Any]


class Gain(TypedDict):
    """A metric of both, and what the challenger gains, paired; or why that is not known."""

    challenger: float | None
    champion: float | None
    gain: float | None
    low: float | None
    high: float | None
    why: NotRequired[str]


class Comparison(TypedDict):
    """``comparison.json``; what is handed back carries the verdict too."""

    schema: str
    gain: str
    margin: float
    metrics: dict[str, Gain]
    samples: int
    episodes: int
    verdict: NotRequired[Mapping[str, Any]]


def compare(
    challenger: Path, champion: Path, rules: Rules | None = None, out: Path | None = None, reason: str | None = None
) -> Comparison:
    """Compare two evaluations of the same windows.

    The first comparison on these windows registers what decides: the metric, the margin, and the champion, or whoever
    was promoted in its place since. Each comparison is a look, counted in the books of the index.

    Args:
        challenger: Folder of its evaluation.
        champion: Folder of the other one.
        rules: What the challenger must show.
        out: New folder of ``comparison.json`` and the verdict; without it only the look is written down.
        reason: Why something else decides than in the first comparison.

    Returns:
        ``metrics`` by name with both values and the paired gain, and ``verdict``.

    Raises:
        InputError: If one is no evaluation, the metric does not exist, or a reason is given for nothing.
        RefusedError: If the two are not of the same windows and the same truth.
        TamperedError: If one does not verify.
    """
    rules = (rules or Rules()).check()
    ours, theirs = read_side(challenger), read_side(champion)
    _check_same(ours, theirs)
    primary = [name for name in ours.contract.config["primary_metrics"] if name not in _NOT_COMPARED]
    table = gains(ours, theirs)
    headline = _headline(rules, primary, table)
    deciding = replaces(headline, rules.margin, primary)
    outcomes = [_own_gate(ours), _episodes(ours), *_gained(deciding, table)]
    document: Comparison = {
        "schema": SCHEMA,
        "gain": headline,
        "margin": rules.margin,
        "metrics": table,
        "samples": len(ours.rows),
        "episodes": ours.metrics["held_out_episode_count"],
    }
    gate_sha256 = digest(["replaces/1", headline, rules.margin, LEAST_EPISODES, primary])
    with sitting_of(_meeting(ours, theirs), deciding, gate_sha256, reason) as sitting:
        args = {"gain": headline, "margin": rules.margin}
        verdict = _verdict(ours, theirs, [*outcomes, registered_rule(sitting)], args, gate_sha256)
        if sitting is not None:
            gain = {"name": headline, "value": table[headline]["gain"]}
            verdict |= sitting.count(verdict["verdict"], gain, sha256_bytes(dumps(dict(document))))
    if out is not None:
        write_json(out / FILE, document)
        write_verdict(out, verdict)
    return {**document, "verdict": verdict}


def replaces(headline: str, margin: float, primary: Sequence[str]) -> list[dict[str, object]]:
    """What decides a comparison, as rules of a study."""
    one = {"id": f"better:{headline}", "metric": headline, "against": CHAMPION, "relative": False, "at_least": 0.0}
    rest = [
        {"id": f"no_worse:{name}", "metric": name, "against": CHAMPION, "relative": True, "at_least": -margin}
        for name in primary
        if name != headline
    ]
    return [one, *rest]


def _meeting(ours: Side, theirs: Side) -> Meeting:
    index = ours.facts["index"] if ours.facts["index"] == theirs.facts["index"] else None
    truths = [(str(row["episode_id"]), digest(truth_of(row))) for row in ours.rows]
    name = " over ".join(names_apart(ours.folder, theirs.folder))
    digests = (str(ours.facts["predictions"]), str(theirs.facts["predictions"]))
    return Meeting(name, (ours.folder, theirs.folder), digests, index, ours.family, truths)


def _verdict(
    ours: Side, theirs: Side, outcomes: Sequence[RuleOutcome], args: Mapping[str, Any], gate_sha256: str
) -> dict[str, Any]:
    levels = ("reported", "predicted", "computed")
    return build_verdict(
        study=f"embodied-{ours.contract.id}",
        variant=" over ".join(names_apart(ours.folder, theirs.folder)),
        outcomes=outcomes,
        judged={
            "challenger_verdict_sha256": ours.verdict_sha256,
            "champion_verdict_sha256": theirs.verdict_sha256,
            "contract_sha256": digest(ours.contract.config),
            "truth_sha256": ours.truth,
            "gate_sha256": gate_sha256,
        },
        provenance=made.build(args=dict(args), inputs={}, outputs={}),
        evidence=min(ours.facts["evidence"], theirs.facts["evidence"], key=levels.index),
        advice=recommend_exchange,
    )


def read_side(folder: Path) -> Side:
    """An evaluation, verified and scored again.

    Raises:
        InputError: If it is none.
        TamperedError: If it does not verify.
    """
    verification = verify_evaluation(folder)
    verification.raise_if_broken()
    evidence = EvaluationEvidence(folder)
    read = reread(evidence)
    contract = contract_of(evidence)
    rows, metrics = metrics_of(read.family, contract.id, read.rows, read.train, where=str(folder / read.family))
    runs = folder / FOLDER / ROWS_FILE
    if runs.is_file():
        scored = {METRIC: success_evidence(read_json_lines(runs))}
        metrics = metrics | {"evidence": metrics["evidence"] | scored}
    judged = evidence.verdict["judged"]
    facts = {"index": judged.get("index_sha256"), "split": metrics["eval_split"], "smoke": evidence.metrics["smoke"]}
    facts |= {"predictions": judged["predictions_sha256"], "evidence": evidence.verdict["evidence"]}
    facts |= {"older": is_older(evidence, contract.config["primary_metrics"])}
    truth = digest([[row["id"], row["episode_id"], truth_of(row)] for row in rows])
    verdict = str(evidence.verdict["verdict"])
    return Side(
        folder, read.family, verdict, sha256_file(evidence.verdict_file), contract, list(rows), truth, metrics, facts
    )


def gains(ours: Side, theirs: Side) -> dict[str, Gain]:
    """By metric that both have: both values, the paired gain with its interval, and why there is none."""
    table: dict[str, Gain] = {}
    for name in sorted(ours.metrics["evidence"].keys() & theirs.metrics["evidence"].keys()):
        mine, other = ours.metrics["evidence"][name], theirs.metrics["evidence"][name]
        gain = paired(mine, other) or {"gain": None, "low": None, "high": None}
        table[name] = {
            "challenger": mine["value"],
            "champion": other["value"],
            "gain": gain["gain"],
            "low": gain["low"],
            "high": gain["high"],
        }
        if gain["low"] is None:
            table[name]["why"] = mine.get("why") or other.get("why") or "it is not of the same rows, or has no interval"
    return table


def names_apart(one: Path, other: Path) -> tuple[str, str]:
    """The last part of two paths in which they differ; evaluations of a demonstration are all named ``eval``."""
    pairs = zip(reversed(one.resolve().parts), reversed(other.resolve().parts), strict=False)
    return next(((mine, theirs) for mine, theirs in pairs if mine != theirs), (one.name, other.name))


def _check_same(ours: Side, theirs: Side) -> None:
    both = {
        "contracts": (ours.contract.id, theirs.contract.id),
        "rules of the contract": (digest(ours.contract.config), digest(theirs.contract.config)),
        "windows or truth": (ours.truth, theirs.truth),
        "splits": (ours.facts["split"], theirs.facts["split"]),
    }
    different = [name for name, (mine, other) in both.items() if mine != other]
    if different:
        raise RefusedError(
            f"the two evaluations differ in {', '.join(different)}",
            where=f"{ours.folder}, {theirs.folder}",
            hint="evaluate both on the same index, split and contract",
            code="HO-E430",
        )
    for side in (ours, theirs):
        if side.facts["smoke"] or side.facts["split"] != "test":
            what = side.facts["smoke"] or f"of the split {side.facts['split']}"
            raise RefusedError(f"an evaluation is {what}", where=str(side.folder), hint="evaluate all of test")


def _headline(rules: Rules, primary: list[str], table: Mapping[str, Any]) -> str:
    if rules.gain is None:
        found = next((name for name in primary if name in table), None)
        if found is None:
            raise InputError("no primary metric is scored on both sides", where="--gain", hint="evaluate again")
        return found
    if rules.gain not in table:
        raise InputError(f"no metric {rules.gain!r}", where="--gain", hint=near_miss(rules.gain, table))
    return rules.gain


def _own_gate(ours: Side) -> RuleOutcome:
    words = f"the challenger's own verdict is {ours.verdict}"
    if ours.facts["older"]:
        words += ", of an older gate that asked less: evaluate it again"
    holds = None if ours.facts["older"] else ours.verdict == "PROMOTE"
    return RuleOutcome.of("own_gate", holds, None, "PROMOTE", words)


def _episodes(ours: Side) -> RuleOutcome:
    return replace(episodes_rule(ours.metrics), sentence=f"{ours.metrics[COUNTS]} held-out episodes, paired")


def _gained(deciding: Sequence[Mapping[str, Any]], table: Mapping[str, Gain]) -> list[RuleOutcome]:
    """What decides, judged as rules of a study are: gains over the champion of all rows, whole episodes drawn."""
    pooled = {one["metric"]: {"pooled": table.get(one["metric"], _NOWHERE)} for one in deciding}
    values = {name: found["champion"] for name, found in table.items()}
    metrics = {"comparisons": {CHAMPION: pooled}, "baselines": {CHAMPION: {"pooled": values}}}
    outcomes = []
    for one in deciding:
        # A copy of the champion gains nothing, and takes no place by it.
        bound = {"relative": True, "at_least": one["at_least"]} if one["relative"] else {"above": one["at_least"]}
        rule = {"id": "gain", "metric": one["metric"], "against": CHAMPION, "over": "pooled"} | bound
        judged = judge_rule(RuleSpec.model_validate(rule), metrics)
        outcomes.append(_in_published_words(judged, one, table.get(one["metric"], _NOWHERE)))
    return outcomes


def _in_published_words(judged: RuleOutcome, one: Mapping[str, Any], found: Gain) -> RuleOutcome:
    """The outcome with the id, bound and sentence that comparisons have had from the beginning."""
    name, least = one["metric"], one["at_least"]
    bound = f"paired gain at_least {least:g} of the champion's value" if one["relative"] else "paired gain > 0"
    if judged.outcome == "UNKNOWN":
        return replace(judged, id=one["id"], bound=bound, sentence=f"{name} cannot be compared: {found['why']}")
    allowed = f", allowed {least * abs(found['champion'] or 0.0):.4g}" if one["relative"] else ""
    does = _DOES[one["relative"]][judged.outcome == "PASS"]
    values = f"{found['challenger']:.4g} against {found['champion']:.4g}"
    span = f"gain {found['gain']:.4g} ({found['low']:.4g} to {found['high']:.4g}, paired by episode)"
    return replace(judged, id=one["id"], bound=bound, sentence=f"{name} {values} {does}: {span}{allowed}")


def truth_of(row: Row) -> Any:
    """What is true of a row, in any of the three families."""
    named = {key: row[key] for key in ("true_json", "true", "true_trajectory", "future_record_id") if key in row}
    return named | {key: row[key] for key in row if key.startswith("true_") and isinstance(row[key], str)}
