"""The clip of a window: pictures of all cameras side by side, and the patches that the vision tower takes.

The processor of transformers needs torchvision for video. Its layout is short enough to be written here, and a test
holds it to the picture processor that needs none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.media import iterate_frames, read_frames, write_video
from heldout.domains.embodied.qwen.settings import MERGE, PATCH, TEMPORAL, ExportSettings
from heldout.errors import InputError

Pixels = NDArray[np.uint8]
_MEAN = _STD = 0.5  # of the published model's preprocessor


class Patches(NamedTuple):
    """What the vision tower takes.

    Attributes:
        values: float32 of shape ``[t * h * w, 3 * 2 * 16 * 16]``, blocks of 2 x 2 patches together.
        grid: ``t, h, w`` in patches.
    """

    values: NDArray[np.float32]
    grid: tuple[int, int, int]

    @property
    def tokens(self) -> int:
        """Places that the clip takes in the prompt."""
        return self.grid[0] * self.grid[1] * self.grid[2] // MERGE**2


def patchify(frames: Pixels) -> Patches:
    """Cut RGB frames of shape ``[frames, height, width, 3]`` into patches; an odd last frame is repeated.

    Raises:
        InputError: If height or width is no multiple of 32.
    """
    count, height, width, channels = frames.shape
    if height % (PATCH * MERGE) or width % (PATCH * MERGE) or not count:
        raise InputError(
            f"a clip of {count} x {height}x{width} cannot be cut into patches",
            where="clip",
            hint="height and width are multiples of 32",
        )
    padded = np.concatenate([frames, frames[-1:]]) if count % TEMPORAL else frames
    values = (padded.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255) - _MEAN) / np.float32(_STD)
    grid = (len(padded) // TEMPORAL, height // PATCH, width // PATCH)
    t, h, w = grid
    cut = values.reshape(t, TEMPORAL, channels, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH)
    flat = cut.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(t * h * w, -1)
    return Patches(np.ascontiguousarray(flat, dtype=np.float32), grid)


def mosaic(record: Mapping[str, Any], home: Path, settings: ExportSettings) -> Pixels:
    """Pictures of the context of an index record, all cameras in fixed places.

    Args:
        record: Of the window index.
        home: Folder that its paths are relative to.
        settings: Of the export.

    Returns:
        RGB of shape ``[frames, height, width, 3]``; of no frames where the window has no video.
    """
    streams = {one["name"]: one for one in record["modalities"]["media"]["video_streams"]}
    shown = [streams[name] for name in settings.streams if name in streams]
    most = max((one["last_frame"] - one["first_frame"] + 1 for one in shown), default=0)
    count = min(settings.max_video_frames, most)
    height, width = settings.tile
    canvas = np.zeros((count, *settings.mosaic, 3), np.uint8)
    for place, name in enumerate(settings.streams):
        if name in streams and count:
            row, column = divmod(place, settings.layout[1])
            tiles = _tiles(streams[name], home, count, settings.tile)
            canvas[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = tiles
    return canvas


def as_seen(frames: Pixels, settings: ExportSettings) -> Pixels:
    """Frames after the encoder that wrote the data set's clips, so that no model can tell the two apart."""
    if not len(frames):
        return frames
    with tempfile.TemporaryDirectory(prefix="heldout-clip-") as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames, settings.clip_hz)
        return read_clip(path)


def read_clip(path: Path) -> Pixels:
    """All frames of a written clip."""
    frames = list(iterate_frames(path))
    if not frames:
        raise InputError("the clip has no frames", where=str(path), hint="export again")
    return np.stack(frames)


def _tiles(stream: Mapping[str, Any], home: Path, count: int, tile: tuple[int, int]) -> Pixels:
    first, last = int(stream["first_frame"]), int(stream["last_frame"])
    chosen = np.linspace(0, last - first, count).round().astype(int)
    frames: Pixels = read_frames(home / stream["path"], first, last + 1)[chosen]
    if frames.shape[1:3] == tile:
        return frames
    import av

    height, width = tile
    sized = (av.VideoFrame.from_ndarray(one, format="rgb24").reformat(width=width, height=height) for one in frames)
    return np.stack([one.to_ndarray(format="rgb24") for one in sized])
