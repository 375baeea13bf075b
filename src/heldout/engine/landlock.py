"""Linux's Landlock: what this process, and all that it starts, may do with files, for good."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # of every architecture
_VERSION_FLAG, _PATH_BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
# linux/landlock.h: execute, write_file, read_file, read_dir; two that remove, and the seven that make something.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_WRITES = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_READS = _EXECUTE | _READ_FILE | _READ_DIR
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_TCP, _SIGNALS, _ABSTRACT_SOCKETS = 0b11, 1 << 1, 1


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def restrict(write: Sequence[Path], read: Sequence[Path] | None = None, listed: Sequence[Path] = ()) -> bool:
    """Let this process write in some places only, and read in some only where they are given.

    Args:
        write: Files and folders.
        read: Files and folders; None is everything, and then the network is left alone too.
        listed: Folders whose names may be listed.

    Returns:
        Whether the kernel does it.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if abi < 3:  # before that a file could be cut short from outside
        return False
    writes, reads = _WRITES | _REFER | _TRUNCATE, 0 if read is None else _READS
    scoped = 0 if abi < 6 else _SIGNALS | (0 if read is None else _ABSTRACT_SOCKETS)
    ruleset = _Ruleset(writes | reads, 0 if read is None or abi < 4 else _TCP, scoped)
    size = ctypes.sizeof(_Ruleset) if abi >= 6 else 16 if abi >= 4 else 8
    made = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if made < 0:
        return False
    try:
        for rights, places in ((writes, write), (reads, read or ()), (_READ_DIR & reads, listed)):
            for place in places:
                _allow(libc, made, place, rights)
        return bool(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and libc.syscall(_RESTRICT_SELF, made, 0) == 0)
    finally:
        os.close(made)


def _allow(libc: Any, ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # gone meanwhile: nothing to allow
        return
    try:
        rule = _Beneath(rights if path.is_dir() else rights & _OF_A_FILE, handle)
        if rule.allowed:
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)
