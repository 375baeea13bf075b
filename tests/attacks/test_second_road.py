"""Ways to a false PROMOTE on the road of evaluations (``heldout eval run``, ``score``, ``merge``, ``compare``)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from attack_kit import Answer, heldout, route
from evaluation_kit import make_index

from heldout.domains.embodied.contracts import BUILT_IN
from heldout.evidence import read_json, write_json

LOOSE = ("action_macro_f1", "contact_accuracy", "json_validity_rate", "held_out_episode_count")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty episodes with their index, before anybody looked."""
    home = tmp_path_factory.mktemp("episodes")
    make_index(home, episodes=40)
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    """A copy with an index that nobody looked at."""
    shutil.copytree(built, tmp_path / "home")
    return tmp_path / "home"


def contract(home: Path, primary: tuple[str, ...], base: str = "qwen3_omni_lora", name: str | None = None) -> None:
    """A contract of the workspace ``cfg``: the built-in one with other primary metrics, maybe under another id."""
    config = read_json(BUILT_IN / f"{base}.json") | {"primary_metrics": list(primary), "id": name or base}
    write_json(home / "cfg/configs/backbones" / f"{name or base}.json", config)


def evaluate(home: Path, out: str, *more: object, predictor: str = "nearest", backbone: str = "") -> Answer:
    named = ("--backbone", backbone or "qwen3_omni_lora", "--predictor", predictor)
    return heldout("eval", "run", "index", *named, "--out", out, *more, cwd=home)


def verdict(folder: Path) -> dict[str, Any]:
    name = "PROMOTE.json" if (folder / "PROMOTE.json").exists() else "HOLD.json"
    found: dict[str, Any] = read_json(folder / name)
    return found


def outcome(folder: Path, rule: str) -> str:
    return next(str(one["outcome"]) for one in verdict(folder)["rules"] if one["id"] == rule)


@pytest.mark.parametrize("primary", [("held_out_episode_count",), ("json_validity_rate", "held_out_episode_count"), ()])
@route("rules", "motivated author", "a contract of an evaluation names no metric, only counts and form", "HOLD")
def test_a_contract_without_a_metric_promotes_nothing(primary: tuple[str, ...], home: Path) -> None:
    """The most common answer of train, whatever is seen, would be promoted."""
    contract(home, primary)
    answer = evaluate(home, "runs/blind", "--workspace", "cfg", predictor="majority")
    assert (1, "FAIL") == (answer.code, outcome(home / "runs/blind", "non-trivial")), answer
    assert 0 == heldout("verify", "runs/blind", cwd=home).code


@route("rules", "careless user", "an evaluation recommends a step that no command takes", "flagged")
def test_what_a_verdict_recommends_can_be_done(home: Path) -> None:
    """A user would be sent to `registry add`, which refuses every evaluation."""
    contract(home, LOOSE)
    answer = evaluate(home, "runs/a", "--workspace", "cfg")
    assert (0, "PASS") == (answer.code, outcome(home / "runs/a", "non-trivial")), answer
    assert "register" not in verdict(home / "runs/a")["recommendation"]
    assert "heldout eval compare" in answer.out
