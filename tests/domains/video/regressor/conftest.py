"""Small corpora that behave like libvmaf's rows, for the tests of the regressor and its export."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from heldout import Study
from heldout.corpus import Corpus
from heldout.domains.video.corpus.reader import FrameReader
from heldout.domains.video.corpus.rows import FEATURES
from heldout.domains.video.export.run import export_run

WriteFrames = Callable[..., Path]
ReadFrames = Callable[[Path], Corpus]
STRENGTH = {"libx264": 1.0, "libx265": 0.8, "libsvtav1": 0.7, "h264_nvenc": 1.1, "hevc_qsv": 0.85, "h264_vaapi": 1.2}


@pytest.fixture
def write_frames(tmp_path: Path) -> WriteFrames:
    """Write a corpus whose score is one smooth function of the six features, whatever the encoder."""

    def write(*, name: str = "frames.jsonl", **changes: Any) -> Path:
        return write_corpus(tmp_path / name, **changes)

    return write


def write_corpus(
    path: Path,
    *,
    encoders: Sequence[str] = ("libx264", "libx265"),
    sources: int = 4,
    frames: int = 30,
    cqs: Sequence[int] = (19, 25, 31, 37),
    seed: int = 0,
) -> Path:
    """Write such a corpus anywhere."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        for source in range(sources):
            level = 0.3 + 0.6 * source / sources
            content = 0.2 * np.cumsum(rng.normal(size=frames)) / np.sqrt(np.arange(1, frames + 1))
            motion = np.abs(3.0 + 8.0 * level + rng.normal(size=frames))
            for encoder in encoders:
                for cq in cqs:
                    loss = STRENGTH[encoder] * level * np.exp((cq - 31) / 9 + content)
                    scores = _scores(loss * np.exp(rng.normal(0, 0.08, frames)), motion, rng)
                    head = {"src": f"source{source}", "encoder": encoder, "cq": cq}
                    for frame in range(frames):
                        values = {key: round(float(column[frame]), 6) for key, column in scores.items()}
                        row = {**head, "enc_bytes": 90_000 // cq, "enc_time_ms": 1.0, "frame_index": frame}
                        stream.write(json.dumps(row | values) + "\n")
    return path


def _scores(loss: np.ndarray, motion: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    speeds = (1.05, 0.34, 0.21, 0.14)
    vif = [np.clip(np.exp(-speed * loss) + rng.normal(0, 0.003, len(loss)), 0, 1) for speed in speeds]
    adm = np.clip(1 - 0.075 * loss, 0, 1)
    vmaf = np.clip(100 / (1 + np.exp(-4.5 + 1.8 * loss)) + 0.05 * motion, 0, 100)
    return dict(zip(("vmaf", *FEATURES), (vmaf, adm, *vif, motion), strict=True))


@pytest.fixture
def read_frames() -> ReadFrames:
    def read(path: Path) -> Corpus:
        return FrameReader(FrameReader.Options(path=path)).read()

    return read


@pytest.fixture
def corpus(write_frames: WriteFrames, read_frames: ReadFrames) -> Corpus:
    """Four sources, two encoders, four quality points: 960 rows."""
    return read_frames(write_frames())


STUDY = """
study: {name}
corpus: {{reader: video_frames, path: frames.jsonl}}
backbone: fr_regressor
fit: {{epochs: 40, hidden: 16}}
seeds: [0, 1]
bootstrap: {{draws: 100}}
baselines: []
gate: {{min_seeds: 2, rules: [{{id: plcc, metric: plcc, over: pooled, at_least: 0.3}}]}}
"""


class Exported(NamedTuple):
    """A run that promotes, its corpus, and the folder of its export."""

    run: Path
    corpus: Path
    folder: Path


def make_export(home: Path, *, name: str = "clips", **corpus: Any) -> Exported:
    """Run a small study and export it."""
    path = write_corpus(home / "frames.jsonl", **({"frames": 12} | corpus))
    (home / "study.yaml").write_text(STUDY.format(name=name))
    run = Study.load(home / "study.yaml").run(runs=home / "runs", workers=1).folder
    export_run(run, path)
    return Exported(run, path, run / "exports")


@pytest.fixture(scope="session")
def export_of() -> Callable[..., Exported]:
    """Runs and exports in a folder of the test's own."""
    return make_export


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An export that must not be written to."""
    return make_export(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def another_export(tmp_path: Path) -> Exported:
    """An honest export of another corpus."""
    return make_export(tmp_path / "other", seed=1)
