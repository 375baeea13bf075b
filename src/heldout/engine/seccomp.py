"""A filter of Linux's system calls: no socket, and nothing that outlives a process without being a file.

Shared memory, message queues and keys of the kernel, and the times, modes and attributes of files that may only be
read, would carry rows from one fold to another. Changes of mode and time are said to be done, since honest programs
that copy a file ask for them and do not look; all else is an error.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_EPERM, _ENOTSUP, _DONE = 1, 95, 0
_OTHER_NUMBERS = 0x40000000  # x32 calls of x86-64
# io_uring_setup, setxattrat, removexattrat, fchmodat2 have one number everywhere.
_EVERYWHERE = {425: _EPERM, 463: _ENOTSUP, 466: _ENOTSUP, 452: _DONE}
_CALLS: dict[str, tuple[int, dict[int, int]]] = {
    # Of each machine its audit architecture, then: socket, shmget, msgget, semget, mq_open, add_key, request_key,
    # keyctl, ptrace, process_vm_readv and _writev, bpf, perf_event_open, open_by_handle_at; setxattr and its kin;
    # chmod, chown, utime and theirs.
    "x86_64": (
        0xC000003E,
        dict.fromkeys((41, 29, 68, 64, 240, 248, 249, 250, 101, 310, 311, 321, 298, 304), _EPERM)
        | dict.fromkeys((188, 189, 190, 197, 198, 199), _ENOTSUP)
        | dict.fromkeys((90, 91, 92, 93, 94, 132, 235, 260, 261, 268, 280), _DONE),
    ),
    "aarch64": (
        0xC00000B7,
        dict.fromkeys((198, 194, 186, 190, 180, 217, 218, 219, 117, 270, 271, 280, 241, 265), _EPERM)
        | dict.fromkeys((5, 6, 7, 14, 15, 16), _ENOTSUP)
        | dict.fromkeys((52, 53, 54, 55, 88), _DONE),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def forbid() -> bool:
    """Filter the calls of this process and all that it starts, for good; False where that cannot be done."""
    if sys.platform != "linux" or platform.machine() not in _CALLS:
        return False
    code = _program(*_CALLS[platform.machine()])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _program(architecture: int, calls: dict[int, int]) -> bytes:
    steps = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ERROR | _EPERM),
        (_LOAD, 0, 0, 0),  # the number of the call
        (_AT_LEAST, 0, 1, _OTHER_NUMBERS),
        (_RETURN, 0, 0, _ERROR | _EPERM),
    ]
    for number, error in (calls | _EVERYWHERE).items():
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | error)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
