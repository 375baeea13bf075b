"""A source's frames, decoded and scaled once for all its cells: beside the parts while they are made, then gone.

Matroska keeps what raw frames do not say of themselves (range, matrix, siting), so that an encoder writes the same
bytes as from the source. Frames are hashed on the way: a copy that is not what was measured is not used.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from heldout.domains.video.encode.ffmpeg import FFmpeg
from heldout.domains.video.encode.plan import Planned
from heldout.domains.video.encode.sources import Source, content_digest
from heldout.domains.video.encode.workers import each

PREFIX = ".decoded-"
# What the system keeps in memory between one cell and the next; beyond that the disk would take longer than a decoder.
_ROOM = 2 << 30


@contextmanager
def decoded_once(ffmpeg: FFmpeg, pending: Sequence[Planned], parts: Path, workers: int) -> Iterator[list[Planned]]:
    """The cells to encode, those that share a source reading it from one decoded copy.

    A source gets one if it is compressed or scaled, has eight bits a sample (deeper ones may carry what Matroska does
    not), is read by two cells or more, and there is room.
    """
    with TemporaryDirectory(prefix=PREFIX, dir=parts) as folder:
        chosen = _worth_it(pending, min(_ROOM, shutil.disk_usage(parts).free // 4))
        paths = [Path(folder).resolve() / f"{number}.mkv" for number in range(len(chosen))]
        made = each(
            lambda pair: _decode(ffmpeg, *pair), list(zip(chosen, paths, strict=True)), workers, ffmpeg.children
        )
        copies = {source.name: path for source, path, good in zip(chosen, paths, made, strict=True) if good}
        yield [_reading(planned, copies) for planned in pending]


def _worth_it(pending: Sequence[Planned], room: int) -> list[Source]:
    sources = {planned.cell.source.name: planned.cell.source for planned in pending}
    cells = Counter(planned.cell.source.name for planned in pending)
    chosen = []
    for name, source in sources.items():
        size = source.geometry.frame_bytes * source.frames
        costly = source.path.suffix != ".y4m" or any(step.startswith("scale") for step in source.filters)
        if costly and cells[name] >= 2 and source.kind == "video" and source.geometry.bit_depth == 8 and size <= room:
            chosen.append(source)
            room -= size
    return chosen


def _decode(ffmpeg: FFmpeg, source: Source, target: Path) -> bool:
    """Write the frames and hash them; whether they are those that were measured."""
    frames = ["-map", "0:v:0", "-vf", source.chain, "-r", source.geometry.rate]
    hashes = [*frames, "-f", "framehash", "-hash", "sha256", "-"]
    copy = [*frames, "-c:v", "rawvideo", "-f", "matroska", f"file:{target}"]
    done = ffmpeg.run([*source.input_arguments, *hashes, *copy])
    return done.code == 0 and content_digest(done.output) == (source.frames, source.content_sha256)


def _reading(planned: Planned, copies: Mapping[str, Path]) -> Planned:
    source = planned.cell.source
    if source.name not in copies:
        return planned
    return replace(planned, cell=replace(planned.cell, source=replace(source, decoded=copies[source.name])))
