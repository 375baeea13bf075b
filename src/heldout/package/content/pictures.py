"""Pictures that are nothing but pictures: PNG and JPEG part by part, what may stay and what must go."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PARTS = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs")
)
# What plots of ours carry: the name of the library that drew them.
_DRAWN_BY = re.compile(rb"Software\x00[Mm]atplotlib version[\w .,+-]{0,40}https?://matplotlib\.org/\Z")
_JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_JPEG_KEPT = frozenset((0xDB, 0xC4, 0xDD, *(0xC0 + n for n in (0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15))))
_MOST_PIXELS = 1 << 30
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class Part(NamedTuple):
    """A chunk of a PNG, or a segment of a JPEG.

    Attributes:
        name: Its type, for people.
        data: All of its bytes, as they stand in the file.
        kept: Whether a picture needs it.
    """

    name: str
    data: bytes
    kept: bool


class DamagedError(ValueError):
    """The bytes are no whole picture."""


def parts_of(data: bytes) -> list[Part]:
    """Take a picture apart; what lies behind its end is a part too.

    Raises:
        DamagedError: If it is not whole.
    """
    parts = list(_png_parts(data) if data.startswith(_PNG) else _jpeg_parts(data))
    if data.startswith(_PNG):
        _check_pixels(parts)
    return parts


def problems(data: bytes) -> list[str]:
    """What a picture carries that is no picture, a sentence each."""
    try:
        return [f"it carries {part.name}" for part in parts_of(data) if not part.kept]
    except DamagedError as error:
        return [f"it is damaged: {error}"]


def stripped(data: bytes) -> bytes:
    """The picture without what is no picture.

    Raises:
        DamagedError: If it is not whole.
    """
    parts = parts_of(data)
    if all(part.kept for part in parts):
        return data
    head = _PNG if data.startswith(_PNG) else b""
    return head + b"".join(part.data for part in parts if part.kept)


def _png_parts(data: bytes) -> Iterator[Part]:
    place = len(_PNG)
    while True:
        if place + 12 > len(data):
            raise DamagedError("it is cut off")
        (size,), name = struct.unpack(">I", data[place : place + 4]), data[place + 4 : place + 8]
        end = place + 12 + size
        if end > len(data):
            raise DamagedError("it is cut off")
        body = data[place + 8 : end - 4]
        if zlib.crc32(name + body) != int.from_bytes(data[end - 4 : end]):
            raise DamagedError("a checksum in it is wrong")
        drawn = name == b"tEXt" and _DRAWN_BY.match(body) is not None
        shown = name.decode("ascii", "replace")
        yield Part(f"a part {shown}", data[place:end], name in _PNG_PARTS or drawn)
        place = end
        if name == b"IEND":
            break
    if place < len(data):
        yield Part(f"{len(data) - place} bytes behind its end", data[place:], False)


def _check_pixels(parts: list[Part]) -> None:
    """The packed pixels are as many as the header says: nothing hides behind them."""
    header = parts[0].data[8:-4]
    if parts[0].name != "a part IHDR" or len(header) != 13:
        raise DamagedError("it does not begin with its header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if colour not in _CHANNELS or not 0 < width * height <= _MOST_PIXELS:
        raise DamagedError("its size is no size")
    packed = b"".join(part.data[8:-4] for part in parts if part.name == "a part IDAT")
    expected = height * (1 + (width * depth * _CHANNELS[colour] + 7) // 8)
    machine = zlib.decompressobj()
    try:
        found = len(machine.decompress(packed, expected * 2 + (1 << 16)))
    except zlib.error:
        raise DamagedError("its pixels cannot be unpacked") from None
    if not machine.eof or machine.unused_data or (not interlaced and found != expected):
        raise DamagedError("it holds more or fewer bytes than pixels")


def _jpeg_parts(data: bytes) -> Iterator[Part]:
    if data[:2] != b"\xff\xd8":
        raise DamagedError("it is neither PNG nor JPEG")
    yield Part("its start", data[:2], True)
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            raise DamagedError("a segment is not where it should be")
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker == 0xD9:
            break
        if marker in _JPEG_ALONE:
            yield Part("a marker", data[place : place + 2], True)
            place += 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if end > len(data):
            raise DamagedError("it is cut off")
        if marker == 0xDA:
            end = _scan_end(data, end)
            yield Part("its pixels", data[place:end], True)
        else:
            yield _segment(marker, data[place:end])
        place = end
    if data[place : place + 2] != b"\xff\xd9":
        raise DamagedError("it is cut off")
    yield Part("its end", data[place : place + 2], True)
    if place + 2 < len(data):
        yield Part(f"{len(data) - place - 2} bytes behind its end", data[place + 2 :], False)


def _segment(marker: int, data: bytes) -> Part:
    body = data[4:]
    if marker == 0xE1 and body.startswith(b"Exif"):
        place = " with a place on earth" if b"\x25\x88" in body or b"\x88\x25" in body else ""
        return Part(f"EXIF{place}", data, False)
    if marker == 0xE0:
        return Part("a thumbnail", data, body.startswith(b"JFIF\x00") and len(data) == 18)
    if marker == 0xEE:
        return Part("a segment of Adobe", data, body.startswith(b"Adobe") and len(data) == 16)
    name = "a comment" if marker == 0xFE else "XMP" if marker == 0xE1 else f"a segment {marker:02X}"
    return Part(name, data, marker in _JPEG_KEPT)


def _scan_end(data: bytes, place: int) -> int:
    """End of the packed pixels: the next marker that is no restart and no stuffed byte."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise DamagedError("it is cut off")
        if data[place + 1] == 0 or 0xD0 <= data[place + 1] <= 0xD7:
            place += 2
        else:
            return place
