"""Both backbones on real physics, by the command line: the whole road from episodes to verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.policy.model import load_policy
from heldout.domains.embodied.policy.rollout import Rollouts
from heldout.domains.embodied.simulate.physics import SimOptions
from heldout.domains.embodied.simulate.simulate import choose_tasks, simulate
from heldout.evidence import read_json
from heldout.predict.session import Sample

pytestmark = pytest.mark.slow
TASKS = ["drawer-open", "button-press-topdown", "door-open"]


def command(*words: object) -> tuple[int, dict[str, Any]]:
    """Run a command with ``--json``; its exit code and document."""
    texts = [str(word) for word in words]
    done = CliRunner().invoke(build(texts), [*texts, "--json"], standalone_mode=False)
    assert done.exception is None, done.output
    return int(done.return_value or 0), json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks from ten seeds: seventeen of train, six of test; without pictures, which take a renderer."""
    pytest.importorskip("metaworld")
    home = tmp_path_factory.mktemp("simulated")
    simulate(choose_tasks(None, TASKS), 10, home / "store", SimOptions(cameras=(), audio=False), workers=1)
    command("embodied", "select", home / "store", "--out", home / "data", "--fractions", "0.6,0.2,0.2")
    command("index", "build", home / "data", "--out", home / "index", "--scale", "20/5", "--min-label-fraction", "0.5")
    return home


def test_the_world_model_beats_copying_the_last_or_is_held(home: Path) -> None:
    """A world model that knows no more than the present would be promoted."""
    command("embodied", "world", "export", home / "index", "--out", home / "pairs", "--horizon", "0.25")
    command("embodied", "world", "train", home / "pairs", "--out", home / "world")
    checked, _ = command(
        "backbone", "checkpoint", "cosmos_world_model", home / "world/checkpoint", "--training", home / "world"
    )
    assert 0 == checked
    words = ["eval", "run", home / "index", "--backbone", "cosmos_world_model", "--predictor", "cosmos_world_model"]
    code, document = command(*words, "--adapter", home / "world/checkpoint", "--out", home / "world-eval")
    mrr = document["metrics"]["evidence"]["future_retrieval_mrr"]
    assert mrr["baselines"]["copy_last"]["gain"]["low"] > 0, mrr
    held = [rule for rule in document["verdict"]["rules"] if rule["outcome"] != "PASS"]
    assert (code, document["verdict"]["verdict"]) == ((1, "HOLD") if held else (0, "PROMOTE"))
    assert [rule["sentence"] for rule in held] == document["verdict"]["reasons"]


def test_the_policy_beats_itself_before_training_or_is_held(home: Path) -> None:
    """Behaviour that was not learnt would be promoted, or success nobody tried."""
    command("embodied", "policy", "train", home / "index", "--out", home / "policy", "--steps", "500")
    words = ["backbone", "checkpoint", "policy_vla_branch", home / "policy/checkpoint", "--training", home / "policy"]
    assert 0 == command(*words, "--manifest", home / "data")[0]
    run = ["eval", "run", home / "index", "--backbone", "policy_vla_branch", "--predictor", "policy_vla_branch"]
    run += ["--adapter", home / "policy/checkpoint", "--out", home / "policy-eval"]
    code, before = command(*run)
    assert 1 == code
    assert any(
        "closed_loop_success_rate cannot be judged: it was not run" in one for one in before["verdict"]["reasons"]
    )
    rollout = ["embodied", "policy", "rollout", home / "policy", "--out", home / "loop"]
    _, runs = command(*rollout, "--seeds", "3")
    assert 27 == runs["runs"]
    code, after = command(*run, "--closed-loop", home / "loop")
    assert after["verdict"] == command(*run)[1]["verdict"], "the runs were not kept with the evaluation"
    evidence = after["metrics"]["evidence"]["closed_loop_success_rate"]
    assert runs["evidence"] == evidence
    assert evidence["value"] > evidence["baselines"]["untrained"]["value"]
    assert (code == 0) == (after["verdict"]["verdict"] == "PROMOTE")
    assert [] == [one for one in after["verdict"]["reasons"] if "not run" in one]
    path = home / "policy-eval/closed_loop/rollouts.jsonl"
    path.write_text(path.read_text().replace('"success":false', '"success":true'))
    texts = [str(word) for word in run]
    forged = CliRunner().invoke(build(texts), texts, standalone_mode=False)
    assert "not those of the runs" in str(forged.exception)


def test_a_run_is_a_function_of_checkpoint_task_and_seed(home: Path) -> None:
    """Resumed runs would be others than those that were killed."""
    folder = home / "policy/checkpoint"
    assert read_json(folder / "model_config.json")["trained_on"]
    found = []
    for _ in range(2):
        load_policy.cache_clear()
        runs = Rollouts(str(folder), 60, 96, 4)
        found.append(runs.predict([Sample("x", "x", ["door-open", 1001, who]) for who in ("policy", "expert")]))
    assert found[0] == found[1]
