"""Tasks on this machine's processes.

A task is a module-level function, importable by name, of one picklable argument, and answers something picklable.
Results arrive as they are finished, in no promised order, so nothing may depend on it. Each worker computes with one
thread: two threads inside one small model slow it down, and results must not depend on the number of cores.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TypeVar

from heldout.engine.interruption import Interruption
from heldout.errors import HeldoutError, MachineError, UnitError
from heldout.streams import prepare

ArgT = TypeVar("ArgT")
ResultT = TypeVar("ResultT")
_AWAKE_S = 0.5
_LOOKS, _LOOK_S = 100, 0.02
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Done:
    """A finished task: its number, and its result or the error that it raised."""

    index: int
    result: object
    error: BaseException | None


def default_workers() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def run_tasks(
    function: Callable[[ArgT], ResultT],
    arguments: Sequence[ArgT],
    *,
    workers: int | None = None,
    here_s: float = 0.0,
) -> Generator[Done, None, None]:
    """Run a function over arguments; one failure aborts no other task. Closing the generator ends the workers.

    Args:
        function: A module-level function.
        arguments: One a task.
        workers: Processes; 1 runs in this process, None takes one a processor.
        here_s: Seconds of work that this process does itself where `workers` is None: a worker begins with some seconds
            of imports. The first task always counts as that little; the others go to workers as soon as the pace of
            those before says that all would take longer.

    Raises:
        MachineError: If a worker process was killed, as the system does when memory runs out.
        UnitError: If a worker process crashed; which task it was cannot be told.
    """
    done = 0
    if workers is None and here_s > 0:
        for one in _while_small(function, arguments, here_s):
            yield one
            done += 1
    count = min(workers or default_workers(), len(arguments) - done)
    if count <= 1:
        yield from _all_here(function, arguments, done)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_become_worker)
    try:
        started: list[BaseProcess] = []
        with Interruption() as interruption, _thread_environment():
            with _main_left_alone():
                task = partial(_answer, function)
                futures = {pool.submit(task, arguments[index]): index for index in range(done, len(arguments))}
                started = list((pool._processes or {}).values())  # noqa: SLF001 - a broken pool forgets them
            interruption.check()
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise _died(started) from error
                yield Done(futures.pop(future), None if error else future.result(), error)
    finally:
        processes = list((pool._processes or {}).values())  # noqa: SLF001 - no public way to stop a busy worker
        pool.shutdown(wait=False, cancel_futures=True)  # forgets its processes
        for process in processes:
            process.terminate()


def _all_here(
    function: Callable[[ArgT], ResultT], arguments: Sequence[ArgT], first: int
) -> Generator[Done, None, None]:
    with Interruption() as interruption:
        for index in range(first, len(arguments)):
            yield _here(function, index, arguments[index])
            interruption.check()


def _while_small(
    function: Callable[[ArgT], ResultT], arguments: Sequence[ArgT], seconds: float
) -> Generator[Done, None, None]:
    """Tasks from the first on, until the pace says that all of them would take longer than this."""
    took = 0.0
    with closing(_all_here(function, arguments, 0)) as results:
        for count in range(1, len(arguments) + 1):
            started = time.monotonic()
            with one_thread():
                done = next(results)
            took += time.monotonic() - started
            yield done
            if took / count * len(arguments) > seconds:
                return


def one_thread() -> contextlib.AbstractContextManager[object]:
    """Linear algebra as a worker does it: of small matrices more threads take longer, on a busy machine many times.

    Nothing changes where nothing is installed that has threads to limit.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1)  # type: ignore[no-any-return]


def run_fresh(function: Callable[[ArgT], ResultT], argument: ArgT) -> ResultT:
    """Run one task in a process of its own, which has seen nothing before it.

    Raises:
        MachineError: If the process was killed.
        UnitError: If it crashed.
        Exception: What the task raised.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_become_worker) as pool:
        with _thread_environment(), _main_left_alone():
            future = pool.submit(partial(_answer, function), argument)
            started = list((pool._processes or {}).values())  # noqa: SLF001 - as above
        try:
            return next(as_completed([future])).result()
        except BrokenProcessPool as error:
            raise _died(started) from error


def _died(processes: Sequence[BaseProcess]) -> HeldoutError:
    """Why a pool broke, by how its processes ended; those that it ends itself then get SIGTERM."""
    for _ in range(_LOOKS):
        codes = [process.exitcode for process in processes]
        ended = [code for code in codes if code not in (None, 0, -signal.SIGTERM)]
        if ended:
            break
        time.sleep(_LOOK_S)
    killed = not ended or ended[0] == -getattr(signal, "SIGKILL", 9)
    if killed:
        hint = "check the memory, or take fewer workers; finished units are kept, the same command goes on"
        return MachineError("a worker process was killed", where="engine", hint=hint)
    how = f"by signal {-ended[0]}" if ended[0] < 0 else f"with code {ended[0]}"
    return UnitError(
        f"a worker process ended {how}", where="engine", hint="mend what crashes there; finished units are kept"
    )


def as_completed(futures: Iterable[Future[ResultT]]) -> Iterator[Future[ResultT]]:
    """As the standard one, but awake now and then: a signal that comes just before a wait does not end it.

    Raises:
        KeyboardInterrupt: Also if one was raised since the first of them, and got lost on its way.
    """
    pending = set(futures)
    with Interruption() as interruption:
        while pending:
            done, pending = wait(pending, timeout=_AWAKE_S, return_when=FIRST_COMPLETED)
            while done:
                yield done.pop()  # and forget it: a result may be large
                interruption.check()
            interruption.check()


def _here(function: Callable[[ArgT], ResultT], index: int, argument: ArgT) -> Done:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # as a worker does
            return Done(index, function(argument), None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - handed to the caller, as from a worker; a panic of Rust is one
        return Done(index, None, error)


class _thread_environment:  # noqa: N801 - reads as a statement
    """Sets the thread variables while workers start: BLAS reads them once, at import."""

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))

    def __exit__(self, *exc: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _main_left_alone:  # noqa: N801 - reads as a statement
    """Hides the main script while workers start, which would run it again: no task needs it.

    Without this, a script that says no more than ``Study.load("study.yaml").run()`` would start itself for ever.
    """

    def __enter__(self) -> None:
        self._main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")

    def __exit__(self, *exc: object) -> None:
        sys.modules["__main__"] = self._main


def _answer(function: Callable[[ArgT], ResultT], argument: ArgT) -> ResultT:
    """What a worker runs."""
    try:
        return function(argument)
    except BaseException as error:  # noqa: BLE001 - raised again; a panic of Rust and a call of `exit` are no Exception
        raise _sendable(error).with_traceback(error.__traceback__) from None


def _sendable(error: BaseException) -> BaseException:
    """The error, or its words: one that cannot be unpickled at home would break the pool and abort every other task."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - bytes of this very process
    except Exception:  # noqa: BLE001 - whatever a foreign class does there
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _become_worker() -> None:
    """Leave interruption to the parent, and end with it: the orphan of a killed run would wait for work for ever.

    What a model prints goes to standard error, in whatever encoding: standard output holds the answer of the command.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _, sys.stdout = prepare()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
