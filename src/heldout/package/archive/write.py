"""Archives, written so that equal files give equal bytes: sorted, without times, owners and modes of this machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from heldout.errors import InputError
from heldout.evidence import atomic_path, open_plain
from heldout.evidence.overwriting import refuse_overwriting
from heldout.package.archive.form import mode_of
from heldout.package.archive.read import GZIP, ZSTD, safe_name, zstandard


def write_archive(out: Path, files: Mapping[str, Path | bytes], *, top: str = "") -> str:
    """Write files into a ``.tar.gz`` or ``.tar.zst``: sorted, without times, owners and modes of this machine.

    Args:
        out: The archive; its suffix names the packing. Replaced as one step.
        files: Where each file or its bytes come from, by its name inside. ``.sh`` files can be run.
        top: A folder that all names start with.

    Returns:
        Sha256 of the archive.

    Raises:
        PrerequisiteError: If ``.tar.zst`` is asked for and cannot be written here.
        InputError: If the archive cannot be written, a name cannot be packed, or a file that is no archive lies there.
    """
    refuse_no_archive(out)
    with atomic_path(out) as partial:
        with partial.open("wb") as raw:
            hashing = _Hashing(raw)
            with (
                _packer(out, hashing) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
            ):
                for name in sorted(files):
                    _add(tar, f"{top}/{name}" if top else name, files[name])
        return hashing.hexdigest()


def refuse_no_archive(out: Path) -> None:
    """Refuse to write an archive over a file that is none, before anything is packed.

    Raises:
        InputError: If such a file lies there.
    """
    refuse_overwriting(out, "archive", GZIP, ZSTD, start=True)


@contextmanager
def _packer(out: Path, raw: _Hashing) -> Iterator[Any]:
    if out.name.endswith(".tar.zst"):
        machine = zstandard(str(out)).ZstdCompressor(level=9, write_checksum=True, write_content_size=False)
        with machine.stream_writer(raw, closefd=False) as packed:
            yield packed
    elif out.name.endswith((".tar.gz", ".tgz")):
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
            yield packed
    else:
        raise InputError("the name says not how to pack it", where=str(out), hint="end it with .tar.gz or .tar.zst")


class _Hashing:
    """A file that knows the digest of what was written to it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._sha = raw, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha.update(data)
        return self._raw.write(data)

    def flush(self) -> None:
        self._raw.flush()

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


def _add(tar: tarfile.TarFile, name: str, source: Path | bytes) -> None:
    info = tarfile.TarInfo(safe_name(name, "the files to pack"))
    info.mode = mode_of(name)
    if isinstance(source, bytes):
        info.size = len(source)
        tar.addfile(info, io.BytesIO(source))
        return
    with open_plain(source) as stream:
        info.size = os.fstat(stream.fileno()).st_size
        tar.addfile(info, stream)
