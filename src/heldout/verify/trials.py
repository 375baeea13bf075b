"""The link to the trial ledger: this look is in it, as the verdict says, and nothing was taken out before it.

The same for what was registered: the replay asks the ledger as it was before this look.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from heldout.backbone.code import user_code_sha256
from heldout.documents.names import LEDGER_FILE, METRICS_FILE, POLICY_FILE
from heldout.evidence import digest, sha256_file
from heldout.ledger import targets
from heldout.ledger.declaration import axis_of, rules_of, with_code
from heldout.ledger.history import Groups, History
from heldout.ledger.policy import Declared, policy_of, registered_too_late
from heldout.ledger.trials import looks_of, read_ledger, trial_at
from heldout.task import Predictions
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.evidence import RunEvidence


def check_ledger(evidence: RunEvidence) -> str:
    """The ledger's chain holds, and its record of this look says what the verdict says."""
    stated = evidence.verdict["trial"]
    study = evidence.folder.resolve().parent
    if not (study / LEDGER_FILE).exists():
        beside = next((name for name in (POLICY_FILE, targets.FOLDER) if (study / name).exists()), None)
        if beside is not None:
            raise BrokenError(f"the trial ledger is missing beside {beside}", LEDGER_FILE)
        raise NotCheckedError(f"the trial ledger is not beside the run: {LEDGER_FILE}")
    entries = read_ledger(study)
    place = next((p for p, entry in enumerate(entries) if entry.sha256 == stated["ledger_head"]), None)
    if place is None:
        raise BrokenError("the ledger has no record of this verdict", LEDGER_FILE)
    if trial_at(entries, place).to_json() != stated:
        raise BrokenError("the ledger counts otherwise than the verdict", f"{evidence.verdict_file.name}: trial")
    record, judged = entries[place].record, evidence.verdict["judged"]
    expected = {key: judged[key] for key in ("variant_sha256", "corpus_sha256", "split_sha256")}
    expected |= {key: evidence.lock[key] for key in ("variant", "seeds", "smoke")}
    expected |= {
        "run": evidence.run["run"],
        "outcome": evidence.verdict["verdict"],
        "metrics_sha256": sha256_file(evidence.folder / METRICS_FILE),
        "gate_sha256": digest(evidence.lock["gate"]),
    }
    if "user_code_sha256" in record:  # older looks did not name it
        expected["user_code_sha256"] = user_code_sha256(evidence.run["fit_code"])
    if "older_split_sha256" in record and not evidence.split.is_named(record["older_split_sha256"]):
        raise BrokenError("the ledger takes another split for this one", f"{LEDGER_FILE}:{place + 1}")
    for key, value in expected.items():
        if record[key] != value:
            raise BrokenError(f"the ledger recorded another {key} for this look", f"{LEDGER_FILE}:{place + 1}")
    _check_policy(evidence, History.read(study), place)
    for variant, found in evidence.verdict["required"].items():
        looks = [entry.record["outcome"] for entry in entries if found and entry.record["run"] == found["run"]]
        if found and found["verdict"] not in looks:
            raise BrokenError(f"the ledger has no {found['verdict']} of the required variant {variant!r}", LEDGER_FILE)
    newer = [
        entry.record["outcome"] for entry in looks_of(entries[place + 1 :]) if entry.record["run"] == record["run"]
    ]
    if newer:
        raise BrokenError(f"the ledger has a newer look of this run: {newer[-1]}", LEDGER_FILE)
    later = len({entry.record["variant_sha256"] for entry in entries[place + 1 :]} - {judged["variant_sha256"]})
    more = f"; {later} other variants since" if later else ""
    return f"attempt {stated['attempt']} of {stated['of']} variants, look {stated['looks']}{more}"


def _check_policy(evidence: RunEvidence, history: History, place: int) -> None:
    """What the verdict says of its registration is what was written down, up to that moment."""
    stated, judged = evidence.verdict["policy"], evidence.verdict["judged"]
    if not history.policies and stated["registered"]:
        raise BrokenError("the policies that were written down are not beside the run", POLICY_FILE)
    look = history.looks[place].record
    document = _groups(evidence, history.study, look)
    rules = with_code(rules_of(evidence.lock), evidence.run.get("fit_code", {}))
    groups = Groups(document, judged["corpus_sha256"], judged["split_sha256"], evidence.split.is_named)
    declared = Declared(rules, groups, axis_of(evidence.lock))
    if stated.get("head") is None:
        _compare_older(evidence, stated, history, declared)
        return
    if stated["head"] != look.get("policies_head"):
        raise BrokenError(
            "the ledger names another registration for this look", f"{evidence.verdict_file.name}: policy"
        )
    if stated["rules_sha256"] != declared.sha256:
        raise BrokenError("the verdict was given by other rules than those of the lock", "policy.rules_sha256")
    if look.get("rules_sha256") != declared.sha256 and evidence.lock["smoke"] is None:
        raise BrokenError("the ledger recorded other rules for this look", f"{LEDGER_FILE}:{place + 1}")
    then = history.until(place, stated["head"])
    known = policy_of([then], declared)
    noted = {note.partition(":")[0] for note in stated["notes"]}
    lacking = {note.partition(":")[0] for note in known.notes} - noted
    if lacking or any(
        stated[key] != value for key, value in known.to_json().items() if key not in ("against", "notes")
    ):
        raise BrokenError("the policy was written down otherwise", f"{evidence.verdict_file.name}: policy")
    late = registered_too_late(then, stated["registration"], declared)
    if late is not None:
        what = "rules were registered without a reason, after a look at these groups"
        raise BrokenError(what, f"{POLICY_FILE}:{late}")


def _groups(evidence: RunEvidence, study: Path, look: Mapping[str, Any]) -> Mapping[str, Any]:
    """The groups that the ledger names for this look, compared with the predictions' targets."""
    found = targets_of(evidence.predictions, evidence.split.held_out)
    if "groups_sha256" not in look:
        return found
    named = targets.read(study, str(look["groups_sha256"]))
    both = targets.of_each(found), targets.of_each(named)
    if len(both[0]) != len(both[1]):
        raise BrokenError("the ledger names another number of targets for this look", LEDGER_FILE)
    for ours, theirs in zip(*both, strict=True):
        _compare_groups(ours["groups"], theirs["groups"])
    return named


def targets_of(predictions: Predictions, held_out: Collection[str]) -> Mapping[str, Any]:
    """The document of a look, as far as predictions tell: their groups, targets and weights."""
    rows, weight = predictions.firsts, predictions.weight
    return targets.targets_document(
        predictions.samples["group"].gather(rows), predictions.target[rows], held_out,
        weight=None if weight is None else weight[rows],
    )  # fmt: skip


def _compare_groups(found: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    for name, entry in found.items():
        stated = named.get(name, {})
        if entry.get("weights") != stated.get("weights"):
            raise BrokenError(f"the ledger names other weights for the group {name!r}", LEDGER_FILE)
        if any(stated.get(key) != value for key, value in entry.items()):
            raise BrokenError(f"the ledger names other targets for the group {name!r}", LEDGER_FILE)
    if set(named) != set(found):
        raise BrokenError("the ledger names other groups for this look", LEDGER_FILE)


def _compare_older(evidence: RunEvidence, stated: Mapping[str, Any], history: History, declared: Declared) -> None:
    """A verdict of before looks were recorded by group: later amendments may have come."""
    known, count = policy_of([history], declared), len(stated["amendments"])
    later = len(known.amendments) - count
    known = replace(known, amendments=known.amendments[:count])
    if later > 0 and not stated["registered"]:
        known = replace(known, registered=False, registered_at=None)
    if later < 0 or any(known.to_json()[key] != value for key, value in stated.items()):
        raise BrokenError("the policy was written down otherwise", f"{evidence.verdict_file.name}: policy")
