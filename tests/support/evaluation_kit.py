"""Predictors that worker processes can import, and a small real index of windows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.episodes.labels import FrameLabels, object_runs_of, runs_of
from heldout.domains.embodied.episodes.store import EpisodeWriter
from heldout.domains.embodied.evaluate.predictors import Nearest
from heldout.domains.embodied.index.build import build_index
from heldout.domains.embodied.index.windows import Scale, WindowOptions
from heldout.domains.embodied.select.manifest import build_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.errors import InputError
from heldout.evidence import digest
from heldout.predict.session import Sample

FRAMES = 100
TENS = Scale(10, 10)


class Echo:
    """Answers with a digest of the sample; fails for those it is told to."""

    batch = 3

    def __init__(self, broken: str = "", wrong: str = "") -> None:
        self._broken, self._wrong = broken, wrong

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        if any(sample.id == self._broken for sample in samples):
            raise RuntimeError("no such frame")
        return [{"text": float("nan") if s.id == self._wrong else digest([s.id, s.ref])} for s in samples]


class Slow(Nearest):
    """As slow as a model, so that it can be killed meanwhile."""

    batch = 2

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        time.sleep(0.01 * len(samples))
        return super().predict(samples)


class Told(Nearest):
    """Asks how text is to be made, and says so in its rows."""

    def __init__(self, index: str, adapter: str | None = None, decoding: Mapping[str, Any] | None = None) -> None:
        super().__init__(index, adapter)
        self._words = Told.parse_decoding(decoding or {})

    @staticmethod
    def parse_decoding(decoding: Mapping[str, Any]) -> int:
        unknown = decoding.keys() - {"words"}
        if unknown:
            raise InputError(f"no such decoding: {min(unknown)}", where="decoding", hint="words")
        return int(decoding.get("words", 1))

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        return [{**row, "words": self._words} for row in super().predict(samples)]


def write_episode(root: Path, number: int) -> None:
    """Reach, move, put: the pose says which, with noise; changes are at frames that depend on the episode."""
    rng = np.random.default_rng(number)
    first, second = 25 + number % 15, 60 + number % 20
    actions = ["reach"] * first + ["move"] * (second - first) + ["put"] * (FRAMES - second)
    level = np.array([{"reach": 0.0, "move": 1.0, "put": 2.0}[name] for name in actions])
    pose = (level[:, None] + rng.normal(scale=0.6, size=(FRAMES, 3))).astype(np.float32)
    contact = (level > 0).astype(np.float32)[:, None]
    with EpisodeWriter(root / f"s{number:03d}" / f"ep{number}") as writer:
        writer.add_array("pose", pose, modality="pose", units="m", rate_hz=20.0)
        writer.add_array("contact", contact, modality="contact", units="N", rate_hz=20.0, label_source=("contact",))
        objects = object_runs_of([("cup",) if name != "put" else ("cup", "shelf") for name in actions])
        labels = FrameLabels(FRAMES, runs_of(actions), runs_of(["serve"] * FRAMES), objects, "by hand")
        writer.add_labels(labels)
        writer.finish(
            episode_id=f"s{number:03d}__ep{number}",
            session=f"s{number:03d}",
            source_episode_id=f"ep{number}",
            frames=FRAMES,
            clock_hz=20.0,
            main_task="serve the cup",
        )


def make_index(folder: Path, episodes: int = 16, scale: Scale = TENS) -> Path:
    """Episodes, their manifest and their index; return the folder of the index."""
    for number in range(episodes):
        write_episode(folder / "store", number)
    manifest = build_manifest([folder / "store"], folder / "manifest", SelectionRules())
    build_index(manifest, folder / "index", WindowOptions((scale,), context_frames=20), load_registry(folder))
    return folder / "index"
