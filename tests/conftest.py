"""Settings of every test: no test may fail because a machine is slow, and the fast tests stay fast."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: more threads than that only wait for each other
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(name, "1")

import quick
from hypothesis import settings

settings.register_profile("heldout", deadline=None)
settings.load_profile("heldout")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        quick.with_sources_compiled()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test marked ``first_is_fast`` the first case is fast; what takes longest is begun first, not at the end."""
    seen: set[str] = set()
    for item in items:
        if item.get_closest_marker("first_is_fast") is None or item.get_closest_marker("slow") is not None:
            continue
        test = item.nodeid.partition("[")[0]
        if test in seen:
            item.add_marker("slow")
        seen.add(test)
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


@pytest.fixture(scope="session", autouse=True)
def quick_runs(request: pytest.FixtureRequest) -> Iterator[pytest.MonkeyPatch]:
    """Half of a small run is Matplotlib's rendering and the disk.

    ``make test`` does without plots where nobody looks at them; CI draws one of each kind.
    """
    with pytest.MonkeyPatch.context() as patch:
        quick.with_metadata_read_once(patch)
        quick.without_waiting_for_the_disk(patch)
        if request.config.option.markexpr == "not slow":
            quick.without_rendering(patch)
        else:
            quick.with_each_kind_drawn_once(patch)
        yield patch


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """A command that ends in this process ignores further signals; what later tests start would inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
