"""The link to the trial ledger: this look is in it, as the verdict says, and nothing was taken out before it."""

from __future__ import annotations

from pathlib import Path

from heldout.evidence import digest, sha256_file
from heldout.run.ledger import LEDGER_FILE, read_ledger, trial_at
from heldout.run.policy import POLICY_FILE, Registered, policy_at, policy_sha256, read_policies
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.evidence import RunEvidence


def check_ledger(evidence: RunEvidence) -> str:
    """The ledger's chain holds, and its record of this look says what the verdict says."""
    stated = evidence.verdict["trial"]
    study = evidence.folder.resolve().parent
    if not (study / LEDGER_FILE).exists():
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
        "metrics_sha256": sha256_file(evidence.folder / "metrics.json"),
        "gate_sha256": digest(evidence.lock["gate"]),
    }
    for key, value in expected.items():
        if record[key] != value:
            raise BrokenError(f"the ledger recorded another {key} for this look", f"{LEDGER_FILE}:{place + 1}")
    _check_policy(evidence, study)
    for variant, found in evidence.verdict["required"].items():
        looks = [entry.record["outcome"] for entry in entries if found and entry.record["run"] == found["run"]]
        if found and found["verdict"] not in looks:
            raise BrokenError(f"the ledger has no {found['verdict']} of the required variant {variant!r}", LEDGER_FILE)
    newer = [entry.record["outcome"] for entry in entries[place + 1 :] if entry.record["run"] == record["run"]]
    if newer:
        raise BrokenError(f"the ledger has a newer look of this run: {newer[-1]}", LEDGER_FILE)
    later = len({entry.record["variant_sha256"] for entry in entries[place + 1 :]} - {judged["variant_sha256"]})
    more = f"; {later} other variants since" if later else ""
    return f"attempt {stated['attempt']} of {stated['of']} variants, look {stated['looks']}{more}"


def _check_policy(evidence: RunEvidence, study: Path) -> None:
    """What the verdict says of its policy is what was written down, up to that moment."""
    stated, judged = evidence.verdict["policy"], evidence.verdict["judged"]
    declared = Registered(judged["corpus_sha256"], judged["split_sha256"], policy_sha256(evidence.lock))
    known = policy_at(study, declared).to_json() if read_policies(study) else None
    if known is None:
        raise BrokenError("the policies that were written down are not beside the run", POLICY_FILE)
    later = len(known["amendments"]) - len(stated["amendments"])
    amended = {"amendments": known["amendments"][: len(stated["amendments"])]}
    if later > 0 and not stated["registered"]:
        amended |= {"registered": False, "registered_at": None}
    if later < 0 or known | amended != stated:
        raise BrokenError("the policy was written down otherwise", f"{evidence.verdict_file.name}: policy")
