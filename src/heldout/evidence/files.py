"""Files that survive a kill: atomic documents and append-only streams.

A document is written beside its final name, flushed to disk and renamed; then the folder is flushed. A reader
sees the old file or the new one. An append-only stream is a sequence of newline-ended records; a process killed in
mid-append leaves at most one torn last record, which the next writer cuts off before it appends.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, Self, TypedDict

from heldout.errors import InputError, MachineError
from heldout.evidence.machine import machine_error
from heldout.evidence.opening import LINE_BYTES, append_plain, open_plain, read_plain, too_large
from heldout.evidence.strict import canonical, dumps, loads
from heldout.printable import printable_lines

_CHUNK = 1 << 20
_durable = ContextVar("durable", default=True)
# A stray left by a kill is swept by the next writer of that name; the pid keeps two live writers apart.
_STRAY = ".{name}.{pid}.partial"
_STRAY_PATTERN = r"\.%s\.(\d+)\.partial"


class FileEntry(TypedDict):
    """A file in a document that names several."""

    bytes: int
    sha256: str


def file_entry(source: Path | bytes) -> FileEntry:
    """Size and sha256 of a file, or of what will be one."""
    if isinstance(source, bytes):
        return {"bytes": len(source), "sha256": sha256_bytes(source)}
    return {"bytes": source.stat().st_size, "sha256": sha256_file(source)}


def sha256_file(path: Path) -> str:
    """Sha256 (hex) of a file's bytes."""
    with open_plain(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Sha256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on failure it is removed.

    For writers that want a file name. Both files are on one file system, so the rename is atomic.

    Raises:
        InputError: If the disk is full or the folder cannot be written. The old file is intact.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_failed(path, error) from error
    _sweep(path)
    partial = path.with_name(_STRAY.format(name=path.name, pid=os.getpid()))
    try:
        try:
            yield partial
            if _durable.get():
                _flush(partial)
            partial.replace(path)
        except OSError as error:
            raise _write_failed(path, error) from error
        except Exception as error:  # safetensors' own, which names the system's error in words
            found = machine_error(error)
            if found is None or found is error:
                raise
            raise MachineError(f"cannot write the file: {found.what}", where=str(path), hint=found.hint) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    if _durable.get():
        _flush_name(path)


@contextlib.contextmanager
def unsettled() -> Iterator[None]:
    """Within this block nothing is flushed: what is written is gone soon, or flushed with much else by ``settle``."""
    before = _durable.set(False)
    try:
        yield
    finally:
        _durable.reset(before)


def settle(paths: Iterable[Path]) -> None:
    """Flush files that were written unsettled, then their names: to flush many costs less than one after the other.

    Raises:
        MachineError: If the disk refuses.
    """
    named: dict[Path, Path] = {}
    for path in paths:
        try:
            _flush(path)
        except OSError as error:
            raise _write_failed(path, error) from error
        named |= {path.parent: path, path.parent.parent: path.parent}  # the folder may be new too
    for each in named.values():
        _flush_name(each)


def _flush_name(path: Path) -> None:
    try:
        flush_folder(path.parent)
    except OSError as error:
        raise MachineError(
            f"the file is there, but its folder cannot be flushed to disk: {error.strerror or error}",
            where=str(path),
            hint="check the disk, then run the command again",
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a document atomically and durably."""
    with atomic_path(path) as partial, partial.open("wb") as stream:
        stream.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write a strict JSON document atomically (sorted, indented, newline-ended)."""
    write_bytes(path, dumps(value))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_page(path: Path, text: str) -> None:
    """Write a page for people atomically; what would steer a terminal or turn a line around is shown as an escape."""
    write_text(path, printable_lines(text))


def flush_folder(folder: Path) -> None:
    """Make a rename or a removal in ``folder`` durable; a no-op where a file system has no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


class JsonLines:
    """An append-only stream of JSON objects that survives a torn last line.

    One writer at a time; readers may read while it writes. A record is handed to the operating system before
    ``append`` returns, and to the disk with ``durable=True``. An append that fails leaves no part of its record.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        """Open for appending, after cutting off a torn last line.

        Raises:
            InputError: If the folder or the file cannot be written.
        """
        self._path, self._durable = path, durable
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[bytes] = append_plain(path)
            repair_tail(path)
        except OSError as error:
            raise _write_failed(path, error) from error

    def append(self, record: Mapping[str, object]) -> None:
        """Append one record as one line.

        Raises:
            InputError: If the disk is full. The records before it are intact.
        """
        end = None
        try:
            end = self._stream.seek(0, os.SEEK_END)
            rest = memoryview(canonical(record) + b"\n")
            while rest:
                rest = rest[self._stream.write(rest) :]
            if self._durable:
                os.fsync(self._stream.fileno())
        except OSError as error:
            if end is not None:
                with contextlib.suppress(OSError):
                    self._stream.truncate(end)
            raise _write_failed(self._path, error) from error

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def repair_tail(path: Path) -> int:
    """Cut a torn last line (no newline) off a stream; return the number of bytes removed."""
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        keep = _last_newline(stream, end)
        if keep == end:
            return 0
        stream.truncate(keep)
        os.fsync(stream.fileno())
        return end - keep


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a stream. A torn last line is left out; a torn line in the middle is an error.

    Raises:
        InputError: With file and line of the first bad record.
    """
    if not path.exists():
        return []
    data = read_plain(path)
    whole = data[: data.rfind(b"\n") + 1]
    records = []
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        if len(line) > LINE_BYTES:
            raise too_large(len(line), LINE_BYTES, f"{path}:{number}")
        record = loads(line, where=f"{path}:{number}")
        if not isinstance(record, dict):
            raise InputError("the record is not an object", where=f"{path}:{number}", hint="remove that line")
        records.append(record)
    return records


def _last_newline(stream: IO[bytes], end: int) -> int:
    """Offset just behind the last newline before ``end``; 0 if there is none."""
    position = end
    while position > 0:
        start = max(0, position - _CHUNK)
        stream.seek(start)
        found = stream.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _flush(path: Path) -> None:
    with path.open("r+b") as stream:  # Windows flushes only what is open for writing
        os.fsync(stream.fileno())


def _sweep(path: Path) -> None:
    """Remove partial files of dead writers."""
    pattern = re.compile(_STRAY_PATTERN % re.escape(path.name))
    for stray in path.parent.glob(f".{_glob_escape(path.name)}.*.partial"):
        match = pattern.fullmatch(stray.name)
        if match and not _alive(int(match[1])):
            with contextlib.suppress(OSError):
                stray.unlink()


def _glob_escape(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there; a stray costs less
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _write_failed(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"cannot write the file: {error.strerror or error}",
        where=str(path),
        hint="free some disk space or choose another folder; what was there before is unchanged",
    )
