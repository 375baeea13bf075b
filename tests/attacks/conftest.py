"""Desks to attack: a table, and every task and domain on the road."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack_kit import EVERY_ROAD, ROADS, Desk, table_desk

pytest.importorskip("sklearn")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each route has a case among the fast tests; its others, and every other task and domain, run in CI."""
    item.add_marker("first_is_fast")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """150 rows in 5 groups, ``y = a + b + noise``."""
    return table_desk(tmp_path)


@pytest.fixture(params=sorted(ROADS))
def road(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A desk of each task and domain."""
    return ROADS[request.param](tmp_path)


@pytest.fixture(params=sorted(EVERY_ROAD))
def every_road(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A desk of each task and domain, and of answers that somebody brings."""
    return EVERY_ROAD[request.param](tmp_path)
