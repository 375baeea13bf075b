"""Tasks on this machine's processes.

A task is a module-level function of one picklable argument and answers something picklable. Results arrive as they
are finished, in no promised order, so nothing may depend on it. Each worker computes with one thread: two threads
inside one small model slow it down, and results must not depend on the number of cores.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from heldout.errors import UnitError

ArgT = TypeVar("ArgT")
ResultT = TypeVar("ResultT")
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
    function: Callable[[ArgT], ResultT], arguments: Sequence[ArgT], *, workers: int | None = None
) -> Iterator[Done]:
    """Run a function over arguments; one failure aborts no other task.

    Args:
        function: A module-level function.
        arguments: One a task.
        workers: Processes; 1 runs in this process, None takes one a processor.

    Raises:
        UnitError: If a worker process died (killed, or out of memory); which task it was cannot be told.
    """
    count = min(workers or default_workers(), len(arguments))
    if count <= 1:
        for index, argument in enumerate(arguments):
            yield _here(function, index, argument)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_one_thread)
    try:
        with _thread_environment():
            futures = {pool.submit(function, argument): index for index, argument in enumerate(arguments)}
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise UnitError(
                        "a worker process died", where="engine", hint="check the memory; finished units are kept"
                    ) from error
                yield Done(futures[future], None if error else future.result(), error)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):  # noqa: SLF001 - no public way to stop a busy worker
            process.terminate()


def _here(function: Callable[[ArgT], ResultT], index: int, argument: ArgT) -> Done:
    try:
        return Done(index, function(argument), None)
    except Exception as error:  # noqa: BLE001 - handed to the caller, as from a worker
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


def _one_thread() -> None:
    """Leave interruption to the parent."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
