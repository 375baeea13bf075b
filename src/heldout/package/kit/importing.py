"""``heldout kit import``: a bundle that came back, trusted in nothing until it was recomputed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json, read_plain, sha256_file, write_json
from heldout.package.archive.contents import Contents, open_archive
from heldout.package.archive.read import Limits, remove_tree
from heldout.package.content.private import refuse_private
from heldout.package.kit import agreement
from heldout.package.kit.build import KIT_FILE
from heldout.package.kit.build import SCHEMA as KIT_SCHEMA
from heldout.package.kit.bundle import BUNDLE_FILE, CORPUS_FOLDER
from heldout.package.kit.bundle import SCHEMA as BUNDLE_SCHEMA
from heldout.plugins import trusting_code
from heldout.study.spec import SLUG
from heldout.verify import Verification, verify_run
from heldout.verify.evidence import RunEvidence

SCHEMA = "heldout.import/1"
_TEXT = (".json", ".jsonl", ".csv", ".md", ".html", ".yaml")


@dataclass(frozen=True)
class Imported:
    """A bundle that was verified and put in its place.

    Attributes:
        folder: Where it lies now.
        run: Its run directory.
        bundle_sha256: Digest of the archive.
        document: ``bundle.json``.
        verification: The chain of its run.
        agreement: The document of the rule "second hardware"; None without a run to compare with.
        notes: What the lead should know.
    """

    folder: Path
    run: Path
    bundle_sha256: str
    document: Mapping[str, Any]
    verification: Verification
    agreement: Mapping[str, Any] | None
    notes: tuple[str, ...]

    @property
    def promoted(self) -> bool:
        """Whether everything that was asked says PROMOTE."""
        verdict = self.agreement["verdict"] if self.agreement else self.verification.verdict
        return verdict == "PROMOTE"

    def to_json(self) -> dict[str, object]:
        """The import as a document."""
        kept = ("study", "variant", "verdict", "verdict_sha256", "platform", "host", "device", "kit_sha256")
        return {
            "schema": SCHEMA,
            "folder": str(self.folder),
            "run": str(self.run),
            "bundle_sha256": self.bundle_sha256,
            **{key: self.document[key] for key in kept},
            "verification": self.verification.to_json(),
            "second_hardware": self.agreement,
            "notes": list(self.notes),
        }


def import_bundle(
    bundle: Path,
    into: Path,
    *,
    against: Path | None = None,
    kit: Path | None = None,
    deep: bool = False,
    limits: Limits | None = None,
    trust_code: bool = False,
) -> Imported:
    """Unpack, check, verify and compare a bundle; nothing of a bad one stays.

    Args:
        bundle: The archive.
        into: Folder of imports; the bundle gets a folder of its own, named after its digest.
        against: Our own run of the same study.
        kit: The kit that was handed over: the bundle must come from it.
        deep: Also compare with the corpus in the bundle, and ask every stored model again.
        limits: How much is unpacked at most.
        trust_code: Run the code that its run brings along: whoever says so has read it, or wrote it.

    Raises:
        InputError: If it is no bundle.
        RefusedError: If it is hostile, or tells of a person, a host or a home folder.
        TamperedError: If a file is not the one that was packed, a link is broken, or it is of another kit.
    """
    lead = _lead(against) if against is not None else None
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=into) as scratch:
        contents = open_archive(bundle, Path(scratch) / "unpacked", {BUNDLE_FILE: BUNDLE_SCHEMA}, limits)
        sha256 = sha256_file(bundle)
        check_contents(contents)
        with trusting_code(trust=trust_code):
            verification = verify_contents(contents, deep=deep)
        tolerance, kit_sha256 = _declared(contents, kit)
        run = _run_of(contents)
        compared, notes = None, list(_notes(contents, kit))
        if lead is not None:
            compared = agreement.judge_agreement(lead, RunEvidence.open(run), tolerance, kit_sha256)
            write_json(contents.folder / agreement.FILE, compared)
        home = into / f"{contents.document['study']}-{sha256[:12]}"
        if home.exists():
            remove_tree(home)
        contents.folder.replace(home)
    moved = home / run.relative_to(contents.folder)
    return Imported(home, moved, sha256, contents.document, verification, compared, tuple(notes))


def check_contents(contents: Contents) -> None:
    """What the manifest says of the run is what the run says, and no file tells of anybody.

    Raises:
        TamperedError: If the manifest says something else than the run.
        RefusedError: If a text names a person or a home folder.
    """
    evidence = _open_run(contents)
    verdict = evidence.verdict
    found = {
        "study": verdict["study"],
        "variant": verdict["variant"],
        "verdict": verdict["verdict"],
        "verdict_sha256": evidence.verdict_sha256,
        "judged_at_utc": verdict["generated_at_utc"],
        "host": verdict["run_provenance"]["host"],
        "device": verdict["run_provenance"]["device"],
        "kit_sha256": sha256_file(contents.folder / KIT_FILE) if (contents.folder / KIT_FILE).is_file() else None,
    }
    for key, value in found.items():
        if contents.document.get(key) != value:
            raise TamperedError(
                f"the bundle says another {key} than its run", where=BUNDLE_FILE, hint="ask for it again"
            )
    if set(verdict["run_provenance"]["host"]) - {"system", "machine", "python", "cpus"}:
        raise TamperedError("the host is described by more than its kind", where=BUNDLE_FILE, hint="ask for it again")
    for name in contents.document["files"]:
        if name.endswith(_TEXT):
            refuse_private(read_plain(contents.folder / name), name, ())


def verify_contents(contents: Contents, *, deep: bool = False) -> Verification:
    """Recompute the verdicts of all runs in the bundle; return the chain of its own.

    Raises:
        TamperedError: At the first broken link.
    """
    run = _run_of(contents)
    corpus = _corpus(contents) if deep else None
    for folder in sorted(path.parent for path in run.parent.glob("*/run.json")):
        if folder != run:
            verify_run(folder).raise_if_broken()
    found = verify_run(run, corpus=corpus)
    found.raise_if_broken()
    return found


def _run_of(contents: Contents) -> Path:
    study, run = contents.document.get("study"), contents.document.get("run")
    if not isinstance(study, str) or not re.fullmatch(SLUG, study) or not isinstance(run, str) or "/" in run:
        raise TamperedError("the bundle names no run", where=BUNDLE_FILE, hint="ask for it again")
    folder = contents.folder / "runs" / study / run
    if f"runs/{study}/{run}/run.json" not in contents.document["files"]:
        raise TamperedError("the run that the bundle names is not in it", where=BUNDLE_FILE, hint="ask for it again")
    return folder


def _open_run(contents: Contents) -> RunEvidence:
    try:
        return RunEvidence.open(_run_of(contents))
    except InputError as error:
        raise TamperedError(error.what, where=BUNDLE_FILE, hint="ask for the bundle again") from None


def _corpus(contents: Contents) -> Path:
    names = [
        name for name in contents.document["files"] if name.startswith(f"{CORPUS_FOLDER}/") and name[-5:] != ".json"
    ]
    if not names:
        raise InputError("the bundle holds no corpus", where="--deep", hint="leave --deep out, or ask for it")
    path = contents.folder / str(names[0])
    return path if path.parent.name == CORPUS_FOLDER else path.parent


def _lead(run: Path) -> RunEvidence:
    verify_run(run).raise_if_broken()
    return RunEvidence.open(run)


def _declared(contents: Contents, kit: Path | None) -> tuple[Mapping[str, float], str | None]:
    """The tolerance that the kit declares, and the kit's digest.

    Raises:
        TamperedError: If the bundle is not of the kit that was handed over.
    """
    path = contents.folder / KIT_FILE
    mine = _kit_document(kit) if kit is not None else None
    if mine is not None and (not path.is_file() or read_plain(path) != mine):
        raise TamperedError("the bundle is not of this kit", where=KIT_FILE, hint="name the kit that was handed over")
    if not path.is_file():
        return {}, None
    document = read_json(path)
    try:
        tolerance = {str(name): float(value) for name, value in document["second_hardware"]["tolerance"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TamperedError("the kit declares no tolerance", where=KIT_FILE, hint="ask for the bundle again") from None
    return tolerance, sha256_file(path)


def _kit_document(kit: Path) -> bytes:
    """``kit.json`` of a kit, packed or unpacked."""
    if kit.is_dir():
        return read_plain(kit / KIT_FILE)
    with tempfile.TemporaryDirectory(prefix="heldout-kit-") as scratch:
        contents = open_archive(kit, Path(scratch) / "kit", {KIT_FILE: KIT_SCHEMA})
        return read_plain(contents.folder / KIT_FILE)


def _notes(contents: Contents, kit: Path | None) -> list[str]:
    path = contents.folder / KIT_FILE
    if not path.is_file():
        return ["no kit is named: what was handed over is not known"]
    document, judged = read_json(path), _open_run(contents).verdict["judged"]
    notes = []
    try:
        if document["variants"][contents.document["variant"]] != judged["variant_sha256"]:
            notes.append("the configuration is not the one of the kit: seeds or other options were changed")
        if document["code_sha256"] != judged["code_sha256"]:
            notes.append("the run was made with other sources of heldout than those of the kit")
    except (KeyError, TypeError):
        notes.append("kit.json is not one that heldout writes")
    if kit is None:
        notes.append("the kit is as the bundle states it: compare with the one that you handed over by --kit")
    return notes
