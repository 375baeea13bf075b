"""Metrics of a policy's predictions: classes, trajectories and objects, kept apart.

A trajectory is points in metres, ``[frames][points][3]``; MPJPE is the mean Euclidean error over frames and points, ADE
the mean over frames of the error of the points' centre, FDE that of the last frame. Beside them stand points that do
not move and points that keep their velocity. Objects are micro F1 of sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.labels import UNKNOWN, objects_of
from heldout.domains.embodied.score.metrics_answers import nothing, set_f1, set_sums
from heldout.domains.embodied.score.metrics_future import label_metric, mean_of, pairs
from heldout.errors import InputError
from heldout.study import BootstrapSpec
from heldout.task.cluster import Contender, Draws, beside

Row = Mapping[str, Any]
ERRORS = ("mpjpe", "final_mpjpe", "ade", "fde")
_FIELDS = ("action", "next_action", "contact")


def score_policy(
    rows: Sequence[Row], spec: BootstrapSpec, train: Mapping[str, Counter[str]], usual_objects: frozenset[str]
) -> dict[str, object]:
    """The body of ``metrics.json``.

    Args:
        rows: Of ``policy_predictions.jsonl``: ``id``, ``episode_id``, ``true`` and ``pred`` (``action``,
            ``next_action``, ``contact``, ``objects``), and where there are trajectories ``true_trajectory``,
            ``pred_trajectory``, ``last_points`` and maybe ``last_velocity``, metres a frame.
        spec: How intervals are drawn.
        train: By field, train windows of each label.
        usual_objects: Objects of most train windows.
    """
    evidence: dict[str, dict[str, object]] = {}
    for field in _FIELDS:
        known = [row for row in rows if row["true"].get(field, UNKNOWN) != UNKNOWN]
        evidence[f"{field}_accuracy"] = _labels(known, field, spec, train) if known else nothing("no truth is known")
    evidence |= _trajectories(rows, spec)
    evidence["object_affordance_f1"] = _objects(rows, spec, usual_objects)
    episodes = len({str(row["episode_id"]) for row in rows})
    published = {name: one["value"] for name, one in evidence.items()}
    return published | {
        "num_samples": len(rows),
        "num_eval_episodes": episodes,
        "held_out_episode_count": episodes,
        "evidence": evidence,
    }


def trajectory_errors(true: FloatArray, pred: FloatArray) -> dict[str, float]:
    """MPJPE, final-frame MPJPE, ADE and FDE of one trajectory.

    Args:
        true: Metres, float64 ``[frames, points, 3]``.
        pred: The same shape.
    """
    points = np.linalg.norm(pred - true, axis=-1)
    centre = np.linalg.norm(pred.mean(axis=1) - true.mean(axis=1), axis=-1)
    values = (points.mean(), points[-1].mean(), centre.mean(), centre[-1])
    return dict(zip(ERRORS, (float(value) for value in values), strict=True))


def trajectory_table(rows: Sequence[Row]) -> list[Row]:
    """``trajectory_metrics.csv``: errors of every row that has a trajectory, ours and those of the cheap contenders."""
    found: list[Row] = []
    for row in rows:
        if row.get("true_trajectory") is None:
            continue
        true, where = _points(row, "true_trajectory"), {"id": row["id"], "episode_id": row["episode_id"]}
        for name, guess in _guesses(row, true).items():
            found.append(where | {"contender": name} | trajectory_errors(true, guess))
    return found


def _trajectories(rows: Sequence[Row], spec: BootstrapSpec) -> dict[str, dict[str, object]]:
    table = trajectory_table(rows)
    ours = [one for one in table if one["contender"] == "model"]
    if not ours:
        return {f"trajectory_{name}": nothing("no row has a trajectory") for name in ERRORS}
    draws = Draws([str(one["episode_id"]) for one in ours], spec)
    names = sorted({str(one["contender"]) for one in table} - {"model"})
    columns = {name: [one for one in table if one["contender"] == name] for name in names}
    found: dict[str, dict[str, object]] = {}
    for error in ERRORS:
        others = {
            name: Contender(draws.sums(_column(column, error)))
            for name, column in columns.items()
            if len(column) == len(ours)
        }
        found[f"trajectory_{error}"] = beside(
            draws, mean_of, draws.sums(_column(ours, error)), others, smaller_is_better=True
        ) | {"rows": len(ours), "unit": "m"}
    return found


def _guesses(row: Row, true: FloatArray) -> dict[str, FloatArray]:
    guess = _points(row, "pred_trajectory")
    if guess.shape != true.shape:
        raise InputError(
            f"the trajectories have shapes {guess.shape} and {true.shape}", where=str(row["id"]), hint="predict as many"
        )
    found = {"model": guess}
    if row.get("last_points") is not None:
        last = np.asarray(row["last_points"], dtype=np.float64)
        found["copy_last"] = np.broadcast_to(last, true.shape)
        if row.get("last_velocity") is not None:
            steps = np.arange(1, len(true) + 1)[:, None, None]
            found["constant_velocity"] = last + steps * np.asarray(row["last_velocity"], dtype=np.float64)
    return found


def _points(row: Row, name: str) -> FloatArray:
    try:
        values = np.asarray(row[name], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} is no array: {error}", where=str(row["id"]), hint="[frames][points][3]") from None
    if values.ndim != 3 or values.shape[-1] != 3 or not values.size:
        raise InputError(f"{name} has shape {values.shape}", where=str(row["id"]), hint="[frames][points][3], metres")
    return values


def _labels(
    rows: Sequence[Row], field: str, spec: BootstrapSpec, train: Mapping[str, Counter[str]]
) -> dict[str, object]:
    kept = [str(row["true"].get("action", UNKNOWN)) for row in rows] if field == "next_action" else None
    truth = [str(row["true"][field]) for row in rows]
    said = [str(row["pred"].get(field)) for row in rows]
    return label_metric([str(r["episode_id"]) for r in rows], truth, said, spec, train.get(field, Counter()), kept)


def _objects(rows: Sequence[Row], spec: BootstrapSpec, usual: frozenset[str]) -> dict[str, object]:
    if not any(objects_of(row["true"]) for row in rows):
        return nothing("no row names an object")
    draws = Draws([str(row["episode_id"]) for row in rows], spec)
    truth = [objects_of(row["true"]) for row in rows]
    sums = [
        draws.sums(set_sums(truth, said)) for said in ([objects_of(row["pred"]) for row in rows], [usual] * len(rows))
    ]
    return beside(draws, set_f1, sums[0], {"majority": Contender(sums[1])} if usual else {})


def _column(rows: Sequence[Row], name: str) -> FloatArray:
    return pairs(np.array([float(row[name]) for row in rows]))
