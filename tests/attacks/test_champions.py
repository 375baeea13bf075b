"""The model to beat is part of the rules, and is verified before anything is compared with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attack_kit import Desk, route

from heldout.evidence import sha256_file
from heldout.run.layout import files_digest, run_files, write_manifest

KIND = "yardstick"
BEATS = {"id": "beats", "metric": "rmse", "against": "champion", "at_least": 0.0}
MEAN = {"estimator": "sklearn.dummy.DummyRegressor"}
POINTER = "registry/slots/{}/champion.json"


def _finished(desk: Desk, study: str, fit: dict[str, Any]) -> Path:
    """A run of a study of its own, under the one rule that all of them share."""
    desk.write(study=study, fit=fit)
    assert 0 == desk.run().code, desk.rule("pre-registered")
    return desk.newest


@pytest.fixture
def two(desk: Desk) -> tuple[Desk, Path, Path]:
    """A strong run and one that shrinks, both judged by the same rule."""
    desk.rules({"id": "good", "metric": "plcc", "over": "pooled", "at_least": 0.5})
    strong = _finished(desk, "strong", {"estimator": "sklearn.linear_model.LinearRegression"})
    weak = _finished(desk, "weak", {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 500.0}})
    return desk, strong, weak


def _challenge(desk: Desk, champion: Path | str, alpha: float = 20.0) -> None:
    desk.write(
        study="challenger",
        fit={"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": alpha}},
        champion=str(champion),
    )
    desk.rules(BEATS)


def _amended(desk: Desk) -> None:
    done = desk.heldout("gate", "amend", "study.yaml", "--reason", "the challenger is asked for a gain")
    assert 0 == done.code, done


@pytest.mark.slow
@route(KIND, "motivated author", "writes a weaker champion into the study after a HOLD against a stronger one", "HOLD")
def test_a_champion_edited_by_hand_needs_an_amendment(two: tuple[Desk, Path, Path]) -> None:
    """Whoever cannot beat the champion would choose another one."""
    desk, strong, weak = two
    _challenge(desk, strong)
    _amended(desk)
    assert 1 == desk.run().code
    assert "PASS" == desk.rule("pre-registered")["outcome"]
    _challenge(desk, weak)
    assert 1 == desk.run().code
    assert ("PASS", "FAIL") == (desk.rule("beats")["outcome"], desk.rule("pre-registered")["outcome"])
    _amended(desk)
    assert 0 == desk.run().code


@pytest.mark.slow
@route(KIND, "operator", "promotes another champion between two runs of a challenger", "flagged")
def test_a_champion_that_a_registry_moved_is_named(two: tuple[Desk, Path, Path]) -> None:
    """Every promotion would cost each challenger's author a reason; or a move would go unseen."""
    desk, strong, weak = two
    for run in (strong, weak):
        assert 0 == desk.heldout("registry", "add", run).code
    assert 0 == desk.heldout("registry", "promote", strong.name, "--slot", "place").code
    _challenge(desk, POINTER.format("place"))
    _amended(desk)
    assert 1 == desk.run().code
    moved = desk.heldout("registry", "promote", weak.name, "--slot", "place")
    assert 0 == moved.code, moved
    assert 0 == desk.run().code, desk.verdict["reasons"]
    sentence = desk.rule("pre-registered")["sentence"]
    assert f"the champion of the slot place moved from run {strong.name} to {weak.name} by event" in sentence
    assert 1 == len(desk.verdict["policy"]["amendments"])
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@route(KIND, "motivated author", "makes a second registry whose slot serves a weaker run, and names that", "HOLD")
def test_a_slot_of_another_registry_is_no_move(two: tuple[Desk, Path, Path]) -> None:
    """A registry made for the purpose would move any champion."""
    desk, strong, weak = two
    assert 0 == desk.heldout("registry", "add", strong).code
    assert 0 == desk.heldout("registry", "promote", strong.name, "--slot", "place").code
    _challenge(desk, POINTER.format("place"))
    _amended(desk)
    assert 1 == desk.run().code
    for run in (strong, weak):
        assert 0 == desk.heldout("registry", "add", run, "--registry", "mine", "--serving", "mine").code
        done = desk.heldout(
            "registry", "promote", run.name, "--slot", "place", "--registry", "mine", "--serving", "mine"
        )
        assert 0 == done.code, done
    _challenge(desk, POINTER.format("place").replace("registry", "mine"))
    assert 1 == desk.run().code
    assert "FAIL" == desk.rule("pre-registered")["outcome"]


@pytest.mark.slow
@route(KIND, "motivated author", "edits a slot's pointer to serve a weaker run", "stopped")
def test_a_pointer_that_the_registry_does_not_know_is_refused(two: tuple[Desk, Path, Path]) -> None:
    """One line of JSON would move the champion."""
    desk, strong, weak = two
    assert 0 == desk.heldout("registry", "add", strong).code
    assert 0 == desk.heldout("registry", "promote", strong.name, "--slot", "place").code
    path = desk.folder / POINTER.format("place")
    path.write_text(path.read_text().replace(str(strong.relative_to(desk.folder)), str(weak.relative_to(desk.folder))))
    _challenge(desk, POINTER.format("place"))
    assert 3 == desk.run().code


def _zeros(run: Path) -> None:
    path = run / "predictions.jsonl"
    rows = [json.loads(line) | {"prediction": 0.0, "seed0": 0.0} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _mend(run: Path, *, whole: bool) -> None:
    path = run / "PROMOTE.json"
    document = json.loads(path.read_text())
    document["judged"]["predictions_sha256"] = sha256_file(run / "predictions.jsonl")
    if whole:
        document["judged"]["files_sha256"] = files_digest(run_files(run))
    path.write_text(json.dumps(document))
    if whole:
        write_manifest(run)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True], ids=["one digest", "every digest"])
@route(KIND, "motivated author", "sets the champion's predictions to zeros and mends its verdict", "stopped")
def test_a_champion_that_does_not_verify_is_refused(desk: Desk, whole: bool) -> None:
    """Any model beats a champion that was made to answer nothing."""
    assert 0 == desk.run().code
    champion = desk.newest
    _zeros(champion)
    _mend(champion, whole=whole)
    _challenge(desk, champion)
    answer = desk.run()
    assert (3, False) == (answer.code, (desk.runs / "challenger").exists()), answer
    assert "TAMPERED" in answer.err or "not those that were judged" in answer.err or "is broken" in answer.err


@route(KIND, "motivated author", "deletes the ledger beside the champion's run", "stopped")
def test_a_champion_without_its_ledger_is_refused(desk: Desk) -> None:
    """A champion could be judged again and again until it is weak."""
    assert 0 == desk.run().code
    champion = desk.newest
    (champion.parent / "trials.jsonl").unlink()
    _challenge(desk, champion)
    assert 3 == desk.run().code
