"""A real run and its bundle, made once; and archives by the hand of an enemy."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from archive_kit import OURS

STUDY = """
study: tabled
corpus: {reader: table, path: table.csv, group: site, target: y}
backbone: sklearn
fit: {estimator: sklearn.linear_model.Ridge, params: {alpha: %s}}
seeds: [0, 1, 2, 3, 4]
baselines: []
gate:
  rules: [{id: plcc, metric: plcc, over: pooled, at_least: %s}]
"""


class Judged(NamedTuple):
    """A run and what it was made of."""

    folder: Path
    study: Path
    corpus: Path


def make_judged(home: Path, *, seed: int = 0, alpha: float = 1.0, bound: float = 0.9) -> Judged:
    from heldout import Study

    home.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    rows = [(f"s{row % 4}", rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 0.1)) for row in range(120)]
    lines = ["site,a,b,y", *(f"{site},{a},{b},{2 * a - b + noise}" for site, a, b, noise in rows)]
    (home / "table.csv").write_text("\n".join(lines) + "\n")
    (home / "study.yaml").write_text(STUDY % (alpha, bound))
    run = Study.load(home / "study.yaml").run(runs=home / "runs", workers=1)
    return Judged(run.folder, home / "study.yaml", home / "table.csv")


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A run that promotes. Not to be written to."""
    return make_judged(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="session")
def bundle(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle, with the corpus. Not to be written to."""
    from heldout.package.kit.bundle import build_bundle

    return build_bundle(judged.folder, tmp_path_factory.mktemp("bundle"), corpus=judged.corpus).path


@pytest.fixture
def unpacked(bundle: Path, tmp_path: Path) -> Path:
    """The bundle's files, to be changed."""
    with tarfile.open(bundle) as archive:
        archive.extractall(tmp_path / "open", **OURS)
    return tmp_path / "open" / "results"


Forge = Callable[..., Path]


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    """Packs members as they are given, however wrong, behind the one header that is let through."""

    def pack(*members: tuple[tarfile.TarInfo, bytes], name: str = "forged.tar.gz", tail: bytes = b"") -> Path:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for info, data in members:
                archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
        return gzipped(tmp_path / name, plain.getvalue() + tail)

    return pack


def gzipped(path: Path, data: bytes) -> Path:
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream:
        stream.write(data)
    return path


def member(
    name: str, data: bytes = b"x", *, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = (len(data) if kind == tarfile.REGTYPE else 0), kind, link
    return info, data


def copied(judged: Judged, target: Path) -> Judged:
    """The run at another place, where it may be changed."""
    shutil.copytree(judged.study.parent, target)
    return Judged(target / judged.folder.relative_to(judged.study.parent), target / "study.yaml", target / "table.csv")
