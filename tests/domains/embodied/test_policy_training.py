"""The policy: an action space, a ledger, a gate, heads that learn, and runs that count only from unseen seeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamics_kit import SIDE, make_index, write_episode
from safetensors.numpy import load_file, save_file

from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.episodes.paths import Chunks
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import merge_shards, run
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.policy.closed_loop import (
    DOCUMENT_FILE,
    ROWS_FILE,
    SCHEMA,
    RolloutOptions,
    beats_untrained,
    check_seeds,
    closed_loop,
    success_evidence,
    write_rows,
)
from heldout.domains.embodied.policy.examples import collect, demonstrations
from heldout.domains.embodied.policy.model import load_policy
from heldout.domains.embodied.policy.observe import ObservationSpec
from heldout.domains.embodied.policy.space import ActionSpace
from heldout.domains.embodied.policy.train import PolicyOptions, fit_normaliser, train
from heldout.errors import CorpusError, InputError, RefusedError
from heldout.evidence import digest, read_json, sha256_file, write_json
from heldout.predict.shards import Shard

CONTRACT = "policy_vla_branch"
QUICK = PolicyOptions(steps=120, batch=32, hidden=32, points=4, side=16, stride=3, chunk=4, path=5)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, ``index`` and the training ``run``."""
    home = tmp_path_factory.mktemp("policy")
    train(make_index(home, 16), home / "run", QUICK)
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(built, tmp_path / "home")
    load_policy.cache_clear()
    return tmp_path / "home"


def evaluate(home: Path, out: str, **options: Any) -> dict[str, Any]:
    shard, runs = options.pop("shard", None), options.pop("closed_loop", None)
    plan = Plan(home / "index", CONTRACT, home / "run/checkpoint", **options)
    return run(plan, load_registry(home)[CONTRACT], home / out, shard=shard, closed_loop=runs)


def gate(home: Path) -> dict[str, Any]:
    contract = load_registry(home)[CONTRACT]
    return check_checkpoint(Checkpoint(home / "run/checkpoint", contract, home / "run", manifest=home / "data"))


def respoil(folder: Path, name: str, change: Callable[[Path], None]) -> None:
    """Change a file of a checkpoint, and its manifest with it."""
    change(folder / name)
    manifest = read_json(folder / "checkpoint_manifest.json")
    manifest["files"][name]["sha256"] = sha256_file(folder / name)
    write_json(folder / "checkpoint_manifest.json", manifest)


@pytest.mark.slow
@pytest.mark.first_is_fast
def test_a_seed_decides_the_bytes_of_the_weights(built: Path, tmp_path: Path) -> None:
    """Nobody could make the policy again that a verdict names."""
    weights = "checkpoint/model.safetensors"
    train(built / "index", tmp_path / "again", QUICK)
    train(built / "index", tmp_path / "other", replace(QUICK, seed=8))
    assert sha256_file(built / "run" / weights) == sha256_file(tmp_path / "again" / weights)
    assert sha256_file(built / "run" / weights) != sha256_file(tmp_path / "other" / weights)


@pytest.mark.slow
def test_the_gate_passes_and_names_each_fault(home: Path) -> None:
    """A policy with a NaN, or with a normaliser of test episodes, would be evaluated."""
    assert "pass" == gate(home)["status"], gate(home)["findings"]
    folder = home / "run/checkpoint"
    everybody = [episode["episode_id"] for episode in read_json(home / "data/episode_manifest.json")["episodes"]]
    kept = (folder / "normalization_stats.json").read_bytes()
    respoil(
        folder, "normalization_stats.json", lambda path: write_json(path, read_json(path) | {"fitted_on": everybody})
    )
    assert {"HO-G106"} == {one["code"] for one in gate(home)["findings"]}
    respoil(folder, "normalization_stats.json", lambda path: path.write_bytes(kept) and None)

    def nan(path: Path) -> None:
        tensors = load_file(path)
        tensors["heads.actions.bias"][0] = np.nan
        save_file(tensors, path)

    respoil(folder, "model.safetensors", nan)
    assert any("heads.actions.bias is not finite" in one["what"] for one in gate(home)["findings"])
    respoil(folder, "action_space.json", lambda path: write_json(path, read_json(path) | {"dims": []}))
    assert "FAIL" == gate(home)["checks"]["action_space"]


@pytest.mark.slow
def test_a_normaliser_of_all_episodes_is_refused_by_name(home: Path) -> None:
    """Ranges of test actions would be at work in their evaluation."""
    source = IndexSource(home / "index")
    shown = [*demonstrations(source, "train"), *demonstrations(source, "val")]
    spec = ObservationSpec.shared([one.episode for one in shown], 16, back=4)
    examples = collect(shown, spec, Chunks(4, 5, 10), 5)
    train_ids = [one.episode_id for one in demonstrations(source, "train")]
    with pytest.raises(RefusedError, match="not in train") as caught:
        fit_normaliser(shown, examples, train_ids)
    assert "HO-G106" == caught.value.code
    with pytest.raises(RefusedError, match="sealed"):
        demonstrations(source, "test")

    def everything(path: Path) -> None:
        document = read_json(path)
        for name in ("action", "sensors", "path"):
            document[name]["fitted_on"] = [one.episode_id for one in shown]
        write_json(path, document)

    respoil(home / "run/checkpoint", "normalization_stats.json", everything)
    with pytest.raises(RefusedError, match="not in train"):
        evaluate(home, "eval")


def test_an_observation_holds_nothing_of_later_and_nothing_privileged(built: Path, tmp_path: Path) -> None:
    """The policy would see what it is going to do, or where a simulator says that the goal is."""
    write_episode(tmp_path / "long", 3)
    write_episode(tmp_path / "short", 3, length=40)
    long, short = (opened(tmp_path / name / "s003" / "ep3") for name in ("long", "short"))
    spec = load_policy(built / "run/checkpoint").spec
    assert (("pose",), ("camera/front",)) == (spec.streams, spec.cameras)
    one, other = (spec.of_episode(episode, 39) for episode in (long, short))
    assert np.array_equal(one.sensors, other.sensors)
    assert np.abs(one.pictures.astype(int) - other.pictures).max() <= 2
    for name in ("goal", "caption_vector", "contact", "action"):
        with pytest.raises(RefusedError, match=f"'{name}' is no observation") as caught:
            replace(spec, streams=("pose", name)).check(long)
        assert "HO-G135" == caught.value.code


def test_a_recording_and_a_simulator_give_the_same_observation(built: Path) -> None:
    """The policy would act on other numbers than those that it learnt from."""
    spec = load_policy(built / "run/checkpoint").spec
    episode = opened(next((built / "store").glob("*/*")).resolve())
    pose = np.asarray(episode.array("pose"))
    recorded = spec.of_episode(episode, 30)
    history = [{"pose": row.astype(np.float64)} for row in pose[26:31]]
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    live = spec.of_simulator(history, {"front": picture}, spec.told(episode.header.main_task))
    assert np.array_equal(recorded.sensors, live.sensors)
    assert np.array_equal(recorded.told, live.told)
    assert recorded.pictures.shape == live.pictures.shape
    assert 0 == spec.told("do something else").sum()


def test_actions_stay_in_the_action_space(built: Path) -> None:
    """A robot would be sent a command that it cannot carry out."""
    policy = load_policy(built / "run/checkpoint")
    episode = opened(next((built / "store").glob("*/*")).resolve())
    decision = policy.decide(policy.spec.of_episode(episode, 20))
    assert (4, 3) == decision.actions.shape
    narrow = replace(policy, space=replace(policy.space, low=-1e-6, high=1e-6)).decide(
        policy.spec.of_episode(episode, 20)
    )
    assert np.abs(narrow.actions).max() <= 1e-6
    assert narrow.beyond > 0
    with pytest.raises(CorpusError, match="leaves"):
        ActionSpace.of([episode], "action", -1e-6, 1e-6)


def test_the_evaluation_writes_every_required_file_and_beats_what_costs_nothing(home: Path) -> None:
    """A policy would be judged without paths that coast beside it."""
    document = evaluate(home, "eval")
    contract = load_registry(home)[CONTRACT]
    assert [] == [name for name in contract.artifacts["required_eval_files"] if not (home / "eval" / name).is_file()]
    evidence = document["metrics"]["evidence"]
    assert {"constant_velocity", "copy_last"} == set(evidence["trajectory_mpjpe"]["baselines"])
    assert evidence["action_accuracy"]["value"] > evidence["action_accuracy"]["baselines"]["majority"]["value"]
    audit = read_json(home / "eval/retargeting_audit.json")
    assert (0, 0) == (audit["retargeted_rows"], audit["beyond_bounds"])
    assert audit["demonstrations"]["largest_round_trip_error"] < 1e-9
    assert "closed_loop_success_rate" not in evidence  # these episodes are of no simulator


def test_closed_loop_runs_must_be_there_and_fit_the_episodes(home: Path) -> None:
    """Runs that nobody reads would look as if they had been judged."""
    with pytest.raises(InputError, match="there are no closed-loop runs"):
        evaluate(home, "looped", closed_loop=home / "nowhere")
    runs = home / "foreign-runs"
    rows = [{"task": "door-open", "seed": 1, "contender": who, "success": True} for who in ("policy", "untrained")]
    write_rows(runs / ROWS_FILE, rows)
    evidence = success_evidence(rows)
    told = {"schema": SCHEMA, "rows_sha256": digest(rows), "evidence": evidence, "checkpoint_sha256": "0" * 64}
    write_json(runs / DOCUMENT_FILE, told)
    with pytest.raises(InputError, match="are not simulated"):
        evaluate(home, "looped", closed_loop=runs)
    assert not (home / "looped").exists()


@pytest.mark.slow
def test_shards_of_a_policy_give_the_bytes_of_the_whole(home: Path) -> None:
    """Resuming or splitting an evaluation would change its result."""
    evaluate(home, "whole")
    for offset in range(2):
        evaluate(home, f"s{offset}", shard=Shard(offset, 2))
    merge_shards([home / "s0", home / "s1"], load_registry(home)[CONTRACT], home / "merged")
    for name in ("policy_predictions.jsonl", "metrics.json", "trajectory_metrics.csv"):
        assert (home / "whole" / name).read_bytes() == (home / "merged" / name).read_bytes()


def test_runs_from_seen_seeds_or_of_other_tasks_are_refused(home: Path) -> None:
    """Recall would be counted as success."""
    shown = [{"task": "door-open", "seed": 3}]
    assert ["HO-G137"] == [one.code for one in check_seeds(["door-open"], range(5), shown)]
    assert [] == check_seeds(["door-open"], range(4, 9), shown) == check_seeds(["window-open"], range(5), shown)
    folder = home / "run/checkpoint"
    respoil(folder, "model_config.json", lambda path: write_json(path, read_json(path) | {"trained_on": shown}))
    with pytest.raises(RefusedError) as caught:
        closed_loop(folder, home / "runs", RolloutOptions(first_seed=0))
    assert "HO-G137" == caught.value.code
    with pytest.raises(InputError, match="no such task"):
        closed_loop(folder, home / "runs", RolloutOptions(tasks=("fly",)))


def test_a_policy_that_learnt_nothing_is_held(home: Path) -> None:
    """Success that needs no training would promote."""

    def rows(policy: list[int], untrained: list[int]) -> list[dict[str, Any]]:
        found = (("policy", policy), ("untrained", untrained), ("expert", [1] * len(policy)))
        return [
            {"task": "door-open", "seed": seed, "contender": who, "success": bool(success)}
            for who, values in found
            for seed, success in enumerate(values)
        ]

    same = beats_untrained(success_evidence(rows([1, 0, 1, 0, 1, 1], [1, 0, 1, 0, 1, 1])))
    assert "FAIL" == same.outcome
    assert "does not beat the untrained policy's" in same.sentence
    better = beats_untrained(success_evidence(rows([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])))
    assert "PASS" == better.outcome
    one = beats_untrained(success_evidence(rows([1], [0])))
    assert "UNKNOWN" == one.outcome
