"""Earlier looks at a run's groups, in all that a registry knows: the ledgers beside every run that it holds.

A run asks the ledgers of its own folder of runs. Colleagues have folders of their own, and the registry is where they
meet.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from heldout.documents.names import LEDGER_FILE, POLICY_FILE
from heldout.errors import HeldoutError
from heldout.evidence import Link
from heldout.ledger import targets
from heldout.ledger.declaration import axis_of, rules_of, with_code
from heldout.ledger.history import Groups, History
from heldout.ledger.policy import Declared, ground_of
from heldout.registry.store import Registry
from heldout.verify.evidence import RunEvidence
from heldout.verify.trials import targets_of


def looked_elsewhere(registry: Registry, folder: Path) -> list[str]:
    """What speaks against a run: its groups were looked at under other rules, in another folder of runs, before.

    Args:
        registry: Whose versions' run directories lead to ledgers.
        folder: The run directory.
    """
    evidence = RunEvidence.open(folder)
    policy = evidence.verdict.get("policy") or {}
    if policy.get("amendments"):
        return []  # the verdict says with reasons that the rules were changed
    home = folder.resolve().parent.parent
    places = {registry.serving.folder_at(version.place).parent.parent for version in registry.versions()}
    declared, found = None, []
    since = dt.datetime.fromisoformat(str(policy.get("registered_at") or evidence.verdict["generated_at_utc"]))
    for runs in sorted(places - {home}):
        for study in _studies(runs):
            declared = declared or _declared(evidence)
            try:
                ground = ground_of([_before(History.read(study), since)], declared)
            except HeldoutError as error:
                found.append(f"the ledgers of {study} cannot be read: {error.what}")
                continue
            if ground.why is None:
                found.append(f"its groups were looked at before under other rules, in {runs}: {ground.against}")
    return found


def _studies(runs: Path) -> list[Path]:
    """Folders of studies that have a ledger; none where the place is gone."""
    names = (LEDGER_FILE, POLICY_FILE)
    found = sorted(runs.iterdir()) if runs.is_dir() else []
    return [study for study in found if any((study / name).is_file() for name in names)]


def _before(history: History, since: dt.datetime) -> History:
    """What had been written down at a moment."""

    def older(links: Iterable[Link]) -> tuple[Link, ...]:
        return tuple(link for link in links if dt.datetime.fromisoformat(str(link.record["ts"])) <= since)

    return History(history.study, older(history.looks), older(history.policies))


def _declared(evidence: RunEvidence) -> Declared:
    """The rules of a run and its groups: as its ledger lists them, or as far as its predictions tell."""
    judged = evidence.verdict["judged"]
    rules = with_code(rules_of(evidence.lock), evidence.run.get("fit_code", {}))
    groups = Groups(_groups(evidence), judged["corpus_sha256"], judged["split_sha256"], evidence.split.is_named)
    return Declared(rules, groups, axis_of(evidence.lock))


def _groups(evidence: RunEvidence) -> Mapping[str, Any]:
    study, head = evidence.folder.resolve().parent, evidence.verdict["trial"]["ledger_head"]
    looks = History.read(study).looks if (study / LEDGER_FILE).is_file() else ()
    look = next((link.record for link in looks if link.sha256 == head), {})
    if "groups_sha256" in look:
        return targets.read(study, str(look["groups_sha256"]))
    return targets_of(evidence.predictions, evidence.split.held_out)
