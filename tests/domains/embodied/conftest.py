"""Small hand-made episodes: their labels are known, so that every rule has an expected answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.domains.embodied.episodes.labels import FrameLabels, object_runs_of, runs_of
from heldout.domains.embodied.episodes.store import EpisodeWriter

FRAMES = 100
MakeEpisode = Callable[..., Path]


def default_actions(number: int) -> list[str]:
    """Reach, then move: the change is at a frame that depends on the episode."""
    change = 40 + number % 20
    return ["reach for the cup"] * change + ["move the cup"] * (FRAMES - change)


@pytest.fixture
def make_episode(tmp_path: Path) -> MakeEpisode:
    """Write one episode into the store ``tmp_path / "store"`` and return its folder."""

    def make(
        number: int = 0,
        *,
        session: str | None = None,
        actions: list[str] | None = None,
        sound: str | None = None,
        without: tuple[str, ...] = (),
        arrays: dict[str, Any] | None = None,
        content: int | None = None,
        size: int = 3,
        root: Path | None = None,
    ) -> Path:
        session = session or f"s{number:03d}"
        random = np.random.default_rng(number if content is None else content)
        folder = (root or tmp_path / "store") / session / f"ep{number}"
        actions = default_actions(number) if actions is None else actions
        contact = np.zeros((FRAMES, 1), np.float32)
        contact[[i for i, a in enumerate(actions) if a.startswith("move")]] = 2.5
        values = {
            "pose": random.normal(size=(FRAMES, size)).astype(np.float32),
            "action": random.normal(size=(FRAMES, 4)).astype(np.float32),
            "contact": contact,
        } | (arrays or {})
        with EpisodeWriter(folder) as writer:
            for name, array in values.items():
                if name not in without:
                    facts = {"label_source": ("contact",)} if name == "contact" else {}
                    rate = 20.0 * len(array) / FRAMES if len(array) else 20.0
                    writer.add_array(name, array, modality=name, units="1", rate_hz=rate, **facts)
            if sound is not None:
                add_sound(writer, sound)
            if "labels" not in without:
                objects = object_runs_of([("cup",)] * FRAMES)
                writer.add_labels(
                    FrameLabels(FRAMES, runs_of(actions), runs_of(["serve"] * FRAMES), objects, "by hand")
                )
            writer.finish(
                episode_id=f"{session}__ep{number}",
                session=session,
                source_episode_id=f"ep{number}",
                frames=FRAMES,
                clock_hz=20.0,
                main_task="serve the cup",
            )
        return folder

    return make


def add_sound(writer: EpisodeWriter, kind: str) -> None:
    """A recorded tone, silence of the right length, or a file with no samples at all."""
    from heldout.domains.embodied.episodes.media import write_wav

    seconds = np.arange(5 * 1600) / 1600
    tone = 9000 * np.sin(440 * seconds)
    samples = {"made up": tone, "tone": tone, "silent": 0 * seconds, "none": seconds[:0]}[kind].astype(np.int16)
    writer.add_media(
        "audio",
        ".wav",
        lambda path: write_wav(path, samples, 1600),
        kind="audio",
        modality="audio",
        units="1",
        rate_hz=1600.0,
        shape=samples.shape,
        dtype="<i2",
        synthetic=kind == "made up",
        label_source=("contact",) if kind == "made up" else (),
    )
