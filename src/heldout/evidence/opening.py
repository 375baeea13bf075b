"""Files of anyone, opened only if they are plain files.

A pipe, a device, a socket or a folder in place of a document is refused and never waited for: opening a pipe that
nobody writes to would hang for ever, reading ``/dev/zero`` would never end. Whoever reads a file uses the functions
here (a test holds that); a reader of somebody else's that wants a name gets it from ``plain_path``, polars from
``plain_source``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from pathlib import Path

from heldout.errors import InputError

# Where a system lacks one of these, opening a file does not wait or follow there.
_PLAIN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_PATTERN = frozenset("*?[")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link"),
)
DOCUMENT_BYTES = 256 << 20  # of one document that is read whole
LINE_BYTES = 16 << 20  # of one record of a stream


def open_plain(path: Path, *, links: bool = True) -> io.BufferedReader:
    """Open a plain file for reading bytes.

    Args:
        path: The file.
        links: Whether a link to a plain file will do. Never inside what somebody else has packed.

    Raises:
        InputError: If something else than a plain file stands there.
        OSError: If nothing stands there, or it cannot be read.
    """
    try:
        descriptor = os.open(path, _PLAIN | (0 if links else _NO_LINK))
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise _not_plain("a link", path) from None
        if error.errno == errno.ENXIO:  # a socket
            raise _not_plain("a socket", path) from None
        raise
    try:
        refuse_other(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def append_plain(path: Path) -> io.FileIO:
    """Open a plain file for appending bytes, unbuffered; made if it is not there.

    Raises:
        InputError: If something else than a plain file stands there.
        OSError: If it cannot be written.
    """
    try:
        descriptor = os.open(path, _APPEND, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a pipe that nobody reads
            raise _not_plain("a pipe or a socket", path) from None
        raise
    try:
        refuse_other(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "ab", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, *, most: int | None = None, links: bool = True) -> bytes:
    """The bytes of a plain file.

    Args:
        path: The file.
        most: Bytes that it may have; a larger one is refused before it is read.
        links: As for ``open_plain``.

    Raises:
        InputError: If something else stands there, or the file is larger.
        OSError: If nothing stands there, or it cannot be read.
    """
    with open_plain(path, links=links) as stream:
        size = os.fstat(stream.fileno()).st_size
        if most is not None and size > most:
            raise too_large(size, most, str(path))
        return stream.read() if most is None else stream.read(most + 1)


def plain_path(path: Path, *, links: bool = True) -> Path:
    """The path itself, for a reader that wants a name: nothing but a plain file stands there, or nothing at all.

    Raises:
        InputError: If something else than a plain file stands there.
    """
    with contextlib.suppress(OSError):  # the reader says that nothing is there, in its own words
        refuse_other((path.stat() if links else path.lstat()).st_mode, path)
    return path


def plain_source(path: Path) -> Path | io.BytesIO:
    """What polars reads a table from: the path, or the bytes where its name is a pattern there.

    ``t[1].csv`` would be read as ``t1.csv``, a file whose digest nobody took.

    Raises:
        InputError: If something else than a plain file stands there.
        OSError: If nothing stands there, or it cannot be read.
    """
    return io.BytesIO(read_plain(path)) if _PATTERN & {*str(path)} else plain_path(path)


def refuse_other(mode: int, path: Path) -> None:
    """Refuse what is no plain file.

    Raises:
        InputError: Naming what stands there.
    """
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise _not_plain(kind, path)


def too_large(size: int, most: int, where: str) -> InputError:
    """The refusal of a file or a line that is larger than any honest one."""
    return InputError(
        f"{size} bytes are more than this kind of file may have ({most})",
        where=where,
        hint="this is none that heldout writes: ask for the file again, or write a smaller one",
    )


def _not_plain(kind: str, path: Path) -> InputError:
    return InputError(
        f"{kind} stands where a plain file should be",
        where=str(path),
        hint="name a plain file, or put a copy of it there",
    )
