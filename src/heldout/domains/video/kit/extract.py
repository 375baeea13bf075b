"""The receiver's side of a transport: unpack, decode several files at a time, and believe nothing but the digests.

Files that are there already and are the original bytes are left alone, so a second call goes on where the first one
was stopped. They land under ``DEST/<corpus>/``, where step 02 of a kit finds them at any depth, with their geometry
in ``sources.json``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from heldout.domains.video.encode.ffmpeg import FFmpeg, find_ffmpeg
from heldout.domains.video.encode.sources import input_arguments
from heldout.domains.video.encode.spec import SourceSpec
from heldout.domains.video.encode.workers import each
from heldout.domains.video.kit.pack import LOSSLESS, MANIFEST, SCHEMA, Counter, OnFile, raw_output
from heldout.domains.video.kit.study import SOURCES_FILE
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json, read_plain, sha256_file, write_json
from heldout.package.archive.contents import open_archive
from heldout.package.archive.read import Limits, safe_name

SOURCES_SCHEMA = "heldout.sources/1"
_AGAIN = "ask for the file again; what was extracted is kept"
_MEMBERS = 1_000_000


class Extracted(NamedTuple):
    """What lies there now.

    Attributes:
        folder: The destination.
        files: Raw files that are there, by name.
        reused: How many were there before.
        failed: Why others are not, by name.
    """

    folder: Path
    files: tuple[str, ...]
    reused: int
    failed: Mapping[str, str]


def extract_corpus(
    archive: Path,
    dest: Path,
    *,
    workers: int = 1,
    keep: bool = False,
    ffmpeg: Path | None = None,
    on_file: OnFile | None = None,
) -> Extracted:
    """Extract a transport.

    Args:
        archive: The ``.tar.zst``; a file ``.sha256`` beside it must agree.
        dest: Where the corpora will lie.
        workers: Files at a time.
        keep: Keep the packed files.
        ffmpeg: Another FFmpeg.
        on_file: Called with name, number and total as files are there.

    Raises:
        InputError: If the archive is not there, is none, or its files do not fit on the disk.
        RefusedError: If it is hostile.
        TamperedError: If it is not the one of its digest, or a file in it was changed.
    """
    program = find_ffmpeg(ffmpeg)
    sha256 = _checked_digest(archive)
    dest.mkdir(parents=True, exist_ok=True)
    home = dest / f".transport-{sha256[:16]}"
    folder = _unpacked(archive, home, dest)
    sources = _sources(read_json(folder / MANIFEST))
    counter = Counter(len(sources), on_file)
    results = each(
        partial(_extract_one, program, folder, dest, counter), sorted(sources.items()), workers, program.children
    )
    reused = sum(state == "reused" for _, state in results)
    failed = {name: state for name, state in results if state not in ("reused", "new")}
    there = tuple(name for name, state in results if state in ("reused", "new"))
    _write_geometry(dest, {name: sources[name] for name in there})
    if not failed and not keep:
        shutil.rmtree(home, ignore_errors=True)
    return Extracted(dest, there, reused, failed)


def _checked_digest(archive: Path) -> str:
    if not archive.is_file():
        raise InputError("there is no such archive", where=str(archive), hint="check the path")
    sha256, beside = sha256_file(archive), archive.with_name(f"{archive.name}.sha256")
    if beside.is_file():
        named = read_plain(beside).decode("utf-8", "replace").split()
        if not named or named[0] != sha256:
            raise TamperedError("the archive is not the one of the digest beside it", where=str(archive), hint=_AGAIN)
    return sha256


def _unpacked(archive: Path, home: Path, dest: Path) -> Path:
    """The unpacked and checked transport; what a kill left half done is unpacked again."""
    whole = home / "whole"
    if not whole.is_dir():
        shutil.rmtree(home, ignore_errors=True)
        free = shutil.disk_usage(dest).free
        contents = open_archive(archive, home / "partial", {MANIFEST: SCHEMA}, Limits(_MEMBERS, free))
        contents.folder.replace(whole)
    return whole


def _sources(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Entries of the manifest, each of the right form: they become names of files and arguments of FFmpeg."""
    found = {}
    for name, entry in document.get("sources", {}).items():
        safe_name(name, MANIFEST)
        try:
            spec = SourceSpec.model_validate(
                {"path": Path(name), **{key: entry[key] for key in ("width", "height", "fps", "pix_fmt")}}
            )
            whole = isinstance(entry["bytes"], int) and re.fullmatch(r"[0-9a-f]{64}", entry["sha256"])
            named = f"{LOSSLESS}/{safe_name(entry['mkv'], MANIFEST)}" in document["files"]
        except (KeyError, TypeError, ValueError):
            raise TamperedError("an entry is damaged", where=f"{MANIFEST}: {name}", hint=_AGAIN) from None
        if not whole or not named or "/" not in name or spec.kind != "raw":
            raise TamperedError("an entry is damaged", where=f"{MANIFEST}: {name}", hint=_AGAIN)
        found[name] = entry
    return found


def _extract_one(
    ffmpeg: FFmpeg, folder: Path, dest: Path, counter: Callable[[str], None], item: tuple[str, Mapping[str, Any]]
) -> tuple[str, str]:
    """``new``, ``reused``, or why the file is not there."""
    name, entry = item
    target = dest.joinpath(*name.split("/"))
    if target.is_file() and target.stat().st_size == entry["bytes"] and sha256_file(target) == entry["sha256"]:
        counter(name)
        return name, "reused"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial_ = target.with_name(f".{target.name}.partial")
    try:
        packed = folder.joinpath(LOSSLESS, *entry["mkv"].split("/"))
        output = [*raw_output(entry["pix_fmt"]), "-fs", str(entry["bytes"] + 1), "-f", "rawvideo", str(partial_)]
        done = ffmpeg.run([*input_arguments(packed, None), *output])
        if done.code != 0:
            return name, f"it cannot be decoded: {done.cause}"
        if partial_.stat().st_size != entry["bytes"] or sha256_file(partial_) != entry["sha256"]:
            return name, "it decodes to other bytes than the original"
        partial_.replace(target)
    except OSError as error:
        return name, f"it cannot be written: {error.strerror or error}"
    finally:
        partial_.unlink(missing_ok=True)
    counter(name)
    return name, "new"


def _write_geometry(dest: Path, sources: Mapping[str, Mapping[str, Any]]) -> None:
    for corpus in sorted({name.partition("/")[0] for name in sources}):
        inside = {
            name.partition("/")[2]: {key: entry[key] for key in ("width", "height", "fps", "pix_fmt")}
            for name, entry in sources.items()
            if name.startswith(f"{corpus}/")
        }
        write_json(dest / corpus / SOURCES_FILE, {"schema": SOURCES_SCHEMA, "sources": inside})
