"""Tables that are packed: what is in them, as far as there is room for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from heldout.corpus.room import room_to_unpack
from heldout.errors import MachineError, PrerequisiteError
from heldout.evidence import open_plain

PACKED = (".gz", ".zst")
_PIECE = 1 << 20


def unpacked(path: Path, packed: str) -> bytes:
    """What is packed in a file, as far as there is room for it: a few bytes may promise a thousand million."""
    with open_plain(path) as stream:
        return unpack(stream, packed, str(path), room_to_unpack())


def unpack(stream: IO[bytes], packed: str, where: str, most: int) -> bytes:
    """What is packed in a stream, if it has no more than so many bytes.

    Raises:
        MachineError: If it has more.
        EOFError: If it is torn.
    """
    parts, size = [], 0
    for part in _parts(stream, packed):
        size += len(part)
        if size > most:
            what = f"out of memory: unpacked, the table has more than {most // 1_000_000:,} MB"
            raise MachineError(what, where=where, hint="give the process more memory, or cut the table")
        parts.append(part)
    return b"".join(parts)


def _parts(stream: IO[bytes], packed: str) -> Iterator[bytes]:
    if packed == ".gz":
        import gzip

        opened: Any = gzip.GzipFile(fileobj=stream)
    else:
        try:
            import zstandard
        except ImportError:
            raise PrerequisiteError(
                "zstandard is not installed", where="zstandard", hint="pip install zstandard, or unpack the table"
            ) from None
        opened = zstandard.ZstdDecompressor().stream_reader(stream)
    try:
        while part := opened.read(_PIECE):
            yield part
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise EOFError(str(error)) from None


def pack(data: bytes, packed: str) -> bytes:
    """The bytes, packed as a suffix says."""
    if packed == ".gz":
        import gzip

        return gzip.compress(data, mtime=0)
    if packed == ".zst":
        import zstandard

        return zstandard.ZstdCompressor().compress(data)
    return data
