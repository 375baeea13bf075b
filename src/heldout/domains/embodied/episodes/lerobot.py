"""Reader of LeRobotDataset v3: many episodes in a few Parquet and MP4 files.

::

    meta/info.json                       fps, features, path templates
    meta/tasks.parquet                   task_index, task
    meta/episodes/chunk-*/file-*.parquet one row an episode: where its rows and frames are
    data/chunk-*/file-*.parquet          one row a frame
    videos/<key>/chunk-*/file-*.mp4      frames of many episodes one after another

``meta/stats.json`` is never read as a normaliser: it covers all episodes, those of the test split included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.header import SCHEMA, EpisodeHeader, parse_header
from heldout.domains.embodied.episodes.labels import FrameLabels, runs_of
from heldout.domains.embodied.episodes.lerobot_tables import INFO, Dataset
from heldout.domains.embodied.episodes.store import Episode
from heldout.errors import InputError
from heldout.evidence import digest, sha256_bytes

_EPISODE = re.compile(r"episode_(\d{6,})")
_NOT_A_STREAM = frozenset({"timestamp", "frame_index", "episode_index", "index", "task_index", "next.done"})
_UNREAD = ("string", "image")  # pictures inside the tables are not read: v3 keeps them as video
_MODALITY = {
    "action": "action",
    "observation.state": "proprioception",
    "next.reward": "reward",
    "next.success": "success",
}
_PRIVILEGED = frozenset({"reward", "success"})


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a LeRobot data set of version 3."""
    return (folder / INFO).is_file()


def episode_folders(root: Path) -> list[Path]:
    """Names of the episodes: ``<root>/episode_000012``. Such a folder need not exist.

    Raises:
        InputError: If the data set is of another version, or its tables are not there.
    """
    return [root / f"episode_{row.number:06d}" for row in Dataset.at(root).episodes]


def root_of(folder: Path) -> Path | None:
    """The data set to which an episode's name belongs; None if the name is none."""
    return folder.parent if _EPISODE.fullmatch(folder.name) and is_dataset(folder.parent) else None


class LeRobotEpisode(Episode):
    """One episode of a LeRobot data set, read where it is."""

    def __init__(self, folder: Path) -> None:
        """Find the episode's rows and frames.

        Raises:
            InputError: If there is no such episode, or the data set is of another version.
        """
        match, root = _EPISODE.fullmatch(folder.name), root_of(folder)
        if match is None or root is None:
            raise InputError("no episode of a LeRobot data set", where=str(folder), hint="<root>/episode_000012")
        self._data = Dataset.at(root)
        self._row = self._data.row(int(match[1]))
        super().__init__(folder, self._header(int(match[1])))

    def array(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """See ``Episode.array``."""
        stream = self.stream(name)
        values = _stacked(self._data.frames(self._row)[name].to_list(), name, self.folder)
        if values.shape != stream.shape:
            raise InputError(
                f"{name} has shape {values.shape}; info.json says {stream.shape}",
                where=str(self.folder),
                hint="mend it",
            )
        return values

    def labels(self) -> FrameLabels | None:
        """The task of each frame, as action and subtask: this layout knows no finer labels."""
        tasks = self._data.tasks
        rows = self._data.frames(self._row)
        if "task_index" not in rows.columns:
            return None
        names = [tasks.get(int(index), "") for index in rows["task_index"].to_list()]
        runs = runs_of(names)
        return FrameLabels(len(names), runs, runs, (), "task of the frame, from meta/tasks.parquet") if runs else None

    def path(self, name: str) -> Path:
        """See ``Episode.path``; a video file holds other episodes too, see ``video_offset``."""
        return self._data.root / self.stream(name).file

    def video_offset(self, name: str) -> int:
        """Number of the episode's first frame in its video file."""
        return round(self._row.starts(name) * self._data.fps)

    def shares(self) -> tuple[tuple[str, int], ...]:
        """Each file that holds something of this episode, with its share of the bytes by frames; 0 if it is missing."""
        total = sum(row.length for row in self._data.episodes) or 1
        files = {stream.file: stream.bytes for stream in self.header.streams.values() if stream.kind != "labels"}
        return tuple((name, -(-size * self.header.frames // total)) for name, size in sorted(files.items()))

    def content_sha256(self) -> str:
        """Digest of the rows, not of their place in the files. Frames of videos are not in it."""
        rows = self._data.frames(self._row)
        kept = sorted(set(rows.columns) - {"episode_index", "index"})
        return digest({name: sha256_bytes(repr(rows[name].to_list()).encode()) for name in kept})

    def _header(self, number: int) -> EpisodeHeader:
        length, root = self._row.length, self._data.root
        session = _identifier(root.name)
        streams = {
            name: self._stream(name, feature, length)
            for name, feature in self._data.features.items()
            if name not in _NOT_A_STREAM and feature["dtype"] not in _UNREAD
        }
        return parse_header(
            {
                "schema": SCHEMA,
                "episode_id": f"{session}__episode_{number:06d}",
                "session": f"{session}.episode_{number:06d}",
                "source_episode_id": f"episode_{number:06d}",
                "frames": length,
                "clock_hz": self._data.fps,
                "main_task": self._row.task,
                "streams": streams | {"labels": self._labels_stream()},
                "provenance": {"layout": "LeRobotDataset v3", "dataset": root.name},
            },
            where=f"{root}: episode {number}",
        )

    def _stream(self, name: str, feature: Mapping[str, Any], length: int) -> dict[str, object]:
        video = feature["dtype"] == "video"
        file = self._data.video_file(name, self._row) if video else self._data.data_file(self._row)
        modality = "video" if video else _MODALITY.get(name, name)
        names: Any = feature.get("names")
        flat: Any = (
            names if isinstance(names, list) else next(iter(names.values()), []) if isinstance(names, dict) else []
        )
        shape = [] if feature["shape"] == [1] and not video else feature["shape"]
        return {
            "kind": "video" if video else "array",
            "modality": modality,
            "file": file,
            "bytes": _size(self._data.root / file),
            "units": "1",
            "rate_hz": self._data.fps,
            "shape": [] if video else [length, *shape],
            "dtype": "|u1" if video else str(feature["dtype"]),
            "names": [str(one) for one in flat] if not video and isinstance(flat, list) else [],
            "privileged": modality in _PRIVILEGED,
        }

    def _labels_stream(self) -> dict[str, object]:
        file = "meta/tasks.parquet"
        size = _size(self._data.root / file)
        return {"kind": "labels", "modality": "labels", "file": file, "bytes": size, "units": "1", "privileged": True}


def _stacked(values: list[Any], name: str, folder: Path) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"rows of {name} differ in length: {error}", where=str(folder), hint="mend it") from None


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-") or "dataset"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
