"""The records of the window index: one a window, with the published fields; every path relative to the index."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.episodes.labels import UNKNOWN
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.index.shape import Record, Sensor, Video
from heldout.domains.embodied.index.views import view
from heldout.domains.embodied.index.windows import Window, WindowOptions, cut
from heldout.errors import CorpusError

TARGET, PROMPT_TYPE = "episode_qa", "json_episode_understanding"


@dataclass(frozen=True)
class Options:
    """Labels that may be answered: those of train windows."""

    action: tuple[str, ...]
    subtask: tuple[str, ...]


class EpisodeCut:
    """One episode, cut."""

    def __init__(
        self, entry: Mapping[str, Any], episode: Episode, options: WindowOptions, *, synthetic: bool = False
    ) -> None:
        labels = episode.labels()
        if labels is None:
            raise CorpusError("the episode lost its labels", where=str(episode.folder), hint="select again")
        self.entry, self.episode = entry, episode
        self.split, self.synthetic = str(entry["split"]), synthetic
        self.windows, self.skipped = cut(episode, labels, options)


def train_options(cuts: Sequence[EpisodeCut]) -> Options:
    """Sorted labels of train windows. What only test knows must not be offered as an answer."""
    train = [window.answer for one in cuts if one.split == "train" for window in one.windows]
    found = [tuple(sorted({answer[key] for answer in train} - {UNKNOWN})) for key in ("action", "subtask")]
    return Options(found[0], found[1])


def index_record(
    one: EpisodeCut,
    window: Window,
    options: WindowOptions,
    labels: Options,
    contracts: Mapping[str, BackboneContract],
    out: Path,
    *,
    many: bool,
) -> Record:
    """The record of one window; with ``many`` scales its id names the scale."""
    header = one.episode.header
    name = f"{header.episode_id}:win:{window.start:06d}-{window.end:06d}"
    heard = {n: s for n, s in header.of_modality("audio").items() if one.synthetic or not s.synthetic}
    audio = next((relative(one.episode.path(n), out) for n in sorted(heard)), None)
    record: Record = {
        "id": f"{window.scale.id}:{name}" if many else name,
        "source_record_id": None,
        "episode_id": header.episode_id,
        "split": one.split,
        "target": TARGET,
        "prompt_type": PROMPT_TYPE,
        "window": {
            "start_frame": window.start,
            "end_frame": window.end,
            "num_frames": window.scale.window,
            "seconds": window.scale.window / header.clock_hz,
        },
        "modalities": {
            "media": {
                "video_streams": _videos(one.episode, window, out),
                "mosaic_video_path": None,
                "audio_path": audio,
                "context_window": {
                    "start_frame": window.context_start,
                    "end_frame": window.context_end,
                    "max_video_frames": options.max_video_frames,
                },
            },
            "sensor_features": {"path": None, "index": None, "dim": 0},
            "sensor_streams": _sensors(one.episode, window),
            "audio_not_for": sorted({field for stream in heard.values() for field in stream.label_source}),
            "language": {
                "question": options.question,
                "action_options": list(labels.action),
                "subtask_options": list(labels.subtask),
            },
        },
        "supervision": window.answer,
        "sealed": False,
        "provenance": {
            "dataset_record_fields": [],
            "parallel_export_shard": None,
            "episode_path": relative(one.episode.folder, out),
            "episode_frames": header.frames,
            "clock_hz": header.clock_hz,
        },
    }
    if many:
        record["scale_id"] = window.scale.id
    record["adapter_views"] = {key: view(contract, record) for key, contract in contracts.items()}
    return record


def relative(path: Path, out: Path) -> str:
    """A path as seen from the index's folder, with slashes."""
    return Path(os.path.relpath(path, out)).as_posix()


def _videos(episode: Episode, window: Window, out: Path) -> list[Video]:
    """Frames ``first .. last`` (inclusive) of each video that were taken during the context."""
    found = []
    for name, stream in sorted(episode.header.streams.items()):
        if stream.kind == "video" and not stream.privileged:
            first, end = episode.header.span(name, window.context_start, window.context_end)
            if end > first:
                path, offset = relative(episode.path(name), out), episode.video_offset(name)
                found.append(Video(name=name, path=path, first_frame=first + offset, last_frame=end - 1 + offset))
    return found


def _sensors(episode: Episode, window: Window) -> list[Sensor]:
    """Samples of each measured array during the context; what only a simulator or an annotator knows is left out."""
    found = []
    for name, stream in sorted(episode.header.streams.items()):
        if stream.kind == "array" and not stream.privileged and stream.rate_hz is not None:
            first, end = episode.header.span(name, window.context_start, window.context_end)
            if end > first:
                found.append(
                    Sensor(
                        name=name,
                        modality=stream.modality,
                        first_sample=first,
                        last_sample=end - 1,
                        not_for=sorted(stream.label_source),
                    )
                )
    return found
