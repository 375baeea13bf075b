"""Running a program of the user's: its output in a log, its time and room on the disk bounded, its end in words."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from heldout.errors import MachineError, UnitError

_AWAKE_S, _SIZES_S = 0.02, 1.0
_LOG_BYTES, _LAST_BYTES, _LAST_LINES = 8 << 20, 4000, 5
_MB = 1 << 20
# What a program needs of its surroundings to run at all. Anything else would steer it unseen by any digest.
_NAMES = frozenset(
    ("PATH", "HOME", "TMPDIR", "TMP", "TEMP", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
     "SYSTEMROOT", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV", "CONDA_PREFIX", "JAVA_HOME", "R_HOME")
)  # fmt: skip
_BEGINNINGS = ("LC_", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "POLARS_MAX", "CUDA_", "NVIDIA_", "HIP_", "ROCR_")


class CommandError(UnitError):
    """A command of the study failed.

    Attributes:
        words: The end of what it printed.
    """

    words = ""


@dataclass(frozen=True)
class Bounds:
    """What a command may take.

    Attributes:
        seconds: Wall-clock time; None is no limit.
        memory_mb: Of each of its processes; None is no limit.
        disk_mb: Of all files that it writes, together.
    """

    seconds: float | None
    memory_mb: int | None
    disk_mb: int


def run(words: Sequence[str], what: str, *, cwd: Path, rooms: Sequence[Path], bounds: Bounds, log: Path | None) -> None:
    """Run a command to its end.

    Args:
        words: Program and arguments.
        what: Name of the command, for messages.
        cwd: Where it runs.
        rooms: Folders in which it writes.
        bounds: What it may take.
        log: Gets what it prints; None keeps the end alone.

    Raises:
        CommandError: If it cannot be started, takes too much, or ends with another code than 0; with its last lines.
        MachineError: If the system ended it, as it does when memory runs out.
    """
    before = _size(rooms)
    try:
        child = subprocess.Popen(
            words, cwd=cwd, env=_environment(os.environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_limits(bounds),
        )  # fmt: skip
    except OSError as error:
        hint = "name a program that is installed, or a file of the code that may be executed"
        raise CommandError(f"{words[0]} cannot be started: {error.strerror}", where=what, hint=hint) from None
    tail = _Tail(child.stdout, log)
    try:
        why = _watch(child, rooms, before, bounds)
    finally:
        _end(child)
    tail.join()
    _judge(child.returncode, why, tail.text(), what, bounds)


def _judge(code: int, why: str | None, said: str, what: str, bounds: Bounds) -> None:
    lines = [line for line in said.splitlines() if line.strip()]
    last = f": {lines[-1].strip()[:300]}" if lines else ""
    if why is None and code == 0:
        return
    if why is None and code == -getattr(signal, "SIGKILL", 9):
        hint = "check the memory, or take fewer workers; what it left of itself is kept, the same command goes on"
        raise MachineError(f"the command `{what}` was killed", where=what, hint=hint)
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    sentence = f"the command `{what}` {why}" if why else f"the command `{what}` {ended}{last}"
    hint = "mend the cause and run the study again; what it left of itself is kept, in `scratch` of the run"
    if bounds.memory_mb is not None and ("MemoryError" in said or "llocate" in said or "bad_alloc" in said):
        hint = f"its budget is {bounds.memory_mb} MB: raise `fit.budget.memory_mb`, or let it take less"
    sys.stdout.write("\n".join(["", *lines[-_LAST_LINES:], ""]))  # into the words of this process, for the log
    error = CommandError(sentence, where=f"fit.{what}", hint=hint)
    error.words = said
    raise error


def _environment(full: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in full.items() if name in _NAMES or name.startswith(_BEGINNINGS)}
    return kept | {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _limits(bounds: Bounds) -> Any:
    """What the process does before it becomes the command; None where the system has no such limits."""
    if os.name == "nt":
        return None
    import resource

    def act() -> None:
        size = bounds.disk_mb * _MB
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if bounds.memory_mb is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (bounds.memory_mb * _MB,) * 2)

    return act


def _watch(child: subprocess.Popen[bytes], rooms: Sequence[Path], before: int, bounds: Bounds) -> str | None:
    """Wait for its end; why it must be ended before, in words, or None."""
    started = measured = time.monotonic()
    most = before + bounds.disk_mb * _MB  # a file of just that size was cut short
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_AWAKE_S)
            return None if _size(rooms) < most else _too_much(bounds)
        now = time.monotonic()
        if bounds.seconds is not None and now - started > bounds.seconds:
            return f"took longer than its {bounds.seconds:g} seconds"
        if now - measured > _SIZES_S:
            measured = now
            if _size(rooms) >= most:
                return _too_much(bounds)


def _too_much(bounds: Bounds) -> str:
    return f"wrote more than its {bounds.disk_mb:,} MB"


def _size(rooms: Sequence[Path]) -> int:
    total = 0
    for room in rooms:
        for folder, _, names in os.walk(room):
            for name in names:
                with contextlib.suppress(OSError):
                    total += Path(folder, name).lstat().st_size
    return total


def _end(child: subprocess.Popen[bytes]) -> None:
    """End its whole group; who left that is ended with the process that asks."""
    if os.name == "nt":
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class _Tail(threading.Thread):
    """Copies what a command prints into its log, as far as a log goes, and keeps the end."""

    def __init__(self, stream: IO[bytes] | None, log: Path | None) -> None:
        super().__init__(daemon=True)
        assert stream is not None
        self._stream, self._log, self._end = stream, log, b""
        self.start()

    def run(self) -> None:
        room = _LOG_BYTES
        with contextlib.ExitStack() as stack:
            target = None if self._log is None else stack.enter_context(self._log.open("wb", buffering=0))
            while data := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
                self._end = (self._end + data)[-_LAST_BYTES:]
                if target is not None and room > 0:
                    target.write(data[:room])
                    room -= len(data)
                    if room <= 0:
                        target.write(b"\n... more was printed than a log keeps\n")

    def join(self, timeout: float | None = None) -> None:
        # Whoever left the group may hold the pipe open: it is not waited for.
        super().join(2.0 if timeout is None else timeout)

    def text(self) -> str:
        return self._end.decode(errors="replace")
