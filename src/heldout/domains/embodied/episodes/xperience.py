"""Reader of the Xperience-10M raw layout: six videos and one HDF5 file of annotations an episode, read where they are.

::

    <session>/ep<N>/fisheye_cam0..3.mp4  stereo_left.mp4  stereo_right.mp4  annotation.hdf5  [visualization.rrd]

The sound is the track of ``fisheye_cam0``. Nothing is copied or hashed: the header names what is there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.header import SCHEMA, EpisodeHeader, parse_header
from heldout.domains.embodied.episodes.labels import FrameLabels
from heldout.domains.embodied.episodes.media import sound_rate, video_facts
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.episodes.xperience_captions import Frames, labels_of, main_task
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import digest, plain_path, read_plain, sha256_bytes

ANNOTATION = "annotation.hdf5"
VIDEOS = (*(f"fisheye_cam{n}.mp4" for n in range(4)), "stereo_left.mp4", "stereo_right.mp4")
_SOUND = "fisheye_cam0.mp4"
_CLOCK_HZ = 20.0  # where no video can be asked
# data set in the HDF5 file: modality, units, fields of the supervision that are computed from it
_ARRAYS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "slam/quat_wxyz": ("pose", "unit quaternion", ()),
    "slam/trans_xyz": ("pose", "m", ()),
    "depth/depth": ("depth", "see depth/scale", ()),
    "depth/confidence": ("depth_confidence", "1", ()),
    "hand_mocap/left_joints_3d": ("hand_mocap", "m", ()),
    "hand_mocap/right_joints_3d": ("hand_mocap", "m", ()),
    "full_body_mocap/keypoints": ("body_mocap", "m", ()),
    "full_body_mocap/contacts": ("contact", "1", ("contact",)),
    "imu/accel_xyz": ("imu", "m/s^2", ()),
    "imu/gyro_xyz": ("imu", "rad/s", ()),
}
# the published names of what an annotation may hold, and where it would be
PROBES = {
    "calibration": "calibration",
    "slam_pose": "slam/quat_wxyz",
    "slam_point_cloud": "slam/point_cloud",
    "depth": "depth/depth",
    "depth_confidence": "depth/confidence",
    "hand_mocap": "hand_mocap/left_joints_3d",
    "body_mocap": "full_body_mocap/keypoints",
    "contacts": "full_body_mocap/contacts",
    "imu": "imu/accel_xyz",
    "caption": "caption",
    "captions": "captions",
}


class XperienceEpisode(Episode):
    """One episode of the raw layout."""

    def __init__(self, folder: Path) -> None:
        """Read what the annotation holds; its arrays are read when asked for.

        Raises:
            InputError: If the annotation is missing or no HDF5 file, or says nothing of any frame.
            PrerequisiteError: If h5py is not installed.
        """
        with _open(folder) as file:
            header = _header(folder, file)
        super().__init__(folder, header)

    def array(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """See ``Episode.array``."""
        stream = self.stream(name)
        if stream.kind != "array":
            raise InputError(
                f"stream {name!r} is {stream.kind}, not an array", where=str(self.folder), hint="use path()"
            )
        with _open(self.folder) as file:
            try:
                return np.asarray(file[name][first:last])
            except (KeyError, OSError, ValueError) as error:
                raise InputError(
                    f"{name} cannot be read: {error}", where=str(self.folder / ANNOTATION), hint="fetch it again"
                ) from None

    def labels(self) -> FrameLabels | None:
        """The captions as runs of frames; None where there are none."""
        with _open(self.folder) as file:
            caption = _caption(file)
            if caption is None:
                return None
            frames = Frames(
                self.header.frames, _texts(file, "slam/frame_names"), _numbers(file, "video/device_timestamp")
            )
        return labels_of(caption, frames, where=str(self.folder / ANNOTATION))

    def content_sha256(self) -> str:
        """Digest of the pose, or else of the inertial data, and of the lengths: reading gigabytes would take hours."""
        facts: dict[str, object] = {name: list(s.shape) for name, s in self.header.streams.items() if s.kind == "array"}
        for name in ("slam/trans_xyz", "imu/accel_xyz", "full_body_mocap/keypoints"):
            if name in self.header.streams:
                facts["sha256"] = sha256_bytes(np.ascontiguousarray(self.array(name)).tobytes())
                return digest(facts)
        videos = {n: s.bytes for n, s in self.header.streams.items() if s.kind == "video"}
        return digest(facts | {"videos": videos, "annotation": sha256_bytes(read_plain(self.folder / ANNOTATION))})


def missing_files(folder: Path) -> tuple[str, ...]:
    """Required files that are not there."""
    return tuple(name for name in (ANNOTATION, *VIDEOS) if not (folder / name).is_file())


def _header(folder: Path, file: Any) -> EpisodeHeader:
    frames = _frame_count(file)
    if not frames:
        raise InputError(
            "the annotation says nothing of any frame", where=str(folder / ANNOTATION), hint="fetch the episode again"
        )
    clock = _clock(folder)
    streams = {name: _array(folder, file[name], name, frames, clock) for name in _ARRAYS if name in file}
    streams |= {
        video.removesuffix(".mp4"): _video(folder, video, clock) for video in VIDEOS if (folder / video).is_file()
    }
    if (folder / _SOUND).is_file():
        streams["audio"] = _video(folder, _SOUND, sound_rate(folder / _SOUND) or 16000.0) | {
            "kind": "audio",
            "modality": "audio",
            "dtype": "<f4",
        }
    caption = _caption(file)
    if caption is not None:
        size = (folder / ANNOTATION).stat().st_size
        labels = {"kind": "labels", "modality": "labels", "file": ANNOTATION, "bytes": size, "units": "1"}
        streams["labels"] = labels | {"privileged": True, "note": "captions written by a model"}
    session, episode = _identifier(folder.parent.name), _identifier(folder.name)
    return parse_header(
        {
            "schema": SCHEMA,
            "episode_id": f"{session}__{episode}",
            "session": session,
            "source_episode_id": episode,
            "frames": frames,
            "clock_hz": clock,
            "main_task": main_task(caption),
            "streams": streams,
            "provenance": {
                "layout": "Xperience-10M raw",
                "hdf5_modalities": {name: path in file for name, path in PROBES.items()},
            },
        },
        where=str(folder / ANNOTATION),
    )


def _frame_count(file: Any) -> int:
    """Frames, by the first of these data sets that has one row a frame."""
    for name in ("slam/frame_names", "slam/quat_wxyz", "video/frame_number", "video/device_timestamp", "depth/depth"):
        if name in file and len(file[name].shape):
            return int(file[name].shape[0])
    return int(file["imu/keyframe_indices"].shape[0]) if "imu/keyframe_indices" in file else 0


def _clock(folder: Path) -> float:
    for name in VIDEOS:
        if (folder / name).is_file():
            try:
                return video_facts(folder / name).rate_hz or _CLOCK_HZ
            except InputError:
                continue
    return _CLOCK_HZ


def _array(folder: Path, data: Any, name: str, frames: int, clock: float) -> dict[str, object]:
    modality, units, sources = _ARRAYS[name]
    return {
        "kind": "array",
        "modality": modality,
        "file": ANNOTATION,
        "bytes": int(data.id.get_storage_size()),
        "units": units,
        "rate_hz": clock * data.shape[0] / frames if modality == "imu" and data.shape[0] else clock,
        "shape": [int(size) for size in data.shape],
        "dtype": data.dtype.str,
        "label_source": list(sources),
    }


def _video(folder: Path, name: str, rate: float) -> dict[str, object]:
    size = (folder / name).stat().st_size
    known = {"kind": "video", "modality": "video", "file": name, "bytes": size, "units": "1"}
    return known | {"rate_hz": rate, "dtype": "|u1"}


def _caption(file: Any) -> str | None:
    """The caption's JSON text, which stands in one scalar data set or in the only one of a group."""
    for name in ("caption", "captions"):
        if name not in file:
            continue
        found = file[name]
        if hasattr(found, "keys"):
            inside = [found[key] for key in found if getattr(found[key], "shape", None) == ()]
            found = inside[0] if len(inside) == 1 else None
        if found is not None and found.shape == ():
            value = found[()]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return None


def _texts(file: Any, name: str) -> list[str]:
    if name not in file:
        return []
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in file[name][()].ravel().tolist()]


def _numbers(file: Any, name: str) -> NDArray[np.float64]:
    return np.asarray(file[name][()], dtype=np.float64).ravel() if name in file else np.zeros(0)


def _open(folder: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise PrerequisiteError("h5py is not installed", where="h5py", hint="pip install 'heldout[embodied]'") from None
    path = folder / ANNOTATION
    try:
        return h5py.File(plain_path(path), "r")
    except OSError as error:
        raise InputError(f"the annotation cannot be read: {error}", where=str(path), hint="fetch it again") from None


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-") or "episode"
