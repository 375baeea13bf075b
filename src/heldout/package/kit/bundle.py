"""The result bundle: one run with everything that its verdict rests on, as one file that tells nothing of anybody.

In it: the run directory as the verdict names it, the runs that the verdict requires, the study's ledgers, the corpus
file, the exports, and ``kit.json`` of the kit that made it. ``bundle.json`` names every file by sha256.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from heldout.corpus.parts import content_sha256, is_there, parts_of
from heldout.documents.names import LEDGER_FILE, MANIFEST_FILE, POLICY_FILE, SIGNATURE_FILE
from heldout.errors import InputError
from heldout.evidence import dumps, file_entry, read_json, read_plain, sha256_bytes
from heldout.ledger import targets
from heldout.package.archive.write import write_archive
from heldout.package.content.private import private_words, refuse_private
from heldout.package.doctor.machine import Machine, detect
from heldout.verify import verify_run
from heldout.verify.evidence import RunEvidence
from heldout.verify.exports import FOLDER as EXPORTS

SCHEMA = "heldout.bundle/1"
BUNDLE_FILE = "bundle.json"
TOP = "results"
CORPUS_FOLDER = "corpus"
_TEXT = (".json", ".jsonl", ".csv", ".md", ".html", ".yaml", ".svg", ".txt")


class Bundle(NamedTuple):
    """A bundle that was written.

    Attributes:
        path: The archive.
        sha256: Its digest: tell it to the lead on another way.
        document: ``bundle.json``.
    """

    path: Path
    sha256: str
    document: Mapping[str, Any]


def build_bundle(
    run: Path, out: Path, *, kit: Path | None = None, corpus: Path | None = None, machine: Machine | None = None
) -> Bundle:
    """Verify a run and pack it.

    Args:
        run: The run directory.
        out: The archive, or a folder for one named after the study.
        kit: The unpacked kit that it was made with.
        corpus: The corpus file, to be packed too.
        machine: What it was made on; this machine by default.

    Raises:
        InputError: If the run was not judged, or the corpus is another than the judged one.
        TamperedError: If a link of its evidence is broken.
        RefusedError: If a file names a person, a host or a home folder.
    """
    evidence = _verified(run)
    study = str(evidence.verdict["study"])
    files = _run_files(evidence)
    for name in sorted(_required_runs(evidence)):
        files |= _run_files(_verified(evidence.folder.resolve().parent / name), with_exports=False)
    home = evidence.folder.resolve().parent
    for path in (home / LEDGER_FILE, home / POLICY_FILE, *sorted((home / targets.FOLDER).glob("*.json"))):
        if path.is_file():
            files[f"runs/{study}/{path.relative_to(home).as_posix()}"] = path
    if corpus is not None:
        files |= _corpus_files(evidence, corpus)
    if kit is not None:
        files["kit.json"] = read_plain(kit / "kit.json")
    words = private_words()
    for name, source in files.items():
        if name.endswith(_TEXT):
            refuse_private(source if isinstance(source, bytes) else read_plain(source), name, words)
    document = _document(evidence, files, machine or detect())
    target = out / f"{study}-results.tar.gz" if out.is_dir() or not out.suffix else out
    sha256 = write_archive(target, {**files, BUNDLE_FILE: dumps(document)}, top=TOP)
    return Bundle(target, sha256, document)


def _verified(run: Path) -> RunEvidence:
    verify_run(run).raise_if_broken()
    return RunEvidence.open(run)


def _required_runs(evidence: RunEvidence) -> set[str]:
    return {str(found["run"]) for found in evidence.verdict["required"].values() if found}


def _run_files(evidence: RunEvidence, *, with_exports: bool = True) -> dict[str, Path | bytes]:
    """Files that the manifest names, the manifest, a signature and the exports; no logs, no locks, no scratch."""
    folder, place = evidence.folder, f"runs/{evidence.verdict['study']}/{evidence.run['run']}"
    names = [*evidence.manifest["files"], MANIFEST_FILE]
    names += [SIGNATURE_FILE] if (folder / SIGNATURE_FILE).is_file() else []
    exports = folder / EXPORTS
    if with_exports and exports.is_dir():
        names += [path.relative_to(folder).as_posix() for path in sorted(exports.iterdir()) if _plain(path)]
    return {f"{place}/{name}": folder / name for name in names}


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".")


def _corpus_files(evidence: RunEvidence, corpus: Path) -> dict[str, Path | bytes]:
    judged = evidence.corpus.facts.get("file_sha256", evidence.corpus.sha256)
    if not is_there(corpus) or content_sha256(corpus) != judged:
        raise InputError(
            "this is not the corpus that was judged", where=str(corpus), hint="name the corpus file of the run"
        )
    parts = parts_of(corpus)
    inside = CORPUS_FOLDER if parts is None else f"{CORPUS_FOLDER}/{parts[0].parent.name}"
    files: dict[str, Path | bytes] = {f"{inside}/{each.name}": each for each in parts or [corpus]}
    manifest = corpus.parent / MANIFEST_FILE
    if manifest.is_file():
        files[f"{CORPUS_FOLDER}/{MANIFEST_FILE}"] = dumps(scrubbed(read_json(manifest)))
    return files


def scrubbed(value: Any) -> Any:
    """A producer's manifest without what tells of its machine: file names for paths, no words of FFmpeg, no command."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in ("log", "argv")}
        return {
            key: Path(item).name if key == "path" and isinstance(item, str) else scrubbed(item)
            for key, item in kept.items()
        }
    return [scrubbed(item) for item in value] if isinstance(value, list) else value


def _document(evidence: RunEvidence, files: Mapping[str, Path | bytes], machine: Machine) -> dict[str, object]:
    verdict = evidence.verdict
    provenance = verdict["run_provenance"]
    kit = files.get("kit.json")
    return {
        "schema": SCHEMA,
        "study": verdict["study"],
        "variant": verdict["variant"],
        "run": evidence.run["run"],
        "verdict": verdict["verdict"],
        "verdict_sha256": evidence.verdict_sha256,
        "judged_at_utc": verdict["generated_at_utc"],
        "platform": machine.kind,
        "host": provenance["host"],
        "device": provenance["device"],
        "kit_sha256": sha256_bytes(kit) if isinstance(kit, bytes) else None,
        "files": {name: file_entry(source) for name, source in sorted(files.items())},
    }
