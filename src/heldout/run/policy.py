"""Pre-registration: the policy and the split are written down before anybody looks at held-out rows.

One file a study, ``runs/<study>/policies.jsonl``: append-only and hash-chained as the trial ledger, whose head each
record names. The first run of a corpus registers its policy before it fits anything. Whoever changes rules or split
afterwards may do so, with a reason that stays on record; without one the verdict is HOLD.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heldout.errors import InputError
from heldout.evidence import append_link, digest, head, read_chain
from heldout.gate import Policy
from heldout.run.ledger import Ledger, read_ledger
from heldout.run.prepare import Prepared

SCHEMA = "heldout.policy/1"
POLICY_FILE = "policies.jsonl"


@dataclass(frozen=True)
class Registered:
    """What is judged by, on which corpus.

    Attributes:
        corpus_sha256: Digest of the corpus.
        split_sha256: Digest of the split.
        policy_sha256: Digest of the gate and of how its intervals are made.
    """

    corpus_sha256: str
    split_sha256: str
    policy_sha256: str

    @classmethod
    def of(cls, prepared: Prepared) -> Registered:
        """The policy of a prepared run."""
        _, corpus_sha256, split_sha256 = prepared.identity
        return cls(corpus_sha256, split_sha256, policy_sha256(prepared.resolved.config))


def policy_sha256(config: Any) -> str:
    """Digest of the part of a locked configuration that decides."""
    return digest({"gate": config["gate"], "bootstrap": config["bootstrap"]})


def register(held: Ledger, study: Path, declared: Registered) -> Policy:
    """Register a policy if its corpus has none yet, and say whether this one may decide.

    Args:
        held: The trial ledger, so that no look can come in between.
        study: Folder of the study's runs.
        declared: The policy at hand.
    """
    assert held.locked
    if not _of_corpus(read_policies(study), declared.corpus_sha256):
        _append(study, declared, None)
    return policy_at(study, declared)


def amend(study: Path, declared: Registered, reason: str) -> Policy:
    """Allow a changed policy, for a reason.

    Raises:
        InputError: Without a reason, or if there is nothing to amend.
    """
    if len(reason.split()) < 2:
        raise InputError("an amendment needs a reason", where="--reason", hint="say in a sentence why it changed")
    with Ledger(study):
        found = _of_corpus(read_policies(study), declared.corpus_sha256)
        if not found:
            raise InputError(
                "nothing was registered for this corpus", where=str(study / POLICY_FILE), hint="run the study first"
            )
        if any(_same(record, declared) for record in found):
            raise InputError(
                "this policy is already registered", where=str(study / POLICY_FILE), hint="run the study: it may decide"
            )
        _append(study, declared, reason)
        return policy_at(study, declared)


def policy_at(study: Path, declared: Registered) -> Policy:
    """What the records say of a policy: whether it may decide, and how often it was changed on this corpus."""
    found = _of_corpus(read_policies(study), declared.corpus_sha256)
    mine = next((record for record in found if _same(record, declared)), None)
    return Policy(
        sha256=declared.policy_sha256,
        registered=mine is not None,
        registered_at=mine["ts"] if mine else None,
        amendments=tuple(str(record["reason"]) for record in found[1:]),
    )


def may_decide(study: Path, declared: Registered) -> bool:
    """Whether a run under this policy can PROMOTE: it is registered, or would be as the first of its corpus."""
    found = _of_corpus(read_policies(study), declared.corpus_sha256)
    return not found or any(_same(record, declared) for record in found)


def read_policies(study: Path) -> list[dict[str, Any]]:
    """Every record, in order.

    Raises:
        TamperedError: At the first record that does not name the one before it.
    """
    return [link.record for link in read_chain(study / POLICY_FILE)]


def _append(study: Path, declared: Registered, reason: str | None) -> None:
    looks = read_ledger(study)
    read_chain(study / POLICY_FILE)  # nothing is written behind a broken record
    record = asdict(declared) | {
        "reason": reason,
        "looks": sum(look.record["corpus_sha256"] == declared.corpus_sha256 for look in looks),
        "ledger_head": head(looks),
    }
    append_link(study / POLICY_FILE, SCHEMA, record)


def _of_corpus(records: list[dict[str, Any]], corpus_sha256: str) -> list[dict[str, Any]]:
    return [record for record in records if record["corpus_sha256"] == corpus_sha256]


def _same(record: dict[str, Any], declared: Registered) -> bool:
    return (record["split_sha256"], record["policy_sha256"]) == (declared.split_sha256, declared.policy_sha256)
