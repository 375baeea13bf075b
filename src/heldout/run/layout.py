"""The run directory: ``runs/<study>/<label>-<date>-<hash8>/``, one for each variant, corpus, code and packages."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heldout.evidence import digest

_LONGEST_NAME = 96


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

    @property
    def failures(self) -> Path:
        """Folder of the logs of fits that failed."""
        return self.path / "failures"

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


def safe_name(name: str) -> str:
    """A group's or fold's name as a file name: itself where harmless, else percent-encoded; long ones are hashed."""
    quoted = urllib.parse.quote(name, safe=" ()+,=@")
    quoted = quoted.replace(".", "%2E", 1) if quoted.startswith(".") else quoted
    if 0 < len(quoted) <= _LONGEST_NAME:
        return quoted
    return quoted[:64] + "~" + hashlib.sha256(name.encode()).hexdigest()[:16]
