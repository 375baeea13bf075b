"""Labels of an episode, as runs of frames, and the rule that gives a window its answer.

The rule is that of the published data sets of this kind: a window's action is the most common label of its labelled
frames if that is at least ``min_fraction`` of them. What it gives no answer for is never dropped silently: the window
carries a typed reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from heldout.errors import InputError

LABELS_SCHEMA = "heldout.episode-labels/1"
LABEL_FIELDS = ("action", "subtask", "transition", "next_action", "contact")
UNKNOWN: Final = "unknown"
_NO_LABEL = frozenset({"", "n/a"})
SkipCode = Literal[
    "missing_stream",  # a file or a stream that is required is not there
    "missing_pose",  # the same, of the pose: worth its own code, since labels often hang on it
    "missing_contact",
    "empty_stream",  # it is there, and has no samples, or nothing but one constant, or no finite value
    "empty_audio",
    "synthetic_stream",  # it is there, but made up
    "no_label",  # no frame is labelled
    "label_ambiguous",  # no label has the required share
    "decode_error",  # it is there and cannot be read
    "sha256_mismatch",  # it is not the file that the header names
    "too_short",  # the episode is shorter than one window
    "duplicate_content",  # the same recording under another name
]


class Run(NamedTuple):
    """Frames ``start .. end`` (inclusive) under one label."""

    start_frame: int
    end_frame: int
    label: str


class ObjectRun(NamedTuple):
    """Frames ``start .. end`` (inclusive) in which these objects matter."""

    start_frame: int
    end_frame: int
    objects: tuple[str, ...]


class Span(TypedDict):
    """Frames from the first to the last, inclusive."""

    start_frame: int
    end_frame: int


class Answer(TypedDict, total=False):
    """What is true of a window; objects stand most frequent first, what nobody knows is ``unknown``."""

    action: str
    subtask: str
    objects: list[str]
    contact: str
    transition: str
    next_action: str
    evidence_window: Span


@dataclass(frozen=True)
class FrameLabels:
    """What the frames of an episode show.

    Attributes:
        frames: Length of the episode.
        action: Runs, in order, not overlapping; frames in no run have no label.
        subtask: The same, coarser.
        objects: Runs of sets of objects.
        rule: How the labels were made, for people.
    """

    frames: int
    action: tuple[Run, ...]
    subtask: tuple[Run, ...]
    objects: tuple[ObjectRun, ...] = ()
    rule: str = ""

    def to_json(self) -> dict[str, object]:
        """The document ``labels.json``."""
        return {
            "schema": LABELS_SCHEMA,
            "frames": self.frames,
            "rule": self.rule,
            "action": [run._asdict() for run in self.action],
            "subtask": [run._asdict() for run in self.subtask],
            "objects": [run._asdict() | {"objects": list(run.objects)} for run in self.objects],
        }


@dataclass(frozen=True)
class Majority:
    """The label of a window, or the reason why it has none."""

    label: str
    problem: Literal["no_label", "label_ambiguous"] | None = None
    share: float = 0.0


def runs_of(labels: Sequence[str]) -> tuple[Run, ...]:
    """Run-length form of one label a frame; empty labels and ``N/A`` make no run."""
    runs: list[Run] = []
    for frame, label in enumerate(labels):
        if label.strip().lower() in _NO_LABEL:
            continue
        if runs and runs[-1].label == label and runs[-1].end_frame == frame - 1:
            runs[-1] = runs[-1]._replace(end_frame=frame)
        else:
            runs.append(Run(frame, frame, label))
    return tuple(runs)


def object_runs_of(objects: Sequence[tuple[str, ...]]) -> tuple[ObjectRun, ...]:
    """Run-length form of one set of objects a frame; empty sets make no run."""
    runs: list[ObjectRun] = []
    for frame, names in enumerate(objects):
        if not names:
            continue
        if runs and runs[-1].objects == names and runs[-1].end_frame == frame - 1:
            runs[-1] = runs[-1]._replace(end_frame=frame)
        else:
            runs.append(ObjectRun(frame, frame, names))
    return tuple(runs)


def parse_labels(document: Any, frames: int, *, where: str) -> FrameLabels:
    """Read ``labels.json``.

    Raises:
        InputError: If it is not of the schema, of another length, or has runs that overlap or leave the episode.
    """
    try:
        if document["schema"] != LABELS_SCHEMA or document["frames"] != frames:
            raise InputError(
                f"labels of schema {document['schema']!r} and {document['frames']} frames; expected "
                f"{LABELS_SCHEMA!r} and {frames}",
                where=where,
                hint="write the labels again",
            )
        tracks = [tuple(Run(**run) for run in document[key]) for key in ("action", "subtask")]
        objects = tuple(
            ObjectRun(run["start_frame"], run["end_frame"], tuple(run["objects"])) for run in document["objects"]
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"the labels are not of the schema: {error}", where=where, hint="mend the file") from None
    _check_runs(tracks[0], frames, where)
    _check_runs(tracks[1], frames, where)
    _check_runs(objects, frames, where)
    return FrameLabels(frames, tracks[0], tracks[1], objects, str(document.get("rule", "")))


def _check_runs(track: Sequence[Run | ObjectRun], frames: int, where: str) -> None:
    free = 0
    for run in track:
        if not (isinstance(run.start_frame, int) and isinstance(run.end_frame, int)) or not (
            free <= run.start_frame <= run.end_frame < frames
        ):
            raise InputError(
                f"the run of frames {run.start_frame}..{run.end_frame} overlaps another or leaves the episode",
                where=where,
                hint=f"runs are in order, apart, and inside 0..{frames - 1}",
            )
        names = run.objects if isinstance(run, ObjectRun) else (run.label,)
        if not all(isinstance(name, str) and name for name in names):
            raise InputError(f"the label {names!r} is no text", where=where, hint="labels are texts")
        free = run.end_frame + 1


def counts(track: Sequence[Run], start: int, end: int) -> Counter[str]:
    """Frames of each label in ``start .. end`` inclusive."""
    found: Counter[str] = Counter()
    for run in track:
        shared = min(run.end_frame, end) - max(run.start_frame, start) + 1
        if shared > 0:
            found[run.label] += shared
    return found


def majority(track: Sequence[Run], start: int, end: int, min_fraction: float) -> Majority:
    """The most common label among the labelled frames, if its share is at least ``min_fraction``.

    Among equals the alphabetically first wins, so that the answer does not depend on the order of anything.
    """
    found = counts(track, start, end)
    if not found:
        return Majority(UNKNOWN, "no_label")
    label, frames = min(found.items(), key=lambda item: (-item[1], item[0]))
    share = frames / found.total()
    if share < min_fraction:
        return Majority(UNKNOWN, "label_ambiguous", share)
    return Majority(label, None, share)


def answer(labels: FrameLabels, contact: NDArray[np.bool_] | None, start: int, end: int, min_fraction: float) -> Answer:
    """The seven fields of a window's answer, by the published rules.

    Args:
        labels: Of the episode.
        contact: Whether anything touches, of shape ``[frames]``; None where that is not known.
        start: First frame of the window.
        end: Last frame, inclusive.
        min_fraction: Share that a majority needs.

    Returns:
        All fields; ``next_action`` is of the following window of equal length, unknown if it would leave the episode.
    """
    length = end - start + 1
    follows = end + length < labels.frames
    after = majority(labels.action, end + 1, end + length, min_fraction).label if follows else UNKNOWN
    touching = UNKNOWN if contact is None else "yes" if bool(contact[start : end + 1].any()) else "no"
    return {
        "action": majority(labels.action, start, end, min_fraction).label,
        "subtask": majority(labels.subtask, start, end, min_fraction).label,
        "objects": _objects(labels.objects, start, end),
        "contact": touching,
        "transition": "yes" if len(counts(labels.action, start, end)) > 1 else "no",
        "next_action": after,
        "evidence_window": {"start_frame": start, "end_frame": end},
    }


def _objects(track: Sequence[ObjectRun], start: int, end: int) -> list[str]:
    found: Counter[str] = Counter()
    for run in track:
        shared = min(run.end_frame, end) - max(run.start_frame, start) + 1
        if shared > 0:
            for name in run.objects:
                found[name] += shared
    return [name for name, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))]


def objects_of(answer: Mapping[str, Any]) -> frozenset[str]:
    """The objects, as a set; what is no list of texts is empty."""
    value = answer.get("objects")
    return frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()
