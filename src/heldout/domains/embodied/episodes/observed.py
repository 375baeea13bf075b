"""Streams as they are observed: which of them a model may see, and their values at a place in time.

Nothing here is fitted. What an episode gives is read once a process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.corpus.guards import Finding
from heldout.domains.embodied.episodes.header import Stream
from heldout.domains.embodied.episodes.layouts import open_episode
from heldout.domains.embodied.episodes.media import iterate_frames
from heldout.domains.embodied.episodes.store import Episode
from heldout.errors import InputError

LANGUAGE_CODE = "HO-G135"
_LANGUAGE = frozenset({"language", "text", "caption", "captions", "transcript", "label", "labels", "instruction"})
_NO_STATE = frozenset({"action", "time"})
_OPEN = 256


def refusal(name: str, stream: Stream) -> str | None:
    """Why a stream may not be seen; None if it may."""
    words = set(re.split(r"[^a-z]+", f"{name} {stream.modality}".lower()))
    if stream.kind == "labels" or words & _LANGUAGE:
        return "it is language"
    if stream.privileged:
        return "only a simulator or an annotator knows it"
    if stream.label_source:
        return f"{', '.join(stream.label_source)} is computed from it"
    if stream.synthetic:
        return "it is made up"
    if stream.kind not in ("array", "video") or stream.rate_hz is None:
        return f"it is {stream.kind} without a rate that features are made of"
    return f"it is {stream.modality}, not state" if stream.modality in _NO_STATE else None


def check_names(names: Iterable[str], where: str) -> list[Finding]:
    """HO-G135: features whose names say language, whatever wrote them."""
    found = [name for name in names if set(re.split(r"[^a-z]+", name.lower())) & _LANGUAGE]
    if not found:
        return []
    what = f"{len(found)} features are language, such as {found[0]}"
    hint = "features are measured streams and pictures; export again without it"
    return [Finding(LANGUAGE_CODE, blocking=True, what=what, where=where, hint=hint)]


@lru_cache(maxsize=_OPEN)
def opened(folder: Path) -> Episode:
    """An episode, opened once a process."""
    return open_episode(folder)


def stream_span(episode: Episode, name: str, start: int, end: int) -> NDArray[np.float64]:
    """Samples of an array stream during frames ``start .. end``, ``[samples, columns]``."""
    first, last = episode.header.span(name, start, end)
    values: NDArray[np.float64] = np.asarray(_whole(episode.folder, name)[first:last], dtype=np.float64)
    if not len(values):
        raise InputError(f"stream {name!r} has no sample there", where=f"{episode.folder}: {start}..{end}")
    return values


@lru_cache(maxsize=_OPEN)
def _whole(folder: Path, name: str) -> NDArray[Any]:
    values = opened(folder).array(name)
    return values.reshape(len(values), -1)


@lru_cache(maxsize=_OPEN)
def grids(folder: Path, name: str, grid: int) -> NDArray[np.float32]:
    """Pictures of a camera on a coarse grid, values 0 .. 1, ``[pictures, grid, grid, 3]``; decoded once a process."""
    episode = opened(folder)
    offset, count = episode.video_offset(name), episode.stream(name).shape[:1]
    found = []
    for number, picture in enumerate(iterate_frames(episode.path(name))):
        if count and number >= offset + count[0]:
            break
        if number >= offset:
            found.append(shrink(picture, grid))
    if not found:
        raise InputError("the video has no pictures", where=str(episode.path(name)), hint="select again")
    return np.stack(found)


def shrink(picture: NDArray[np.uint8], grid: int) -> NDArray[np.float32]:
    """Mean colour of each cell, 0 .. 1, ``[grid, grid, 3]``."""
    height, width = (side // grid * grid for side in picture.shape[:2])
    if not height or not width:
        raise InputError(f"a picture of {picture.shape[:2]} has no {grid} cells a side", where="--grid", hint="fewer")
    cells = picture[:height, :width].reshape(grid, height // grid, grid, width // grid, 3)
    mean: NDArray[np.float32] = (cells.mean(axis=(1, 3)) / 255).astype(np.float32)
    return mean
