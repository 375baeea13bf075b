"""Links between files: the one verdict, the manifest, and every file that it names."""

from __future__ import annotations

import os
from pathlib import Path

from heldout.documents.names import (
    CORPUS_FILE,
    LOCK_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    REPORT_HTML,
    REPORT_MD,
    RUN_FILE,
    SPLIT_FILE,
)
from heldout.evidence import digest, dumps, read_plain, sha256_file
from heldout.gate.verdict import SCHEMA as VERDICT_SCHEMA
from heldout.gate.verdict_files import read_verdict
from heldout.run.layout import BESIDE_FILES, BESIDE_FOLDERS, MANIFEST_SCHEMA, VERDICT_FILES, files_digest
from heldout.task.table import table_files, table_name
from heldout.verify.chain import BrokenError
from heldout.verify.evidence import RunEvidence

_REQUIRED = (LOCK_FILE, RUN_FILE, CORPUS_FILE, SPLIT_FILE, METRICS_FILE, REPORT_MD, REPORT_HTML)


def check_verdict_file(evidence: RunEvidence) -> str:
    """There is one verdict, it says what its name says, and it was computed and not reported."""
    document = read_verdict(evidence.folder) or {}
    if document.get("schema") != VERDICT_SCHEMA or document.get("schema_version") != 1:
        raise BrokenError(f"the schema is {document.get('schema')!r}", evidence.verdict_file.name)
    if document["evidence"] not in ("computed", "asked", "predicted"):
        what = f"the evidence is {document['evidence']!r}, not 'computed', 'asked' or 'predicted'"
        raise BrokenError(what, evidence.verdict_file.name)
    return f"{evidence.verdict_file.name} is the only verdict"


def check_files(evidence: RunEvidence) -> str:
    """Every file that the manifest names is there, unchanged, and nothing stands among them that it does not name."""
    document = evidence.manifest
    if document["schema"] != MANIFEST_SCHEMA:
        raise BrokenError(f"the schema is {document['schema']!r}", MANIFEST_FILE)
    if dumps(document) != read_plain(evidence.folder / MANIFEST_FILE):
        raise BrokenError("the manifest is not in the form in which a run writes it", MANIFEST_FILE)
    files = document["files"]
    lacking = [name for name in (*_REQUIRED, *table_files(files), evidence.verdict_file.name) if name not in files]
    if lacking:
        raise BrokenError(f"the manifest does not name {lacking[0]}", MANIFEST_FILE)
    for name, entry in sorted(files.items()):
        _check_file(evidence.folder, name, entry["bytes"], entry["sha256"])
    beside = _others(evidence.folder, files)
    matter = [name for name in beside if _matters(name)]
    if matter:
        raise BrokenError("the manifest does not name this file", matter[0])
    return f"{len(files)} files are the ones in the manifest" + (f"; {len(beside)} lie beside it" if beside else "")


def check_bound(evidence: RunEvidence) -> str:
    """The verdict names all files of the manifest by one digest, and predictions and metrics by their own."""
    files, judged = evidence.manifest["files"], evidence.verdict["judged"]
    if files_digest(files) != judged["files_sha256"]:
        raise BrokenError("the verdict was given over other files than those of the manifest", "judged.files_sha256")
    for label, name in (("predictions", table_name(files)), ("metrics", METRICS_FILE)):
        if sha256_file(evidence.folder / name) != judged[f"{label}_sha256"]:
            raise BrokenError(f"the verdict judged another {name}", f"judged.{label}_sha256")
    provenance = evidence.verdict["run_provenance"]
    if provenance["code"]["sha256"] != judged["code_sha256"]:
        raise BrokenError("the verdict names two codes", "judged.code_sha256")
    if digest(provenance["packages"]) != judged["environment"]:
        raise BrokenError("the packages are not those of the digest", "judged.environment")
    return f"the verdict names {len(files) - 1} files by digest {judged['files_sha256'][:12]}"


def _check_file(folder: Path, name: str, size: int, sha256: str) -> None:
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or not parts:
        raise BrokenError("the manifest names a file outside the run", name)
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise BrokenError("a link stands where a file of the run should be", path.relative_to(folder).as_posix())
    if not path.is_file():
        raise BrokenError("the file is missing", name)
    if path.stat().st_size != size:
        raise BrokenError(f"the file has {path.stat().st_size} bytes, the manifest says {size}", name)
    if sha256_file(path) != sha256:
        raise BrokenError("the file is not the one in the manifest: its sha256 differs", name)


def _others(folder: Path, named: object) -> list[str]:
    """Files and links that the manifest does not name and that are no stream, lock, export or hidden file."""
    assert isinstance(named, dict)
    found = []
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in (*files, *links):
            path = (Path(root) / name).relative_to(folder)
            if path.as_posix() not in named and path.as_posix() not in BESIDE_FILES:
                found.append(path)
    return sorted(path.as_posix() for path in found if not _passed_over(path))


def _passed_over(path: Path) -> bool:
    return path.parts[0] in BESIDE_FOLDERS or path.name.startswith(".")


def _matters(name: str) -> bool:
    """Whether someone could take the file for evidence."""
    path = Path(name)
    return (
        path.parts[0] in ("fits", "baselines")
        or path.name in VERDICT_FILES
        or path.suffix in (".json", ".jsonl", ".parquet")
    )
