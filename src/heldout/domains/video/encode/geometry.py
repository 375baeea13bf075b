"""Size, rate, pixel format: each source has its own, read from the file or its name, never assumed for all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from heldout.domains.video.encode.spec import SourceSpec, parse_fps
from heldout.errors import InputError

_NAME_PARTS = {
    "size": re.compile(r"(?:^|_)(\d{2,5})x(\d{2,5})(?=_|$)"),
    "fps": re.compile(r"(?:^|_)(\d{1,3}(?:\.\d+)?)fps(?=_|$)"),
    "depth": re.compile(r"(?:^|_)(8|10|12|16)bit(?=_|$)"),
    "chroma": re.compile(r"(?:^|_)(420|422|444)(?=_|$)"),
}
# Formats that decoders give, and the planar YUV in which libvmaf scores them at the same depth.
_SAME_DEPTH = {
    "yuvj420p": "yuv420p",
    "yuvj422p": "yuv422p",
    "yuvj444p": "yuv444p",
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "gray": "yuv420p",
    "gray10le": "yuv420p10le",
    "gray12le": "yuv420p12le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
}
_SCORED = re.compile(r"yuv4(20|22|44)p(?:(10|12|16)le)?")


@dataclass(frozen=True)
class Geometry:
    """What a frame is and how fast frames come.

    Attributes:
        fps: Frames a second, exactly.
        pix_fmt: Planar YUV as FFmpeg calls it: yuv420p, yuv422p10le, ...
    """

    width: int
    height: int
    fps: Fraction
    pix_fmt: str

    @property
    def bit_depth(self) -> int:
        """Bits a sample."""
        return bit_depth(self.pix_fmt)

    @property
    def rate(self) -> str:
        """Frames a second as FFmpeg reads it: ``30000/1001``."""
        return f"{self.fps.numerator}/{self.fps.denominator}"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one raw frame; chroma planes of odd sizes are rounded up."""
        wide, high = {"20": (2, 2), "22": (2, 1), "44": (1, 1)}[_parts(self.pix_fmt)[0]]
        chroma = -(-self.width // wide) * -(-self.height // high)
        return (self.width * self.height + 2 * chroma) * (1 if self.bit_depth == 8 else 2)

    def to_json(self) -> dict[str, object]:
        """As it stands in the manifest and in a cell's key."""
        shape = {"width": self.width, "height": self.height, "fps": self.rate}
        return shape | {"pix_fmt": self.pix_fmt, "bit_depth": self.bit_depth}


def bit_depth(pix_fmt: str) -> int:
    """Bits a sample of a planar YUV format."""
    return int(_parts(pix_fmt)[1] or 8)


def scored_format(native: str, where: Path) -> str:
    """The planar YUV format, of the same depth, in which a decoded format is scored.

    Raises:
        InputError: If there is none, as for RGB: the choice would be ours and not the file's.
    """
    scored = _SAME_DEPTH.get(native, native)
    if _SCORED.fullmatch(scored):
        return scored
    raise InputError(
        f"the pixel format {native} has no one planar YUV format in which to score it",
        where=str(where),
        hint="name one for this source, such as `pix_fmt: yuv444p`",
    )


def raw_geometry(spec: SourceSpec) -> Geometry:
    """Geometry of a headerless file: as given, else by its name ``Name_WxH_<N>fps_<B>bit_<420|422|444>``.

    Raises:
        InputError: Names every part that is neither given nor in the name.
    """
    stem = spec.path.stem
    found = {part: pattern.search(stem) for part, pattern in _NAME_PARTS.items()}
    size, fps, depth, chroma = (found[part] for part in ("size", "fps", "depth", "chroma"))
    width = spec.width or (int(size[1]) if size else None)
    height = spec.height or (int(size[2]) if size else None)
    rate = spec.rate or (Fraction(parse_fps(fps[1])) if fps else None)
    named = f"yuv{chroma[1]}p{'' if depth[1] == '8' else depth[1] + 'le'}" if depth and chroma else None
    pix_fmt = spec.pix_fmt or named
    missing = [
        name
        for name, value in (("width", width), ("height", height), ("fps", rate), ("pix_fmt", pix_fmt))
        if value is None
    ]
    if width is None or height is None or rate is None or pix_fmt is None:
        raise InputError(
            f"a raw file does not say its own {', '.join(missing)}",
            where=str(spec.path),
            hint="give them for this source, or name the file Name_1920x1080_24fps_8bit_420.yuv",
        )
    return Geometry(width, height, rate, pix_fmt)


def check_whole_frames(path: Path, geometry: Geometry) -> None:
    """Refuse a raw file that does not hold a whole number of frames.

    Raises:
        InputError: With the bytes of the file and of a frame.
    """
    size, frame = path.stat().st_size, geometry.frame_bytes
    if size == 0 or size % frame:
        raise InputError(
            f"{size} bytes are not a whole number of frames: "
            f"{geometry.width}x{geometry.height} {geometry.pix_fmt} takes {frame} bytes a frame",
            where=str(path),
            hint="correct this source's width, height or pix_fmt",
        )


def _parts(pix_fmt: str) -> tuple[str, str | None]:
    match = _SCORED.fullmatch(pix_fmt)
    assert match is not None, pix_fmt
    return match[1], match[2]
