"""What bytes really are, whatever their name says: by their first bytes, by taking archives apart, by being no text."""

from __future__ import annotations

import bz2
import io
import lzma
import pickletools
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from heldout.package.content.findings import Finding

_DEEPEST, _MOST = 4, 64 << 20
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CODE = {
    "weights": "HO-P020",
    "media": "HO-P021",
    "recording": "HO-P021",
    "archive": "HO-P022",
    "binary": "HO-P023",
    "pickle": "HO-P024",
    "picture": "HO-P021",
}


class Kind(NamedTuple):
    """What something is.

    Attributes:
        family: ``weights``, ``media``, ``recording``, ``archive``, ``pickle``, ``picture`` or ``binary``.
        name: Of the format, for people.
    """

    family: str
    name: str

    @property
    def code(self) -> str:
        """Of the finding."""
        return _CODE[self.family]


# Offset, first bytes, family, format.
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "recording", "HDF5"),
    (512, b"\x89HDF\r\n\x1a\n", "recording", "HDF5"),
    (1024, b"\x89HDF\r\n\x1a\n", "recording", "HDF5"),
    (2048, b"\x89HDF\r\n\x1a\n", "recording", "HDF5"),
    (0, b"RRF", "recording", "a Rerun recording"),
    (0, b"RRIO", "recording", "a Rerun recording"),
    (0, b"\x89MCAP0\r\n", "recording", "an MCAP recording"),
    (0, b"#ROSBAG", "recording", "a ROS bag"),
    (0, b"\x93NUMPY", "weights", "a NumPy array"),
    (0, b"GGUF", "weights", "GGUF"),
    (0, b"lmgg", "weights", "GGML"),
    (0, b"tjgg", "weights", "GGML"),
    (4, b"TFL3", "weights", "a TensorFlow Lite model"),
    (0, b"CIFB", "weights", "a Core ML model"),
    (0, b"MATLAB 5.0 MAT-file", "weights", "a MATLAB file"),
    (0, b"RDX", "pickle", "R data"),
    (0, b"\x1aE\xdf\xa3", "media", "Matroska or WebM"),
    (4, b"ftyp", "media", "MP4 or its kin"),
    (4, b"moov", "media", "QuickTime"),
    (4, b"mdat", "media", "QuickTime"),
    (0, b"YUV4MPEG2", "media", "raw video (Y4M)"),
    (0, b"DKIF", "media", "IVF video"),
    (0, b"FLV\x01", "media", "Flash video"),
    (0, b"\x00\x00\x01\xba", "media", "an MPEG stream"),
    (0, b"\x00\x00\x01\xb3", "media", "an MPEG stream"),
    (0, b"\x00\x00\x00\x01\x67", "media", "raw H.264"),
    (0, b"\x00\x00\x00\x01\x40", "media", "raw H.265"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "media", "Windows media"),
    (0, b"OggS", "media", "Ogg"),
    (0, b"fLaC", "media", "FLAC"),
    (0, b"ID3", "media", "MP3"),
    (0, b"\xff\xfb", "media", "MP3"),
    (0, b"\xff\xf1", "media", "AAC"),
    (0, b"\xff\xf9", "media", "AAC"),
    (0, b"RIFF", "media", "WAV, AVI or WebP"),
    (0, b"RF64", "media", "WAV"),
    (0, b"MThd", "media", "MIDI"),
    (0, b"GIF8", "media", "GIF"),
    (0, b"II*\x00", "media", "TIFF"),
    (0, b"MM\x00*", "media", "TIFF"),
    (0, b"v/1\x01", "media", "OpenEXR"),
    (0, b"8BPS", "media", "Photoshop"),
    (0, b"ply\n", "media", "a point cloud"),
    (0, b"glTF", "media", "a 3D scene"),
    (0, b"PK\x03\x04", "archive", "ZIP"),
    (0, b"PK\x05\x06", "archive", "ZIP"),
    (0, b"\x1f\x8b", "archive", "gzip"),
    (0, b"BZh", "archive", "bzip2"),
    (0, b"\xfd7zXZ\x00", "archive", "XZ"),
    (0, b"\x28\xb5\x2f\xfd", "archive", "Zstandard"),
    (0, b"\x04\x22\x4d\x18", "archive", "LZ4"),
    (0, b"7z\xbc\xaf\x27\x1c", "archive", "7-Zip"),
    (0, b"Rar!\x1a\x07", "archive", "RAR"),
    (0, b"MSCF", "archive", "a cabinet"),
    (0, b"!<arch>\n", "archive", "ar"),
    (0, b"hsqs", "archive", "SquashFS"),
    (257, b"ustar", "archive", "tar"),
    (0, b"PAR1", "binary", "Parquet"),
    (0, b"ARROW1", "binary", "Arrow"),
    (0, b"FEA1", "binary", "Feather"),
    (0, b"SQLite format 3\x00", "binary", "SQLite"),
    (0, b"\x7fELF", "binary", "a program"),
    (0, b"MZ", "binary", "a program"),
    (0, b"\xcf\xfa\xed\xfe", "binary", "a program"),
    (0, b"\xca\xfe\xba\xbe", "binary", "a program"),
    (0, b"\x00asm", "binary", "WebAssembly"),
    (0, b"%PDF-", "binary", "PDF"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "binary", "an Office document"),
    (0, b"\x89PNG\r\n\x1a\n", "picture", "PNG"),
    (0, b"\xff\xd8\xff", "picture", "JPEG"),
)
_TEXTUAL = {b"RIFF", b"MZ", b"RRF", b"RDX", b"ID3", b"BZh"}  # letters that a text may begin with too


def sniff(data: bytes) -> Kind | None:
    """What bytes are; None where they are text in UTF-8."""
    for offset, magic, family, name in _MAGIC:
        if data.startswith(magic, offset) and not (magic in _TEXTUAL and is_text(data)):
            return Kind(family, name)
    return _by_structure(data)


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters."""
    if _CONTROL.search(data):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def look_inside(data: bytes, name: str, kind: Kind, depth: int = 0) -> Iterator[Finding]:
    """An archive, and whatever is in it that must not be there; bounded in depth and size."""
    yield Finding(name, kind.code, "", f"this is {kind.name}")
    if kind.family != "archive":
        return
    if depth >= _DEEPEST:
        yield Finding(name, "HO-P006", "", f"archives lie more than {_DEEPEST} deep in each other")
        return
    try:
        for inner, content in _members(data, kind.name):
            found = sniff(content)
            if found is not None:
                yield from look_inside(content, f"{name}!{inner}", found, depth + 1)
    except _BombError:
        yield Finding(name, "HO-P006", "", f"it unpacks to more than {_MOST} bytes")
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, tarfile.TarError,
            zlib.error, lzma.LZMAError):  # fmt: skip
        yield Finding(name, "HO-P001", "", f"this {kind.name} cannot be looked into")


def _by_structure(data: bytes) -> Kind | None:
    """Formats that no fixed first bytes tell."""
    if _is_safetensors(data):
        return Kind("weights", "safetensors")
    if data[:1] == b"\x80" and data[1:2] <= b"\x05" and _opens_as_pickle(data):
        return Kind("pickle", "a pickle")
    if _is_old_pickle(data):
        return Kind("pickle", "a pickle of protocol 0")
    if is_text(data):
        return Kind("binary", "PDF") if b"%PDF-" in data[:1024] else None
    if data[:1] == b"\x78" and len(data) > 2 and int.from_bytes(data[:2]) % 31 == 0:
        return Kind("archive", "a zlib stream")
    if data.startswith(b"ZF") and len(data) > 20:
        return Kind("pickle", "a joblib file")
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return Kind("media", "an MPEG transport stream")
    if re.match(rb"\x08[\x01-\x0f](?:\x12[\x00-\x40]|\x3a|\x1a|\x22|\x42)", data):
        return Kind("weights", "ONNX")
    if zipfile.is_zipfile(io.BytesIO(data)):
        return Kind("archive", "ZIP")
    return Kind("binary", "bytes that are no text in UTF-8")


def _is_safetensors(data: bytes) -> bool:
    size = int.from_bytes(data[:8], "little")
    return len(data) > 10 and 2 <= size <= len(data) - 8 and data[8:10] in (b'{"', b"{ ", b"{}") and b"\x00" in data[:8]


def _opens_as_pickle(data: bytes) -> bool:
    """Whether its first operations are those of a pickle. Nothing is run: operations are only named."""
    try:
        for number, _ in enumerate(pickletools.genops(data)):
            if number >= 2:
                return True
    except Exception:  # noqa: BLE001 - pickletools raises whatever the bytes make it raise
        return False
    return True


def _is_old_pickle(data: bytes) -> bool:
    """Protocol 0 is text: it is one if every byte is an operation, and some build or name an object."""
    if data[:1] not in b"(cc]}ldI" or not data.rstrip().endswith(b"."):
        return False
    names = set()
    try:
        for opcode, _, place in pickletools.genops(data):
            names.add(opcode.name)
            if opcode.name == "STOP" and place is not None and data[place + 1 :].strip():
                return False
    except Exception:  # noqa: BLE001 - as above
        return False
    return bool(names & {"GLOBAL", "REDUCE", "BUILD", "INST", "DICT", "LIST", "SETITEM", "APPEND", "TUPLE"})


class _BombError(Exception):
    pass


def _members(data: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    if kind == "ZIP":
        yield from _zip_members(data)
    elif kind == "tar":
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isreg() and not member.issparse() else None
                if stream is not None:
                    yield member.name[:120], stream.read(_MOST)
    else:
        yield "content", _unpacked(data, kind)


def _zip_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    left = _MOST
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            with archive.open(info) as stream:
                content = stream.read(left + 1)
            left -= len(content)
            if left < 0:
                raise _BombError
            yield info.filename[:120], content


def _unpacked(data: bytes, kind: str) -> bytes:
    machine: zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor
    if kind in ("gzip", "a zlib stream"):
        machine = zlib.decompressobj(wbits=47)
    elif kind == "bzip2":
        machine = bz2.BZ2Decompressor()
    elif kind == "XZ":
        machine = lzma.LZMADecompressor()
    else:
        raise ValueError(kind)
    content = machine.decompress(data, _MOST + 1)
    if len(content) > _MOST:
        raise _BombError
    return content
