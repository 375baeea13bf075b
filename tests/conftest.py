"""Settings of every test: no test may fail because a machine is slow, and the fast tests stay fast."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("heldout", deadline=None)
settings.load_profile("heldout")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test marked ``first_is_fast`` the first case is fast, the others are slow."""
    seen: set[str] = set()
    for item in items:
        if item.get_closest_marker("first_is_fast") is None or item.get_closest_marker("slow") is not None:
            continue
        test = item.nodeid.partition("[")[0]
        if test in seen:
            item.add_marker("slow")
        seen.add(test)
