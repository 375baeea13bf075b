"""One cell: a source through one encoder at one quality point, scored frame by frame.

The encode is a temporary file; it is decoded and scored against the source in one graph of filters, so that no raw
video is written. Both inputs get their timestamps by frame number. The frames of the source, of the encode and of
libvmaf's log are counted, each by itself: if they differ, the cell fails and says so.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from heldout.domains.video.corpus.phash import SIDE, picture_hashes
from heldout.domains.video.encode.encoders import Encoder
from heldout.domains.video.encode.ffmpeg import FFmpeg, Finished
from heldout.domains.video.encode.sources import Source, reset_timestamps
from heldout.errors import HeldoutError, UnitError
from heldout.evidence import loads, read_plain

FEATURES = ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")
_LOG = "vmaf.json"
_PICTURES = "pictures.gray"
_ENCODE = "encode.mp4"
_INPUT_FORMAT = re.compile(r"Stream #0:\d+.*?: Video: .*?, ([a-z][a-z0-9]+)(?=[(,])")


class CellFailedError(UnitError):
    """A cell that cannot be trusted.

    Attributes:
        log: FFmpeg's last lines.
    """

    def __init__(self, what: str, *, where: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, hint="see the lines of FFmpeg in the manifest")
        self.log = log

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.what, self.where or "", self.log))


def _rebuild(what: str, where: str, log: tuple[str, ...]) -> CellFailedError:
    return CellFailedError(what, where=where, log=log)


@dataclass(frozen=True)
class Cell:
    """What is encoded."""

    source: Source
    encoder: Encoder
    cq: int

    @property
    def name(self) -> str:
        """For files and messages."""
        return f"{self.source.name}__{self.encoder.name}__{self.encoder.preset}__cq{self.cq}"


class Scored(NamedTuple):
    """The rows of a finished cell, as lines, and what the manifest says of it."""

    lines: bytes
    rows: int
    enc_bytes: int
    vmaf_mean: float
    encoded_pix_fmt: str
    libvmaf_version: str | None


class _Encode(NamedTuple):
    size: int
    milliseconds: float


def run_cell(ffmpeg: FFmpeg, cell: Cell, model: str, work: Path) -> Scored:
    """Encode and score one cell in the empty folder ``work``, which the caller removes.

    Raises:
        CellFailedError: If FFmpeg failed, frames are missing or too many, or a frame has no score.
        StoppedError: If the run was interrupted.
    """
    encode = _encode(ffmpeg, cell, work)
    done = ffmpeg.run(score_arguments(cell, model), level="info", cwd=work)
    if done.code != 0:
        raise _failed(cell, f"scoring failed: {done.cause}", done, work)
    frames, version = _read_log(cell, work, done)
    _check_counts(cell, done, len(frames), work)
    facts, extra = _row_facts(cell, encode, ffmpeg.version, version, model)
    hashes = picture_hashes(read_plain(work / _PICTURES))
    if len(hashes) != len(frames):
        raise _failed(cell, f"{len(hashes)} pictures of {len(frames)} frames were kept", done, work)
    scores = [_scores(cell, index, frame) for index, frame in enumerate(frames)]
    # The published keys in the published order, then ours.
    rows = [facts | each | extra | {"ref_phash": phash} for each, phash in zip(scores, hashes, strict=True)]
    lines = b"".join(json.dumps(row, allow_nan=False, ensure_ascii=False).encode() + b"\n" for row in rows)
    mean = math.fsum(each["vmaf"] for each in scores) / len(scores)
    pix_fmt = next((match[1] for line in done.lines if (match := _INPUT_FORMAT.search(line))), "unknown")
    return Scored(lines, len(rows), encode.size, round(mean, 6), pix_fmt, version)


def encode_arguments(cell: Cell) -> list[str]:
    """FFmpeg's arguments for the encode, from input to output."""
    source, encoder = cell.source, cell.encoder
    chain = ",".join([source.chain, *encoder.filters(source.geometry.bit_depth)])
    output = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "mp4", _ENCODE]
    head = [*encoder.global_arguments(), *source.input_arguments, "-map", "0:v:0", "-vf", chain]
    return [*head, "-r", source.geometry.rate, *encoder.codec_arguments(cell.cq), *output]


def score_arguments(cell: Cell, model: str) -> list[str]:
    """FFmpeg's arguments for decoding and scoring.

    Both inputs are also counted, by ``framecrc`` on standard output, and the source's frames kept as small pictures.
    """
    geometry = cell.source.geometry
    distorted = ",".join([f"format={geometry.pix_fmt}", *reset_timestamps(geometry)])
    graph = (
        f"[0:v:0]{distorted},split[d][dn];[1:v:0]{cell.source.chain},split=3[r][rn][rp];"
        f"[d][r]libvmaf=log_fmt=json:log_path={_LOG}:n_threads=1:model=version={model}[v];"
        f"[rp]scale={SIDE}:{SIDE}:flags=area+accurate_rnd+bitexact,format=gray[p]"
    )
    inputs = ["-threads", "1", "-ignore_editlist", "1", "-i", _ENCODE, *cell.source.input_arguments]
    counted = ["-map", "[dn]", "-map", "[rn]", "-f", "framecrc", "-"]
    pictures = ["-map", "[p]", "-f", "rawvideo", _PICTURES]
    return [*inputs, "-lavfi", graph, "-map", "[v]", "-f", "null", "-", *counted, *pictures]


def _encode(ffmpeg: FFmpeg, cell: Cell, work: Path) -> _Encode:
    start = time.perf_counter()
    done = ffmpeg.run(encode_arguments(cell), cwd=work)
    elapsed = (time.perf_counter() - start) * 1000.0
    path = work / _ENCODE
    size = path.stat().st_size if path.is_file() else 0
    if done.code != 0 or size == 0:
        raise _failed(cell, f"the encode failed: {done.cause}", done, work)
    return _Encode(size, round(elapsed, 3))


def _read_log(cell: Cell, work: Path, done: Finished) -> tuple[list[Mapping[str, Any]], str | None]:
    path = work / _LOG
    try:
        log = loads(read_plain(path), where="libvmaf's log") if path.is_file() else None
    except HeldoutError as error:
        raise _failed(cell, f"libvmaf's log cannot be read: {error.what}", done, work) from None
    if not isinstance(log, dict) or not isinstance(log.get("frames"), list):
        raise _failed(cell, "libvmaf wrote no frames", done, work)
    return log["frames"], log.get("version")


def _check_counts(cell: Cell, done: Finished, logged: int, work: Path) -> None:
    streams = [line.partition(b",")[0].strip() for line in done.output.splitlines() if not line.startswith(b"#")]
    decoded, reference, expected = streams.count(b"0"), streams.count(b"1"), cell.source.frames
    if {decoded, reference, logged} != {expected}:
        counts = f"the source has {expected} frames"
        if reference != expected:
            counts += f" ({reference} when it was scored)"
        raise _failed(cell, f"frame counts differ: {counts}, the encode {decoded}, libvmaf's log {logged}", done, work)


def _row_facts(
    cell: Cell, encode: _Encode, ffmpeg_version: str, libvmaf_version: str | None, model: str
) -> tuple[dict[str, object], dict[str, object]]:
    """What all rows say: the published keys, and ours."""
    geometry, family = cell.source.geometry, cell.encoder.family
    extra: dict[str, object] = {
        "preset": cell.encoder.preset,
        "fps": float(geometry.fps) if geometry.fps.denominator != 1 else geometry.fps.numerator,
        "width": geometry.width,
        "height": geometry.height,
        "pix_fmt": geometry.pix_fmt,
        "bit_depth": geometry.bit_depth,
        "quality_knob": family.knob,
        "quality_value": family.value(cell.cq),
        "source_sha256": cell.source.sha256,
        "ffmpeg_version": ffmpeg_version,
        "vmaf_model": model,
    }
    if libvmaf_version:
        extra["libvmaf_version"] = libvmaf_version
    published = {"src": cell.source.name, "encoder": cell.encoder.name, "cq": cell.cq}
    return {**published, "enc_bytes": encode.size, "enc_time_ms": encode.milliseconds}, extra


def _scores(cell: Cell, index: int, frame: Mapping[str, Any]) -> dict[str, float]:
    metrics = frame.get("metrics", {})
    if frame.get("frameNum") != index:
        raise _failed(cell, f"libvmaf's log has frame {frame.get('frameNum')} in place {index}")
    found = {"vmaf": metrics.get("vmaf")}
    for name in FEATURES:
        found[name] = metrics.get(f"integer_{name}", metrics.get(name))
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _failed(cell, f"frame {index} has no {name}: libvmaf gave {value!r}")
    return {"frame_index": index, **found}


def _failed(cell: Cell, what: str, done: Finished | None = None, work: Path | None = None) -> CellFailedError:
    return CellFailedError(what, where=cell.name, log=done.last_lines(work) if done else ())
