"""Decoded rows kept by the digest of the file that they came from.

An entry is found only by the digest of the very bytes at hand, and carries the digest of its own, so a changed corpus
or a damaged entry is decoded anew. Entries lie in the user's cache folder and not beside the corpus: a folder that is
handed on must not bring rows that its corpus does not hold. The folder may be deleted at any time; `HELDOUT_CACHE`
names another one, or is `off`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from heldout.errors import InputError
from heldout.evidence import read_plain, sha256_bytes, sha256_file, write_bytes

_ROWS = "rows-2"  # another number whenever rows are decoded or checked differently
_ENTRIES = 16


def cached_rows(path: Path, schema: Mapping[str, Any]) -> tuple[pl.DataFrame, str] | None:
    """Rows and digest of a file that was decoded before, or None."""
    folder = _folder()
    candidates = _found(folder, f"{path.stat().st_size}-*.parquet") if folder else []
    if not candidates:
        return None
    sha256 = sha256_file(path)
    for entry in candidates:
        _, source, own = entry.stem.split("-")
        if source == sha256 and (frame := _load(entry, own, schema)) is not None:
            return frame, sha256
    return None


def keep_rows(size: int, sha256: str, frame: pl.DataFrame) -> None:
    """Keep the rows of a file of so many bytes and this digest; whatever prevents that is no error of the reader."""
    folder = _folder()
    if folder is None:
        return
    stream = io.BytesIO()
    frame.write_parquet(stream, compression="lz4", statistics=False)
    data = stream.getvalue()
    with contextlib.suppress(InputError, OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in _found(folder, "*.parquet")[_ENTRIES - 1 :]:
            old.unlink(missing_ok=True)
        write_bytes(folder / f"{size}-{sha256}-{sha256_bytes(data)}.parquet", data)


def _load(entry: Path, own: str, schema: Mapping[str, Any]) -> pl.DataFrame | None:
    """The entry's rows; an entry that is not what it was is removed."""
    with contextlib.suppress(OSError):
        data = read_plain(entry)
        if sha256_bytes(data) == own:
            with contextlib.suppress(pl.exceptions.PolarsError):
                frame = pl.read_parquet(io.BytesIO(data))
                if dict(frame.schema) == dict(schema):
                    entry.touch()
                    return frame
        entry.unlink(missing_ok=True)
    return None


def _found(folder: Path, pattern: str) -> list[Path]:
    """Entries, the last used one first; another process may remove any of them at any time."""
    ages: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for entry in folder.glob(pattern):
            with contextlib.suppress(OSError):
                ages.append((entry.stat().st_mtime, entry))
    return [entry for _, entry in sorted(ages, reverse=True) if entry.stem.count("-") == 2]


def _folder() -> Path | None:
    chosen = os.environ.get("HELDOUT_CACHE", "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen) / _ROWS
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base) / "heldout" / "cache" / _ROWS if base else None
    with contextlib.suppress(RuntimeError):  # no home
        default = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        return Path(os.environ.get("XDG_CACHE_HOME") or default) / "heldout" / _ROWS
    return None
