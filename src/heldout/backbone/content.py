"""What a model from elsewhere is: the sha256 of its file, or of the files of its folder by name and content.

The path is no part of it. A link, a pipe or a device inside a folder is refused, for it would lead out of what is
named; so is a tree with more files than anybody ships a model in. What was digested once is digested again only where a
file's size, times or number changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from heldout.errors import InputError
from heldout.evidence import digest, sha256_file

_MOST_FILES = 10_000
_HINT = "name the file of a model, or a folder that holds nothing but its files"
_Stamp = tuple[str, int, int, int, int]


class Content(NamedTuple):
    """What a path holds.

    Attributes:
        sha256: Of the file, or of a folder's names and digests.
        bytes: Of all files together.
        files: Number of files.
    """

    sha256: str
    bytes: int
    files: int


_KNOWN: dict[Path, tuple[tuple[_Stamp, ...], Content]] = {}


def content_of(path: Path) -> Content:
    """What lies there now.

    Raises:
        InputError: If nothing lies there, or something that is no plain file or folder of plain files.
    """
    try:
        place = path.resolve()
        stamps = tuple(_stamps(place))
        known = _KNOWN.get(place)
        if known is not None and known[0] == stamps:
            return known[1]
        found = _read(place, stamps)
    except OSError as error:
        raise InputError(f"the model cannot be read: {error.strerror}", where=str(path), hint=_HINT) from None
    except (RuntimeError, ValueError) as error:  # links that go round in a circle, and a name with a zero byte
        raise InputError(f"the model cannot be read: {error}", where=repr(str(path)), hint=_HINT) from None
    _KNOWN[place] = (stamps, found)
    return found


def _read(place: Path, stamps: tuple[_Stamp, ...]) -> Content:
    size = sum(each[1] for each in stamps)
    if place.is_file():
        return Content(sha256_file(place), size, 1)
    files = {name: sha256_file(place / name) for name, *_ in stamps}
    return Content(digest(files), size, len(files))


def _stamps(place: Path) -> Iterator[_Stamp]:
    """Name, size, times and number of each file, by name."""
    if not place.is_dir():
        yield _stamp("", place)
        return
    names = sorted(_names(place))
    if not names:
        raise InputError("the folder of the model is empty", where=str(place), hint=_HINT)
    for name in names:
        yield _stamp(name, place / name)


def _names(place: Path) -> Iterator[str]:
    count = 0
    for folder, folders, files in os.walk(place, onerror=_raise):
        for name in (*files, *folders):
            path = Path(folder, name)
            if path.is_symlink():
                hint = "put the file itself there"
                raise InputError("the folder of a model holds a link", where=str(path), hint=hint)
        for name in files:
            count += 1
            if count > _MOST_FILES:
                what = f"the folder of the model holds more than {_MOST_FILES:,} files"
                raise InputError(what, where=str(place), hint=_HINT)
            yield _portable(Path(folder, name).relative_to(place).as_posix(), place)


def _portable(name: str, place: Path) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError("the name of a file is no text", where=str(place), hint="rename it") from None
    return name


def _raise(error: OSError) -> None:
    raise error


def _stamp(name: str, path: Path) -> _Stamp:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError("this is no plain file", where=str(path), hint=_HINT)
    return name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
