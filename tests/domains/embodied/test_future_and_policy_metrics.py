"""World models and policies: the published formulas, chance in closed form, copying the last, and the files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_kit import write_dataset, write_lines

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.reported import score_file
from heldout.domains.embodied.score.metrics_future import future_rows, score_futures
from heldout.domains.embodied.score.metrics_policy import score_policy, trajectory_errors
from heldout.errors import InputError
from heldout.study import BootstrapSpec

SPEC = BootstrapSpec(level=0.95, draws=500, seed=0)
EPISODES, WINDOWS, DIMS = 8, 10, 6
TRAIN = {"action": Counter(a=3, b=2), "transition": Counter(no=9, yes=1), "contact": Counter(yes=6, no=4)}


def keys() -> list[dict[str, Any]]:
    return [
        {"id": f"e{e}:future:{n:05d}:h1", "episode_id": f"e{e}", "split": "test"}
        | {"context_record_id": f"e{e}:{n}", "future_record_id": f"e{e}:{n + 1}"}
        | {"labels": {"action": "ab"[n % 2], "transition": "no" if n % 5 else "yes", "contact": "yes"}}
        for e in range(EPISODES)
        for n in range(WINDOWS)
    ]


def features(seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Present and future of walks, of which one dimension never moves and one is a thousand times the others."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(EPISODES, WINDOWS + 1, DIMS)).cumsum(axis=1)
    walk[..., 0], walk[..., 1] = 7.0, 1000 * walk[..., 1]
    return walk[:, :-1].reshape(-1, DIMS), walk[:, 1:].reshape(-1, DIMS)


def rows_of(predicted: Any) -> list[dict[str, Any]]:
    present, future = features()
    return future_rows(predicted, future, present, future.mean(axis=0), future.std(axis=0), keys())


def test_published_retrieval_is_the_published_formula(tmp_path: Path) -> None:
    """A figure could not be compared with one that was published."""
    rng = np.random.default_rng(3)
    future = features()[1]
    rows = rows_of(future + rng.normal(size=future.shape) * future.std(axis=0))
    metrics = score_futures(rows, SPEC, TRAIN)
    ranks = [row["rank"] for row in rows]
    plain = {
        "future_retrieval_mrr": sum(1 / rank for rank in ranks) / len(ranks),
        "future_retrieval_recall_at_5": sum(rank <= 5 for rank in ranks) / len(ranks),
        "temporal_consistency": sum(r["pred_future_record_id"].split(":")[0] == r["episode_id"] for r in rows)
        / len(rows),
        "feature_reconstruction_error": sum(r["feature_reconstruction_error"] for r in rows) / len(rows),
        "action_accuracy": sum(r["pred_action"] == r["true_action"] for r in rows) / len(rows),
    }
    for name, value in plain.items():
        assert value == pytest.approx(metrics[name], abs=1e-12, rel=1e-12), name
    assert EPISODES == metrics["held_out_episode_count"]


def test_weakness_10_chance_and_copying_the_last_stand_beside(tmp_path: Path) -> None:
    """A model at chance was published with an MRR that nobody could place."""
    metrics = score_futures(rows_of(np.random.default_rng(0).normal(size=(80, DIMS))), SPEC, TRAIN)
    evidence = metrics["evidence"]
    chance = evidence["future_retrieval_mrr"]["baselines"]["chance"]["value"]
    assert sum(1 / n for n in range(1, 81)) / 80 == pytest.approx(chance, abs=1e-15)
    assert 5 / 80 == evidence["future_retrieval_recall_at_5"]["baselines"]["chance"]["value"]
    assert 1 / EPISODES == pytest.approx(evidence["temporal_consistency"]["baselines"]["chance"]["value"])
    assert {"copy_last", "train_mean"} == set(evidence["feature_reconstruction_error"]["baselines"])
    assert evidence["feature_reconstruction_error"]["beats_trivial"] is False
    present, future = features()
    copying = score_futures(rows_of(present), SPEC, TRAIN)["evidence"]["feature_reconstruction_error"]
    assert 0.0 == copying["baselines"]["copy_last"]["gain"]["gain"]
    seeing = score_futures(rows_of(future), SPEC, TRAIN)["evidence"]
    assert [True] * 3 == [
        seeing[name]["beats_trivial"]
        for name in ("future_retrieval_mrr", "feature_reconstruction_error", "temporal_consistency")
    ]


def test_a_raw_error_lies_in_its_own_interval_and_is_judged_on_the_other_scale(tmp_path: Path) -> None:
    """A report would show 1.87 with an interval of 0.5 to 0.9, and errors in other units beside it."""
    future, present = features()
    rows = rows_of(10 * (0.5 * future + 0.5 * present))
    evidence = score_futures(rows, SPEC, TRAIN)["evidence"]
    raw, standard = (evidence[f"feature_reconstruction_error{kind}"] for kind in ("", "_standardised"))
    assert raw["interval"]["low"] <= raw["value"] <= raw["interval"]["high"]
    assert raw["interval"] != standard["interval"]
    assert raw["beats_trivial"] == standard["beats_trivial"]


def test_published_chance_of_378_candidates() -> None:
    """The closed form would not be the chance that was measured on the published run."""
    mrr = np.mean(1 / np.arange(1, 379))
    assert (0.0172, 0.0132) == (round(float(mrr), 4), round(5 / 378, 4))


def test_weakness_10_order_is_about_time(tmp_path: Path) -> None:
    """Futures of the right episode in the wrong order would be called consistent in time."""
    future = features()[1]
    forward = score_futures(rows_of(future), SPEC, TRAIN)
    reversed_ = future.reshape(EPISODES, WINDOWS, DIMS)[:, ::-1].reshape(-1, DIMS)
    backward = score_futures(rows_of(reversed_), SPEC, TRAIN)
    assert (1.0, 1.0) == (forward["temporal_consistency"], forward["temporal_order"])
    assert (1.0, 0.0) == (backward["temporal_consistency"], backward["temporal_order"])


def test_weakness_9_a_large_dimension_does_not_decide() -> None:
    """Every candidate would be equally far, but for one sensor's unit."""
    future = features()[1]
    guess = future.copy()
    guess[:, 1] += 300.0  # a third of that dimension's usual step
    assert score_futures(rows_of(guess), SPEC, TRAIN)["future_retrieval_mrr"] > 0.9


def test_a_world_model_is_scored_from_its_file(tmp_path: Path) -> None:
    """The contract's files would be there for one backbone only."""
    write_dataset(tmp_path / "dataset.jsonl")
    contract = load_registry(tmp_path)["cosmos_world_model"]
    rows = rows_of(features()[1])
    path = write_lines(tmp_path / "future_predictions.jsonl", rows)
    document = score_file(contract, path, tmp_path / "dataset.jsonl", tmp_path / "out")
    assert [] == document["missing_files"]
    lines = (tmp_path / "out/retrieval_rankings.csv").read_text().splitlines()
    assert "id,rank,candidate_id,candidate_future_record_id,candidate_episode_id,distance,is_true_future" == lines[0]
    assert 80 * 5 == len(lines) - 1
    page = (tmp_path / "out/report.html").read_text()
    raw = page.split("<td>feature_reconstruction_error</td>")[1].split("</tr>")[0]
    assert "judged as feature_reconstruction_error_standardised" in raw
    assert "copy_last" not in raw
    header = "episode_id,num_queries,mrr,recall_at_5,mean_feature_reconstruction_error"
    assert header == (tmp_path / "out/temporal_consistency.csv").read_text().splitlines()[0]
    rows[3]["rank"] = 81
    with pytest.raises(InputError, match="rank 81 of 80 candidates"):
        score_file(contract, write_lines(path, rows), tmp_path / "dataset.jsonl")


def policy_rows(noise: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    rows = []
    for number in range(60):
        last, velocity = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)) * 0.02
        curve = rng.normal(size=(2, 3)) * 0.002
        steps = np.arange(1, 11)[:, None, None]
        true = last + steps * velocity + steps**2 * curve
        action = "ab"[number % 2]
        truth = {"action": action, "next_action": action, "contact": "yes", "objects": ["cup", "lid"][: 1 + number % 2]}
        rows.append(
            {
                "id": f"w{number}",
                "episode_id": f"e{number // 10}",
                "split": "test",
                "true": truth,
                "pred": truth,
                "true_trajectory": true.tolist(),
                "pred_trajectory": (true + noise * rng.normal(size=true.shape)).tolist(),
                "last_points": last.tolist(),
                "last_velocity": velocity.tolist(),
            }
        )
    return rows


def test_trajectories_are_judged_beside_standing_still_and_going_on() -> None:
    """A policy that stands still would be praised for a small error."""
    true, pred = np.zeros((2, 2, 3)), np.array([[[3.0, 4, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 1]]])
    assert {"mpjpe": 1.75, "final_mpjpe": 1.0, "ade": 1.75, "fde": 1.0} == trajectory_errors(true, pred)
    good = score_policy(policy_rows(0.0005), SPEC, {}, frozenset({"cup"}))
    assert [True] * 4 == [
        good["evidence"][f"trajectory_{n}"]["beats_trivial"] for n in ("mpjpe", "ade", "fde", "final_mpjpe")
    ]
    bad = score_policy(policy_rows(0.5), SPEC, {}, frozenset({"cup"}))
    assert bad["evidence"]["trajectory_mpjpe"]["beats_trivial"] is False
    assert {"constant_velocity", "copy_last"} == set(bad["evidence"]["trajectory_mpjpe"]["baselines"])
    assert (1.0, True) == tuple(good["evidence"]["object_affordance_f1"][key] for key in ("value", "beats_trivial"))


def test_a_policy_is_scored_from_its_file_and_needs_train_labels(tmp_path: Path) -> None:
    """A class that every window has (weakness 11) would be a perfect score."""
    write_dataset(tmp_path / "dataset.jsonl")
    contract = load_registry(tmp_path)["policy_vla_branch"]
    path = write_lines(tmp_path / "policy_predictions.jsonl", policy_rows(0.0005))
    document = score_file(contract, path, tmp_path / "dataset.jsonl", tmp_path / "out")
    outcomes = {rule["id"]: rule["outcome"] for rule in document["verdict"]["rules"]}
    assert 1.0 == document["metrics"]["contact_accuracy"]
    assert ("FAIL", "FAIL") == (
        outcomes["beats_trivial:contact_accuracy"],
        outcomes["beats_trivial:next_action_accuracy"],
    )
    assert ("PASS", "HOLD") == (outcomes["beats_trivial:trajectory_mpjpe"], document["verdict"]["verdict"])
    page = (tmp_path / "out/report.html").read_text()
    assert "trajectory_mpjpe, m" in page
    assert "Persistence of a field" not in page  # next_action alone has one, and it rules
    assert [] == document["missing_files"]
    audit = json.loads((tmp_path / "out/retargeting_audit.json").read_text())
    assert (60, 0) == (audit["rows"], audit["retargeted_rows"])
    rows = policy_rows(0.1)
    rows[0]["pred_trajectory"] = [[[0, 0]]]
    with pytest.raises(InputError, match=r"pred_trajectory has shape \(1, 1, 2\)"):
        score_file(contract, write_lines(path, rows), tmp_path / "dataset.jsonl")
