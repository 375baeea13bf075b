"""Telling what the machine refused from what a variant did: a full disk is no result."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from heldout.errors import MachineError

_NAMES = "ENOSPC EDQUOT EFBIG EMFILE ENFILE ENOMEM EIO EROFS ESTALE EAGAIN ENOLCK EREMOTEIO"  # no Windows has all
_REFUSALS = frozenset(getattr(errno, name) for name in _NAMES.split() if hasattr(errno, name))
_RUST = re.compile(r"\(os error (\d+)\)")  # safetensors and polars tell the number in words only
_PYTHON = re.compile(r"\w*Error: \[Errno (\d+)\]")
_OUT_OF_MEMORY = re.compile(r"(?i)out of memory|can(no|')t allocate memory|memory allocation of \d+")
_NO_MEMORY = "give it more memory, fewer workers or a smaller corpus; what was there before is unchanged"
_HINTS = {
    errno.ENOMEM: _NO_MEMORY,
    errno.ENOSPC: "free some disk space or choose another folder; what was there before is unchanged",
    errno.EMFILE: "raise the limit of open files (ulimit -n); what was there before is unchanged",
}
_HINT = "mend it, then run the same command again; what was there before is unchanged"


def machine_error(error: BaseException | None) -> MachineError | None:
    """The error as one of the machine, if it is one: no room, no memory, no handles, a broken disk; else None."""
    for each in _chain(error):
        if isinstance(each, MachineError):
            return each
        number = _number(each)
        if number in _REFUSALS:
            return _told(each, number)
    return None


def machine_error_of(words: str) -> MachineError | None:
    """The same, of the last words of a process that died, such as ``OSError: [Errno 28] No space left on device``."""
    if words.startswith("MemoryError"):
        return machine_error(MemoryError())
    found = _PYTHON.match(words)
    return machine_error(OSError(int(found[1]), words)) if found else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _number(error: BaseException) -> int:
    """The system's number of an error; 0 if it has none."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if type(error).__module__.partition(".")[0] == "heldout":
        return 0
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - of a foreign class
        return 0
    if found := _RUST.search(said):
        return int(found[1])
    if isinstance(error, RuntimeError) and "can't start new thread" in said:
        return errno.EAGAIN
    foreign = isinstance(error, RuntimeError) or not isinstance(error, Exception)  # torch's, and a panic of Rust
    return errno.ENOMEM if foreign and _OUT_OF_MEMORY.search(said) else 0


def _told(error: BaseException, number: int) -> MachineError:
    if number == errno.ENOMEM:
        return MachineError("out of memory", where="this machine", hint=_NO_MEMORY)
    file = getattr(error, "filename", None)
    where = str(file) if file is not None else "this machine"
    return MachineError(f"the system refused: {os.strerror(number)}", where=where, hint=_HINTS.get(number, _HINT))
