"""What a world model knows of a window: measured streams and pictures as numbers, and not a word of language.

Of each measured column: mean, spread, the last value and the change over the window. Of each camera: the last picture
and the change over the window, both grey on a coarse grid, and the mean colour. Left out are actions (they are
conditioning), what only a simulator or an annotator knows, what an answer is computed from, and text in any form.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.observed import LANGUAGE_CODE, grids, refusal, shrink, stream_span
from heldout.domains.embodied.episodes.store import Episode
from heldout.errors import InputError, RefusedError

_GREY = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class FeatureSpec:
    """Which streams are seen, and how coarsely.

    Attributes:
        streams: Array streams, by name.
        cameras: Video streams, by name.
        grid: Cells a side.
    """

    streams: tuple[str, ...]
    cameras: tuple[str, ...]
    grid: int = 8

    @classmethod
    def shared(cls, episodes: Iterable[Episode], grid: int = 8) -> Self:
        """Everything that may be seen and that all episodes have.

        Raises:
            InputError: If there is nothing.
        """
        streams: set[str] | None = None
        cameras: set[str] | None = None
        for episode in episodes:
            seen = {name: stream for name, stream in episode.header.streams.items() if not refusal(name, stream)}
            arrays = {name for name, stream in seen.items() if stream.kind == "array"}
            videos = {name for name, stream in seen.items() if stream.kind == "video"}
            streams = arrays if streams is None else streams & arrays
            cameras = videos if cameras is None else cameras & videos
        if not streams and not cameras:
            raise InputError("the episodes share no stream that may be seen", where="features", hint="select again")
        return cls(tuple(sorted(streams or ())), tuple(sorted(cameras or ())), grid)

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, where: str) -> Self:
        """Read the block ``features`` of an export or a checkpoint.

        Raises:
            InputError: If it is not of the schema.
        """
        try:
            return cls(tuple(document["streams"]), tuple(document["cameras"]), int(document["grid"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the features are not described: {error!r}", where=where, hint="export again") from None

    def check(self, episode: Episode) -> None:
        """See that an episode has what is named, and that it may be seen.

        Raises:
            RefusedError: If a stream is language, privileged, an answer's source or an action.
        """
        for name in (*self.streams, *self.cameras):
            why = refusal(name, episode.stream(name))
            if why:
                raise RefusedError(
                    f"stream {name!r} is no feature of a world model: {why}",
                    where=str(episode.folder),
                    hint="features are measured streams and pictures; export again without it",
                    code=LANGUAGE_CODE,
                )

    @property
    def picture_width(self) -> int:
        """Features of one camera."""
        return 2 * self.grid**2 + 3

    def names(self, episode: Episode) -> list[str]:
        """Name of every feature, in order."""
        found = []
        for name in self.streams:
            columns = int(np.prod(episode.stream(name).shape[1:], dtype=int))
            found += [f"{name}[{c}].{kind}" for kind in ("mean", "std", "last", "change") for c in range(columns)]
        cells = [f"{row},{column}" for row in range(self.grid) for column in range(self.grid)]
        for name in self.cameras:
            found += [f"{name}[{cell}].{kind}" for kind in ("last", "change") for cell in cells]
            found += [f"{name}.{colour}" for colour in ("red", "green", "blue")]
        return found


def window_features(episode: Episode, spec: FeatureSpec, start: int, end: int) -> FloatArray:
    """Features of frames ``start .. end`` inclusive, float64 ``[features]``.

    Raises:
        InputError: If the frames leave the episode, or a value is not finite.
    """
    if not 0 <= start <= end < episode.header.frames:
        raise InputError(
            f"frames {start}..{end} leave the episode of {episode.header.frames} frames",
            where=episode.header.episode_id,
            hint="a window and its future stand inside one episode",
            code="HO-G136",
        )
    parts = [_array_features(episode, name, start, end) for name in spec.streams]
    parts += [_camera_features(episode, name, spec.grid, start, end) for name in spec.cameras]
    values = np.concatenate(parts)
    if not np.isfinite(values).all():
        raise InputError("a feature is not finite", where=f"{episode.folder}: {start}..{end}", hint="select again")
    return values


def _array_features(episode: Episode, name: str, start: int, end: int) -> FloatArray:
    values = stream_span(episode, name, start, end)
    return np.concatenate([values.mean(0), values.std(0), values[-1], values[-1] - values[0]])


def _camera_features(episode: Episode, name: str, grid: int, start: int, end: int) -> FloatArray:
    pictures = grids(episode.folder, name, grid)
    first, last = episode.header.span(name, start, end)
    first, last = min(first, len(pictures) - 1), min(max(last, first + 1), len(pictures))
    return _of_grids(pictures[first:last])


def picture_features(pictures: NDArray[np.uint8], grid: int) -> FloatArray:
    """Features of whole pictures, ``[pictures, height, width, 3]``: as of those of an episode."""
    return _of_grids(np.stack([shrink(one, grid) for one in pictures]))


def _of_grids(grids: NDArray[np.float32]) -> FloatArray:
    seen = grids.astype(np.float64)
    grey = seen @ _GREY
    return np.concatenate([grey[-1].ravel(), (grey[-1] - grey[0]).ravel(), seen[-1].mean(axis=(0, 1))])


def action_bins(episode: Episode, name: str, start: int, end: int, bins: int) -> FloatArray:
    """Mean action in equal parts of frames ``start .. end``, ``[bins * columns]``."""
    values = stream_span(episode, name, start, end)
    edges = np.linspace(0, len(values), bins + 1).round().astype(int)
    parts: Sequence[FloatArray] = [
        values[first : max(last, first + 1)].mean(axis=0) if first < len(values) else values[-1]
        for first, last in itertools.pairwise(edges)
    ]
    return np.concatenate(parts)
