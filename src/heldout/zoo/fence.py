"""A fence around a process: it may read everything and write only inside some folders.

Linux's Landlock does it in the kernel, for this process and all that it starts, root's too, and nothing takes it back;
where the kernel lets it, no signal leaves the fence either. Elsewhere Python's own file operations are refused, which
holds against mistakes and not against malice: whoever supervises must look at the files afterwards.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

Fence = Literal["landlock", "python"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # of every architecture
_VERSION_FLAG, _PATH_BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
# linux/landlock.h: write_file, remove_dir, remove_file, and the seven that make something.
_WRITES = (1 << 1) | sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE, _SIGNALS = 1 << 13, 1 << 14, 1 << 1
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm")  # noqa: S108
_OPENING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
# Audit events that change a file system, and where their paths stand among the arguments.
_CHANGES = {
    "os.remove": (0,), "os.rename": (0, 1), "os.mkdir": (0,), "os.rmdir": (0,), "os.link": (0, 1),
    "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,),
    "shutil.rmtree": (0,), "shutil.move": (0, 1),
}  # fmt: skip


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def enclose(folders: Sequence[Path]) -> Fence:
    """Fence this process in, for good.

    Args:
        folders: Where it may write; those that do not exist are left out.

    Returns:
        What the fence is made of.
    """
    inside = [folder.resolve() for folder in folders if folder.exists()]
    if _landlock(inside):
        return "landlock"
    sys.addaudithook(_Refusal(inside))
    return "python"


def _landlock(folders: Sequence[Path]) -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if abi < 3:  # before that a file could be cut short from outside
        return False
    handled = _WRITES | _REFER | _TRUNCATE
    ruleset = _Ruleset(handled, 0, _SIGNALS if abi >= 6 else 0)
    size = ctypes.sizeof(_Ruleset) if abi >= 6 else 16 if abi >= 4 else 8
    made = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if made < 0:
        return False
    try:
        for folder in (*folders, *(Path(name) for name in _DEVICES if Path(name).exists())):
            _allow(libc, made, folder, handled if folder.is_dir() else (1 << 1) | _TRUNCATE)
        return bool(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and libc.syscall(_RESTRICT_SELF, made, 0) == 0)
    finally:
        os.close(made)


def _allow(libc: Any, ruleset: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Beneath(rights, handle)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)


class _Refusal:
    """An audit hook that refuses to write outside."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [os.fspath(folder) for folder in (*folders, *(Path(name) for name in _DEVICES))]

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(arguments[2], int) and arguments[2] & _OPENING:
                self._see(arguments[0])
        elif event in _CHANGES:
            for place in _CHANGES[event]:
                self._see(arguments[place])

    def _see(self, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        real = os.path.realpath(os.fsdecode(path))
        if not any(real == folder or real.startswith(folder + os.sep) for folder in self._folders):
            raise PermissionError(13, "outside the folders of this process", real)
