"""Packages of anyone: a folder, a tar or a ZIP, taken apart into plain files, with a finding for all that is none.

The reader of our own archives refuses at the first thing that we would not have written. An audit must say everything
that is wrong, and must not call honest archives of other tools wrong; so it has a reader of its own, with the same
names and bounds. Nothing but plain files under safe names is ever written, all of it below one folder.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import open_plain
from heldout.package.archive.form import Fault, gzip_faults, packing_faults, tar_faults, zip_faults
from heldout.package.archive.read import KINDS, ZSTD, Pieces, Places, safe_name, unzstd
from heldout.package.content.findings import Finding
from heldout.package.public.roles import Publication

_CHUNK = 1 << 18
_BAD_ARCHIVE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    RecursionError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
_MACHINES: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": partial(zlib.decompressobj, 31),
    b"BZ": bz2.BZ2Decompressor,
    b"\xfd7": lzma.LZMADecompressor,
}


class Opened(NamedTuple):
    """What a package came to.

    Attributes:
        files: Where each plain file lies now, by its name in the package.
        findings: What is wrong with the container.
    """

    files: dict[str, Path]
    findings: list[Finding]


class _Entry(NamedTuple):
    """A member of an archive.

    Attributes:
        name: As it stands there.
        kind: ``file``, ``folder``, or what else it is, in words.
        size: Bytes, as its header says.
        stream: Its content; None where it is no file.
    """

    name: str
    kind: str
    size: int
    stream: IO[bytes] | None


class _FullError(Exception):
    pass


def open_package(path: Path, scratch: Path, publication: Publication) -> Opened:
    """Take a package apart.

    Args:
        path: A folder, a tar (packed or not) or a ZIP.
        scratch: An empty folder, for what is unpacked.
        publication: Its bounds.

    Raises:
        InputError: If there is nothing there, or it is no package at all.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError("there is no package", where=str(path), hint="name a folder, a .tar.gz or a .zip")
    findings: list[Finding] = []
    taken = _Taken(scratch, publication, findings)
    try:
        entries = (
            _zip(path, findings)
            if zipfile.is_zipfile(path) and _head(path, 2) == b"PK"
            else _tar(path, findings, publication)
        )
        for entry in entries:
            taken.take(entry)
    except _FullError:
        findings.append(
            Finding("", "HO-P006", "", f"it unpacks to more than {publication.max_bytes} bytes or too many files")
        )
    except (RefusedError, TamperedError) as error:
        findings.append(Finding("", "HO-P001", "", error.what))
    except _BAD_ARCHIVE as error:
        findings.append(Finding("", "HO-P001", "", f"it cannot be unpacked: {type(error).__name__}"))
    return Opened(_untopped(taken.files), findings)


class _Taken:
    """Writes the members of one archive, and counts."""

    def __init__(self, scratch: Path, publication: Publication, findings: list[Finding]) -> None:
        self.files: dict[str, Path] = {}
        self._scratch, self._publication, self._findings = scratch, publication, findings
        self._left = publication.max_bytes
        self._places = Places()

    def take(self, entry: _Entry) -> None:
        shown = entry.name[:200]
        name = _checked(entry.name, self._findings)
        if len(self._places) > 2 * self._publication.max_files:
            raise _FullError
        if entry.kind not in ("file", "folder"):
            self._findings.append(Finding(shown, "HO-P002", "", f"this is {entry.kind}"))
            return
        if name is None or not self._is_new(name, folder=entry.kind == "folder") or entry.stream is None:
            return
        place = self._scratch / f"{len(self.files):06d}"  # no name of theirs ever becomes a path of ours
        with place.open("xb") as target:
            while data := entry.stream.read(_CHUNK):
                self._left -= len(data)
                if self._left < 0:
                    raise _FullError
                target.write(data)
        self.files[name] = place

    def _is_new(self, name: str, *, folder: bool) -> bool:
        if self._places.take(name, folder=folder) is not None:
            self._findings.append(Finding(name, "HO-P005", "", "the package holds this name twice"))
            return False
        return not folder


def _folder(root: Path) -> Opened:
    files: dict[str, Path] = {}
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        for each in sorted((*folders, *names)):
            path = Path(folder) / each
            name = path.relative_to(root).as_posix()
            mode = path.lstat().st_mode
            checked = _checked(name, findings)
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                findings.append(Finding(name, "HO-P002", "", f"this is {_kind(mode)}"))
                continue
            key = unicodedata.normalize("NFC", name).casefold()
            if key in seen:
                findings.append(Finding(name, "HO-P005", "", "another name differs from this one only in its case"))
            seen[key] = name
            if checked is not None and stat.S_ISREG(mode):
                files[name] = path
    return Opened(files, findings)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")


def _checked(name: str, findings: list[Finding]) -> str | None:
    """The name as it may be used; None, with a finding, if it may not. The folder itself is no name."""
    plain = name.removeprefix("./").removesuffix("/")
    if plain in ("", "."):
        return None
    try:
        safe_name(plain, "")
    except RefusedError:
        findings.append(
            Finding(
                plain[:200], "HO-P003", "", "this name leaves the package, or means something else on another system"
            )
        )
        return None
    if any(part.startswith(".") for part in plain.split("/")):
        findings.append(Finding(plain, "HO-P004", "", "the file is hidden"))
    return plain


def _tar(path: Path, findings: list[Finding], publication: Publication) -> Iterator[_Entry]:
    with open_plain(path) as raw, _unpacking(raw, path) as packed:
        stream: Any = _Counted(packed, _most(publication))
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                kind = "folder" if member.isdir() else KINDS.get(member.type, "")
                kind = "a sparse file" if member.issparse() else kind or ("file" if member.isreg() else "no plain file")
                content = archive.extractfile(member) if kind == "file" else None
                yield _Entry(member.name, kind, member.size, content)
                _refuse_headers(member, findings)
        if raw.read(1):
            findings.append(Finding("", "HO-P001", "", "something lies behind the end of the archive"))
    findings += (Finding(fault.name, "HO-P001", "", fault.what) for fault in _tar_faults(path, publication))


def _tar_faults(path: Path, publication: Publication) -> Iterator[Fault]:
    """What unpacking does not show, looked for block by block."""
    head = _head(path, 6)
    machine = _MACHINES.get(head[:2])
    with open_plain(path) as raw:
        if head.startswith(b"\x1f\x8b"):
            yield from gzip_faults(raw, path.name)
            raw.seek(0)
        if machine is not None:
            yield from packing_faults(raw, machine())
        raw.seek(0)
        with _unpacking(raw, path) as packed:
            yield from tar_faults(_Counted(packed, _most(publication)).read)


def _most(publication: Publication) -> int:
    """Bytes of a tar of as much as may be published, headers and padding included."""
    return publication.max_bytes + 2048 * (publication.max_files + 64)


def _refuse_headers(member: tarfile.TarInfo, findings: list[Finding]) -> None:
    """Extended headers may say a time; a comment or an attribute says what nobody audits."""
    spoken = sorted(set(member.pax_headers) - {"path", "mtime", "atime", "ctime", "size", "uid", "gid"})
    for key in spoken:
        code = "HO-P032" if key in ("uname", "gname") else "HO-P001"
        findings.append(
            Finding(member.name[:200], code, f"header {key[:60]}", "an extended header says more than a name")
        )
    for who in (member.uname, member.gname):
        if who and who not in ("root", "wheel", "nobody", "nogroup", "staff", "users"):
            findings.append(
                Finding(member.name[:200], "HO-P032", "its owner", "the archive names the owner of the file")
            )
            return


def _zip(path: Path, findings: list[Finding]) -> Iterator[_Entry]:
    with open_plain(path) as stream, zipfile.ZipFile(stream) as archive:
        infos = archive.infolist()
        first = min((info.header_offset for info in infos), default=0)
        end = path.stat().st_size - len(archive.comment) - 22
        if first or archive.comment or _tail(path, end)[:4] != b"PK\x05\x06":
            findings.append(Finding("", "HO-P001", "", "something lies before, between or behind the files of the ZIP"))
        for info in infos:
            mode = info.external_attr >> 16
            if info.flag_bits & 1:
                kind = "encrypted"
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = _kind(mode)
            else:
                kind = "folder" if info.filename.endswith("/") else "file"
            if kind != "file":
                yield _Entry(info.orig_filename, kind, info.file_size, None)
                continue
            with archive.open(info) as content:
                yield _Entry(info.orig_filename, kind, info.file_size, content)
        findings += (Finding(fault.name, "HO-P001", "", fault.what) for fault in zip_faults(stream, archive))


def _unpacking(raw: IO[bytes], path: Path) -> Any:
    head = _head(path, 6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(raw)
    if head.startswith(ZSTD):
        return contextlib.nullcontext(Pieces(unzstd(raw, path.name)))
    if _tail(path, 257)[:5] == b"ustar":
        return contextlib.nullcontext(raw)
    raise InputError("this is no package", where=str(path), hint="name a folder, a .tar.gz or a .zip")


class _Counted:
    """Reads what was unpacked, up to a bound: a bomb stops here."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._left = stream, most

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size if 0 <= size <= self._left + 1 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise _FullError
        return data


def _untopped(files: dict[str, Path]) -> dict[str, Path]:
    """Names without the one folder that all of them lie in, as archives commonly have it."""
    tops = {name.partition("/")[0] for name in files if "/" in name}
    if len(tops) != 1 or any("/" not in name for name in files):
        return files
    (top,) = tops
    return {name.removeprefix(f"{top}/"): path for name, path in files.items()}


def _head(path: Path, size: int) -> bytes:
    with open_plain(path) as stream:
        return stream.read(size)


def _tail(path: Path, place: int) -> bytes:
    with open_plain(path) as stream:
        stream.seek(max(place, 0))
        return stream.read(32)
