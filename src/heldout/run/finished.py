"""A run that was judged and of which nothing has changed is left alone: others may have signed or registered it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heldout.documents.names import LOCK_FILE, MANIFEST_FILE
from heldout.errors import HeldoutError
from heldout.evidence import digest, provenance, read_plain
from heldout.gate.verdict_files import read_verdict
from heldout.ledger.trials import Ledger
from heldout.run.layout import files_digest, run_files
from heldout.run.prepare import Prepared
from heldout.run.required import required_verdicts
from heldout.run.resolve import lock_yaml

# Of the block `policy`: a registration or an amendment since then changes the verdict, another look does not.
_DECIDING = ("sha256", "registered", "registered_at", "amendments", "rules_sha256", "registration")


def finished_verdict(prepared: Prepared) -> dict[str, Any] | None:
    """The verdict of a finished run, or None if there is something to fit, to judge or to mend."""
    folder = prepared.folder
    lock = folder.file(LOCK_FILE)
    if any(each.plan.pending for each in prepared.contenders) or not folder.file(MANIFEST_FILE).exists():
        return None
    if not lock.exists() or read_plain(lock).decode("utf-8", "replace") != lock_yaml(prepared.resolved.config):
        return None
    try:
        verdict = read_verdict(folder.path)
        if verdict is not None and _holds(prepared, verdict):
            return dict(verdict)
    except (HeldoutError, KeyError, TypeError):
        pass  # a damaged run is judged again from its units
    return None


def _holds(prepared: Prepared, verdict: Mapping[str, Any]) -> bool:
    """Whether the verdict is of this run, as its ledger counted it, of this code, this policy and these files."""
    variant_sha256, corpus_sha256, _, _ = prepared.identity
    judged = verdict["judged"]
    expected = {
        "corpus_sha256": corpus_sha256,
        "split_sha256": prepared.split.sha256,
        "variant_sha256": variant_sha256,
        "code_sha256": provenance.code_digest(),
        "environment": digest(provenance.package_versions()),
        "files_sha256": files_digest(run_files(prepared.folder.path)),
    }
    if any(judged[key] != value for key, value in expected.items()):
        return False
    run = prepared.folder.path.name
    if (verdict["study"], verdict["run_provenance"]["outputs"]["run"]) != (prepared.resolved.name, run):
        return False
    with Ledger(prepared.study) as ledger:
        attempt, last = ledger.attempt(prepared.identity), ledger.last_look(run)
    if last is None or verdict["trial"] != last[0].to_json():
        return False
    if last[1].get("policies_head") != verdict["policy"].get("head"):
        return False
    policy = prepared.books.policy(prepared.declared).to_json()
    if any(verdict["policy"][key] != policy[key] for key in _DECIDING):
        return False
    return bool((verdict["required"], verdict["trial"]["attempt"]) == (required_verdicts(prepared), attempt))
