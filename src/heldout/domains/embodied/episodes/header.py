"""The header of an episode: what was recorded, on which clock, in which units, and by which digest.

An episode has one clock of ``frames`` at ``clock_hz``; windows and labels count in its frames. Every stream says its
own rate, and sample ``i`` of a stream of rate ``r`` is taken at ``i / r`` seconds. A stream without a fixed rate names
the stream of its times in seconds.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from heldout.errors import InputError

SCHEMA: Final = "heldout.episode/1"
HEADER_FILE = "episode.json"
Kind = Literal["array", "video", "audio", "labels"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ":" in path or ".." in parts or "\0" in path:
        raise ValueError("not a path inside the episode's folder")
    return path


def _identifier(name: str) -> str:
    if not _ID.fullmatch(name):
        raise ValueError("letters, digits, dots, dashes and underscores only")
    return name


InsidePath = Annotated[str, AfterValidator(_inside)]
Identifier = Annotated[str, AfterValidator(_identifier)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Stream(_Strict):
    """One stream of an episode.

    Attributes:
        kind: ``array`` (.npy), ``video``, ``audio`` or ``labels``.
        modality: What is measured: video, audio, pose, proprioception, action, contact, imu, depth, mocap, ...
        file: Path inside the episode's folder.
        sha256: Digest of the file; None only for a foreign layout that has none.
        bytes: Size of the file.
        units: Of the values; ``1`` where there are none.
        rate_hz: Samples a second; None for labels and where ``times`` names the stream of sample times.
        times: Name of the array stream of sample times in seconds.
        shape: Samples first.
        dtype: Of the array; of the decoded samples of a video or a sound.
        names: Of the columns, where there are some.
        privileged: Known to a simulator or an annotator alone; never an input of a backbone.
        label_source: Fields of the supervision that are computed from this stream; no input for these either.
        synthetic: Made up, not recorded nor simulated by physics.
        note: For people.
    """

    kind: Kind
    modality: str
    file: InsidePath
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    units: str
    rate_hz: float | None = Field(default=None, gt=0)
    times: str | None = None
    shape: Annotated[tuple[int, ...], Field(strict=False)] = ()
    dtype: str = ""
    names: Annotated[tuple[str, ...], Field(strict=False)] = ()
    privileged: bool = False
    label_source: Annotated[tuple[str, ...], Field(strict=False)] = ()
    synthetic: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if self.kind != "labels" and (self.rate_hz is None) == (self.times is None) and self.modality != "time":
            raise ValueError("a stream has either a rate_hz or a stream of times")
        return self


class EpisodeHeader(_Strict):
    """``episode.json``.

    Attributes:
        episode_id: Unique in a store, ``<session>__<episode>``.
        session: What was recorded together: episodes of one session never straddle two splits.
        source_episode_id: The episode's name inside its session.
        frames: Length on the episode's clock.
        clock_hz: Frames a second.
        main_task: The task in words.
        streams: By name.
        provenance: How it was made; free, but JSON.
    """

    schema_: Literal["heldout.episode/1"] = Field(default=SCHEMA, alias="schema")
    episode_id: Identifier
    session: Identifier
    source_episode_id: Identifier
    frames: int = Field(ge=1)
    clock_hz: float = Field(gt=0)
    main_task: str
    streams: dict[str, Stream]
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        files = [stream.file for stream in self.streams.values() if stream.sha256]
        if len(files) != len(set(files)):
            raise ValueError("two streams name one file")
        for name, stream in self.streams.items():
            if stream.times is not None and stream.times not in self.streams:
                raise ValueError(f"stream {name!r} names times {stream.times!r}, which is no stream")
            self._check_length(name, stream)
        return self

    def _check_length(self, name: str, stream: Stream) -> None:
        """A stream of another length than its rate says would be cut at the wrong places by every window."""
        if stream.rate_hz is None or not stream.shape:
            return
        expected = self.frames * stream.rate_hz / self.clock_hz
        if stream.shape[0] and abs(stream.shape[0] - expected) > max(1.0, 0.01 * expected):
            raise ValueError(
                f"stream {name!r} has {stream.shape[0]} samples; {self.frames} frames at {self.clock_hz:g} Hz "
                f"are {expected:.1f} samples at {stream.rate_hz:g} Hz"
            )

    def span(self, name: str, start_frame: int, end_frame: int) -> tuple[int, int]:
        """Samples ``[first, last)`` of a stream of fixed rate taken during frames ``start .. end`` inclusive.

        A sample at the first instant of a frame belongs to that frame. The span is cut at the stream's ends.
        """
        stream = self.streams[name]
        if stream.rate_hz is None:
            raise InputError(f"stream {name!r} has no fixed rate", where=self.episode_id, hint=f"use {stream.times!r}")
        ratio = stream.rate_hz / self.clock_hz
        first, last = math.ceil(start_frame * ratio - 1e-9), math.ceil((end_frame + 1) * ratio - 1e-9)
        length = stream.shape[0] if stream.shape else last
        return min(max(first, 0), length), min(max(last, 0), length)

    def of_modality(self, modality: str) -> dict[str, Stream]:
        """Streams of one modality, by name."""
        return {name: stream for name, stream in self.streams.items() if stream.modality == modality}

    def to_json(self) -> dict[str, object]:
        """The document."""
        return self.model_dump(mode="json", by_alias=True)


def parse_header(document: Any, *, where: str) -> EpisodeHeader:
    """Check a document against the schema.

    Raises:
        InputError: With the first key that is wrong.
    """
    if isinstance(document, dict) and document.get("schema") != SCHEMA:
        raise InputError(
            f"the schema is {document.get('schema')!r}, not {SCHEMA!r}",
            where=where,
            hint="this version of heldout reads episodes of that schema only",
        )
    try:
        return EpisodeHeader.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"the episode header is wrong: {first['msg']}", where=f"{where}: {key}" if key else where, hint="mend it"
        ) from None
