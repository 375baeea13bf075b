"""Fences around a process: for good, and around all that it starts.

``enclose`` lets it read everything and write only inside some folders. ``shut_in`` is for code that nobody here wrote:
it reads what it is shown and nothing else, writes inside some folders, opens no socket, and leaves nothing in the
system for another process to find.

Linux's Landlock holds files in the kernel, root's too, and where the kernel lets it, no signal leaves the fence either;
its system call filter holds the rest. Elsewhere Python's own file operations are refused, which holds against mistakes
and not against malice: whoever supervises must look at the files afterwards.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from heldout.engine import landlock, seccomp

Fence = Literal["landlock", "python"]
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm")  # noqa: S108
_ACCELERATORS = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dri", "/dev/kfd")
# What programs and libraries of a system look at to run at all.
_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/opt", "/nix/store", "/sys",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/timezone", "/etc/fonts",
    "/etc/OpenCL", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/alternatives", "/etc/os-release",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems",
    "/proc/sys/kernel", "/proc/sys/vm", "/proc/driver/nvidia", "/dev/random", "/dev/urandom",
)  # fmt: skip
_OPENING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
# Audit events that change a file system, and where their paths stand among the arguments.
_CHANGES = {
    "os.remove": (0,), "os.rename": (0, 1), "os.mkdir": (0,), "os.rmdir": (0,), "os.link": (0, 1),
    "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,),
    "shutil.rmtree": (0,), "shutil.move": (0, 1),
}  # fmt: skip


def enclose(folders: Sequence[Path]) -> Fence:
    """Fence this process in, for good.

    Args:
        folders: Where it may write; those that do not exist are left out.

    Returns:
        What the fence is made of.
    """
    inside = [folder.resolve() for folder in folders if folder.exists()]
    if _landlock([*inside, *_existing(_DEVICES)]):
        return "landlock"
    sys.addaudithook(_Refusal(inside))
    return "python"


def shut_in(
    readable: Sequence[Path], writable: Sequence[Path], hidden: Sequence[Path], listed: Sequence[Path] = ()
) -> dict[str, str]:
    """Fence this process in, for good, as code that nobody here wrote.

    Args:
        readable: Files and folders that it may read, besides those of the system.
        writable: Folders that it may read and write.
        hidden: What it may not read, though it lies in a folder that it may; but what is named inside it, it may.
        listed: Folders whose names it may list, without reading what lies in them.

    Returns:
        What holds reading, writing, the network, and what outlives a process; ``none`` where nothing does.
    """
    kept = [path.resolve() for path in hidden]
    shown = [each for path in (*readable, *_existing(_SYSTEM)) for each in _around(path.resolve(), kept)]
    devices = [*_existing(name for name in _DEVICES if name != "/dev/shm"), *_matching(_ACCELERATORS)]  # noqa: S108
    inside = [folder.resolve() for folder in writable]
    held: Fence = "landlock"
    # The system's own /proc/self is that of this process from here on.
    if not _landlock([*inside, *devices], [*shown, *inside, *devices, Path("/proc/self")], list(listed)):
        held = "python"
        sys.addaudithook(_Refusal(inside, kept, [*shown, *inside]))
    calls = "seccomp" if seccomp.forbid() else "none"
    return {"reading": held, "writing": held, "network": calls, "leftovers": calls}


def _landlock(write: Sequence[Path], read: Sequence[Path] | None = None, listed: Sequence[Path] = ()) -> bool:
    return landlock.restrict(write, read, listed)


def _existing(names: Sequence[str] | Iterator[str]) -> list[Path]:
    return [Path(name) for name in names if Path(name).exists()]


def _matching(patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in Path("/").glob(pattern.removeprefix("/"))]


def _around(path: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    """The path, or what lies in it but for what is hidden there."""
    if path in hidden:
        return
    if not any(each.is_relative_to(path) for each in hidden):
        yield path
        return
    for inner in path.iterdir():
        real = inner.resolve()
        if not inner.is_symlink():
            yield from _around(real, hidden)
        elif not any(each.is_relative_to(real) or real.is_relative_to(each) for each in hidden):
            yield real


class _Refusal:
    """An audit hook that refuses to write outside, and to read what is hidden."""

    def __init__(self, folders: Sequence[Path], hidden: Sequence[Path] = (), shown: Sequence[Path] = ()) -> None:
        self._folders = [os.fspath(folder) for folder in (*folders, *(Path(name) for name in _DEVICES))]
        self._hidden, self._shown = [os.fspath(path) for path in hidden], [os.fspath(path) for path in shown]

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(arguments[2], int) and arguments[2] & _OPENING:
                self._see(arguments[0])
            elif self._hidden and isinstance(arguments[0], str | bytes | os.PathLike):
                real = os.path.realpath(os.fsdecode(arguments[0]))
                if hides(real, self._hidden, self._shown):
                    raise PermissionError(13, "kept from this process", real)
        elif event in _CHANGES:
            for place in _CHANGES[event]:
                self._see(arguments[place])

    def _see(self, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        real = os.path.realpath(os.fsdecode(path))
        if not _inside(real, self._folders):
            raise PermissionError(13, "outside the folders of this process", real)


def hides(path: str, hidden: Sequence[str], shown: Sequence[str]) -> str | None:
    """What hides a path, if anything does: what is shown inside a hidden folder is shown."""
    for each in hidden:
        within = [place for place in shown if place != each and _inside(place, [each])]
        if _inside(path, [each]) and not _inside(path, within):
            return each
    return None


def _inside(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)
