"""One process with limits: its own group, a time and a memory budget, ended with all that it started, never waited for.

What runs in it is ``python -m MODULE FOLDER``: it finds its task there, a JSON document, and leaves its answer.
A child ends when its parent does, however that one ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from heldout.engine.fence import enclose
from heldout.errors import HeldoutError, MachineError, PrerequisiteError
from heldout.evidence import read_json, write_json
from heldout.evidence.machine import machine_error

State = Literal["done", "failed", "timed_out", "out_of_memory"]
_MARK = "HELDOUT_PROCESS"
_OWN_BUSINESS = ("HELDOUT_REGISTRY", "HELDOUT_SERVING", "HELDOUT_ACTOR")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")
_LOOK_S = 0.02
_LAST_WORDS = 4000
_MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a process may take; None is no limit."""

    seconds: float | None = None
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        if self.memory_mb is not None and sys.platform != "linux":
            raise PrerequisiteError(
                "a memory budget is kept on Linux only", where="memory_mb", hint="leave it out here, or run on Linux"
            )


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        state: done, failed, timed_out or out_of_memory.
        answer: What it answered; empty unless done.
        reason: Why it is not done; empty if it is.
        seconds: Wall-clock time.
        peak_mb: Largest memory that was seen; None where nobody looked.
        refused: Whether the machine refused something, such as room on the disk.
    """

    state: State
    answer: Mapping[str, Any]
    reason: str
    seconds: float
    peak_mb: int | None
    refused: bool = False


def run_limited(
    module: str,
    task: Mapping[str, Any],
    *,
    limits: Limits,
    writable: Sequence[Path],
    work: Path | None = None,
    gentle: bool = False,
) -> Ended:
    """Run a module in a process of its own and wait for it as long as it may take.

    Args:
        module: Its ``main`` calls ``answer``.
        task: What it is to do, as JSON.
        limits: Of the process and all that it starts, together.
        writable: Folders, besides its own temporary one, in which it may write.
        work: Its working folder; a temporary one by default.
        gentle: Let everything else go first.
    """
    with tempfile.TemporaryDirectory(prefix="heldout-", ignore_cleanup_errors=True) as name:
        desk = Path(name)
        question = {"task": dict(task), "writable": [str(path) for path in (*writable, desk)], "gentle": gentle}
        write_json(desk / "task.json", question)
        started = time.monotonic()
        with (desk / "words").open("wb") as words:
            child = _start(module, desk, work or desk, words)
            try:
                ending, peak = _watch(child, limits, started)
            finally:
                _end(child, str(desk))
        seconds = time.monotonic() - started
        return _ended(desk, child.returncode, ending, round(seconds, 3), peak, limits)


def answer(function: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """What the process runs: fence itself in, do the task, and leave the answer or the error."""
    desk = Path(sys.argv[1])
    question = read_json(desk / "task.json")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _behave(gentle=bool(question["gentle"]))
    fence = enclose([Path(path) for path in question["writable"]])
    try:
        found: dict[str, object] = {"answer": dict(function(question["task"])) | {"fence": fence}}
    except MemoryError:
        found = {"error": "out of memory", "memory": True}
    except HeldoutError as error:
        found = {"error": str(error), "memory": False, "refused": isinstance(error, MachineError)}
    except Exception as error:  # noqa: BLE001 - said to the parent, as any failure
        import traceback

        traceback.print_exc()
        refused = machine_error(error) is not None
        found = {"error": f"{type(error).__name__}: {error}", "memory": False, "refused": refused}
    write_json(desk / "answer.json", found)


def _start(module: str, desk: Path, work: Path, words: Any) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name not in _OWN_BUSINESS}
    environment |= dict.fromkeys(_THREADS, "1") | {_MARK: str(desk), "TMPDIR": str(desk)}
    path = [entry for entry in sys.path if entry]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(desk)],
        stdin=subprocess.PIPE,
        stdout=words,
        stderr=words,
        cwd=work,
        env=environment,
        start_new_session=True,
    )


def _watch(child: subprocess.Popen[bytes], limits: Limits, started: float) -> tuple[State | None, int | None]:
    """Wait for the end of the process or of its budget; None if it ended by itself."""
    peak: int | None = None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_S)
            return None, peak
        if limits.seconds is not None and time.monotonic() - started > limits.seconds:
            return "timed_out", peak
        if sys.platform == "linux":
            used = _memory_mb(child.pid)
            peak = max(peak or 0, used)
            if limits.memory_mb is not None and used > limits.memory_mb:
                return "out_of_memory", peak


def _end(child: subprocess.Popen[bytes], mark: str) -> None:
    """End the whole group, and whoever left it: nothing that the process started outlives it."""
    if os.name == "nt":
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        for pid in _marked(mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    if child.stdin:
        child.stdin.close()
    child.wait()


def _ended(desk: Path, code: int, ending: State | None, seconds: float, peak: int | None, limits: Limits) -> Ended:
    if ending == "timed_out":
        return Ended(ending, {}, f"it took longer than its {limits.seconds:g} seconds", seconds, peak)
    if ending == "out_of_memory":
        return Ended(ending, {}, f"it took {peak} MB of its {limits.memory_mb} MB", seconds, peak)
    try:
        found = read_json(desk / "answer.json")
        if "answer" in found:
            return Ended("done", dict(found["answer"]), "", seconds, peak)
        state: State = "out_of_memory" if found["memory"] else "failed"
        return Ended(state, {}, str(found["error"]), seconds, peak, bool(found.get("refused")))
    except (HeldoutError, KeyError, TypeError):
        said = (desk / "words").read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip().splitlines()
        how = f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code} and no answer"
        return Ended("failed", {}, how + (f": {said[-1]}" if said else ""), seconds, peak)


def _memory_mb(pid: int) -> int:
    """Memory of a process and its descendants, what they share counted once."""
    own, shared = 0, 0
    for each in _family(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            resident, common = map(int, Path(f"/proc/{each}/statm").read_text().split()[1:3])
            own += resident - common
            shared = max(shared, common)
    return (own + shared) * os.sysconf("SC_PAGE_SIZE") // _MB


def _family(pid: int) -> Iterator[int]:
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        yield each
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, children.read_text().split())


def _marked(mark: str) -> Iterator[int]:
    """Processes that inherited the environment of the one that was started."""
    wanted = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def _behave(*, gentle: bool) -> None:
    """Be the first to go when memory runs out, and the last to be served if told so."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if gentle and hasattr(os, "nice"):
        os.nice(10)


def _end_with_parent() -> None:
    """The parent holds the other end of standard input, and with its life loses it."""
    sys.stdin.buffer.read()
    if os.name != "nt":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
