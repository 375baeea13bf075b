"""Many promote at once: one wins each round, nothing is lost. On SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nightly import times
from registry_kit import GOOD, Runs, place, postgres, race, registry, runs  # noqa: F401

from heldout.evidence import read_json
from heldout.registry import Registry, add, verify


def check_rounds(opened: Registry, place: str, versions: list[str], rounds: int) -> None:  # noqa: F811
    before = verify(opened).events
    codes = race(place, opened.serving.root, versions, rounds)
    assert list(range(rounds)) == sorted(codes)
    assert [1] * rounds == [codes[number].count(0) for number in range(rounds)]
    assert {0, 2, 4} >= {code for each in codes.values() for code in each}  # 2: it is the champion already
    found = verify(opened)
    assert before + rounds == found.events
    assert () == found.lagging
    moves = [event.body for event in opened.history(slot="demo")]
    assert [body["version"] for body in moves[:-1]] == [body["previous"] for body in moves[1:]]
    assert found.champions["demo"] == read_json(opened.serving.pointer("demo"))["version"]


@pytest.mark.slow
def test_one_of_three_wins_each_round(registry: Registry, place: str, runs: Runs) -> None:  # noqa: F811
    """Two people would both be told that their model serves now."""
    versions = [add(registry, runs(name)).id for name in GOOD[:3]]
    check_rounds(registry, place, versions, times(5, 10))


@pytest.mark.slow
def test_many_rounds_of_eight_processes(registry: Registry, place: str, runs: Runs) -> None:  # noqa: F811
    """A promotion in thousands would be lost, or break the history."""
    versions = [add(registry, runs(name)).id for name in GOOD]
    check_rounds(registry, place, versions, times(4, 200))


def test_a_registry_is_made_once(place: str, tmp_path: Path) -> None:  # noqa: F811
    """Eight jobs that start together on a fresh registry would fail, or each begin a history."""

    def open_it(_: int) -> int:
        with Registry(place, create=True, serving=tmp_path / "registry") as opened:
            return verify(opened).events

    with ThreadPoolExecutor(8) as pool:
        assert [0] * 8 == list(pool.map(open_it, range(8)))
