"""Raw sources from machine to machine: packed without loss, proved by decoding them again before they leave.

What is promised is the bytes of the original files. Each file's own sha256 goes along; the sender decodes every packed
file and compares, the receiver does it again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from heldout.domains.video.encode.ffmpeg import FFmpeg, Finished, find_ffmpeg
from heldout.domains.video.encode.geometry import Geometry, check_whole_frames, raw_geometry
from heldout.domains.video.encode.sources import input_arguments
from heldout.domains.video.encode.spec import SourceSpec
from heldout.domains.video.encode.workers import each
from heldout.domains.video.kit.study import raw_source
from heldout.errors import InputError, PrerequisiteError, UnitError, near_miss
from heldout.evidence import canonical, digest, dumps, file_entry, read_json, sha256_file, write_json, write_text
from heldout.package.archive.read import safe_name
from heldout.package.archive.write import write_archive

SCHEMA = "heldout.transport/1"
MANIFEST = "transport.json"
TOP = "corpus-transport"
LOSSLESS = "lossless"
RAW_SUFFIX = ".yuv"
OnFile = Callable[[str, int, int], None]
_FFV1 = "-c:v ffv1 -level 3 -coder 1 -context 1 -g 1 -slices {slices} -slicecrc 1"
# By codec, encoders in the order in which they are tried.
CODECS: Mapping[str, Mapping[str, str]] = {
    "hevc": {"libx265": "-c:v libx265 -preset medium -x265-params lossless=1:pools=1:frame-threads=1:log-level=error"},
    "ffv1": {"ffv1": _FFV1},
    # SVT-AV1 takes 4:2:0 only. libaom is asked for lossless too, and not every build of it obeys.
    "av1": {
        "libsvtav1": "-c:v libsvtav1 -svtav1-params lossless=1:lp=1 -preset 4",
        "libaom-av1": "-c:v libaom-av1 -crf 0 -aom-params lossless=1:aq-mode=0:deltaq-mode=0:enable-cdef=0 "
        "-lag-in-frames 0 -cpu-used 4 -threads 1",
    },
}


@dataclass(frozen=True)
class PackOptions:
    """How sources are packed.

    Attributes:
        codec: hevc, ffv1 or av1.
        workers: Files at a time.
        geometry: Width, height, fps and pix_fmt of files that do not say their own.
        ffmpeg: Another FFmpeg.
    """

    codec: str = "ffv1"
    workers: int = 1
    geometry: Mapping[str, Any] = field(default_factory=dict)
    ffmpeg: Path | None = None


class Packed(NamedTuple):
    """A transport that was written.

    Attributes:
        path: The archive.
        sha256: Its digest, which stands in a file beside it too.
        document: ``transport.json``.
    """

    path: Path
    sha256: str
    document: Mapping[str, Any]


class _Raw(NamedTuple):
    name: str
    path: Path
    geometry: Geometry


def pack_corpus(
    folders: Sequence[Path], out: Path, options: PackOptions | None = None, on_file: OnFile | None = None
) -> Packed:
    """Pack the raw files of some folders; goes on where it was stopped.

    Args:
        folders: Each is a corpus, known by its folder's name.
        out: The archive, ``.tar.zst``. Packed files wait beside it, in ``OUT.parts``, until it is whole.
        options: How.
        on_file: Called with name, number and total as files are packed.

    Raises:
        InputError: If a file does not say its geometry, or two corpora have one name.
        PrerequisiteError: If FFmpeg, the encoder or Zstandard is missing.
        UnitError: If a packed file does not decode to the bytes of its original.
    """
    chosen = options or PackOptions()
    if chosen.codec not in CODECS:
        raise InputError(f"there is no codec {chosen.codec!r}", where="--codec", hint=near_miss(chosen.codec, CODECS))
    ffmpeg = find_ffmpeg(chosen.ffmpeg)
    encoders = _encoders(ffmpeg, chosen.codec)
    raws = [raw for folder in folders for raw in _raws(folder, chosen.geometry)]
    _refuse_same_names(raws)
    parts = out.with_name(f"{out.name}.parts")
    counted = Counter(len(raws), on_file)
    work = partial(_pack_one, ffmpeg, encoders, parts, counted)
    entries = dict(each(work, raws, chosen.workers, ffmpeg.children))
    document = {"schema": SCHEMA, "codec": chosen.codec, "sources": entries}
    files = _published(document) | {f"{LOSSLESS}/{entry['mkv']}": parts / entry["part"] for entry in entries.values()}
    document["files"] = {name: file_entry(source) for name, source in sorted(files.items())}
    sha256 = write_archive(out, {**files, MANIFEST: dumps(document)}, top=TOP)
    write_text(out.with_name(f"{out.name}.sha256"), f"{sha256}  {out.name}\n")
    shutil.rmtree(parts, ignore_errors=True)
    return Packed(out, sha256, document)


def decoded_sha256(ffmpeg: FFmpeg, path: Path, pix_fmt: str) -> tuple[str, Finished]:
    """Sha256 over the raw bytes that a packed file decodes to, without writing them."""
    done = ffmpeg.run([*input_arguments(path, None), *raw_output(pix_fmt), "-f", "hash", "-hash", "sha256", "-"])
    text = done.output.decode(errors="replace").strip()
    return text.removeprefix("SHA256=") if done.code == 0 else "", done


def raw_output(pix_fmt: str) -> list[str]:
    """FFmpeg's arguments for headerless planar frames, every frame once."""
    return ["-map", "0:v:0", "-fps_mode", "passthrough", "-c:v", "rawvideo", "-pix_fmt", pix_fmt]


def _raws(folder: Path, geometry: Mapping[str, Any]) -> list[_Raw]:
    if not folder.is_dir():
        raise InputError("this is no folder", where=str(folder), hint="name the folder of a corpus")
    folder = folder.resolve()
    found = []
    for path in sorted(folder.rglob(f"*{RAW_SUFFIX}")):
        facts = raw_source(path, folder, geometry)
        measured = raw_geometry(SourceSpec.model_validate({"path": path, **facts}))
        check_whole_frames(path, measured)
        found.append(_Raw(safe_name(f"{folder.name}/{path.relative_to(folder).as_posix()}", str(path)), path, measured))
    if not found:
        raise InputError(f"there is no {RAW_SUFFIX} file", where=str(folder), hint="name the folder of a corpus")
    return found


def _refuse_same_names(raws: Sequence[_Raw]) -> None:
    seen: dict[str, Path] = {}
    for raw in raws:
        other = seen.setdefault(raw.name.casefold(), raw.path)
        if other != raw.path:
            raise InputError(
                f"two files would be {raw.name}", where=f"{other} and {raw.path}", hint="rename one of the folders"
            )


def _encoders(ffmpeg: FFmpeg, codec: str) -> dict[str, str]:
    """Encoders of a codec that this FFmpeg has, in the order in which they are tried, with their arguments."""
    found = {name: words for name, words in CODECS[codec].items() if name in ffmpeg.listed_encoders}
    if not found:
        raise PrerequisiteError(
            f"this FFmpeg has no encoder for lossless {codec}",
            where=ffmpeg.path.name,
            hint=f"choose another --codec: {', '.join(CODECS)}",
        )
    return found


class _Card(TypedDict):
    encoder: str
    bytes: int
    sha256: str


def _pack_one(
    ffmpeg: FFmpeg, encoders: Mapping[str, str], parts: Path, counted: Callable[[str], None], raw: _Raw
) -> tuple[str, dict[str, Any]]:
    """Pack one file and prove it, unless that was done before a kill."""
    size, sha256 = raw.path.stat().st_size, sha256_file(raw.path)
    entry = raw.geometry.to_json() | {"frames": size // raw.geometry.frame_bytes, "bytes": size, "sha256": sha256}
    key = digest({"entry": entry, "encoders": dict(encoders), "ffmpeg": ffmpeg.version})
    packed, card = parts / f"{key}.mkv", parts / f"{key}.json"
    known = _known(card, packed)
    if known is None:
        encoder = _encode(ffmpeg, encoders, raw, packed, sha256)
        known = {"encoder": encoder, **file_entry(packed)}
        write_json(card, known)
    counted(raw.name)
    mkv = f"{raw.name.removesuffix(RAW_SUFFIX)}.mkv"
    return raw.name, entry | {
        "mkv": mkv, "part": packed.name, "mkv_bytes": known["bytes"], "encoder": known["encoder"]
    }  # fmt: skip


def _encode(ffmpeg: FFmpeg, encoders: Mapping[str, str], raw: _Raw, packed: Path, sha256: str) -> str:
    """Name of the first encoder whose file decodes to the original bytes."""
    packed.parent.mkdir(parents=True, exist_ok=True)
    partial_ = packed.with_suffix(".partial")
    source = [*input_arguments(raw.path, raw.geometry), "-map", "0:v:0", "-fps_mode", "passthrough"]
    output = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "matroska", str(partial_)]
    why = ""
    for name, arguments in encoders.items():
        words = arguments.format(slices=24 if raw.geometry.height >= 720 else 4).split()
        done = ffmpeg.run([*source, *words, "-pix_fmt", raw.geometry.pix_fmt, *output])
        found, decoded = decoded_sha256(ffmpeg, partial_, raw.geometry.pix_fmt) if done.code == 0 else ("", done)
        if found == sha256:
            partial_.replace(packed)
            return name
        partial_.unlink(missing_ok=True)
        why = f"{name}: " + ("it decodes to other bytes than the original" if found else decoded.cause)
    raise UnitError(
        f"the file cannot be packed without loss: {why}",
        where=raw.name,
        hint="choose another --codec; files that were packed are kept",
    )


def _known(card: Path, packed: Path) -> _Card | None:
    """What the card says of a packed file, if it is the one that was proved."""
    if not card.is_file() or not packed.is_file():
        return None
    known: _Card = read_json(card)
    return known if known.get("sha256") == sha256_file(packed) else None


def _published(document: Mapping[str, Any]) -> dict[str, Path | bytes]:
    """The published lists, for receivers that read those; and nothing of where the files lay."""
    sources: Mapping[str, Mapping[str, Any]] = document["sources"]
    sums = "".join(f"{entry['sha256']}  {name}\n" for name, entry in sorted(sources.items()))
    lines = b"".join(canonical(_line(name, entry)) + b"\n" for name, entry in sorted(sources.items()))
    raw, packed = (sum(entry[key] for entry in sources.values()) for key in ("bytes", "mkv_bytes"))
    summary = {
        "codec": document["codec"],
        "encoder": sorted({entry["encoder"] for entry in sources.values()}),
        "total_yuvs": len(sources),
        "raw_yuv_bytes": raw,
        "lossless_bytes": packed,
        "reduction_pct": round(100 * (1 - packed / raw), 2),
    }
    return {
        f"{LOSSLESS}/manifest.sha256": sums.encode(),
        f"{LOSSLESS}/manifest.jsonl": lines,
        f"{LOSSLESS}/summary.json": dumps(summary),
    }


def _line(name: str, entry: Mapping[str, Any]) -> dict[str, object]:
    kept = {key: entry[key] for key in ("mkv", "pix_fmt", "width", "height", "fps")}
    sizes = {"in_bytes": entry["bytes"], "out_bytes": entry["mkv_bytes"], "yuv_sha256": entry["sha256"]}
    return {"corpus": name.partition("/")[0], "yuv": name.partition("/")[2]} | kept | sizes


class Counter:
    """Counts files as they are done, from any thread."""

    def __init__(self, total: int, on_file: OnFile | None) -> None:
        self._total, self._done, self._on_file = total, 0, on_file

    def __call__(self, name: str) -> None:
        """One more is done."""
        self._done += 1
        if self._on_file is not None:
            self._on_file(name, self._done, self._total)
