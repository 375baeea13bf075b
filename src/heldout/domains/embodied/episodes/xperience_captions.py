"""Captions of the Xperience-10M raw layout, as runs of frames.

A caption refers to frames in four ways: by the name of a frame or its stem, as ``frame_000123`` (counted from 1), as a
small number (counted from 1), or as a time stamp of the device (1e8 and above), which means the nearest frame. Labels
hold until the next one: the captions were written at one frame in two seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.labels import FrameLabels, object_runs_of, runs_of
from heldout.errors import InputError
from heldout.evidence import loads

_NUMBERED = re.compile(r"frame_(\d+)")
_TIME_STAMP = 1e8
RULE = "captions of the annotation, each holding until the next"


class Frames:
    """Finds the frame that a reference means."""

    def __init__(self, count: int, names: Sequence[str], stamps: NDArray[np.float64]) -> None:
        """Index the names and the time stamps of an episode's frames."""
        self.count = count
        self._names = {name: number for number, name in enumerate(names)}
        self._names |= {PurePosixPath(name).stem: number for number, name in enumerate(names)}
        self._stamps = stamps

    def find(self, reference: Any) -> int | None:
        """Number of the frame, from 0; None if the reference means none. Numbers past the end mean the last frame."""
        if isinstance(reference, str):
            text = reference.strip()
            known = self._names.get(text, self._names.get(PurePosixPath(text).stem))
            if known is not None:
                return known
            numbered = _NUMBERED.fullmatch(PurePosixPath(text).stem)
            if numbered:
                return self._inside(int(numbered[1]) - 1)
            if not text.isdecimal():
                return None
            reference = int(text)
        if isinstance(reference, bool) or not isinstance(reference, int | float):
            return None
        if reference >= _TIME_STAMP:
            return int(np.abs(self._stamps - reference).argmin()) if len(self._stamps) else None
        return self._inside(int(reference) - 1)

    def _inside(self, number: int) -> int:
        return min(max(number, 0), self.count - 1)


def main_task(caption: str | None) -> str:
    """The episode's task in words; empty where the caption does not say."""
    if caption is None:
        return ""
    try:
        config = loads(caption, where="caption")["config"]
        return str(config.get("Main Task") or "")
    except (InputError, KeyError, TypeError, AttributeError):
        return ""


def labels_of(caption: str, frames: Frames, *, where: str) -> FrameLabels:
    """Read the caption's JSON.

    Raises:
        InputError: If it is not JSON of the format.
    """
    document = loads(caption, where=f"{where}: caption")
    try:
        segments = document["segments"]
        action, subtask = [""] * frames.count, [""] * frames.count
        objects: list[tuple[str, ...]] = [()] * frames.count
        for segment in segments:
            _mark(subtask, frames, segment, str(segment.get("Sub Task") or ""))
            for one in segment.get("Current Action") or []:
                _mark(action, frames, one, str(one.get("label") or ""))
            for reference, names in (segment.get("objects") or {}).items():
                frame = frames.find(reference)
                if frame is not None and names:
                    objects[frame] = tuple(dict.fromkeys(str(name) for name in names))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the caption is not of the format: {error!r}", where=where, hint="fetch it again") from None
    return FrameLabels(
        frames.count, runs_of(_held(action)), runs_of(_held(subtask)), object_runs_of(_held(objects)), RULE
    )


def _mark(track: list[str], frames: Frames, span: Mapping[str, Any], label: str) -> None:
    start, end = frames.find(span.get("start_frame")), frames.find(span.get("end_frame"))
    if start is None or not label.strip():
        return
    end = start if end is None else max(start, end)
    track[start : end + 1] = [label] * (end + 1 - start)


def _held(values: list[Any]) -> list[Any]:
    """Each value until the next one; nothing before the first."""
    held = []
    current = values[0]
    for value in values:
        current = value or current
        held.append(current)
    return held
