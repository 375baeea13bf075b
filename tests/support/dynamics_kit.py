"""Small episodes that move by a rule: a hand on a circle, a picture of it, the command that moved it, and a caption."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.episodes.labels import FrameLabels, object_runs_of, runs_of
from heldout.domains.embodied.episodes.media import write_video
from heldout.domains.embodied.episodes.store import EpisodeWriter
from heldout.domains.embodied.index.build import build_index
from heldout.domains.embodied.index.windows import ContextMode, Scale, WindowOptions
from heldout.domains.embodied.select.manifest import build_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.domains.embodied.world.export import FutureSettings, export
from heldout.domains.embodied.world.train import TrainOptions

FRAMES, SIDE, CLOCK_HZ = 80, 32, 20.0
QUICK = TrainOptions(epochs=12, patience=12, hidden=32, learning_rate=3e-3)


def write_episode(root: Path, number: int, *, pose_scale: float = 1.0, length: int = FRAMES) -> None:
    """One episode; the speed and the start are its own."""
    rng = np.random.default_rng(number)
    turn = rng.uniform(0, 2 * np.pi) + np.arange(length + 1) * rng.uniform(0.05, 0.12)
    place = pose_scale * np.stack([np.cos(turn), np.sin(turn), 0.1 * turn], axis=1)
    pose, action = place[:-1].astype(np.float32), np.diff(place, axis=0).astype(np.float32)
    actions = ["rise" if y > 0 else "sink" for y in pose[:, 1]]
    contact = (pose[:, :1] > 0).astype(np.float32)
    caption = rng.normal(size=(length, 4)).astype(np.float32)
    arrays: dict[str, tuple[Any, dict[str, Any]]] = {
        "pose": (pose, {"units": "m"}),
        "action": (action, {"units": "1", "names": ("dx", "dy", "dz")}),
        "contact": (contact, {"units": "N", "label_source": ("contact",)}),
        "caption_vector": (caption, {"units": "1", "modality": "language"}),
        "goal": (pose[::-1].copy(), {"units": "m", "privileged": True}),
    }
    with EpisodeWriter(root / f"s{number:03d}" / f"ep{number}") as writer:
        for name, (values, facts) in arrays.items():
            writer.add_array(name, values, **({"modality": name, "rate_hz": CLOCK_HZ} | facts))
        facts = {"kind": "video", "modality": "video", "units": "1", "rate_hz": CLOCK_HZ, "dtype": "|u1"}
        pictures = _pictures(pose / pose_scale)
        write = partial(write_video, frames=pictures, rate_hz=CLOCK_HZ)
        writer.add_media("camera/front", ".mp4", write, shape=pictures.shape, **facts)
        objects = object_runs_of([("cup", "shelf") if name == "rise" else ("cup",) for name in actions])
        writer.add_labels(FrameLabels(length, runs_of(actions), runs_of(["turn"] * length), objects, "by hand"))
        writer.finish(
            episode_id=f"s{number:03d}__ep{number}",
            session=f"s{number:03d}",
            source_episode_id=f"ep{number}",
            frames=length,
            clock_hz=CLOCK_HZ,
            main_task="turn the cup" if number % 2 else "turn the cup slowly",
        )


def make_index(folder: Path, episodes: int = 24, *, context: ContextMode = "causal", pose_scale: float = 1.0) -> Path:
    """Episodes, their manifest in ``data`` and their index; return the folder of the index."""
    for number in range(episodes):
        write_episode(folder / "store", number, pose_scale=pose_scale)
    manifest = build_manifest([folder / "store"], folder / "data", SelectionRules())
    options = WindowOptions((Scale(10, 5),), context_frames=20, context=context, min_label_fraction=0.5)
    build_index(manifest, folder / "index", options, load_registry(folder))
    return folder / "index"


def make_pairs(index: Path, out: Path, horizon: float = 0.5) -> Path:
    """An export; return its folder."""
    export(index, out, FutureSettings(horizon, grid=4, action_bins=2))
    return out


def _pictures(pose: Any) -> Any:
    """A bright square where the hand is."""
    pictures = np.full((len(pose), SIDE, SIDE, 3), 40, np.uint8)
    for picture, (x, y, _) in zip(pictures, pose, strict=True):
        column, row = (int((value + 1.3) / 2.6 * (SIDE - 6)) for value in (x, y))
        picture[row : row + 6, column : column + 6] = (220, 120, 60)
    return pictures
