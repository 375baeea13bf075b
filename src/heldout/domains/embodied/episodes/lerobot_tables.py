"""The tables of a LeRobotDataset v3: what episodes there are, and where their rows and frames lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from heldout.errors import InputError
from heldout.evidence import plain_source, read_json

INFO = Path("meta/info.json")


@dataclass(frozen=True)
class EpisodeRow:
    """A row of ``meta/episodes``; a column is read when it is asked for."""

    columns: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Of the episode."""
        return int(self.columns["episode_index"])

    @property
    def length(self) -> int:
        """Its frames."""
        return int(self.columns["length"])

    @property
    def task(self) -> str:
        """What is done in it, in words."""
        return ", ".join(str(task) for task in self.columns.get("tasks") or [])

    @property
    def data(self) -> tuple[int, int]:
        """Chunk and file of its rows."""
        return int(self.columns["data/chunk_index"]), int(self.columns["data/file_index"])

    def video(self, name: str) -> tuple[int, int]:
        """Chunk and file of a camera's pictures."""
        chunk, file = (int(self.columns[f"videos/{name}/{key}"]) for key in ("chunk_index", "file_index"))
        return chunk, file

    def starts(self, name: str) -> float:
        """Seconds in that file at which the episode begins."""
        return float(self.columns.get(f"videos/{name}/from_timestamp") or 0.0)


class Dataset:
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
        rows = [EpisodeRow(row) for table in tables for row in _read(table).to_dicts()]
        self.episodes = sorted(rows, key=lambda row: row.number)
        if not rows or len({row.number for row in rows}) != len(rows):
            raise InputError("no episodes, or one twice", where=str(root / "meta/episodes"), hint="fetch meta/ again")

    @staticmethod
    def at(root: Path) -> Dataset:
        """Tables are read once a process and root, until ``info.json`` changes."""
        return _dataset(root.resolve(), (root / INFO).stat().st_mtime_ns)

    def row(self, number: int) -> EpisodeRow:
        """The row of an episode.

        Raises:
            InputError: If there is none.
        """
        found = next((row for row in self.episodes if row.number == number), None)
        if found is None:
            raise InputError(f"no episode {number}", where=str(self.root), hint=f"there are {len(self.episodes)}")
        return found

    def data_file(self, row: EpisodeRow) -> str:
        """The file of an episode's rows."""
        chunk, file = row.data
        return self._data_path.format(chunk_index=chunk, file_index=file)

    def video_file(self, name: str, row: EpisodeRow) -> str:
        """The file of a camera's pictures."""
        chunk, file = row.video(name)
        return self._video_path.format(video_key=name, chunk_index=chunk, file_index=file)

    def frames(self, row: EpisodeRow) -> Any:
        """The rows of one episode, in order."""
        import polars as pl

        path = self.root / self.data_file(row)
        table = _table(path, path.stat().st_mtime_ns if path.is_file() else 0)
        rows = table.filter(pl.col("episode_index") == row.number).sort("frame_index")
        if rows.height != row.length:
            raise InputError(
                f"the episode has {rows.height} rows; meta/episodes says {row.length}",
                where=str(path),
                hint="fetch the data set again",
            )
        return rows


@lru_cache(maxsize=8)
def _dataset(root: Path, _changed: int) -> Dataset:
    return Dataset(root)


@lru_cache(maxsize=2)
def _table(path: Path, _changed: int) -> Any:
    return _read(path)


def _read(path: Path) -> Any:
    import polars as pl

    from heldout.corpus.room import check_room

    try:
        check_room(path)
        return pl.read_parquet(plain_source(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"the table cannot be read: {error}", where=str(path), hint="fetch it again") from None


def _task(row: Mapping[str, Any]) -> str:
    """The text of a task; pandas writes it as the index, under one of two names."""
    return str(row.get("task") or row.get("__index_level_0__") or "")
