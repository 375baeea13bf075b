"""A run directory as the registry sees it: verified whole when it comes in, compared byte for byte ever after.

``add`` recomputes the run's whole chain of evidence. From then on the manifest's digest stands for it: as long as the
files are the same bytes, what was recomputed from them and the corpus once still holds. What needs no corpus is
recomputed at every promotion all the same: the ledger beside the run may have a newer look by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.documents.names import CODE_FILE, MANIFEST_FILE, RUN_FILE
from heldout.errors import InputError, PrerequisiteError, RefusedError, TamperedError
from heldout.evidence import canonical, loads, sha256_file
from heldout.registry.vouched import Asked, Vouched, look
from heldout.verify import Verification
from heldout.verify.chain import walk
from heldout.verify.evidence import RunEvidence
from heldout.verify.verify import CHAIN

SCHEMA = "heldout.version/1"
_CHANGED = "a run directory is never edited: if the run was judged again, add it again"
_BYTES = tuple(check for check in CHAIN if check.id in ("verdict-file", "files", "bound"))


@dataclass(frozen=True)
class RunRecord:
    """A run directory as it was read.

    Attributes:
        date: Day on which the run began, ``YYYYMMDD``.
        content: What the version is: its digest is the version's identity.
        vouched: What of its chain was verified.
    """

    date: str
    content: Mapping[str, Any]
    vouched: Vouched


def read_run(folder: Path, asked: Asked) -> RunRecord:
    """Read a finished run and recompute everything that its verdict rests on.

    Args:
        folder: The run directory.
        asked: What to verify it with.

    Raises:
        InputError: If it is no run directory, or the run did not finish.
        TamperedError: Naming the first link of its evidence that does not hold.
        PrerequisiteError: If what was asked for cannot be checked here.
    """
    evidence = RunEvidence.open(folder)
    if not asked.trust_code:
        _refuse_code(evidence)
    vouched = look(folder, asked)
    run, verdict = evidence.run, evidence.verdict
    manifest = folder / MANIFEST_FILE
    content = {
        "schema": SCHEMA,
        **{key: run[key] for key in ("run", "study", "variant", "seeds", "smoke", "started_at_utc")},
        "config": dict(evidence.lock),
        "judged": verdict["judged"],
        "environment": {key: verdict["run_provenance"].get(key) for key in ("code", "packages", "host", "device")},
        "verdict": {key: verdict[key] for key in ("verdict", "evidence", "generated_at_utc", "reasons")},
        "metrics": _headline(evidence.metrics),
        "files": {
            **evidence.manifest["files"],
            MANIFEST_FILE: {"bytes": manifest.stat().st_size, "sha256": sha256_file(manifest)},
        },
    }
    # As it comes back from the database, so that the digest is the same there.
    plain = loads(canonical(content), where=str(folder))
    return RunRecord(_day(str(run["started_at_utc"]), folder), plain, vouched)


def _refuse_code(evidence: RunEvidence) -> None:
    """Whoever sends a run could send a program: of a registered version it is run in shadow, and at each promotion."""
    if any(name.endswith(f"/{CODE_FILE}") for name in evidence.manifest["files"]):
        raise PrerequisiteError(
            "the run brings its own code, which is registered only with --trust-code",
            where=str(evidence.folder),
            hint=f"read that code first ({CODE_FILE} beside each model); then add --trust-code",
        )


def check_registered(content: Mapping[str, Any], folder: Path) -> None:
    """The files are, byte for byte, those that were registered, and the verdict beside them is about them.

    Args:
        content: Of the version.
        folder: Its run directory.

    Raises:
        RefusedError: If the folder is gone.
        TamperedError: Naming the first file that is missing, changed or not listed.
    """
    if not folder.is_dir():
        raise RefusedError(
            "the run directory is not there", where=str(folder), hint="if it was moved, add it again at its new place"
        )
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file() or sha256_file(manifest) != content["files"][MANIFEST_FILE]["sha256"]:
        raise TamperedError(f"{MANIFEST_FILE} is not the one that was registered", where=str(manifest), hint=_CHANGED)
    try:
        links = walk(_BYTES, RunEvidence.open(folder))
    except InputError as error:
        raise TamperedError(error.what, where=error.where, hint=_CHANGED) from None
    Verification(folder, "", "", links).raise_if_broken()


def objections(content: Mapping[str, Any]) -> list[str]:
    """What speaks against a promotion and may be overridden, with a reason, for ever on record.

    Raises:
        RefusedError: If it is a smoke run: a quick look decides nothing, whoever asks.
    """
    if content["smoke"] is not None:
        raise RefusedError(
            f"a smoke version can never serve: {content['smoke']}",
            where=f"run {content['run']}",
            hint="run the study as declared, without overrides",
        )
    verdict, found = content["verdict"], []
    if verdict["verdict"] != "PROMOTE":
        found.append("the verdict is HOLD: " + ("; ".join(verdict["reasons"]) or "no reason is given"))
    return found


def judged_later(content: Mapping[str, Any], verdicts: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a newer verdict over the same run says against a promotion: a HOLD ends a PROMOTE, wherever a copy lies.

    Args:
        content: Of the version.
        verdicts: Of every registered version of its run, its own among them.
    """
    mine = content["verdict"]
    later = [each for each in verdicts if each != mine and _given(each) >= _given(mine)]
    newest = max(later, key=_given, default=mine)
    if newest is mine or newest["verdict"] == "PROMOTE":
        return []
    return [f"the run was judged again later: {newest['verdict']}"]


def _given(verdict: Mapping[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(str(verdict["generated_at_utc"]))


def _headline(metrics: Mapping[str, Any]) -> dict[str, object]:
    """What a table of versions shows; the whole document stays in the run, known by its digest."""
    kept = ("mean", "pooled", "worst_group", "intervals")
    ensemble = metrics["ensemble"]
    return {
        **{key: metrics.get(key) for key in ("task", "primary", "rows", "groups")},
        "ensemble": {key: ensemble[key] for key in kept if key in ensemble},
        "baselines": {name: block.get("mean") for name, block in metrics.get("baselines", {}).items()},
    }


def _day(text: str, folder: Path) -> str:
    try:
        return f"{dt.datetime.fromisoformat(text):%Y%m%d}"
    except ValueError:
        raise InputError(
            f"{text!r} is no time", where=f"{folder / RUN_FILE}: started_at_utc", hint="run the study again"
        ) from None
