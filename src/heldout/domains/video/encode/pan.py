"""A photograph as a film: a slow camera move by FFmpeg's ``zoompan``, kept losslessly as ``.y4m``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heldout.domains.video.encode.ffmpeg import FFmpeg
from heldout.domains.video.encode.spec import SourceSpec
from heldout.errors import InputError
from heldout.evidence import atomic_path, digest, read_json, sha256_file, write_json

SCHEMA = "heldout.video-pan/1"
# The camera moves in whole pixels of the enlarged photograph, so a quarter of a pixel of the film.
_ENLARGED = 4
# Zoom and position of the window as functions of t = 0..1; x and y are shares of the free way.
_MOVES = {
    "zoom-in": ("1+0.5*{t}", "0.5", "0.5"),
    "zoom-out": ("1.5-0.5*{t}", "0.5", "0.5"),
    "pan-right": ("1.4", "{t}", "0.4"),
    "pan-left": ("1.4", "1-{t}", "0.6"),
    "pan-down": ("1.4", "0.5", "{t}"),
    "pan-up": ("1.4", "0.5", "1-{t}"),
}


def render_pan(ffmpeg: FFmpeg, photo: Path, spec: SourceSpec, target: Path, scale_flags: str) -> Path:
    """Render the film unless the same one is there already; return its path.

    Raises:
        InputError: If FFmpeg cannot read the photograph.
    """
    chain = _chain(spec, scale_flags)
    key = digest({"photo": sha256_file(photo), "chain": chain, "rate": spec.fps, "ffmpeg": ffmpeg.version})
    card = target.with_name(f"{target.name}.json")
    if _is_there(target, card, key):
        return target
    with atomic_path(target) as partial:
        output = ["-frames:v", str(spec.frames), "-strict", "-1", "-f", "yuv4mpegpipe", f"file:{partial}"]
        done = ffmpeg.run(["-threads", "1", "-i", f"file:{photo}", "-vf", chain, *output])
        if done.code != 0:
            raise InputError(
                f"FFmpeg cannot make a film of the photograph: {done.cause}", where=str(photo), hint="check the file"
            )
    write_json(card, {"schema": SCHEMA, "key": key, "sha256": sha256_file(target)})
    return target


def _chain(spec: SourceSpec, flags: str) -> str:
    assert spec.width is not None
    assert spec.height is not None
    assert spec.frames is not None
    t = f"on/{spec.frames - 1}"
    zoom, x, y = (formula.format(t=t) for formula in _MOVES[spec.move])
    wide, high = spec.width * _ENLARGED, spec.height * _ENLARGED
    window = f"zoompan=z='{zoom}':x='(iw-iw/zoom)*({x})':y='(ih-ih/zoom)*({y})'"
    return ",".join(
        [
            f"scale={wide}:{high}:force_original_aspect_ratio=increase:flags={flags}",
            f"crop={wide}:{high}",
            "setsar=1",
            f"{window}:d={spec.frames}:s={wide // 2}x{high // 2}:fps={spec.fps}",
            f"scale={spec.width}:{spec.height}:flags={flags}",
            f"format={spec.pix_fmt or 'yuv420p'}",
        ]
    )


def _is_there(target: Path, card: Path, key: str) -> bool:
    if not target.is_file() or not card.is_file():
        return False
    try:
        known: Any = read_json(card)
    except InputError:
        return False
    return isinstance(known, dict) and known.get("key") == key and known.get("sha256") == sha256_file(target)
