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
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.header import SCHEMA, EpisodeHeader, parse_header
from heldout.domains.embodied.episodes.labels import FrameLabels, runs_of
from heldout.domains.embodied.episodes.store import Episode
from heldout.errors import InputError, RefusedError
from heldout.evidence import digest, plain_path, read_json, sha256_bytes

INFO = Path("meta/info.json")
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
    return [root / f"episode_{row['episode_index']:06d}" for row in _Dataset.at(root).episodes]


def root_of(folder: Path) -> Path | None:
    """The data set to which an episode's name belongs; None if the name is none."""
    return folder.parent if _EPISODE.fullmatch(folder.name) and is_dataset(folder.parent) else None


def refuse_statistics(root: Path) -> NoReturn:
    """Say why ``meta/stats.json`` is no normaliser.

    Raises:
        RefusedError: Always.
    """
    raise RefusedError(
        "stats.json is no normaliser: its ranges cover every episode, those held out included",
        where=str(root / "meta/stats.json"),
        hint="fit the normaliser on the train episodes of the manifest, and let its ledger name them",
    )


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
        self._data = _Dataset.at(root)
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
        start = float(self._row.get(f"videos/{name}/from_timestamp") or 0.0)
        return round(start * self._data.fps)

    def shares(self) -> tuple[tuple[str, int], ...]:
        """Each file that holds something of this episode, with its share of the bytes by frames; 0 if it is missing."""
        total = sum(int(row["length"]) for row in self._data.episodes) or 1
        files = {stream.file: stream.bytes for stream in self.header.streams.values() if stream.kind != "labels"}
        return tuple((name, -(-size * self.header.frames // total)) for name, size in sorted(files.items()))

    def content_sha256(self) -> str:
        """Digest of the rows, not of their place in the files. Frames of videos are not in it."""
        rows = self._data.frames(self._row)
        kept = sorted(set(rows.columns) - {"episode_index", "index"})
        return digest({name: sha256_bytes(repr(rows[name].to_list()).encode()) for name in kept})

    def _header(self, number: int) -> EpisodeHeader:
        length, root = int(self._row["length"]), self._data.root
        session = _identifier(root.name)
        streams = {
            name: self._stream(name, feature, length)
            for name, feature in self._data.features.items()
            if name not in _NOT_A_STREAM and feature["dtype"] not in _UNREAD
        }
        task = ", ".join(str(task) for task in self._row.get("tasks") or [])
        return parse_header(
            {
                "schema": SCHEMA,
                "episode_id": f"{session}__episode_{number:06d}",
                "session": f"{session}.episode_{number:06d}",
                "source_episode_id": f"episode_{number:06d}",
                "frames": length,
                "clock_hz": self._data.fps,
                "main_task": task,
                "streams": streams | {"labels": self._labels_stream()},
                "provenance": {"layout": "LeRobotDataset v3", "dataset": root.name},
            },
            where=f"{root}: episode {number}",
        )

    def _stream(self, name: str, feature: dict[str, Any], length: int) -> dict[str, Any]:
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

    def _labels_stream(self) -> dict[str, Any]:
        file = "meta/tasks.parquet"
        size = _size(self._data.root / file)
        return {"kind": "labels", "modality": "labels", "file": file, "bytes": size, "units": "1", "privileged": True}


class _Dataset:
    """The tables of one data set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        info = read_json(root / INFO)
        version = str(info.get("codebase_version", ""))
        if not version.lstrip("v").startswith("3."):
            raise InputError(
                f"the data set is of version {version or 'unknown'}", where=str(root / INFO), hint="convert it to v3"
            )
        try:
            self.fps, self.features = float(info["fps"]), dict(info["features"])
            self._data_path, self._video_path = str(info["data_path"]), str(info.get("video_path") or "")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"info.json is not of the format: {error}", where=str(root / INFO), hint="mend it"
            ) from None
        self.tasks = {int(row["task_index"]): _task(row) for row in _read(root / "meta/tasks.parquet").to_dicts()}
        tables = sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet"))
        rows = [row for table in tables for row in _read(table).to_dicts()]
        self.episodes = sorted(rows, key=lambda row: int(row["episode_index"]))
        if not rows or len({row["episode_index"] for row in rows}) != len(rows):
            raise InputError("no episodes, or one twice", where=str(root / "meta/episodes"), hint="fetch meta/ again")

    @staticmethod
    def at(root: Path) -> _Dataset:
        """Tables are read once a process and root, until ``info.json`` changes."""
        return _dataset(root.resolve(), (root / INFO).stat().st_mtime_ns)

    def row(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] | None = next((row for row in self.episodes if int(row["episode_index"]) == number), None)
        if found is None:
            raise InputError(f"no episode {number}", where=str(self.root), hint=f"there are {len(self.episodes)}")
        return found

    def data_file(self, row: dict[str, Any]) -> str:
        return self._data_path.format(chunk_index=int(row["data/chunk_index"]), file_index=int(row["data/file_index"]))

    def video_file(self, name: str, row: dict[str, Any]) -> str:
        chunk, file = (int(row[f"videos/{name}/{key}"]) for key in ("chunk_index", "file_index"))
        return self._video_path.format(video_key=name, chunk_index=chunk, file_index=file)

    def frames(self, row: dict[str, Any]) -> Any:
        """The rows of one episode, in order."""
        import polars as pl

        path = self.root / self.data_file(row)
        table = _table(path, path.stat().st_mtime_ns if path.is_file() else 0)
        rows = table.filter(pl.col("episode_index") == int(row["episode_index"])).sort("frame_index")
        if rows.height != int(row["length"]):
            raise InputError(
                f"the episode has {rows.height} rows; meta/episodes says {row['length']}",
                where=str(path),
                hint="fetch the data set again",
            )
        return rows


@lru_cache(maxsize=8)
def _dataset(root: Path, _changed: int) -> _Dataset:
    return _Dataset(root)


@lru_cache(maxsize=2)
def _table(path: Path, _changed: int) -> Any:
    return _read(path)


def _read(path: Path) -> Any:
    import polars as pl

    from heldout.corpus.room import check_room

    try:
        check_room(path)
        return pl.read_parquet(plain_path(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"the table cannot be read: {error}", where=str(path), hint="fetch it again") from None


def _task(row: dict[str, Any]) -> str:
    """The text of a task; pandas writes it as the index, under one of two names."""
    return str(row.get("task") or row.get("__index_level_0__") or "")


def _stacked(values: list[Any], name: str, folder: Path) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"rows of {name} differ in length: {error}", where=str(folder), hint="mend it") from None


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-") or "dataset"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
