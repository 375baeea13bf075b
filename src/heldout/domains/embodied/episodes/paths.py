"""The hand's path through an episode, and how far ahead of an instant it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.observed import stream_span
from heldout.domains.embodied.episodes.store import Episode


@dataclass(frozen=True)
class Chunks:
    """How far ahead a policy plans.

    Attributes:
        actions: Actions at once.
        path: Frames of the hand's path.
        window: Frames of a window, for its labels.
        min_label_fraction: Share that a label needs.
        action_stream: That actions were recorded in.
        path_stream: Whose first three columns are the hand's place, metres.
    """

    actions: int = 8
    path: int = 10
    window: int = 20
    min_label_fraction: float = 0.6
    action_stream: str = "action"
    path_stream: str = "pose"


def hand_path(episode: Episode, chunks: Chunks, frame: int) -> FloatArray | None:
    """Where the hand is in the next frames, metres, ``[frames, 3]``; None where they leave the episode."""
    if frame + chunks.path >= episode.header.frames:
        return None
    return stream_span(episode, chunks.path_stream, frame + 1, frame + chunks.path)[:, :3]


def last_place(episode: Episode, chunks: Chunks, frame: int) -> tuple[FloatArray, FloatArray]:
    """Where the hand is, metres, and its velocity, metres a frame; both ``[3]``, of what was measured until now."""
    seen = stream_span(episode, chunks.path_stream, max(0, frame - 1), frame)[:, :3]
    return seen[-1], seen[-1] - seen[0]


def coasting(episode: Episode, chunks: Chunks, frame: int) -> FloatArray:
    """The path at constant velocity, ``[frames, 3]``."""
    place, velocity = last_place(episode, chunks, frame)
    steps = np.arange(1, chunks.path + 1)[:, None]
    found: FloatArray = place + steps * velocity
    return found
