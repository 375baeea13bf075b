"""``heldout verify`` of futures, policies and brought predictions: what is recomputed, what is taken on its word."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamics_kit import QUICK, make_index, make_pairs
from published_kit import noisy, predictions_of, write_dataset, write_lines

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.books import rules_of
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.reported import score_file
from heldout.domains.embodied.evaluate.run import run
from heldout.domains.embodied.evaluate.sitting import registered_rule, verdict_document
from heldout.domains.embodied.policy.closed_loop import success_evidence, write_rows
from heldout.domains.embodied.policy.train import PolicyOptions
from heldout.domains.embodied.policy.train import train as train_policy
from heldout.domains.embodied.score.files import outputs, write_files
from heldout.domains.embodied.score.metrics_future import future_rows
from heldout.domains.embodied.score.rules import judge
from heldout.domains.embodied.score.score import score
from heldout.domains.embodied.score.train_labels import read_train_labels
from heldout.domains.embodied.world.train import train as train_world
from heldout.evidence import canonical, digest, dumps, read_json, read_json_lines, sha256_file, write_json
from heldout.gate import Policy
from heldout.ledger.declaration import policy_sha256
from heldout.package.public.publish import package_public
from heldout.package.verify.any import verify_any
from heldout.run.verdict import write_verdict
from heldout.verify import verify_path

CLOSED = "closed_loop_success_rate"
EPISODES, WINDOWS, DIMS = 6, 8, 4
Rows = list[dict[str, Any]]


def futures() -> Rows:
    """Queries of walks, each against the futures of all, by a predictor with noise."""
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(EPISODES, WINDOWS + 1, DIMS)).cumsum(axis=1)
    present, future = walk[:, :-1].reshape(-1, DIMS), walk[:, 1:].reshape(-1, DIMS)
    keys = [
        {"id": f"e{e}:future:{n}", "episode_id": f"e{e}", "split": "test", "context_record_id": f"e{e}:{n}"}
        | {"future_record_id": f"e{e}:{n + 1}", "labels": {"action": "ab"[n % 2], "transition": "no", "contact": "yes"}}
        for e in range(EPISODES)
        for n in range(WINDOWS)
    ]
    guess = future + rng.normal(size=future.shape)
    return future_rows(guess, future, present, future.mean(axis=0), future.std(axis=0), keys)


def actions() -> Rows:
    """Actions of windows, most of them right, with a path of one point."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(48):
        action = "ab"[number % 2]
        true = {"action": action, "next_action": action, "contact": "yes", "objects": ["cup"]}
        path = rng.normal(size=(4, 1, 3))
        rows.append(
            {"id": f"w{number:02d}", "episode_id": f"e{number // 8}", "split": "test", "true": true}
            | {"pred": true | {"action": "a" if number % 5 == 0 else action}, "true_trajectory": path.tolist()}
            | {"pred_trajectory": (path + 0.01).tolist(), "last_points": path[0].tolist(), "last_velocity": [[0, 0, 0]]}
        )
    return rows


def evaluated(folder: Path, backbone: str, rows: Rows, closed: bool = False) -> Path:
    """An evaluation of these rows, as heldout writes one of its own predictions."""
    folder.mkdir()
    write_dataset(folder.parent / "dataset.jsonl")
    train = read_train_labels(folder.parent / "dataset.jsonl")
    scored = score(load_registry(folder)[backbone], rows, train, where="rows")
    if closed:
        evidence = rollouts(folder / "closed_loop")
        metrics = dict(scored.metrics) | {CLOSED: evidence["value"]}
        metrics["evidence"] = dict(metrics["evidence"]) | {CLOSED: evidence}
        rules = judge(metrics, [*scored.contract.config["primary_metrics"], CLOSED])
        scored = replace(scored, metrics=metrics, rules=rules)
    rules = rules_of(scored.contract)
    policy = Policy(policy_sha256(rules), True, "2026-07-01T00:00:00+00:00", rules_sha256=digest(rules))
    scored, files = outputs(replace(scored, rules=[*scored.rules, registered_rule(policy, None)]))
    digests = write_files(folder, files)
    verdict = verdict_document(scored, {"predictions_sha256": digests[scored.family]})
    write_verdict(folder, verdict | {"policy": policy.to_json()})
    return folder


def rollouts(folder: Path) -> dict[str, Any]:
    """Runs of a policy that mostly succeeds and of an untrained one that does not."""
    folder.mkdir()
    rows = [
        {"id": f"reach:s{seed}:{who}", "task": "reach", "seed": seed, "contender": who, "success": won(seed, who)}
        for seed in range(8)
        for who in ("policy", "untrained")
    ]
    evidence = success_evidence(rows)
    write_rows(folder / "rollouts.jsonl", rows)
    head = {"schema": "heldout.closed-loop/1", "rows_sha256": digest(rows), "checkpoint_sha256": "0" * 64}
    write_json(folder / "closed_loop.json", head | {"evidence": evidence, CLOSED: evidence["value"]})
    return evidence


def won(seed: int, who: str) -> bool:
    return who == "policy" and seed != 3


def changed(folder: Path, name: str, change: Callable[[Rows], Any]) -> Any:
    """The first broken link of a copy whose rows were changed and whose verdict names them."""
    copy = folder.parent / "forged"
    shutil.copytree(folder, copy)
    rows = read_json_lines(copy / name)
    change(rows)
    (copy / name).write_bytes(b"".join(canonical(row) + b"\n" for row in rows))
    verdict = read_json(copy / "HOLD.json")
    verdict["judged"]["predictions_sha256"] = sha256_file(copy / name)
    (copy / "HOLD.json").write_bytes(dumps(verdict))
    return verify_path(copy).broken


def test_futures_are_summed_again_and_said_to_be_no_more_than_that(tmp_path: Path) -> None:
    """A rank that nobody can make again would pass for a recomputed metric."""
    folder = evaluated(tmp_path / "world", "cosmos_world_model", futures())
    found = verify_path(folder)
    assert found.holds, found.broken
    states = {one.name: one.state for one in found.metrics}
    assert ("summed", "summed", "recomputed") == tuple(
        states[name] for name in ("future_retrieval_mrr", "feature_reconstruction_error", "num_candidates")
    )
    assert "features of the windows, which are not published" in found.left_open


@pytest.mark.parametrize(
    ("key", "value", "link"),
    [
        ("rank", 1, "rows"),
        ("pred_action", "c", "rows"),
        ("pred_future_record_id", "e5:1", "rows"),
        ("distance_to_pred", 0.0, "rows"),
        ("feature_reconstruction_error", 0.0, "metrics"),
        ("copy_last_rank", 40, "metrics"),
    ],
)
def test_a_future_that_contradicts_its_ranking_is_named(tmp_path: Path, key: str, value: Any, link: str) -> None:
    """Whoever edits a rank would be believed, since features stay at home."""
    folder = evaluated(tmp_path / "world", "cosmos_world_model", futures())
    rows = futures()
    place = next(n for n, row in enumerate(rows) if 1 < row["rank"] <= 5 and row["pred_future_record_id"] != "e5:1")
    broken = changed(folder, "future_predictions.jsonl", lambda rows: rows[place].update({key: value}))
    assert (link, True) == (broken.id, rows[place]["id"] in str(broken.where) or link == "metrics")


def test_a_policy_is_scored_again_from_its_rows(tmp_path: Path) -> None:
    """A path that was edited would be found by its digest alone."""
    folder = evaluated(tmp_path / "policy", "policy_vla_branch", actions())
    found = verify_path(folder)
    assert found.holds, found.broken
    assert {"recomputed": True} | {"smoke": False, "train_labels_sha256": False} == {
        "recomputed": all(
            one.state == "recomputed" for one in found.metrics if one.name not in ("smoke", "train_labels_sha256")
        )
    } | {one.name: False for one in found.metrics if one.state == "attested"}

    def closer(rows: Rows) -> None:
        rows[0]["pred_trajectory"] = rows[0]["true_trajectory"]

    broken = changed(folder, "policy_predictions.jsonl", closer)
    assert ("metrics", "metrics.json: evidence/trajectory_ade") == (broken.id, str(broken.where)[:37])


@pytest.mark.parametrize("packaged", [False, True])
def test_a_closed_loop_is_computed_again_from_its_runs_and_attested_without_them(
    tmp_path: Path, packaged: bool
) -> None:
    """A success rate that rests on nothing would stand among recomputed numbers."""
    path = folder = evaluated(tmp_path / "policy", "policy_vla_branch", actions(), closed=True)
    if packaged:
        path = tmp_path / "public"
        package_public(folder, path, contract="policy_vla_branch", contracts=contracts(folder))
    found = verify_any(path)
    assert found.holds, found.broken
    assert "recomputed" == state_of(found, CLOSED)
    shutil.rmtree(folder / "closed_loop")
    without = verify_path(folder)
    assert (True, "attested") == (without.holds, state_of(without, CLOSED))
    assert f"{CLOSED}" in without.left_open
    evidence = rollouts(folder / "closed_loop")
    metrics = read_json(folder / "metrics.json")
    metrics["evidence"][CLOSED] = evidence | {"value": 1.0}
    (folder / "metrics.json").write_bytes(dumps(metrics | {CLOSED: 1.0}))
    broken = verify_path(folder).broken
    assert broken is not None
    assert ("metrics", f"metrics.json: evidence/{CLOSED}/value") == (broken.id, broken.where)
    assert "stated 1.0; the runs give 0.875" == broken.what


def state_of(found: Any, name: str) -> str:
    return next(str(one.state) for one in found.metrics if one.name == name)


def contracts(folder: Path) -> dict[str, Any]:
    return {name: dict(one.config) for name, one in load_registry(folder).items()}


@pytest.mark.slow
@pytest.mark.parametrize("contract", [None, "qwen3_omni_lora"])
def test_brought_predictions_are_scored_again_and_their_faults_are_attested(
    tmp_path: Path, contract: str | None
) -> None:
    """Rows that contradicted themselves were mended when they were scored; nobody can count them again."""
    rows = predictions_of(write_dataset(tmp_path / "dataset.jsonl"), noisy(1))
    rows[0]["predicted_label"] = "something else"
    path = write_lines(tmp_path / "predictions.jsonl", rows)
    folder = tmp_path / "scored"
    score_file(load_registry(tmp_path)["qwen3_omni_lora"], path, tmp_path / "dataset.jsonl", folder)
    package_public(folder, tmp_path / "public", contract=contract, contracts=contracts(tmp_path))
    for each in (folder, tmp_path / "public"):
        found = verify_any(each)
        assert found.holds, found.broken
        assert ("attested", "attested", "recomputed") == tuple(
            state_of(found, name) for name in ("rows_that_disagree_with_themselves", "smoke", "accuracy")
        )


def test_a_contract_of_ones_own_is_carried_and_said_to_be_one(tmp_path: Path) -> None:
    """An evaluation by a contract of a workspace could be verified in that workspace only."""
    config = contracts(tmp_path)["qwen3_omni_lora"] | {"id": "ours", "primary_metrics": ["held_out_episode_count"]}
    write_json(tmp_path / "configs/backbones/ours.json", config)
    path = write_lines(
        tmp_path / "predictions.jsonl", predictions_of(write_dataset(tmp_path / "dataset.jsonl"), noisy(1))
    )
    score_file(load_registry(tmp_path)["ours"], path, tmp_path / "dataset.jsonl", tmp_path / "scored")
    shutil.rmtree(tmp_path / "configs")
    rules = next(link for link in verify_path(tmp_path / "scored").links if link.id == "rules")
    assert ("OK", True) == (rules.state, "ours, which is not a built-in one" in rules.what)
    (tmp_path / "scored/contract.json").unlink()
    rules = next(link for link in verify_path(tmp_path / "scored").links if link.id == "rules")
    assert ("NOT CHECKED", True) == (rules.state, "contract.json is not there" in rules.what)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["cosmos_world_model", "policy_vla_branch"])
def test_what_a_trained_model_predicted_verifies_in_its_folder_and_in_its_package(
    tmp_path: Path, backbone: str
) -> None:
    """Made-up rows would verify, and those of a real evaluation would be called tampered with."""
    index = make_index(tmp_path, 16)
    if backbone == "cosmos_world_model":
        make_pairs(index, tmp_path / "pairs")
        train_world(tmp_path / "pairs", tmp_path / "run", QUICK)
    else:
        options = PolicyOptions(steps=120, batch=32, hidden=32, points=4, side=16, stride=3, chunk=4, path=5)
        train_policy(index, tmp_path / "run", options)
    plan = Plan(index, backbone, tmp_path / "run/checkpoint")
    run(plan, load_registry(tmp_path)[backbone], tmp_path / "eval")
    package_public(tmp_path / "eval", tmp_path / "public", contract=backbone, contracts=contracts(tmp_path))
    for path in (tmp_path / "eval", tmp_path / "public"):
        found = verify_any(path)
        assert found.holds, found.broken
        wanted = {"verdict-file", "files", "identity", "train", "rows", "metrics", "rules", "tables", "verdict"}
        assert wanted == {link.id for link in found.links if link.state == "OK"} & wanted
