"""The neutral episode on disk: one folder, ``episode.json``, and one file a stream.

::

    <root>/<session>/<episode>/
      episode.json                     the header: streams with rates, shapes, units, sha256
      labels.json                      runs of frames
      streams/<name>.npy               arrays, never pickled
      streams/<name>.mp4 | .wav        video and sound

An episode appears as a whole: it is written beside its place and renamed. A reader sees no half of one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.header import HEADER_FILE, EpisodeHeader, Stream, parse_header
from heldout.domains.embodied.episodes.labels import FrameLabels, parse_labels
from heldout.errors import InputError, StaleError, TamperedError
from heldout.evidence import digest, dumps, flush_folder, plain_path, read_json, sha256_file

WORK = ".work-"
_CHUNK = 1 << 20


class Episode(ABC):
    """What every layout of episodes gives: a header, arrays, paths of media, labels. Nothing is loaded before asked."""

    def __init__(self, folder: Path, header: EpisodeHeader) -> None:
        """Bind a folder and what is known of it."""
        self.folder, self.header = folder, header

    @abstractmethod
    def array(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Samples ``[first, last)`` of an array stream, all by default; memory-mapped where the layout allows it.

        Raises:
            InputError: If there is no such array, or it is not what the header says.
        """

    @abstractmethod
    def labels(self) -> FrameLabels | None:
        """Labels of the frames; None where there are none."""

    def path(self, name: str) -> Path:
        """File of a stream.

        Raises:
            InputError: If there is no such stream.
        """
        return self.folder / self.stream(name).file

    def video_offset(self, name: str) -> int:
        """Number of the episode's first frame in a video's file; 0 but for layouts that join episodes."""
        self.stream(name)
        return 0

    def stream(self, name: str) -> Stream:
        """What the header says of a stream.

        Raises:
            InputError: If there is no such stream.
        """
        found = self.header.streams.get(name)
        if found is None:
            have = ", ".join(sorted(self.header.streams)) or "none"
            raise InputError(f"the episode has no stream {name!r}", where=str(self.folder), hint=f"it has: {have}")
        return found

    def contact(self) -> NDArray[np.bool_] | None:
        """Whether anything touches, a frame; from the streams that the header names as sources of that label."""
        sources = [n for n, s in self.header.streams.items() if "contact" in s.label_source and s.kind == "array"]
        if not sources:
            return None
        frames = np.zeros(self.header.frames, bool)
        for name in sources:
            values = np.asarray(self.array(name))
            touching = values.reshape(len(values), -1).max(axis=1, initial=0) > 0
            for frame in range(self.header.frames):
                first, last = self.header.span(name, frame, frame)
                frames[frame] |= bool(touching[first:last].any())
        return frames

    def content_sha256(self) -> str:
        """Digest of what was recorded: the streams, not the names given to the episode."""
        streams = self.header.streams
        return digest({name: streams[name].sha256 or sha256_file(self.path(name)) for name in sorted(streams)})


class StoredEpisode(Episode):
    """An episode of the neutral store."""

    @classmethod
    def open(cls, folder: Path, *, verify: bool = False) -> Self:
        """Read the header and see that every file is there with its size.

        Args:
            folder: Folder of ``episode.json``.
            verify: Hash every file too.

        Raises:
            InputError: If the header is wrong or a file is missing.
            TamperedError: If a file is not the one that the header names.
        """
        header = parse_header(read_json(folder / HEADER_FILE), where=str(folder / HEADER_FILE))
        for name, stream in header.streams.items():
            _check_file(folder, name, stream, verify)
        return cls(folder, header)

    def array(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """See ``Episode.array``."""
        stream = self.stream(name)
        if stream.kind != "array":
            raise InputError(
                f"stream {name!r} is {stream.kind}, not an array", where=str(self.folder), hint="use path()"
            )
        path = self.path(name)
        try:
            values: NDArray[Any] = np.load(
                plain_path(path), mmap_mode="r" if stream.bytes > _CHUNK else None, allow_pickle=False
            )
        except (OSError, ValueError) as error:
            raise InputError(f"the array cannot be read: {error}", where=str(path), hint="write it again") from None
        if values.shape != stream.shape or values.dtype.str != stream.dtype:
            raise InputError(
                f"the array is {values.dtype.str} {values.shape}; the header says {stream.dtype} {stream.shape}",
                where=str(path),
                hint="one of the two was changed alone",
            )
        return values[first:last]

    def labels(self) -> FrameLabels | None:
        """See ``Episode.labels``."""
        for name, stream in self.header.streams.items():
            if stream.kind == "labels":
                _check_file(self.folder, name, stream, verify=True)
                return parse_labels(read_json(self.path(name)), self.header.frames, where=str(self.path(name)))
        return None


class EpisodeWriter:
    """Writes an episode beside its place; ``finish`` puts it there. Left without ``finish``, nothing appears.

    Example::

        with EpisodeWriter(root / "session" / "ep1") as writer:
            writer.add_array("pose", pose, modality="pose", units="m", rate_hz=80)
            writer.finish(episode_id="session__ep1", session="session", ...)
    """

    def __init__(self, folder: Path) -> None:
        """Prepare the place.

        Raises:
            StaleError: If there is an episode already.
            InputError: If the folder cannot be written.
        """
        self._folder = folder
        self._streams: dict[str, Stream] = {}
        if folder.exists():
            raise StaleError("an episode is there already", where=str(folder), hint="remove it or choose another name")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._work = Path(tempfile.mkdtemp(prefix=f"{WORK}{os.getpid()}-", dir=folder.parent))
            (self._work / "streams").mkdir()
        except OSError as error:
            raise InputError(
                f"cannot write the episode: {error.strerror}", where=str(folder), hint="check it"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self._work, ignore_errors=True)

    def add_array(self, name: str, values: NDArray[Any], **facts: Any) -> None:
        """Add an array stream; samples first. ``facts`` are the other attributes of ``Stream``.

        Raises:
            InputError: If the values are Python objects or not finite.
        """
        values = np.ascontiguousarray(values)
        if values.dtype.hasobject:
            raise InputError("an array of objects would be pickled", where=name, hint="give it a numeric dtype")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError("the array has values that are not finite", where=name, hint="leave the stream out")
        path = self._place(name, ".npy")
        with path.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
        self._add(name, path, {"kind": "array", "shape": values.shape, "dtype": values.dtype.str} | facts)

    def add_media(self, name: str, suffix: str, write: Callable[[Path], None], **facts: Any) -> None:
        """Add a video or a sound, written by ``write`` to the path that it is given."""
        path = self._place(name, suffix)
        write(path)
        self._add(name, path, facts)

    def add_labels(self, labels: FrameLabels, **facts: Any) -> None:
        """Add the labels of the frames."""
        path = self._work / "labels.json"
        path.write_bytes(dumps(labels.to_json()))
        facts = {"kind": "labels", "modality": "labels", "units": "1", "privileged": True} | facts
        self._add("labels", path, facts)

    def finish(self, **header: Any) -> EpisodeHeader:
        """Write the header, flush everything and rename the folder to its place.

        Raises:
            InputError: If the header and the streams do not fit together.
            StaleError: If another writer was first.
        """
        streams = {name: stream.model_dump() for name, stream in self._streams.items()}
        parsed = parse_header({"schema": "heldout.episode/1", "streams": streams} | header, where=str(self._folder))
        (self._work / HEADER_FILE).write_bytes(dumps(parsed.to_json()))
        for path in sorted(self._work.rglob("*")):
            if path.is_file():
                with path.open("r+b") as file:
                    os.fsync(file.fileno())
            else:
                flush_folder(path)
        flush_folder(self._work)
        try:
            self._work.rename(self._folder)
        except OSError:
            raise StaleError(
                "another writer put an episode there", where=str(self._folder), hint="one writer an episode"
            ) from None
        flush_folder(self._folder.parent)
        return parsed

    def _place(self, name: str, suffix: str) -> Path:
        if name in self._streams:
            raise InputError(f"stream {name!r} is there already", where=str(self._folder), hint="one name a stream")
        path = self._work / "streams" / f"{name.replace('/', '.')}{suffix}"
        if path.exists():
            raise InputError(f"two streams would write {path.name}", where=str(self._folder), hint="rename one")
        return path

    def _add(self, name: str, path: Path, facts: Mapping[str, Any]) -> None:
        known = {
            "file": path.relative_to(self._work).as_posix(),
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
        }
        try:
            self._streams[name] = Stream.model_validate(dict(facts) | known)
        except ValueError as error:
            raise InputError(f"stream {name!r} is not described well: {error}", where=str(self._folder)) from None


def _check_file(folder: Path, name: str, stream: Stream, verify: bool) -> None:
    path = folder / stream.file
    if path.is_symlink() or not path.is_file():
        raise InputError(f"the file of stream {name!r} is missing", where=str(path), hint="fetch the episode again")
    if stream.sha256 is None:
        raise InputError(f"stream {name!r} has no sha256", where=str(folder / HEADER_FILE), hint="write it again")
    if path.stat().st_size != stream.bytes or (verify and sha256_file(path) != stream.sha256):
        raise TamperedError(
            f"the file of stream {name!r} is not the one that the header names",
            where=str(path),
            hint="fetch or make the episode again",
        )
