"""From what a study names to sources that can be encoded: found, measured frame by frame, and known by content.

A source is read twice through one chain of filters: by the encoder and by the scorer. What the chain gives is what the
source *is*: its frames are counted and hashed once, here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from heldout.domains.video.encode.ffmpeg import FFmpeg, Finished
from heldout.domains.video.encode.geometry import Geometry, check_whole_frames, raw_geometry, scored_format
from heldout.domains.video.encode.pan import render_pan
from heldout.domains.video.encode.spec import PACKAGE, SourceSpec, source_name
from heldout.domains.video.encode.workers import each
from heldout.errors import InputError
from heldout.evidence import sha256_bytes, sha256_file
from heldout.evidence.provenance import portable

# Bit-exact scaling: the same frames on every processor.
SCALE = "lanczos+accurate_rnd+full_chroma_int+bitexact"
_STREAM = re.compile(r"Stream #0:\d+.*?: Video: .*?, (?:\d+ reference frames?.*?, )?([a-z][a-z0-9]+)(?=[(,])")


@dataclass(frozen=True)
class Source:
    """A source that was decoded once from end to end.

    Attributes:
        path: The file that FFmpeg reads.
        kind: video, raw or pan.
        geometry: Of the frames that are encoded and scored.
        filters: What makes those frames of the decoded ones, the same for the encoder and the scorer.
        frames: Number of those frames.
        sha256: Of the file.
        content_sha256: Of the frames.
        origin: The photograph behind a pan: path, sha256 and move.
        decoded: A copy of those frames to read instead of the file, while there is one.
    """

    name: str
    path: Path
    kind: str
    geometry: Geometry
    filters: tuple[str, ...]
    frames: int
    sha256: str
    content_sha256: str
    origin: dict[str, str] | None = None
    decoded: Path | None = None

    @property
    def input_arguments(self) -> list[str]:
        """FFmpeg's input with what it cannot know."""
        if self.decoded is not None:
            return input_arguments(self.decoded, None)
        return input_arguments(self.path, self.geometry if self.kind == "raw" else None)

    @property
    def chain(self) -> str:
        """The source's filters, then timestamps by frame number."""
        filters = self.filters if self.decoded is None else self.filters[-1:]  # the format alone
        return ",".join([*filters, *reset_timestamps(self.geometry)])

    def to_json(self) -> dict[str, object]:
        """As it stands in the manifest."""
        facts = {"name": self.name, "path": portable(self.path), "kind": self.kind, "frames": self.frames}
        digests = {"sha256": self.sha256, "content_sha256": self.content_sha256}
        return facts | self.geometry.to_json() | digests | ({"origin": self.origin} if self.origin else {})


def reset_timestamps(geometry: Geometry) -> list[str]:
    """Filters that set each frame's time by its number, so that no container's offset can shift it."""
    return [f"settb=expr={geometry.fps.denominator}/{geometry.fps.numerator}", "setpts=N"]


def input_arguments(path: Path, raw: Geometry | None) -> list[str]:
    """FFmpeg's input; a headerless file is given its geometry. One thread decodes."""
    if raw is None:
        return ["-threads", "1", "-i", f"file:{path}"]
    size = ["-video_size", f"{raw.width}x{raw.height}", "-framerate", raw.rate, "-pixel_format", raw.pix_fmt]
    return ["-f", "rawvideo", *size, "-threads", "1", "-i", f"file:{path}"]


def measure_sources(ffmpeg: FFmpeg, specs: Sequence[SourceSpec], folder: Path, workers: int) -> list[Source]:
    """Find, render (pans) and measure every source.

    Args:
        ffmpeg: What decodes.
        specs: What to measure.
        folder: Where the rendered pans are kept.
        workers: Decoders at a time.

    Raises:
        InputError: If one is missing or cannot be decoded, or two have one name or one content.
    """
    _refuse_same_names(specs)
    sources = each(partial(_measure, ffmpeg, folder), specs, workers, ffmpeg.children)
    _refuse_same_content(sources)
    return sources


def locate(path: Path) -> Path:
    """The file; ``package:NAME/FILE`` is looked up among installed packages without importing them.

    Raises:
        InputError: If there is no such file.
    """
    text = path.as_posix()
    if text.startswith(PACKAGE):
        name, _, inside = text.removeprefix(PACKAGE).partition("/")
        found = find_spec(name) if name.isidentifier() else None
        if found is None or not found.submodule_search_locations:
            raise InputError(f"the package {name!r} is not installed", where=text, hint="pip install 'heldout[demo]'")
        path = Path(next(iter(found.submodule_search_locations))) / inside
    if not path.is_file():
        raise InputError("there is no such source file", where=str(path), hint="check the path")
    return path.resolve()


class _Header(NamedTuple):
    width: int
    height: int
    fps: Fraction
    pix_fmt: str


def _measure(ffmpeg: FFmpeg, folder: Path, spec: SourceSpec) -> Source:
    name, path, origin = source_name(spec), locate(spec.path), None
    if spec.kind == "pan":
        origin = {"path": portable(path), "sha256": sha256_file(path), "move": spec.move}
        path = render_pan(ffmpeg, path, spec, folder.resolve() / f"{name}.y4m", SCALE)
        spec = SourceSpec(path=path, kind="video")
    raw = raw_geometry(spec) if spec.kind == "raw" else None
    if raw is not None:
        check_whole_frames(path, raw)
        geometry, filters = raw, _filters(raw, None, spec.frames)
    else:
        header = _read_header(ffmpeg, path)
        geometry = Geometry(
            spec.width or header.width,
            spec.height or header.height,
            spec.rate or header.fps,
            spec.pix_fmt or scored_format(header.pix_fmt, path),
        )
        filters = _filters(geometry, header, spec.frames)
    source = Source(name, path, "pan" if origin else spec.kind, geometry, filters, 0, sha256_file(path), "", origin)
    frames, content = _count_and_hash(ffmpeg, source)
    if spec.frames is not None and frames < spec.frames:
        raise InputError(
            f"the source has {frames} frames, not {spec.frames}", where=str(path), hint="lower or remove `frames`"
        )
    return Source(name, path, source.kind, geometry, filters, frames, source.sha256, content, origin)


def _filters(geometry: Geometry, header: _Header | None, frames: int | None) -> tuple[str, ...]:
    """Cut to so many frames, fill the size (crop what stands over), convert to the scored format."""
    steps = [] if frames is None else [f"trim=end_frame={frames}"]
    width, height = geometry.width, geometry.height
    if header is not None and (header.width, header.height) != (width, height):
        # The aspect of the samples counts: 176x144 with samples 128:117 is a 4:3 picture.
        fill = f"max({width}/(iw*if(gt(sar,0),sar,1)),{height}/ih)"
        wide, high = f"ceil(iw*if(gt(sar,0),sar,1)*{fill}/2)*2", f"ceil(ih*{fill}/2)*2"
        steps += [f"scale=w='{wide}':h='{high}':flags={SCALE}", f"crop={width}:{height}", "setsar=1"]
    if header is not None and header.pix_fmt != geometry.pix_fmt:
        steps.append(f"scale=flags={SCALE}")
    return (*steps, f"format={geometry.pix_fmt}")


def _read_header(ffmpeg: FFmpeg, path: Path) -> _Header:
    """Size, rate and pixel format that FFmpeg reads from the file, by decoding its first frame."""
    arguments = [
        *input_arguments(path, None),
        "-map",
        "0:v:0",
        "-frames:v",
        "1",
        "-f",
        "framehash",
        "-hash",
        "crc32",
        "-",
    ]
    done = ffmpeg.run(arguments, level="info")
    text = done.output.decode(errors="replace")
    size = re.search(r"^#dimensions 0: (\d+)x(\d+)", text, re.MULTILINE)
    base = re.search(r"^#tb 0: (\d+)/(\d+)", text, re.MULTILINE)
    format_ = next((match[1] for line in done.lines if (match := _STREAM.search(line))), None)
    if done.code != 0 or not size or not base or format_ is None:
        raise _undecodable(path, done)
    return _Header(int(size[1]), int(size[2]), Fraction(int(base[2]), int(base[1])), format_)


def _count_and_hash(ffmpeg: FFmpeg, source: Source) -> tuple[int, str]:
    """Decode all of it: number of frames, and one digest over the digests of the frames."""
    arguments = [*source.input_arguments, "-map", "0:v:0", "-vf", source.chain, "-r", source.geometry.rate]
    done = ffmpeg.run([*arguments, "-f", "framehash", "-hash", "sha256", "-"])
    found = content_digest(done.output)
    if done.code != 0 or not found[0]:
        raise _undecodable(source.path, done)
    return found


def content_digest(hashes: bytes) -> tuple[int, str]:
    """Number of frames, and one digest over theirs, from FFmpeg's list of them."""
    rows = [line for line in hashes.splitlines() if line and not line.startswith(b"#")]
    return len(rows), sha256_bytes(b"\n".join(row.rpartition(b",")[2].strip() for row in rows))


def _undecodable(path: Path, done: Finished) -> InputError:
    return InputError(f"FFmpeg cannot decode the source: {done.cause}", where=str(path), hint="check the file")


def _refuse_same_names(specs: Sequence[SourceSpec]) -> None:
    seen: dict[str, SourceSpec] = {}
    for spec in specs:
        name = source_name(spec)
        other = seen.setdefault(name.casefold(), spec)
        if other is not spec:
            raise InputError(
                f"two sources have the name {name!r}",
                where=f"{other.path} and {spec.path}",
                hint="give one of them another `name`: it is the fold that is held out",
            )


def _refuse_same_content(sources: Sequence[Source]) -> None:
    seen: dict[str, Source] = {}
    for source in sources:
        for digest in {source.sha256, source.content_sha256}:
            other = seen.setdefault(digest, source)
            if other is not source:
                raise InputError(
                    f"the sources {other.name!r} and {source.name!r} have the same content",
                    where=f"{other.path} and {source.path}",
                    hint="keep one: held out under two names, it would be trained on all the same",
                )
