"""Work on several children of FFmpeg at a time, so that an interruption leaves none of them running."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from heldout.domains.video.encode.ffmpeg import Children

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
_POLL_S = 0.2  # signals are noticed between waits


def as_finished(
    function: Callable[[ItemT], ResultT], items: Sequence[ItemT], workers: int, children: Children
) -> Generator[tuple[int, ResultT], None, None]:
    """Apply a function to items in threads; yield number and result as they are finished.

    The first exception, Ctrl-C and the closing of the iterator kill the children and end the waiting items.
    """
    pool = ThreadPoolExecutor(max(1, min(workers, len(items))), thread_name_prefix="ffmpeg")
    futures: dict[Future[ResultT], int] = {}
    try:
        futures = {pool.submit(function, item): index for index, item in enumerate(items)}
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=futures.__getitem__):
                yield futures[future], future.result()
    except BaseException:
        children.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def each(
    function: Callable[[ItemT], ResultT], items: Sequence[ItemT], workers: int, children: Children
) -> list[ResultT]:
    """Results in the order of the items."""
    found = dict(as_finished(function, items, workers, children))
    return [found[index] for index in range(len(items))]
