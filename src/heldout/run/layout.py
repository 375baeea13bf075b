"""The run directory: ``runs/<study>/<label>-<date>-<hash8>/``, one for each variant, corpus, code and packages.

``manifest.json`` names every file of a run by digest, and one digest binds them all to the verdict. A run belongs where
it was made: a folder that was copied under another study, or another name, is not taken over.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.documents.names import (
    HOLD_FILE,
    MANIFEST_FILE,
    PROGRESS_FILE,
    PROMOTE_FILE,
    RUN_FILE,
    SIGNATURE_FILE,
    safe_name,
)
from heldout.errors import HeldoutError, InputError
from heldout.evidence import FileEntry, digest, file_entry, read_json, write_json

MANIFEST_SCHEMA = "heldout.manifest/1"
VERDICT_FILES = frozenset({PROMOTE_FILE, HOLD_FILE})
# Streams and locks, and what comes after the verdict.
BESIDE_FILES = frozenset({MANIFEST_FILE, PROGRESS_FILE, ".lock", SIGNATURE_FILE})
TABLES_FOLDER = "tables"
BESIDE_FOLDERS = frozenset({"exports", "failures", "logs", "scratch", TABLES_FOLDER})


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run directory."""

    path: Path

    def file(self, name: str) -> Path:
        """A document of the run."""
        return self.path / name

    def unit(self, seed: int, fold: str, baseline: str | None = None) -> Path:
        """Folder of one fit."""
        root = self.path / "baselines" / baseline if baseline else self.path
        return root / "fits" / f"seed{seed}" / safe_name(fold)

    def foreign_seeds(self, declared: Sequence[int]) -> list[str]:
        """Fits of other seeds than these: leftovers that must not lie beside a verdict."""
        mine = {f"seed{seed}" for seed in declared}
        fits = self.path / "fits"
        return sorted(path.name for path in fits.iterdir() if path.name not in mine) if fits.is_dir() else []

    def failure(self, contender: str, seed: int, fold: str) -> Path:
        """Log of a fit that failed; removed when the run begins again."""
        return self.failures / safe_name(contender) / f"seed{seed}" / f"{safe_name(fold)}.log"

    def log(self, contender: str, seed: int, fold: str) -> Path:
        """What was printed while a unit was computed, if anything was; it is no evidence, and not sealed."""
        return self.path / "logs" / safe_name(contender) / f"seed{seed}" / f"{safe_name(fold)}.log"

    @property
    def failures(self) -> Path:
        """Folder of the logs of fits that failed."""
        return self.path / "failures"

    @property
    def around(self) -> Path:
        """What somebody else's code may not see: all runs of the study; of a refit, somewhere, its own folder."""
        return self.path.parent if self.file(RUN_FILE).exists() else self.path

    def scratch(self, contender: str) -> Path:
        """Folder of intermediate training state; removed when the contender is done."""
        return self.path / "scratch" / safe_name(contender)


def run_key(variant: str, corpus: str, smoke: str | None, code: str) -> str:
    """What tells one run from another, as one digest; its first eight digits end the run's name.

    Args:
        variant: Digest of the resolved variant.
        corpus: Digest of the corpus.
        smoke: Why it is a smoke run, or None.
        code: Digest of the package's sources.
    """
    return digest({"variant": variant, "corpus": corpus, "smoke": smoke, "code": code})


def known_runs(study: Path, label: str, key: str | None = None) -> list[RunFolder]:
    """Run directories of a label, those of a key or all, the newest first."""
    end = re.escape(key[:8]) if key else "[0-9a-f]{8}"
    pattern = re.compile(rf"{re.escape(label)}-(?P<day>[0-9]{{8}})(?:\.(?P<number>[0-9]+))?-{end}")
    names = [path.name for path in study.iterdir()] if study.is_dir() else []
    found = [(match["day"], int(match["number"] or 1), name) for name in names if (match := pattern.fullmatch(name))]
    return [RunFolder(study / name) for _, _, name in sorted(found, reverse=True)]


def new_run(study: Path, label: str, key: str) -> RunFolder:
    """A name for today; the second of a day and a key is numbered."""
    day = f"{dt.datetime.now(dt.UTC):%Y%m%d}"
    for number in itertools.count(1):
        folder = study / f"{label}-{day}{f'.{number}' if number > 1 else ''}-{key[:8]}"
        if not folder.exists():
            break
    return RunFolder(folder)


def run_files(folder: Path) -> dict[str, FileEntry]:
    """Size and sha256 of every file of the run, by its path inside the run directory."""
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.as_posix() not in BESIDE_FILES and relative.parts[0] not in BESIDE_FOLDERS:
            files[relative.as_posix()] = file_entry(path)
    return files


def files_digest(files: Mapping[str, FileEntry]) -> str:
    """One digest over all files but the verdict, which holds it: who edits a file must edit the verdict too."""
    return digest({name: entry["sha256"] for name, entry in files.items() if name not in VERDICT_FILES})


def write_manifest(folder: Path) -> None:
    """Write ``manifest.json``, last of all."""
    write_json(folder / MANIFEST_FILE, {"schema": MANIFEST_SCHEMA, "files": run_files(folder)})


def stated_otherwise(folder: Path, expected: Mapping[str, Any]) -> str | None:
    """The first key of ``expected`` that the folder's ``run.json`` states otherwise.

    None where it agrees, and where it cannot be read: such a run is one to mend.
    """
    try:
        found = read_json(folder / RUN_FILE)
        return next((key for key, value in expected.items() if found[key] != value), None)
    except (HeldoutError, KeyError, TypeError):
        return None


def refuse_foreign(folder: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a run directory whose own documents say that it is another run.

    Args:
        folder: The run directory.
        expected: What its ``run.json`` must state, by key.

    Raises:
        InputError: With the key that differs.
    """
    key = stated_otherwise(folder, expected)
    if key is None:
        return
    stated = read_json(folder / RUN_FILE)[key]
    raise InputError(
        f"this folder is of another run: its {key} is {stated!r}, not {expected[key]!r}",
        where=f"{folder / RUN_FILE}: {key}",
        hint=f"a verdict stays with the study and the ledger that it was given in: move that folder out of "
        f"{folder.parent}, then the same command makes a run of its own",
    )
