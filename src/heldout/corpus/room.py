"""Whether a table has room in memory, asked before it is read: without room polars ends the process without a word."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl

from heldout.errors import MachineError
from heldout.evidence import plain_path

_SMALL, _LEAST = 64 << 20, 700 << 20
_TEXT, _NUMBER = 16, 8
_COPIES = 3  # of the address space, where that is limited: what is read, what it is made of, and the reader's buffers
_MB = 1_000_000


def check_room(path: Path) -> None:
    """Refuse a Parquet file whose rows cannot be held: packed, millions of rows may take a few thousand bytes.

    Raises:
        MachineError: If they need more memory than there is.
    """
    for free, copies in _free():
        if copies > 1 and free < _LEAST:  # not even the reader's threads would start
            what = f"out of memory: {max(free, 0) // _MB:,} MB are free"
            raise MachineError(what, where=str(path), hint="give the process more memory")
    schema = pl.read_parquet_schema(plain_path(path))
    width = sum(_TEXT if kind in (pl.String, pl.Binary) else _NUMBER for kind in schema.values())
    rows = int(pl.scan_parquet(plain_path(path), glob=False).select(pl.len()).collect().item())
    need = rows * width
    if need <= _SMALL:
        return
    for free, copies in _free():
        if need * copies > free:
            raise MachineError(
                f"out of memory: {rows:,} rows of {len(schema)} columns need about {need * copies // _MB:,} MB, and "
                f"{max(free, 0) // _MB:,} MB are free",
                where=str(path),
                hint="give the process more memory, or cut the table",
            )


def room_to_unpack() -> int:
    """Bytes that a packed table may have when it is unpacked."""
    return min((max(0, free) // (_COPIES * copies) for free, copies in _free()), default=1 << 32)


def _free() -> Iterator[tuple[int, int]]:
    """Bytes that this process may still take, by each limit there is, and how often a table counts there."""
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY and sys.platform == "linux":
            yield limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"), _COPIES
    with suppress(OSError, ValueError, KeyError):
        lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
        kilobytes = {line[0]: int(line[1]) for line in lines if len(line) > 1}
        yield (kilobytes["MemAvailable:"] + kilobytes.get("SwapFree:", 0)) * 1024, 1
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text().strip()
        if most != "max":
            yield int(most) - int((group / "memory.current").read_text()), 1
