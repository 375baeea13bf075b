"""Questions to code that nobody here wrote, each in a process that has seen nothing and is shut in.

What comes back is a JSON document and files, never an object of Python: those would run code where they are read.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.documents.names import UNIT_FILE, UNIT_PREDICTIONS
from heldout.engine.local import ArgT, ResultT
from heldout.engine.zygote import ANSWER, WORDS
from heldout.errors import MachineError, UnitError
from heldout.evidence import read_plain, strict
from heldout.evidence.machine import machine_error_of

QUESTION = "question.pickle"
_JUDGED = frozenset({UNIT_FILE, UNIT_PREDICTIONS})  # of a unit: what a model answered, which it must not be shown
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")
_FORKS = platform.system() == "Linux"  # elsewhere the libraries themselves do not survive a fork
_KILLED = 128 + 9
_PATIENCE_S = 5.0
_KILLED_HINT = "check the memory, or take fewer workers; finished units are kept, the same command goes on"
# The fence allows no semaphores: joblib works in one process. It asks once, when it is imported.
_ALONE = {"JOBLIB_MULTIPROCESSING": "0"}
_LAST_WORDS, _LONGEST_ANSWER = 4000, 1 << 24


@dataclass(frozen=True)
class Shown:
    """What such a process may look at besides the system, Python and what is installed.

    Attributes:
        readable: Files and folders.
        hidden: What it may not read wherever it lies.
        listed: Folders in which Python looks for modules.
        writable: Folders besides its own in which it may write, wherever they lie.
    """

    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    listed: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Answered:
    """What such a process left.

    Attributes:
        document: Its answer.
        out: The folder with its files.
        words: The end of what it printed.
    """

    document: Mapping[str, Any]
    out: Path
    words: str


@contextmanager
def asked(
    function: str, argument: object, *, shown: Shown, files: Path | None = None, log: Path | None = None
) -> Iterator[Answered]:
    """Ask one question; what it left lasts as long as the block.

    Args:
        function: ``module:function`` of heldout; it is given the question and what the fence is made of.
        argument: What is asked; it is unpickled behind the fence.
        shown: What the process may look at.
        files: A folder whose plain files the process finds under ``in``; of a unit, not what was answered before.
        log: A file, to the end of which goes what it printed.

    Raises:
        MachineError: If the process was killed, as the system does when memory runs out, or the machine refused it.
        UnitError: If the process gave no answer.
    """
    with tempfile.TemporaryDirectory(prefix="heldout-apart-", ignore_cleanup_errors=True) as name:
        desk = Path(name).resolve()
        for place in ("in", "out", "own"):
            (desk / place).mkdir()
        if files is not None:
            copy_files(files, desk / "in", but=_JUDGED)
        (desk / "in" / QUESTION).write_bytes(pickle.dumps(argument))
        code = _run(_question(function, desk, shown), desk)
        every = read_plain(desk / WORDS) if (desk / WORDS).exists() else b""
        if log is not None and every:
            with log.open("ab") as stream:
                stream.write(every)
        words = every[-_LAST_WORDS:].decode(errors="replace")
        document = _document(desk / "out" / ANSWER)
        if code != 0 or document is None:
            said = words.strip().splitlines()
            refused = machine_error_of(said[-1] if said else "")
            if code == _KILLED:
                refused = MachineError("the process of the model's code was killed", where="engine", hint=_KILLED_HINT)
            if refused is not None:
                raise refused
            how = f"killed by signal {code - 128}" if code > 128 else f"exit code {code}"
            raise UnitError(
                f"the process of the model's code gave no answer ({how})" + (f": {said[-1]}" if said else ""),
                where="engine",
                hint="check the memory, and what the code does to its own process",
            ) from RuntimeError(words)
        yield Answered(document, desk / "out", words)


def copy_files(source: Path, target: Path, *, but: frozenset[str] = frozenset()) -> None:
    """Copy the plain files of a folder and of those in it; links, pipes and devices stay, and so do these names."""
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        for path in (Path(folder, name) for name in sorted(names)):
            if path.relative_to(source).as_posix() not in but and path.is_file() and not path.is_symlink():
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place / path.name)


@contextmanager
def asking(
    function: Callable[[ArgT], ResultT], items: Iterable[ArgT], workers: int
) -> Iterator[dict[Future[ResultT], ArgT]]:
    """Futures of a function that asks, each with its item; whoever leaves the block by an error waits for no answer.

    Args:
        function: Asks of one item.
        items: What is asked about.
        workers: Threads.
    """
    threads = ThreadPoolExecutor(workers)
    waiting = {threads.submit(function, item): item for item in items}
    try:
        yield waiting
    except BaseException:
        threads.shutdown(wait=False, cancel_futures=True)
        # A thread that was about to ask starts all anew.
        while not all(future.done() for future in waiting):
            stop()
            time.sleep(0.02)
        raise
    finally:
        threads.shutdown()


def stop() -> None:
    """End whatever is being asked; whoever waits for it gets an error."""
    with _Zygote.starting:
        known, _Zygote.known = _Zygote.known, None
    if known is not None:
        known.close()


def _question(function: str, desk: Path, shown: Shown) -> dict[str, object]:
    own = str(desk / "own")
    environment = dict(os.environ) | dict.fromkeys(_THREADS, "1")
    environment |= {"TMPDIR": own, "TMP": own, "TEMP": own, "HOME": own} | _ALONE
    return {
        "function": function,
        "desk": str(desk),
        "cwd": own,
        "asker": str(Path.cwd()),
        "path": [str(Path(entry).resolve()) for entry in sys.path],
        "environment": environment,
        "readable": [str(path.resolve()) for path in (*_installed(), *shown.readable, desk / "in")],
        "writable": [str(desk / "out"), own, *(str(path.resolve()) for path in shown.writable)],
        "hidden": [str(path.resolve()) for path in shown.hidden],  # it works in another folder
        "listed": [str(path.resolve()) for path in shown.listed if path.is_dir()],
    }


def _installed() -> list[Path]:
    """Python, its standard library, what is installed, and heldout itself."""
    places = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).resolve().parents[1]]
    return [*places, *(Path(each) for each in sys.path if each and _holds_packages(Path(each)))]


def _holds_packages(folder: Path) -> bool:
    """Whether packages were installed into a folder; what lies in any other is somebody's own code."""
    if {"site-packages", "dist-packages"} & {*folder.parts}:
        return True
    return next(folder.glob("*.dist-info"), None) is not None


def _document(path: Path) -> Mapping[str, Any] | None:
    """The answer, if it is a plain file of a JSON object and no larger than an answer is."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as stream:
            found = strict.loads(stream.read(_LONGEST_ANSWER), where=path.name)
    except Exception:  # noqa: BLE001 - whatever it is, it is no answer
        return None
    return found if isinstance(found, dict) else None


def _run(question: Mapping[str, Any], desk: Path) -> int:
    if _FORKS:
        return _Zygote.of_this_process().ask(question)
    (desk / "question.json").write_text(json.dumps(question))
    command = [sys.executable, "-P", "-m", "heldout.engine.zygote", str(desk / "question.json")]
    done = subprocess.run(command, check=False, env=_environment(), start_new_session=True, stdin=subprocess.DEVNULL)
    return done.returncode


def _environment() -> dict[str, str]:
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return dict(os.environ) | dict.fromkeys(_THREADS, "1") | {"PYTHONPATH": path} | _ALONE


class _Zygote:
    """The process that forks, and whoever waits for what it started."""

    known: _Zygote | None = None
    starting = threading.Lock()  # two threads would start two

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "heldout.engine.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        self._waiting: dict[str, Future[int]] = {}
        self._writing = threading.Lock()  # lines of two threads would mix
        threading.Thread(target=self._listen, daemon=True).start()
        self.owner = os.getpid()
        atexit.register(self.close)

    @classmethod
    def of_this_process(cls) -> _Zygote:
        """The one of this process, started when it is first needed."""
        with cls.starting:
            known = cls.known
            if known is None or known.owner != os.getpid() or known.process.poll() is not None:
                known = cls.known = cls()
            return known

    def ask(self, question: Mapping[str, Any]) -> int:
        """Exit code of the process that answered; 128 and the signal that ended it."""
        assert self.process.stdin is not None
        ended: Future[int] = Future()
        with self._writing:
            self._waiting[str(question["desk"])] = ended
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        while True:
            with contextlib.suppress(TimeoutError):
                return ended.result(timeout=0.5)  # awake now and then, for signals

    def close(self) -> None:
        """End it, and whatever it started; if it does not end by itself, by force, and what it started with it."""
        if self.owner == os.getpid() and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            try:
                self.process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:  # or whoever waits for an answer would wait for ever
                self.process.kill()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            ended = json.loads(line)
            self._waiting.pop(ended["desk"]).set_result(int(ended["code"]))
        for future in [*self._waiting.values()]:
            future.set_exception(UnitError("the process that starts others died", where="engine", hint="run it again"))
