"""A small store with pictures and sound, its index and its data set, and a tiny base: everything that a model needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.episodes.labels import FrameLabels, object_runs_of, runs_of
from heldout.domains.embodied.episodes.media import write_video, write_wav
from heldout.domains.embodied.episodes.store import EpisodeWriter
from heldout.domains.embodied.index.build import build_index
from heldout.domains.embodied.index.names import INDEX_FILE, MANIFEST_FILE
from heldout.domains.embodied.index.windows import Scale, WindowOptions
from heldout.domains.embodied.qwen.base import TinySize, make_tiny
from heldout.domains.embodied.qwen.batch import Dataset
from heldout.domains.embodied.qwen.export import export
from heldout.domains.embodied.qwen.settings import ExportSettings
from heldout.domains.embodied.select.manifest import build_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.evidence import sha256_file, write_json

FRAMES, CLOCK, SIDE = 60, 20.0, 32
CAMERAS = ("front", "wrist")
SMALL = ExportSettings(tile=(SIDE, SIDE), max_video_frames=4, sensors=4)
LITTLE = TinySize(width=64, layers=1, experts=2, tower=32, depth=1, vocabulary=600)
_COLOURS = {"reach": (200, 30, 30), "move": (30, 200, 30), "put": (30, 30, 200)}


def write_seen_episode(root: Path, number: int, *, tone_tells: bool = False, label: str | None = None) -> None:
    """Reach, move, put: the picture's colour says which; changes are at frames that depend on the episode.

    Args:
        root: Of the store.
        number: Of the episode, and the seed of its noise.
        tone_tells: The header says that an answer is computed from the sound.
        label: An action that only this episode has, in place of ``put``.
    """
    rng = np.random.default_rng(number)
    first, second = 15 + number % 9, 35 + number % 11
    actions = ["reach"] * first + ["move"] * (second - first) + ["put"] * (FRAMES - second)
    level = np.array([{"reach": 0.0, "move": 1.0, "put": 2.0}[name] for name in actions])
    with EpisodeWriter(root / f"s{number:03d}" / f"ep{number}") as writer:
        for camera in CAMERAS:
            colours = np.array([_COLOURS[name] for name in actions], float)[:, None, None, :]
            noise = rng.normal(scale=12, size=(FRAMES, SIDE, SIDE, 3))
            frames = np.clip(colours + noise, 0, 255).astype(np.uint8)
            _video(writer, camera, frames)
        pose = (level[:, None] + rng.normal(scale=0.4, size=(FRAMES, 3))).astype(np.float32)
        writer.add_array("pose", pose, modality="pose", units="m", rate_hz=CLOCK)
        contact = (level > 0).astype(np.float32)[:, None]
        writer.add_array("contact", contact, modality="contact", units="N", rate_hz=CLOCK, label_source=("contact",))
        _sound(writer, rng, ("contact",) if tone_tells else ())
        names = [label if label and name == "put" else name for name in actions]
        objects = object_runs_of([("cup",) if name == "reach" else ("cup", "shelf") for name in actions])
        writer.add_labels(FrameLabels(FRAMES, runs_of(names), runs_of(["serve"] * FRAMES), objects, "by hand"))
        writer.finish(
            episode_id=f"s{number:03d}__ep{number}",
            session=f"s{number:03d}",
            source_episode_id=f"ep{number}",
            frames=FRAMES,
            clock_hz=CLOCK,
            main_task="serve the cup",
        )


def make_seen_index(folder: Path, episodes: int = 12, context: Any = "causal", **facts: Any) -> Path:
    """Episodes, their manifest and their index; return the folder of the index."""
    for number in range(episodes):
        write_seen_episode(folder / "store", number, **facts)
    manifest = build_manifest([folder / "store"], folder / "manifest", SelectionRules())
    options = WindowOptions((Scale(10, 10),), context_frames=20, context=context)
    build_index(manifest, folder / "index", options, load_registry(folder))
    return folder / "index"


def make_data(folder: Path, settings: ExportSettings = SMALL) -> Path:
    """Index and data set; return the folder that holds ``index``, ``data`` and ``tiny``."""
    export(make_seen_index(folder), folder / "data", settings)
    make_tiny(folder / "tiny", Dataset(folder / "data").texts(), LITTLE)
    return folder


def change_index(index: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every record, and let the manifest name the changed file: what a faulty index builder would leave."""
    path = index / INDEX_FILE
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        change(record)
    path.write_text("".join(json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n" for record in records))
    manifest = json.loads((index / MANIFEST_FILE).read_text())
    manifest.pop("heads", None)  # places of the old lines
    write_json(index / MANIFEST_FILE, manifest | {"output_sha256": sha256_file(path)})


def _video(writer: EpisodeWriter, camera: str, frames: Any) -> None:
    writer.add_media(
        f"camera/{camera}",
        ".mp4",
        lambda path: write_video(path, frames, CLOCK),
        kind="video",
        modality="video",
        units="1",
        rate_hz=CLOCK,
        shape=frames.shape,
        dtype="|u1",
    )


def _sound(writer: EpisodeWriter, rng: Any, source: tuple[str, ...]) -> None:
    rate = 16000
    seconds = np.arange(round(FRAMES / CLOCK * rate)) / rate
    samples = (6000 * np.sin(2 * np.pi * 300 * seconds) + rng.normal(scale=500, size=len(seconds))).astype(np.int16)
    writer.add_media(
        "audio",
        ".wav",
        lambda path: write_wav(path, samples, rate),
        kind="audio",
        modality="audio",
        units="1",
        rate_hz=float(rate),
        shape=samples.shape,
        dtype="<i2",
        label_source=source,
    )
