"""Evaluations that were made before rules were registered: they still verify, and say what nobody asked them then."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from heldout.verify import verify_path

GOLDEN = Path(__file__).parent / "golden" / "evaluations.tar.xz"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index and evaluations of it, by heldout at c3ae7e5."""
    home = tmp_path_factory.mktemp("old")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(home, filter="data")
    return home


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("nearest", "HOLD"), ("loose", "PROMOTE"), ("empty", "PROMOTE"), ("champion", "HOLD"), ("scored", "HOLD")],
)
def test_an_older_evaluation_still_verifies(name: str, verdict: str, old: Path) -> None:
    """Evidence that was given to somebody would turn into TAMPERED by an update of the tool."""
    found = verify_path(old / name)
    assert (True, verdict) == (found.holds, found.verdict), found.broken
