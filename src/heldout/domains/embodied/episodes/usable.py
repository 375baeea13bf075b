"""Whether what an episode declares is really there: a stream may be missing, empty, silent or unreadable.

To be complete is to have every file; to be usable is to have something in it. The published data set of this kind lost
its whole sound track unnoticed, because only the first was asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from heldout.domains.embodied.episodes.header import Stream
from heldout.domains.embodied.episodes.labels import SkipCode
from heldout.domains.embodied.episodes.media import read_sound, video_facts
from heldout.domains.embodied.episodes.store import Episode
from heldout.errors import InputError, TamperedError

LABELS = "labels"
_MISSING: dict[str, SkipCode] = {"pose": "missing_pose", "contact": "missing_contact", LABELS: "no_label"}
_MAY_BE_CONSTANT = frozenset({"contact"})  # an episode in which nothing is touched is a good episode
_LARGE, _SAMPLES = 1 << 26, 256  # of a depth map of gigabytes, the first samples stand for all
_SILENCE = 1e-4  # of full scale; below what 16 bits of a recorded room ever hold


class Problem(NamedTuple):
    """Why a modality of an episode cannot be used."""

    code: SkipCode
    modality: str
    detail: str

    def to_json(self) -> dict[str, str]:
        """As a document."""
        return self._asdict()


def declared_modalities(episode: Episode) -> set[str]:
    """What was recorded: streams that are neither privileged nor made up, and the labels."""
    streams = episode.header.streams.values()
    return {s.modality for s in streams if s.kind == "labels" or not (s.privileged or s.synthetic)} - {"time"}


def problems(episode: Episode, required: Iterable[str], *, allow_synthetic: bool = False) -> list[Problem]:
    """Every required modality that is absent, empty, made up or unreadable, by name."""
    found = (problem(episode, modality, allow_synthetic=allow_synthetic) for modality in sorted(required))
    return [one for one in found if one is not None]


def problem(episode: Episode, modality: str, *, allow_synthetic: bool = False) -> Problem | None:
    """The first reason why this modality cannot be used; None if it can."""
    streams = episode.header.of_modality(modality)
    if not streams:
        return Problem(_MISSING.get(modality, "missing_stream"), modality, "the episode has no such stream")
    if not allow_synthetic and all(stream.synthetic for stream in streams.values()):
        return Problem("synthetic_stream", modality, "the stream is made up, not recorded")
    for name, stream in streams.items():
        try:
            found = _content(episode, name, stream)
        except TamperedError as error:
            return Problem("sha256_mismatch", modality, error.what)
        except InputError as error:
            return Problem("decode_error", modality, f"{name}: {error.what}")
        if found is not None:
            return found
    return None


def _content(episode: Episode, name: str, stream: Stream) -> Problem | None:
    modality = stream.modality
    if stream.kind == "labels":
        labels = episode.labels()
        return None if labels is not None and labels.action else Problem("no_label", modality, "no frame is labelled")
    if stream.kind == "video":
        frames = video_facts(episode.path(name)).frames
        expected = stream.shape[0] if stream.shape else frames
        if not frames:
            return Problem("empty_stream", modality, f"{name} has no frames")
        wrong = abs(frames - expected) > max(1, expected // 100)
        return Problem("decode_error", modality, f"{name}: {frames} of {expected} frames") if wrong else None
    if stream.kind == "audio":
        sound = read_sound(episode.path(name))
        silent = not len(sound) or float(np.abs(sound).max()) < _SILENCE
        return (
            Problem("empty_audio", modality, f"{name}: {len(sound)} samples, silent" if silent else "")
            if silent
            else None
        )
    large = stream.bytes > _LARGE
    return _array_content(name, modality, episode.array(name, 0, _SAMPLES if large else None))


def _array_content(name: str, modality: str, values: Any) -> Problem | None:
    values = np.asarray(values)
    if not values.size:
        return Problem("empty_stream", modality, f"{name} has no samples")
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        return Problem("empty_stream", modality, f"{name} has no finite value")
    if modality not in _MAY_BE_CONSTANT and len(values) > 1 and bool((values == values[:1]).all()):
        return Problem("empty_stream", modality, f"{name} never changes")
    return None
