"""Cutting an episode into windows, each with the context that a model may see and the answer that it should give.

Context is causal: it ends where the window ends. The published centred context shows the model what comes next, and
asks for it; it can still be made, and is marked as looking ahead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from heldout.domains.embodied.episodes.labels import Answer, FrameLabels, SkipCode, answer, majority
from heldout.domains.embodied.episodes.store import Episode
from heldout.errors import InputError

ContextMode = Literal["causal", "centred"]


class Scale(NamedTuple):
    """Frames of a window, and from the start of one to the start of the next."""

    window: int
    stride: int

    @property
    def id(self) -> str:
        """Name of the scale in ids."""
        return f"w{self.window}s{self.stride}"


@dataclass(frozen=True)
class WindowOptions:
    """How windows are cut.

    Attributes:
        scales: At least one.
        context_frames: Frames of context, the window's own included; never fewer than the window has.
        context: ``causal`` ends where the window ends; ``centred`` is the published one and looks ahead.
        min_label_fraction: Share of the labelled frames that a majority needs.
        max_windows: Most windows of one episode and scale, chosen evenly over the action labels; 0 keeps all.
        max_video_frames: Most frames that a model is shown of a context.
        question: What is asked. It names no frames: an answer that the question states is no evidence.
    """

    scales: tuple[Scale, ...] = (Scale(20, 20),)
    context_frames: int = 120
    context: ContextMode = "causal"
    min_label_fraction: float = 0.6
    max_windows: int = 0
    max_video_frames: int = 32
    question: str = "What happens at the end of this recording? Answer with one JSON object."


class Window(NamedTuple):
    """One window of an episode."""

    scale: Scale
    start: int
    end: int
    context_start: int
    context_end: int
    answer: Answer


class SkippedWindow(NamedTuple):
    """A window that is not in the index, and why."""

    scale: Scale
    start: int
    end: int
    code: SkipCode


def parse_scale(text: str) -> Scale:
    """Read ``20/10``: window and stride.

    Raises:
        InputError: If these are not two positive counts.
    """
    window, _, stride = text.partition("/")
    if not (window.isdecimal() and stride.isdecimal() and int(window) and int(stride)):
        raise InputError(f"{text!r} is no scale", where="--scale", hint="window/stride in frames, such as 20/10")
    return Scale(int(window), int(stride))


def context_span(start: int, end: int, frames: int, length: int, mode: ContextMode) -> tuple[int, int]:
    """First and last frame of the context, cut at the ends of the episode."""
    length = max(length, end - start + 1)
    if mode == "causal":
        return max(0, end - length + 1), end
    first = (start + end) // 2 - length // 2
    return max(0, first), min(frames - 1, first + length - 1)


def cut(episode: Episode, labels: FrameLabels, options: WindowOptions) -> tuple[list[Window], list[SkippedWindow]]:
    """All windows of an episode, in order of scale and time, and those that have no answer."""
    windows: list[Window] = []
    skipped: list[SkippedWindow] = []
    contact, frames = episode.contact(), episode.header.frames
    for scale in options.scales:
        found: list[Window] = []
        for start in range(0, frames - scale.window + 1, scale.stride):
            end = start + scale.window - 1
            problem = majority(labels.action, start, end, options.min_label_fraction).problem
            if problem is not None:
                skipped.append(SkippedWindow(scale, start, end, problem))
                continue
            context = context_span(start, end, frames, options.context_frames, options.context)
            found.append(
                Window(scale, start, end, *context, answer(labels, contact, start, end, options.min_label_fraction))
            )
        if frames < scale.window:
            skipped.append(SkippedWindow(scale, 0, frames - 1, "too_short"))
        windows += cap(found, options.max_windows)
    return windows, skipped


def cap(windows: Sequence[Window], most: int) -> list[Window]:
    """The published cap: one window of each action label in turn, labels in alphabetical order, in order of time."""
    if not most or len(windows) <= most:
        return list(windows)
    by_label: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        by_label[window.answer["action"]].append(window)
    rounds = max(len(group) for group in by_label.values())
    order = [by_label[label][i] for i in range(rounds) for label in sorted(by_label) if i < len(by_label[label])]
    return sorted(order[:most], key=lambda window: window.start)
