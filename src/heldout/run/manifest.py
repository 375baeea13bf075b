"""``manifest.json``: every file of a run by digest; and the one digest by which the verdict binds them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.evidence import digest, sha256_file, write_json
from heldout.gate.verdict_files import HOLD_FILE, PROMOTE_FILE

SCHEMA = "heldout.manifest/1"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "verdict.dsse.json"
VERDICT_FILES = frozenset({PROMOTE_FILE, HOLD_FILE})
# Streams and locks, and what comes after the verdict.
BESIDE_FILES = frozenset({MANIFEST_FILE, "progress.jsonl", ".lock", SIGNATURE_FILE})
BESIDE_FOLDERS = frozenset({"exports", "failures", "scratch"})


def run_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file of the run, by its path inside the run directory."""
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.as_posix() not in BESIDE_FILES and relative.parts[0] not in BESIDE_FOLDERS:
            files[relative.as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    return files


def files_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """One digest over all files but the verdict, which holds it: who edits a file must edit the verdict too."""
    return digest({name: entry["sha256"] for name, entry in files.items() if name not in VERDICT_FILES})


def write_manifest(folder: Path) -> None:
    """Write ``manifest.json``, last of all."""
    write_json(folder / MANIFEST_FILE, {"schema": SCHEMA, "files": run_files(folder)})
