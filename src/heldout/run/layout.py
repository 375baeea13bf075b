"""The run directory: ``runs/<study>/<label>-<date>-<hash8>/``, one for each variant, corpus and code."""

from __future__ import annotations

import datetime as dt
import hashlib
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


def run_folder(runs: Path, study: str, label: str, key: str) -> RunFolder:
    """The newest run directory with this key, or a new name for today."""
    parent = runs / study
    known = sorted(parent.glob(f"{label}-????????-{key[:8]}")) if parent.is_dir() else []
    if known:
        return RunFolder(known[-1])
    return RunFolder(parent / f"{label}-{dt.datetime.now(dt.UTC):%Y%m%d}-{key[:8]}")


def safe_name(name: str) -> str:
    """A group's or fold's name as a file name: itself where harmless, else percent-encoded; long ones are hashed."""
    quoted = urllib.parse.quote(name, safe=" ()+,=@")
    quoted = quoted.replace(".", "%2E", 1) if quoted.startswith(".") else quoted
    if 0 < len(quoted) <= _LONGEST_NAME:
        return quoted
    return quoted[:64] + "~" + hashlib.sha256(name.encode()).hexdigest()[:16]
