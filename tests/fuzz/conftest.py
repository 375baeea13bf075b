"""Honest inputs of every kind, made once; each target mutates one of them and reads it as a command would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """How many mutations a target gets: 50 in the fast tests, 500 in the slow ones, or what the environment says."""
    if "count" in metafunc.fixturenames:
        asked = os.environ.get("HELDOUT_FUZZ")
        slow = pytest.param(int(asked or 500), marks=pytest.mark.slow, id="many")
        metafunc.parametrize("count", [pytest.param(50, id="few"), slow])


@pytest.fixture(scope="session")
def record() -> Path | None:
    """Where the counts of a long hunt are recorded, if they are."""
    named = os.environ.get("HELDOUT_FUZZ_RECORD")
    return Path(named) if named else None
