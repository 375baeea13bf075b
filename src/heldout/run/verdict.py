"""The one door of verdicts: nobody else puts the document together or writes it.

``PROMOTE.json`` and ``HOLD.json``: one verdict a folder, at every moment.

The invariant: a PROMOTE that is older than a HOLD has no effect, wherever the writer is killed. Whoever asks only
whether ``PROMOTE.json`` exists is right too, so a PROMOTE goes before anything else changes. States on the way:

===========================  =============================================================
old files, new verdict       what a reader can see, in order
===========================  =============================================================
PROMOTE, HOLD                PROMOTE (the old run) - nothing - HOLD
HOLD, PROMOTE                HOLD (the old run) - nothing - PROMOTE
both, PROMOTE                refused - HOLD - nothing - PROMOTE
both, HOLD                   refused - HOLD (the old one) - HOLD
same name                    the old one - the new one
===========================  =============================================================

The new document is on disk, under a temporary name, before an old one goes: a full disk changes nothing.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from heldout.documents.names import HOLD_FILE, PROMOTE_FILE
from heldout.documents.verdict import FindingEntry, JudgedBlock, RuleEntry, Verdict
from heldout.errors import InputError
from heldout.evidence import atomic_path, dumps, flush_folder
from heldout.gate.outcome import RuleOutcome
from heldout.gate.verdict import SCHEMA, Advice, recommend, verdict_of
from heldout.gate.verdict_files import FILES, verdicts_in


def build_verdict(
    *,
    study: str,
    variant: str,
    outcomes: Sequence[RuleOutcome],
    judged: Mapping[str, Any],
    provenance: Mapping[str, Any],
    seeds: Sequence[int] = (),
    findings: Sequence[Mapping[str, Any]] = (),
    smoke: str | None = None,
    evidence: Literal["computed", "asked", "predicted", "reported"] = "computed",
    advice: Advice | None = None,
) -> dict[str, Any]:
    """Assemble the document.

    Args:
        study: Name of the study.
        variant: Id of the variant.
        outcomes: What every rule says.
        judged: Digests of what was judged.
        provenance: The ``run_provenance`` block.
        seeds: Seeds that were judged.
        findings: Guard findings.
        smoke: Why this is a smoke run, or None.
        evidence: ``computed`` from our own predictions, ``asked`` of a model from elsewhere, ``predicted`` by someone
            else and scored here on sealed groups, or ``reported`` by someone else's files.
        advice: What to do now, of verdict, reasons and smoke; ``recommend`` by default.
    """
    verdict = verdict_of(outcomes)
    reasons = [outcome.sentence for outcome in outcomes if outcome.outcome != "PASS"]
    document = Verdict(
        schema=SCHEMA,
        schema_version=1,
        verdict=verdict,
        evidence=evidence,
        generated_at_utc=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        study=study,
        variant=variant,
        seeds=list(seeds),
        rules=[RuleEntry.model_validate(outcome.to_json()) for outcome in outcomes],
        reasons=reasons,
        findings=[FindingEntry.model_validate(finding) for finding in findings],
        smoke=smoke,
        recommendation=(advice or recommend)(verdict, reasons, smoke),
        judged=JudgedBlock.model_validate(judged),
        run_provenance=dict(provenance),
    )
    return document.model_dump(by_alias=True, exclude_unset=True)


def write_verdict(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write the verdict and remove the opposite one, as one step.

    Args:
        folder: The run directory.
        document: A verdict document; its ``verdict`` names the file.

    Returns:
        The file that was written.

    Raises:
        InputError: If the document has no verdict, is a PROMOTE of a look that no ledger counts, holds NaN, or cannot
            be written. After a failed write the folder holds what it held, or no verdict at all; never an older PROMOTE
            beside or instead of a newer HOLD.
    """
    verdict = document.get("verdict")
    if verdict not in FILES:
        raise InputError(
            f"{verdict!r} is not a verdict", where=str(folder), hint="a verdict document says PROMOTE or HOLD"
        )
    # Numbers that somebody reports are no look of ours; registries do not admit them.
    if verdict == "PROMOTE" and document.get("trial") is None and document.get("evidence") != "reported":
        raise InputError(
            "a PROMOTE that no trial ledger counts", where=str(folder), hint="count its look, and judge it again"
        )
    target = folder / FILES[verdict]
    data = _serialised(target, document)
    try:
        with atomic_path(target) as partial:
            _write_through(partial, data)
            _make_way(folder, verdict)
    except InputError as error:
        if not verdicts_in(folder):
            error.hint = "the folder has no verdict now: free some disk space and judge the run again"
        raise
    return target


def remove_verdicts(folder: Path) -> None:
    """Remove both verdicts, PROMOTE first: what comes next is not judged yet.

    Raises:
        InputError: If a file cannot be removed.
    """
    if not folder.is_dir():
        return
    try:
        _remove(folder, PROMOTE_FILE)
        _remove(folder, HOLD_FILE)
    except OSError as error:
        raise InputError(
            f"an old verdict cannot be removed: {error.strerror or error}",
            where=str(folder),
            hint="make the folder writable; until then its verdict is of an older run",
        ) from error


def _make_way(folder: Path, verdict: str) -> None:
    """Remove what must not lie beside the new verdict; a PROMOTE always before a HOLD."""
    beside_hold = os.path.lexists(folder / HOLD_FILE)
    if verdict == "HOLD" or beside_hold:
        _remove(folder, PROMOTE_FILE)
    if verdict == "PROMOTE" and beside_hold:
        _remove(folder, HOLD_FILE)


def _remove(folder: Path, name: str) -> None:
    """Remove durably: after a power cut the order of removals is the order of the calls."""
    path = folder / name
    if os.path.lexists(path):
        path.unlink()
        flush_folder(folder)


def _write_through(path: Path, data: bytes) -> None:
    """Write to the disk, not only to its cache: a full disk must show before the old verdict goes."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _serialised(target: Path, document: Mapping[str, Any]) -> bytes:
    try:
        return dumps(dict(document))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the verdict is not strict JSON: {error}",
            where=str(target),
            hint="write null, with a reason, for a number that is undefined",
        ) from error
