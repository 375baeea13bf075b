"""What a policy observes at one instant: sensors, the latest picture of each camera, and what it was told to do.

The same code makes an observation of a recorded episode and of a running simulator. Nothing of later than the instant
is in it, and nothing that only a simulator knows: where the object stands must be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.observed import grids, refusal, shrink, stream_span
from heldout.domains.embodied.episodes.store import Episode
from heldout.errors import InputError, RefusedError

_SENSED = frozenset({"pose", "proprioception", "mocap"})


class Observation(NamedTuple):
    """One instant.

    Attributes:
        sensors: Values now and their change over the last frames, ``[sensors]``.
        pictures: uint8 ``[cameras, side, side, 3]``.
        told: One number an instruction of train, ``[instructions]``; all zero for one that train never heard.
    """

    sensors: FloatArray
    pictures: NDArray[np.uint8]
    told: FloatArray


@dataclass(frozen=True)
class ObservationSpec:
    """Which streams are observed.

    Attributes:
        streams: Sensors, by name.
        cameras: By name.
        side: Pixels of a picture's side.
        back: Frames over which change is measured.
        instructions: Those of train episodes, in order.
    """

    streams: tuple[str, ...]
    cameras: tuple[str, ...]
    side: int
    back: int
    instructions: tuple[str, ...]

    @classmethod
    def shared(cls, episodes: Iterable[Episode], side: int, back: int) -> Self:
        """Everything that may be observed and that all train episodes have.

        Raises:
            InputError: If there are no sensors.
        """
        streams: set[str] | None = None
        cameras: set[str] | None = None
        told: set[str] = set()
        for episode in episodes:
            seen = {n: s for n, s in episode.header.streams.items() if not refusal(n, s)}
            arrays = {name for name, stream in seen.items() if stream.kind == "array" and stream.modality in _SENSED}
            videos = {name for name, stream in seen.items() if stream.kind == "video"}
            streams = arrays if streams is None else streams & arrays
            cameras = videos if cameras is None else cameras & videos
            told.add(episode.header.main_task)
        if not streams:
            raise InputError(
                "the episodes share no pose and no proprioception", where="observations", hint="select again"
            )
        return cls(tuple(sorted(streams)), tuple(sorted(cameras or ())), side, back, tuple(sorted(told)))

    def to_json(self) -> dict[str, object]:
        """Plain JSON."""
        return {
            "streams": list(self.streams),
            "cameras": list(self.cameras),
            "side": self.side,
            "back": self.back,
            "instructions": list(self.instructions),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, where: str) -> Self:
        """Read back what ``to_json`` gave.

        Raises:
            InputError: If it is not of the schema.
        """
        try:
            lists = [tuple(document[key]) for key in ("streams", "cameras", "instructions")]
            return cls(lists[0], lists[1], int(document["side"]), int(document["back"]), lists[2])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the observations are not described: {error!r}", where=where, hint="train again"
            ) from None

    def check(self, episode: Episode) -> None:
        """See that an episode has what is observed, and that it may be.

        Raises:
            RefusedError: If a stream is privileged, language, an answer's source or an action.
        """
        for name in (*self.streams, *self.cameras):
            why = refusal(name, episode.stream(name))
            if why:
                raise RefusedError(
                    f"stream {name!r} is no observation: {why}",
                    where=str(episode.folder),
                    hint="train again without it",
                    code="HO-G135",
                )

    def told(self, instruction: str) -> FloatArray:
        """One number an instruction."""
        return np.array([float(one == instruction) for one in self.instructions])

    def of_episode(self, episode: Episode, frame: int) -> Observation:
        """What is observed at a frame of a recording."""
        now, before = (self._sensors(episode, one) for one in (frame, max(0, frame - self.back)))
        pictures = [self._picture(episode, camera, frame) for camera in self.cameras]
        return self.observation(now, before, pictures, self.told(episode.header.main_task))

    def of_simulator(
        self, history: Sequence[Mapping[str, Any]], pictures: Mapping[str, Any], told: FloatArray
    ) -> Observation:
        """What is observed of a simulator.

        Args:
            history: Readings of the sensors, the last one of now; at least one.
            pictures: The latest of each camera, by its name in the simulator.
            told: Of ``told``.
        """
        old = history[max(0, len(history) - 1 - self.back)]
        now, before = (
            np.concatenate([np.asarray(row[name], np.float32).astype(np.float64).ravel() for name in self.streams])
            for row in (history[-1], old)
        )
        seen = [_pixels(pictures[camera.removeprefix("camera/")], self.side) for camera in self.cameras]
        return self.observation(now, before, seen, told)

    def observation(
        self, now: FloatArray, before: FloatArray, pictures: Sequence[NDArray[np.uint8]], told: FloatArray
    ) -> Observation:
        """Put the parts together."""
        seen = np.stack(pictures) if pictures else np.zeros((0, self.side, self.side, 3), np.uint8)
        return Observation(np.concatenate([now, now - before]), seen, told)

    def _sensors(self, episode: Episode, frame: int) -> FloatArray:
        return np.concatenate([stream_span(episode, name, frame, frame)[-1] for name in self.streams])

    def _picture(self, episode: Episode, camera: str, frame: int) -> NDArray[np.uint8]:
        taken = grids(episode.folder, camera, self.side)
        last = episode.header.span(camera, 0, frame)[1]
        picture: NDArray[np.uint8] = (taken[min(max(last, 1), len(taken)) - 1] * 255).round().astype(np.uint8)
        return picture


def _pixels(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    small: NDArray[np.uint8] = (shrink(picture, side) * 255).round().astype(np.uint8)
    return small
