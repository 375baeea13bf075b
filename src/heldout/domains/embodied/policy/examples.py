"""Instants of recorded episodes with what was done next, and what a window that ends there shows.

Only train and validation episodes are looked at: their labels are open. Labels of an instant follow the same rule as
those of the index, for the window that ends at that instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.labels import UNKNOWN, Answer, answer
from heldout.domains.embodied.episodes.observed import opened, stream_span
from heldout.domains.embodied.episodes.paths import Chunks, coasting, hand_path
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.index.names import SEALED
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.policy.observe import Observation, ObservationSpec
from heldout.errors import CorpusError, RefusedError


class Demonstration(NamedTuple):
    """An episode that is learnt from."""

    episode_id: str
    episode: Episode


class _Instant(NamedTuple):
    episode: str
    seen: Observation
    actions: FloatArray
    acted: NDArray[np.bool_]
    path: FloatArray
    moved: bool
    label: Answer


@dataclass(frozen=True)
class Examples:
    """Instants, a row each.

    Attributes:
        sensors: ``[rows, sensors]``.
        pictures: uint8 ``[rows, cameras, side, side, 3]``.
        told: ``[rows, instructions]``.
        actions: Next actions, ``[rows, chunk, dims]``.
        acted: Which of them were recorded, ``[rows, chunk]``.
        path: What the hand's path adds to constant velocity, ``[rows, frames, 3]``, metres.
        moved: Whether the path stays in the episode, ``[rows]``.
        labels: By field, a label a row.
        objects: Of each row.
        episodes: Of each row.
    """

    sensors: FloatArray
    pictures: NDArray[np.uint8]
    told: FloatArray
    actions: FloatArray
    acted: NDArray[np.bool_]
    path: FloatArray
    moved: NDArray[np.bool_]
    labels: dict[str, list[str]]
    objects: list[list[str]]
    episodes: list[str]

    def __len__(self) -> int:
        return len(self.episodes)


def demonstrations(source: IndexSource, split: str) -> list[Demonstration]:
    """Episodes of a split of an index, in order.

    Raises:
        RefusedError: If the split is sealed.
    """
    if split in SEALED:
        raise RefusedError("a sealed split is not learnt from", where=split, hint="train and val", code="HO-G106")
    if not source.manifest["sample_split_counts"].get(split):
        return []
    found: dict[str, Path] = {}
    for record in source.records(source.samples(split)):
        found.setdefault(str(record["episode_id"]), source.folder / str(record["provenance"]["episode_path"]))
    return [Demonstration(name, opened(path.resolve())) for name, path in found.items()]


def collect(shown: Sequence[Demonstration], spec: ObservationSpec, chunks: Chunks, stride: int) -> Examples:
    """Instants of every ``stride``-th frame.

    Raises:
        CorpusError: If there is none.
    """
    rows: list[_Instant] = []
    for one in shown:
        spec.check(one.episode)
        rows += [_example(one, spec, chunks, frame) for frame in range(0, one.episode.header.frames - 1, stride)]
    if not rows:
        raise CorpusError("there is nothing to learn from", where="train", hint="select more episodes")
    return Examples(
        np.stack([row.seen.sensors for row in rows]),
        np.stack([row.seen.pictures for row in rows]),
        np.stack([row.seen.told for row in rows]),
        np.stack([row.actions for row in rows]),
        np.stack([row.acted for row in rows]),
        np.stack([row.path for row in rows]),
        np.array([row.moved for row in rows]),
        {
            "action": [row.label["action"] for row in rows],
            "next_action": [row.label["next_action"] for row in rows],
            "contact": [row.label["contact"] for row in rows],
        },
        [row.label["objects"] for row in rows],
        [row.episode for row in rows],
    )


def _example(one: Demonstration, spec: ObservationSpec, chunks: Chunks, frame: int) -> _Instant:
    episode = one.episode
    last = episode.header.frames - 1
    actions = stream_span(episode, chunks.action_stream, frame, min(frame + chunks.actions - 1, last))
    missing = chunks.actions - len(actions)
    path = hand_path(episode, chunks, frame)
    return _Instant(
        episode=one.episode_id,
        seen=spec.of_episode(episode, frame),
        actions=np.concatenate([actions, np.repeat(actions[-1:], missing, axis=0)]) if missing else actions,
        acted=np.arange(chunks.actions) < len(actions),
        path=np.zeros((chunks.path, 3)) if path is None else path - coasting(episode, chunks, frame),
        moved=path is not None,
        label=window_label(episode, chunks, frame),
    )


def window_label(episode: Episode, chunks: Chunks, frame: int) -> Answer:
    """The answer of the window that ends at a frame; nothing is known of one that begins before the episode."""
    labels, start = _labels(episode), frame - chunks.window + 1
    if labels is None or start < 0:
        return {"action": UNKNOWN, "next_action": UNKNOWN, "contact": UNKNOWN, "objects": []}
    return answer(labels[0], labels[1], start, frame, chunks.min_label_fraction)


_READ: dict[Path, Any] = {}


def _labels(episode: Episode) -> Any:
    """Labels and contact of an episode, read once."""
    if episode.folder not in _READ:
        labels = episode.labels()
        _READ[episode.folder] = None if labels is None else (labels, episode.contact())
    return _READ[episode.folder]
