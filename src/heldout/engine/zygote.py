"""``python -m heldout.engine.zygote`` starts one process for each question to code that nobody here wrote.

It has imported the libraries and none of the user's code, and forks: a new process costs milliseconds and has seen
nothing. Between it and the process that answers stands a keeper, to which orphans fall: when the answer is there, the
keeper ends whatever was started and still runs. Where no fork can be trusted, it answers one question itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from heldout.engine.fence import shut_in
from heldout.evidence import read_plain

_PRELOADED = (
    "heldout.run.apart.child",
    "heldout.backbone.sklearn",
    "heldout.backbone.beside.command",
    "heldout.backbone.beside.python",
    "sklearn.pipeline",
    "sklearn.compose",
    "heldout.backbone.skops_io",
    "heldout.backbone.skops_archive",
    # What scikit-learn and zipfile import only when they are used. A forked process has no compiled code to read: each
    # would compile these anew, for every question.
    "narwhals._polars.dataframe",
    "narwhals._polars.namespace",
    "narwhals._interchange.dataframe",
    "narwhals._duration",
    "narwhals.stable.v2._namespace",
    "encodings.cp437",
)
_SUBREAPER, _DEATH_SIGNAL = 36, 1
ANSWER, WORDS = "answer.json", "words"


def serve() -> None:
    """Fork for every line on standard input; tell on standard output how each of them ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prctl(_SUBREAPER, 1)
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, str] = {}
    unread = b""
    while True:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
            _tell_ended(running)
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                _end_all()
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                question = json.loads(line)
                running[_fork(question)] = question["desk"]


def _tell_ended(running: dict[int, str]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in running:
                ended = {"desk": running.pop(pid), "code": os.waitstatus_to_exitcode(status)}
                os.write(1, json.dumps(ended).encode() + b"\n")


def _fork(question: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _keep(question)
    return pid


def _keep(question: Mapping[str, Any]) -> NoReturn:
    """Have the question answered, and leave nothing running."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _prctl(_SUBREAPER, 1)
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        pid = os.fork()
        if pid == 0:
            _prctl(_DEATH_SIGNAL, signal.SIGKILL)
            _answer(question)
        while True:
            ended, status = os.wait()
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                break
        _end_all()
    finally:
        os._exit(code if code >= 0 else 128 - code)


def _end_all() -> None:
    """End every descendant: orphans become children of the keeper, and are ended in turn."""
    me = f"/proc/self/task/{os.getpid()}/children"
    with contextlib.suppress(ChildProcessError, OSError):
        while True:
            for pid in Path(me).read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            os.waitpid(-1, 0)


def _answer(question: Mapping[str, Any]) -> NoReturn:
    """Shut this process in, and run what is asked for."""
    code = 1
    try:
        desk = Path(question["desk"])
        words = os.open(desk / WORDS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (words, 1), (words, 2)):
            os.dup2(source, target)
        os.closerange(3, 65536)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # or it would come after the traceback
        _become(question)
        fence = shut_in(
            *([Path(each) for each in question[name]] for name in ("readable", "writable", "hidden", "listed"))
        )
        module, _, function = str(question["function"]).partition(":")
        getattr(importlib.import_module(module), function)(question, fence)
        code = 0
    except BaseException:  # noqa: BLE001 - its words are all that is left of it
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _become(question: Mapping[str, Any]) -> None:
    """Take over the environment and the places of modules of whoever asks."""
    os.environ.clear()
    os.environ.update(question["environment"])
    os.chdir(question["cwd"])
    sys.path[:] = question["path"]
    sys.argv[:] = [""]
    # Compiled code is told apart by size and second: only what stands in the sources is run.
    sys.pycache_prefix = question["cwd"]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    import tempfile

    tempfile.tempdir = None


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _answer(json.loads(read_plain(Path(sys.argv[1]))))
    serve()
