"""Where bytes hide in a container: places of a tar, a gzip or a ZIP that unpacking never shows.

Of our own archives every byte of the container is known (``canonical_header``). Those of other tools may say times,
numbers of owners and folders; text may stand nowhere but in names and files, and nothing between, behind or beside.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, TypeAlias

_BLOCK, _CHUNK = 512, 1 << 18
_RIGHTS = 0o777
_CARRIERS = {tarfile.XHDTYPE: "an extended header", tarfile.XGLTYPE: "a global header",
             tarfile.GNUTYPE_LONGNAME: "a long name", tarfile.GNUTYPE_LONGLINK: "a long link"}  # fmt: skip
_TEXTS = {"name": (0, 100), "link": (157, 257), "owner": (265, 297), "group": (297, 329)}
_PREFIX, _GNU_REST, _REST = (345, 500), (345, 512), (500, 512)
_GZIP_NAME, _GZIP_OTHERS = 0x08, 0x04 | 0x10 | 0x02 | 0xE0  # extra field, comment, checksum, reserved
# Extra fields of ZIP that hold times, numbers of owners or large sizes.
_EXTRAS = frozenset((0x0001, 0x000A, 0x5455, 0x7875, 0x5855))
_LOCAL = struct.Struct("<4sHHHHHLLLHH")


Machine: TypeAlias = Any  # a decompressor of zlib, bz2 or lzma; that of zlib has no public type


class Fault(NamedTuple):
    """A place that holds what nobody sees.

    Attributes:
        name: The member; empty for the container.
        what: The sentence.
    """

    name: str
    what: str


def canonical_header(name: str, size: int) -> bytes:
    """The header blocks of a file as our writer writes them: no time, no owner, and one of two modes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode_of(name)
    return info.tobuf(tarfile.PAX_FORMAT)


def mode_of(name: str) -> int:
    """The rights of a file in an archive of ours: scripts can be run."""
    return 0o755 if name.endswith(".sh") else 0o644


def tar_faults(read: Callable[[int], bytes]) -> Iterator[Fault]:
    """Every fault of an unpacked tar; ends quietly where it is no tar any more, which whoever unpacks it says."""
    while len(block := _exactly(read, _BLOCK)) == _BLOCK and block.strip(b"\0"):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.TarError:
            return
        carrier = _CARRIERS.get(info.type)
        shown = carrier or info.name[:200]
        yield from (Fault(shown, what) for what in _header_faults(block, info))
        payload = _exactly(read, info.size) if carrier and info.size < 1 << 20 else _skip(read, info.size)
        if carrier and payload[:-1].strip(b"\0").count(b"\0"):
            yield Fault("", f"text stands behind the end of {carrier}")
        if _exactly(read, -info.size % _BLOCK).strip(b"\0"):
            yield Fault(shown, "something stands in the padding behind the file")
    while data := read(_CHUNK):
        if data.strip(b"\0"):
            yield Fault("", "something lies behind the end of the archive")
            return


def gzip_faults(stream: IO[bytes], name: str) -> Iterator[Fault]:
    """Every fault of a gzip: a comment, an extra field, another file's name, several packings in one file."""
    head = stream.read(10)
    if len(head) < 10 or head[3] & _GZIP_OTHERS:
        yield Fault("", "the gzip header holds a comment or another field of its own")
    elif head[3] & _GZIP_NAME:
        named = stream.read(256).partition(b"\0")[0].decode("latin-1")
        if named != re.sub(r"\.tgz$", ".tar", name.removesuffix(".gz")):
            yield Fault("", "the gzip header holds a name that is not the file's")


def packing_faults(stream: IO[bytes], machine: Machine) -> Iterator[Fault]:
    """What lies behind the end of one packing: another one, or anything else."""
    try:
        while (data := stream.read(_CHUNK)) and not machine.eof:
            _unpacked(machine, data)
        if data or machine.unused_data:
            yield Fault("", "something lies behind the end of the packing")
    except (zlib.error, lzma.LZMAError, OSError):
        return  # whoever unpacks it says so


def zip_faults(stream: IO[bytes], archive: zipfile.ZipFile) -> Iterator[Fault]:
    """Every fault of a ZIP: what stands between its files, or is said of them in one place and not in the other."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda each: each.header_offset):
        if info.header_offset != end:
            yield Fault(info.filename[:200], "something lies before this file, or two files share their bytes")
        stream.seek(info.header_offset)
        local = _LOCAL.unpack(stream.read(_LOCAL.size).ljust(_LOCAL.size, b"\0"))
        name, extra = stream.read(local[9]), stream.read(local[10])
        yield from (Fault(info.filename[:200], what) for what in _zip_member_faults(info, local, name, extra))
        yield from _deflate_faults(stream, info)
        end = stream.tell()
        if info.flag_bits & 8:
            end += 4 * ((stream.read(4) == b"PK\x07\x08") + 3)
    if end != archive.start_dir:
        yield Fault("", "something lies between the files of the ZIP and its table of contents")


def _header_faults(block: bytes, info: tarfile.TarInfo) -> Iterator[str]:
    if info.mode & ~_RIGHTS & 0o7777:
        yield f"its mode {info.mode & 0o7777:04o} says more than who may read, write and run it"
    if info.linkname and info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        yield "it is no link and names the target of one"
    gnu = block[257:265] == b"ustar  \0"
    texts = _TEXTS if gnu else _TEXTS | {"prefix": _PREFIX}
    for what, (start, end) in texts.items():
        if block[start:end].partition(b"\0")[2].strip(b"\0"):
            yield f"text stands behind the end of its {what}"
    start, end = _GNU_REST if gnu else _REST
    if block[start:end].strip(b"\0") and info.type != tarfile.GNUTYPE_SPARSE:
        yield "something stands in the part of its header that nobody reads"


def _zip_member_faults(info: zipfile.ZipInfo, local: tuple[int, ...], name: bytes, extra: bytes) -> Iterator[str]:
    try:
        same = name.decode("utf-8" if local[2] & 0x800 else "cp437") == info.orig_filename
    except UnicodeDecodeError:
        same = False
    if not same or local[2] != info.flag_bits or local[3] != info.compress_type:
        yield "its own header says something else than the table of contents"
    elif not info.flag_bits & 8 and local[6] != info.CRC:
        yield "its own header says another checksum than the table of contents"
    if info.comment:
        yield "the ZIP holds a comment on it"
    if any(not _known_extras(each) for each in (extra, info.extra)):
        yield "its header holds an extra field"
    if info.create_system == 3 and info.external_attr >> 16 & 0o7000:
        yield f"its mode {info.external_attr >> 16 & 0o7777:04o} says more than who may read, write and run it"


def _known_extras(extra: bytes) -> bool:
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind not in _EXTRAS or size > 32 or len(extra) < 4 + size:
            return False
        extra = extra[4 + size :]
    return not extra


def _deflate_faults(stream: IO[bytes], info: zipfile.ZipInfo) -> Iterator[Fault]:
    """Read a member's bytes: packed text must end where they end. The stream stands behind them afterwards."""
    machine, left, over = zlib.decompressobj(wbits=-15), info.compress_size, False
    known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    while left and (data := stream.read(min(left, _CHUNK))):
        left -= len(data)
        over = over or machine.eof
        try:
            if info.compress_type == zipfile.ZIP_DEFLATED and not machine.eof:
                _unpacked(machine, data)
        except zlib.error:  # whoever unpacks it says so
            stream.seek(left, 1)
            return
        over = over or bool(machine.unused_data)
    if over:
        yield Fault(info.filename[:200], "something lies behind the end of its packing")
    if not known:
        yield Fault(info.filename[:200], "it is packed in a way that is not deflate")


def _unpacked(machine: Machine, data: bytes) -> None:
    """Feed all of the bytes, a bounded part of what they unpack to at a time."""
    if isinstance(machine, bz2.BZ2Decompressor | lzma.LZMADecompressor):
        machine.decompress(data, _CHUNK)
        while not machine.eof and not machine.needs_input:
            machine.decompress(b"", _CHUNK)
        return
    while data and not machine.eof:
        machine.decompress(data, _CHUNK)
        data = machine.unconsumed_tail


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (data := read(min(size, _CHUNK))):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _skip(read: Callable[[int], bytes], size: int) -> bytes:
    while size > 0 and (data := read(min(size, _CHUNK))):
        size -= len(data)
    return b""
