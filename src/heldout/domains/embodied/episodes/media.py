"""Video and sound as files: H.264 in MP4, and 16-bit PCM in WAV. The same frames give the same bytes."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import plain_path

# A constant quantiser, visually lossless at these sizes, and no B-frames. With x264's defaults (constant quality, whose
# macroblock tree looks ahead over B-frames) equal frames gave a handful of different files in one process.
_H264 = {"qp": "12", "bf": "0", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}


class VideoFacts(NamedTuple):
    """What a decoder says of a video: frames, height, width, frames a second, and whether it has sound."""

    frames: int
    height: int
    width: int
    rate_hz: float
    has_audio: bool


def write_video(path: Path, frames: NDArray[np.uint8], rate_hz: float) -> None:
    """Encode RGB frames of shape ``[frames, height, width, 3]``; even height and width.

    One thread and no time stamps of the day, so that the file depends on the pixels and the encoder's version alone.
    """
    av = _av()
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(1001), options=_H264)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())


def video_facts(path: Path) -> VideoFacts:
    """Open a video and read its first frame.

    Raises:
        InputError: If it cannot be opened or has no frame that decodes.
    """
    av = _av()
    try:
        with av.open(str(plain_path(path))) as container:
            if not container.streams.video:
                raise InputError("the file has no video", where=str(path), hint="check the recording")
            stream = container.streams.video[0]
            first = next(iter(container.decode(stream)), None)
            if first is None:
                raise InputError("the video has no frames", where=str(path), hint="check the recording")
            count = stream.frames or _count(container, stream)
            rate = float(stream.average_rate or 0)
            return VideoFacts(count, first.height, first.width, rate, bool(container.streams.audio))
    except av.FFmpegError as error:
        raise InputError(f"the video cannot be decoded: {error}", where=str(path), hint="fetch it again") from None


def read_frames(path: Path, first: int, last: int) -> NDArray[np.uint8]:
    """Decode frames ``[first, last)``, RGB, of shape ``[frames, height, width, 3]``.

    Raises:
        InputError: If the video cannot be decoded or ends before ``last``.
    """
    images = []
    for number, image in enumerate(iterate_frames(path)):
        if number >= last:
            break
        if number >= first:
            images.append(image)
    if len(images) != last - first:
        raise InputError(
            f"frames {first}..{last - 1} were asked of a video that ends before",
            where=str(path),
            hint="check the index",
        )
    return np.stack(images) if images else np.zeros((0, 0, 0, 3), np.uint8)


def iterate_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Decode a video, frame by frame.

    Raises:
        InputError: If it cannot be decoded.
    """
    av = _av()
    try:
        with av.open(str(plain_path(path))) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"the video cannot be decoded: {error}", where=str(path), hint="fetch it again") from None


def write_wav(path: Path, samples: NDArray[np.int16], rate_hz: int) -> None:
    """Write mono 16-bit PCM."""
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate_hz)
        stream.writeframes(samples.astype("<i2").tobytes())


def read_sound(path: Path) -> NDArray[np.float32]:
    """Decode the first sound track of a file, mono, in -1 .. 1; of length 0 where there is none.

    Raises:
        InputError: If it cannot be decoded.
    """
    if path.suffix == ".wav":
        try:
            with wave.open(str(plain_path(path)), "rb") as stream:
                if stream.getsampwidth() == 2 and stream.getnchannels() == 1:
                    data = np.frombuffer(stream.readframes(stream.getnframes()), "<i2")
                    return data.astype(np.float32) / np.float32(32768)
        except (wave.Error, EOFError) as error:
            raise InputError(f"the sound cannot be read: {error}", where=str(path), hint="fetch it again") from None
    return _decode_sound(path)


def sound_rate(path: Path) -> float | None:
    """Samples a second of the first sound track; None if there is none or the file cannot be opened."""
    av = _av()
    try:
        with av.open(str(plain_path(path))) as container:
            return float(container.streams.audio[0].rate) if container.streams.audio else None
    except av.FFmpegError:
        return None


def _decode_sound(path: Path) -> NDArray[np.float32]:
    av = _av()
    try:
        with av.open(str(plain_path(path))) as container:
            if not container.streams.audio:
                return np.zeros(0, np.float32)
            resampler = av.AudioResampler(format="flt", layout="mono")
            parts = [
                piece.to_ndarray().ravel()
                for frame in container.decode(container.streams.audio[0])
                for piece in resampler.resample(frame)
            ]
    except av.FFmpegError as error:
        raise InputError(f"the sound cannot be decoded: {error}", where=str(path), hint="fetch it again") from None
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


def _count(container: Any, stream: Any) -> int:
    container.seek(0)
    return sum(1 for _ in container.decode(stream))


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise PrerequisiteError("PyAV is not installed", where="av", hint="pip install 'heldout[embodied]'") from None
    return av
