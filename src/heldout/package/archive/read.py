"""Archives, read as if an enemy had written them.

The reader does not trust ``tarfile`` to be strict in every version of Python: it takes the container apart block by
block and lets through plain files under relative names, each once and in order, under headers that equal those of our
writer byte for byte, within limits that hold for what is really unpacked and not for what a header says. Everything
else is refused before a byte of it reaches the disk.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from heldout.errors import InputError, PrerequisiteError, RefusedError, TamperedError
from heldout.evidence import open_plain
from heldout.package.archive.form import canonical_header

_BLOCK, _CHUNK, _SIP = 512, 1 << 18, 1 << 11
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# A deterministic header: deflate, no flags, no time. A byte that no checksum covers must not be free to vary.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_WINDOW_LOG = 27
_LONG_HEADER = 4096
_RECORD = re.compile(rb"(\d{1,4}) (path|size)=([^\n]+)\n")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|]")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_HINT = "do not use it; ask for the file again, and compare its sha256 with the one that you were told"


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most.

    Attributes:
        members: Files, and the folders that they lie in.
        bytes: Of all files together, unpacked.
        ratio: Unpacked bytes for one packed byte, once ``ratio_from`` bytes were unpacked.
        ratio_from: Below this no ratio is looked at: small repetitive text packs well.
    """

    members: int = 100_000
    bytes: int = 4 << 30
    ratio: int = 200
    ratio_from: int = 64 << 20


class Member(NamedTuple):
    """A file as it was unpacked."""

    bytes: int
    sha256: str


def read_members(path: Path, limits: Limits | None = None) -> dict[str, Member]:
    """Look through an archive without unpacking it: size and sha256 of every file.

    Raises:
        HeldoutError: As ``unpack``.
    """
    return _walk(path, limits or Limits(), lambda _name, _mode: None)


def unpack(path: Path, target: Path, limits: Limits | None = None) -> dict[str, Member]:
    """Unpack an archive into an empty folder.

    Args:
        path: The ``.tar.gz`` or ``.tar.zst``.
        target: The folder; made if it is not there. Nothing outside it is touched.
        limits: How much is unpacked at most.

    Returns:
        Size and sha256 of every file, by name.

    Raises:
        InputError: If the file is not there or is no archive.
        RefusedError: If it holds what no archive of ours holds: links, devices, names outside, twice one name, a bomb.
        TamperedError: If it is damaged or cut off.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise InputError("the folder is not empty", where=str(target), hint="choose another folder")

    def sink(name: str, executable: bool) -> IO[bytes]:
        place = target.joinpath(*name.split("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        stream = place.open("xb")
        place.chmod(0o755 if executable else 0o644)
        return stream

    return _walk(path, limits or Limits(), sink)


def is_archive(path: Path) -> bool:
    """Whether a file begins like an archive that we can read."""
    try:
        with open_plain(path) as stream:
            return stream.read(4).startswith((GZIP, ZSTD))
    except (OSError, InputError):
        return False


def safe_name(name: str, where: str) -> str:
    """The name of a member, if it can only lie inside the folder that it is unpacked into.

    Raises:
        RefusedError: If it is absolute, climbs, or means something else on another system.
    """
    parts = name.split("/")
    bad = not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts)
    bad = bad or bool(_FORBIDDEN.search(name)) or any(_DEVICES.fullmatch(part) for part in parts)
    bad = bad or any(part != part.rstrip(". ") or len(part.encode()) > 255 for part in parts)
    if bad:
        raise _refused(f"it holds a file under the name {name[:80]!r}", where)
    return name


Sink = Callable[[str, bool], IO[bytes] | None]


def _walk(path: Path, limits: Limits, sink: Sink) -> dict[str, Member]:
    where = path.name
    found: dict[str, Member] = {}
    places = Places()
    with _opened(path, limits) as stream:
        before = ""
        for info, raw in _headers(stream, where):
            name = safe_name(info.name, where)
            problem = places.take(name)
            if problem is not None:
                raise _refused(problem, where)
            if len(places) > limits.members:
                raise _refused(f"it holds more than {limits.members} files", where)
            if info.size > limits.bytes:
                raise _refused(f"{name} would have {info.size} bytes", where)
            if raw != canonical_header(info.name, info.size) or name < before:
                raise _refused(f"the header of {name[:80]!r} is not the one that we write", where)
            before = name
            found[name] = _copy(stream, info, sink(name, bool(info.mode & 0o100)), where)
        _refuse_rest(stream, where)
    return found


def _headers(stream: _Bounded, where: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Headers of plain files, with their bytes; the caller reads each file before it asks for the next."""
    before = b""
    extended: dict[str, str] = {}
    while True:
        block = stream.exactly(_BLOCK, where)
        if not block.strip(b"\0"):
            if extended or stream.exactly(_BLOCK, where).strip(b"\0"):
                raise _damaged("its end is not where it should be", where)
            return
        info = _header(block, where)
        if info.type == tarfile.XHDTYPE and not extended:
            extended, data = _extended(stream, info, where)
            before = block + data
            continue
        if info.type != tarfile.REGTYPE or info.size < 0:
            raise _refused(f"{info.name[:80]!r} is {KINDS.get(info.type, 'something')}, not a plain file", where)
        info.name = extended.get("path", info.name)
        info.size = int(extended.get("size", info.size))
        extended, raw, before = {}, before + block, b""
        yield info, raw


KINDS = {
    tarfile.DIRTYPE: "a folder",
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


def _header(block: bytes, where: str) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise _damaged(f"a header in it cannot be read: {error}", where) from None


def _extended(stream: _Bounded, info: tarfile.TarInfo, where: str) -> tuple[dict[str, str], bytes]:
    """What an extended header may say here: a name or a size that does not fit into a plain one. And its bytes."""
    if not 0 < info.size <= _LONG_HEADER:
        raise _refused("it holds an extended header that is too long", where)
    data, found = stream.exactly(info.size, where), dict[str, str]()
    raw = data + stream.exactly(-info.size % _BLOCK, where)
    while data:
        match = _RECORD.match(data)
        if match is None or int(match[1]) != match.end() or match[2].decode() in found:
            raise _refused("it holds an extended header that says more than a name and a size", where)
        try:
            found[match[2].decode()] = match[3].decode("utf-8")
        except UnicodeDecodeError:
            raise _refused("it holds a name that is not UTF-8", where) from None
        data = data[match.end() :]
    if not re.fullmatch(r"[0-9]{1,15}", found.get("size", "0")):
        raise _refused("it holds a file of no size", where)
    return found, raw


class Places:
    """Names that were given out: one place, one file, also where small and capital letters are one."""

    def __init__(self) -> None:
        self._folders: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._folders)

    def take(self, name: str, *, folder: bool = False) -> str | None:
        """What is wrong with one more name, if anything: a file stands twice, or where a folder is."""
        key = unicodedata.normalize("NFC", name).casefold()
        parents = [key[:index] for index, letter in enumerate(key) if letter == "/"]
        if key in self._folders and not (folder and self._folders[key]):
            return f"it holds {name[:80]!r} twice"
        if any(self._folders.get(parent) is False for parent in parents):
            return f"{name[:80]!r} lies inside a file"
        self._folders[key] = folder
        self._folders.update(dict.fromkeys(parents, True))
        return None


def _copy(stream: _Bounded, info: tarfile.TarInfo, target: IO[bytes] | None, where: str) -> Member:
    sha, left = hashlib.sha256(), info.size
    try:
        while left:
            data = stream.some(min(left, _CHUNK), where)
            sha.update(data)
            left -= len(data)
            if target is not None:
                target.write(data)
    except OSError as error:
        raise InputError(f"cannot unpack: {error.strerror or error}", where=info.name, hint="free some space") from None
    finally:
        if target is not None:
            target.close()
    if stream.exactly(-info.size % _BLOCK, where).strip(b"\0"):
        raise _refused(f"something stands in the padding behind {info.name[:80]!r}", where)
    return Member(info.size, sha.hexdigest())


def _refuse_rest(stream: _Bounded, where: str) -> None:
    """Behind the end stand zeros and nothing else, in the container as in the packing around it."""
    while data := stream.read(_CHUNK):
        if data.strip(b"\0"):
            raise _refused("something lies behind its end", where)
    if stream.total % tarfile.RECORDSIZE:
        raise _damaged("it is cut off, or more lies behind its end than there should", where)


class Pieces:
    """A stream over pieces, none of them empty."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """Read from them in turn."""
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        self._rest = self._rest or next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class _Bounded(Pieces):
    """Counts unpacked bytes; raises before more than the limit was unpacked."""

    def __init__(self, chunks: Iterator[bytes], packed: int, limits: Limits, where: str) -> None:
        super().__init__(self._counted(chunks))
        self._packed, self._limits, self._where, self.total = max(packed, 1), limits, where, 0

    def some(self, size: int, where: str) -> bytes:
        """At least one byte."""
        data = self.read(size)
        if not data:
            raise _damaged("it is cut off", where)
        return data

    def exactly(self, size: int, where: str) -> bytes:
        """All of them."""
        parts, left = [], size
        while left:
            parts.append(self.some(left, where))
            left -= len(parts[-1])
        return b"".join(parts)

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        # Headers and padding come on top of the files' own bytes.
        most = self._limits.bytes + _BLOCK * 3 * (self._limits.members + 64)
        for chunk in chunks:
            self.total += len(chunk)
            swollen = self.total > self._limits.ratio_from and self.total > self._limits.ratio * self._packed
            if self.total > most or swollen:
                raise _refused(f"it unpacks to more than {self.total - len(chunk)} bytes: it is a bomb", self._where)
            yield chunk


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[_Bounded]:
    try:
        stream, size = open_plain(path), path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot read the archive: {error.strerror}", where=str(path), hint="check the path") from None
    with stream:
        head = stream.read(len(_GZIP_HEADER))
        stream.seek(0)
        if head.startswith(GZIP):
            if head != _GZIP_HEADER:
                raise _damaged("its first bytes are not those that we write", path.name)
            chunks = _gunzipped(stream, path.name)
        elif head.startswith(ZSTD):
            chunks = unzstd(stream, path.name)
        else:
            raise InputError(
                "this is no .tar.gz or .tar.zst", where=str(path), hint="name the file that you were given"
            )
        yield _Bounded(chunks, size, limits, path.name)


def _gunzipped(stream: IO[bytes], where: str) -> Iterator[bytes]:
    machine = zlib.decompressobj(wbits=31)
    try:
        while data := stream.read(_CHUNK):
            while data and not machine.eof:
                yield from filter(None, [machine.decompress(data, _CHUNK)])
                data = machine.unconsumed_tail
            if machine.eof and (machine.unused_data or stream.read(1)):
                raise _refused("something lies behind its end", where)
    except zlib.error as error:
        raise _damaged(f"it cannot be unpacked: {error}", where) from None
    if not machine.eof:
        raise _damaged("it is cut off", where)


def unzstd(stream: IO[bytes], where: str) -> Iterator[bytes]:
    """What one frame of Zstandard holds, in pieces.

    Raises:
        RefusedError: If something lies behind it.
        TamperedError: If it is damaged or cut off.
    """
    zstd = zstandard(where)
    machine = zstd.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG).decompressobj()
    try:
        # Little at a time: what a few bytes unpack to is in memory before it can be counted.
        while data := stream.read(_SIP):
            yield from filter(None, [machine.decompress(data)])
            if machine.eof and (machine.unused_data or stream.read(1)):
                raise _refused("something lies behind its end", where)
    except zstd.ZstdError as error:
        raise _damaged(f"it cannot be unpacked: {error}", where) from None
    if not machine.eof:
        raise _damaged("it is cut off", where)


def zstandard(where: str) -> Any:
    """The library of Zstandard.

    Raises:
        PrerequisiteError: If it is not installed.
    """
    try:
        import zstandard as found
    except ImportError:
        raise PrerequisiteError(
            "a .tar.zst needs the library of Zstandard", where=where, hint="pip install 'heldout[transport]'"
        ) from None
    return found


def remove_tree(folder: Path) -> None:
    """Remove what was unpacked and is not wanted after all."""
    shutil.rmtree(folder, ignore_errors=True)


def _refused(what: str, where: str) -> RefusedError:
    return RefusedError(f"the archive is refused: {what}", where=where, hint=_HINT)


def _damaged(what: str, where: str) -> TamperedError:
    return TamperedError(f"the archive is damaged: {what}", where=where, hint=_HINT)
