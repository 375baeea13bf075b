"""Colleagues have folders of runs of their own: the registry is where their looks meet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from attack_kit import Desk, route

KIND = "registration"


@pytest.fixture
def colleagues(desk: Desk, tmp_path: Path) -> tuple[Desk, Desk]:
    """One who looked under a bound that nothing reaches, and registered that run; and one who has the same table."""
    rule = dict(desk.study["gate"]["rules"][0])
    desk.rules(rule | {"at_least": 0.99999})
    assert 1 == desk.run().code
    assert 0 == desk.heldout("registry", "add", desk.newest).code
    other = Desk(tmp_path / "colleague", desk.study | {"study": "mine"})
    other.folder.mkdir()
    shutil.copy(desk.folder / "table.csv", other.folder / "table.csv")
    other.rules(rule)
    assert 0 == other.run().code
    return desk, other


@pytest.mark.slow
@route(KIND, "motivated author", "looks in one folder of runs and registers looser rules in another", "stopped")
def test_a_look_in_another_folder_of_runs_is_found_by_the_registry(colleagues: tuple[Desk, Desk]) -> None:
    """A second folder would be a fresh start."""
    first, other = colleagues
    run = other.newest
    added = first.heldout("registry", "add", run)
    assert 0 == added.code, added
    history = json.loads(first.heldout("registry", "history", "--json").out)["events"]
    assert "looked at before under other rules" in history[-1]["elsewhere"][0]
    version = added.out.split()[0]
    refused = first.heldout("registry", "promote", version)
    assert (3, True) == (refused.code, "looked at before under other rules" in refused.err), refused
    reason = "the first look was at a bound with a slip of the pen"
    assert 0 == first.heldout("registry", "promote", version, "--override", "--reason", reason).code
    assert 0 == first.heldout("registry", "verify").code


@pytest.mark.slow
@route(KIND, "careless user", "registers a run whose rules are those that a colleague registered", "flagged")
def test_the_same_rules_in_two_folders_are_no_objection(desk: Desk, tmp_path: Path) -> None:
    """Two people who agreed on the rules beforehand could not both register."""
    assert 0 == desk.run().code
    assert 0 == desk.heldout("registry", "add", desk.newest).code
    other = Desk(tmp_path / "colleague", desk.study | {"study": "mine"})
    other.folder.mkdir()
    shutil.copy(desk.folder / "table.csv", other.folder / "table.csv")
    other.write()
    assert 0 == other.run().code
    added = desk.heldout("registry", "add", other.newest)
    promoted = desk.heldout("registry", "promote", added.out.split()[0])
    assert 0 == promoted.code, promoted
