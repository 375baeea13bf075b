"""Variants as they are declared: what they may change, what they inherit, and what identifies them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from zoo_kit import write_pets

from heldout.errors import InputError, StudyError
from heldout.run.resolve import resolve
from heldout.study import load_study
from heldout.zoo import Roster
from heldout.zoo.roster import diff

pytest.importorskip("sklearn")
RIDGE = {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 1.0}}
EXAMPLE = Path(__file__).parents[2] / "examples" / "market" / "study.yaml"


def roster(folder: Path, *variants: dict[str, Any]) -> Roster:
    return Roster.load(write_pets(folder, *variants, backbone="sklearn", fit=RIDGE))


def problem(found: Roster, variant: str) -> str:
    return str(found.entry(variant).problem)


@pytest.mark.parametrize(
    ("overrides", "what", "mend"),
    [
        ({"fit.scael": False}, "unknown key `fit.scael`", "did you mean 'scale'?"),
        (
            {"fit.frobnicate": 1},
            "unknown key `fit.frobnicate`",
            "known here: estimator, features, given, missing",
        ),
        (
            {"fit.params.alpha": 2.0, "gate.min_seeds": 1},
            "may not set `gate.min_seeds`",
            "corpus, split, backbone, fit",
        ),
        ({"fit.params.alpha": 2.0, "champion": "runs/x"}, "may not set `champion`", "corpus, split, backbone, fit"),
        ({"fit.params.alpha": 1.0}, "`fit.params.alpha` of the variant 'v' changes nothing", "leave it out"),
        ({"fit.params.alpha": 2.0, "fit.scale": True}, "`fit.scale` of the variant 'v' changes nothing", "a default"),
        ({"fit.params.alpha": 2.0, "corpus.path": "./table.csv"}, "`corpus.path` of the variant", "where and not what"),
        ({"fit.params.gamma": 2.0}, "does not take these arguments", "alpha"),
    ],
)
def test_problem_01_an_override_is_allowed_and_changes_something(
    tmp_path: Path, overrides: dict[str, Any], what: str, mend: str
) -> None:
    """An arm would be the base under another name, or bring a gate of its own, and stand in the table as an idea."""
    found = roster(tmp_path, {"id": "v", "set": overrides})
    assert what in problem(found, "v")
    assert mend in problem(found, "v")
    assert found.entry("base").problem is None


@pytest.mark.slow
def test_problem_01_two_names_for_one_model_are_refused(tmp_path: Path) -> None:
    """One idea would count as two trials, and win twice as often."""
    one = {"id": "one", "set": {"fit.params.alpha": 2.0}}
    other = {"id": "other", "set": {"fit.params": {"alpha": 2.0}}}
    found = roster(tmp_path, one, other)
    assert found.entry("one").problem is None
    assert "'other' is 'one' under another name" in problem(found, "other")


def test_a_child_adds_to_its_parent(tmp_path: Path) -> None:
    """What a variant inherits would depend on the order in the file, or be nothing."""
    child = {"id": "child", "parent": "adult", "set": {"fit.params.tol": 0.5, "seeds": [1]}}
    adult = {"id": "adult", "set": {"fit.params.alpha": 2.0, "fit.params.tol": 0.1}}
    found = roster(tmp_path, child, adult)
    entry = found.entry("child")
    assert ("base", "adult", "child") == entry.line
    assert {"fit.params.alpha": 2.0, "fit.params.tol": 0.5, "seeds": [1]} == entry.set
    assert entry.resolved is not None
    assert {"alpha": 2.0, "tol": 0.5} == entry.resolved.config["fit"]["params"]
    differences = diff(found.entry("adult"), entry)
    assert {"fit.params.tol": (0.1, 0.5), "seeds": ([0], [1])} == differences


@pytest.mark.parametrize(
    ("variants", "what"),
    [
        ([{"id": "a", "parent": "b"}, {"id": "b", "parent": "a"}], "'a' descends from itself: a < b < a"),
        ([{"id": "a", "parent": "a"}], "'a' descends from itself"),
        ([{"id": "a", "parent": "c"}], "the parent 'c' of the variant 'a' is not declared"),
        ([{"id": "a", "status": "retired"}], "says when and why"),
        ([{"id": "a", "status": "retired", "retired_on": "2026-01-01"}], "says when and why"),
        ([{"id": "a", "retired_because": "old"}], "mean nothing with `status: active`"),
        ([{"id": "a", "status": "dormant"}], "`variants.0.status`"),
        ([{"id": "a", "budget": {"minutes": 3}}], "unknown key `variants.0.budget.minutes`"),
        ([{"id": "a", "hypotesis": "x"}], "unknown key `variants.0.hypotesis`"),
        ([{"id": "a", "budget": {"seconds": 0}}], "`variants.0.budget.seconds`"),
    ],
)
def test_problem_23_a_roster_that_cannot_be_meant_is_refused(
    tmp_path: Path, variants: list[dict[str, Any]], what: str
) -> None:
    """A slip in the roster would be read as something, and nobody told."""
    full = [{"set": {"fit.params.alpha": 2.0 + place}} | each for place, each in enumerate(variants)]
    with pytest.raises(StudyError) as caught:
        roster(tmp_path, *full)
    assert what in str(caught.value)


def test_metadata_is_no_identity(tmp_path: Path) -> None:
    """Naming an owner would make a new arm with an empty record, or an edited recipe keep the record of another."""
    plain = {"id": "v", "set": {"fit.params.alpha": 2.0}}
    told = plain | {
        "description": "d",
        "hypothesis": "h",
        "owner": "ann",
        "status": "retired",
        "retired_on": "2026-01-01",
        "retired_because": "it lost",
        "priority": 7,
        "budget": {"seconds": 5, "memory_mb": 100},
    }
    path = tmp_path / "study.yaml"
    digests = []
    for each in (plain, told, plain | {"set": {"fit.params.alpha": 3.0}}):
        write_pets(tmp_path, each, backbone="sklearn", fit=RIDGE)
        digests.append(resolve(load_study(path), "v"))
    assert digests[0].sha256 == digests[1].sha256
    assert digests[0].config == digests[1].config
    assert digests[0].sha256 != digests[2].sha256


def test_an_edited_parent_makes_new_arms_of_its_children(tmp_path: Path) -> None:
    """Two models under one record: the child's, before and after what it stands on was changed."""
    found = []
    for alpha in (2.0, 3.0):
        adult = {"id": "adult", "set": {"fit.params.alpha": alpha}}
        entry = roster(tmp_path, adult, {"id": "child", "parent": "adult", "set": {"seeds": [1]}}).entry("child")
        assert entry.resolved is not None
        found.append(entry.resolved.sha256)
    assert found[0] != found[1]


def test_problem_06_an_empty_roster_is_an_error(tmp_path: Path) -> None:
    """Nothing would be trained, and the report would read as if every variant had lost."""
    with pytest.raises(InputError, match="the roster is empty") as caught:
        _ = roster(tmp_path).active
    assert 2 == caught.value.exit_code
    paused = {"id": "v", "status": "paused", "set": {"fit.params.alpha": 2.0}}
    with pytest.raises(InputError, match="none of 1 variants is active"):
        _ = roster(tmp_path, paused).active


@pytest.mark.slow
def test_problem_23_the_market_example_is_a_roster() -> None:
    """The sample would be broken while everybody's own file works."""
    pytest.importorskip("lightgbm")
    found = Roster.load(EXAMPLE)
    assert 5 == len(found.active)
    assert [] == [entry.problem for entry in found.entries if entry.problem]
    assert found.to_json() == json.loads(json.dumps(found.to_json()))
