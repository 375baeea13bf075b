"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heldout.errors import StaleError


@contextmanager
def alone(folder: Path, what: str, *, lock: str = ".lock", wait: float = 0) -> Iterator[None]:
    """A block that no two processes are in at once for one folder.

    The system lets go of the lock when its holder dies; the file stays, since removing it would let two others in.

    Args:
        folder: Made where it is missing.
        what: What the other process does there, as in "another process *is fitting this run*".
        lock: The file that is locked. Its name is a contract with other versions at work in the same folder.
        wait: For how many seconds to wait for the other process.

    Raises:
        StaleError: If another process holds it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    held = FileLock(folder / lock)
    try:
        held.acquire(timeout=wait)
    except Timeout:
        raise StaleError(f"another process {what}", where=str(folder), hint="wait for it, or end it") from None
    try:
        yield
    finally:
        held.release()
