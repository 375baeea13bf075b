"""Predictions that somebody brought for the windows of an index: of answers, of futures, of actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.episodes.paths import Chunks, hand_path, last_place
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.metrics_future import future_rows
from heldout.evidence import canonical, read_json_lines

Rows = list[dict[str, Any]]
BACKBONES = {"answers": "qwen3_omni_lora", "futures": "cosmos_world_model", "actions": "policy_vla_branch"}
_FIELDS = ("action", "next_action", "contact", "objects")
_SHIFT = 10


def brought(index: Path, asks: str, split: str = "test", wrong: int = 7) -> Rows:
    """Rows of one family for a split, every ``wrong``-th of them wrong; what is true is what the index says."""
    source = IndexSource(index)
    samples = source.samples(split)
    records = list(source.records(samples))
    truth = {str(record["id"]): record["supervision"] for record in records}
    if split == "test":
        truth = {str(one["id"]): one["supervision"] for one in read_json_lines(index / "sealed_targets.jsonl")}
    make = {"answers": _answers, "futures": _futures, "actions": _actions}[asks]
    return make(source, records, truth, wrong)


def write_rows(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _head(record: dict[str, Any]) -> dict[str, Any]:
    window = {key: record["window"][key] for key in ("start_frame", "end_frame", "num_frames")}
    return {key: record[key] for key in ("id", "episode_id", "split", "target")} | {"center_window": window}


def _said(true: dict[str, Any], number: int, wrong: int) -> dict[str, Any]:
    other = "move" if true["action"] != "move" else "put"
    return true if number % wrong else true | {"action": other, "next_action": other}


def _answers(source: IndexSource, records: Rows, truth: dict[str, Any], wrong: int) -> Rows:
    return [
        _head(record)
        | {"true_label": truth[record["id"]]["action"], "true_json": truth[record["id"]]}
        | {"raw_prediction": canonical(_said(truth[record["id"]], number, wrong)).decode()}
        for number, record in enumerate(records)
    ]


def _actions(source: IndexSource, records: Rows, truth: dict[str, Any], wrong: int) -> Rows:
    rows = []
    for number, record in enumerate(records):
        true = {key: truth[record["id"]][key] for key in _FIELDS}
        row = _head(record) | {"true": true, "pred": _said(true, number, wrong), "retargeting": None}
        episode = opened((source.folder / record["provenance"]["episode_path"]).resolve())
        chunks, frame = Chunks(path=4), int(record["window"]["end_frame"])
        path, (place, velocity) = hand_path(episode, chunks, frame), last_place(episode, chunks, frame)
        if path is not None:
            row |= {"true_trajectory": path[:, None].tolist(), "pred_trajectory": (path[:, None] + 0.01).tolist()}
            row |= {"last_points": [place.tolist()], "last_velocity": [velocity.tolist()]}
        rows.append(row)
    return rows


def _futures(source: IndexSource, records: Rows, truth: dict[str, Any], wrong: int) -> Rows:
    places = {(one["episode_id"], one["window"]["start_frame"]): one for one in records}
    pairs = [
        (one, places[one["episode_id"], one["window"]["start_frame"] + _SHIFT])
        for one in records
        if (one["episode_id"], one["window"]["start_frame"] + _SHIFT) in places
    ]
    rng = np.random.default_rng(0)
    vectors = {one["id"]: rng.normal(size=6) for one in records}
    present, future = (np.stack([vectors[pair[side]["id"]] for pair in pairs]) for side in (0, 1))
    keys = [
        {"id": f"{one['id']}:future", "episode_id": one["episode_id"], "split": one["split"]}
        | {"context_record_id": one["id"], "future_record_id": other["id"], "labels": truth[other["id"]]}
        for one, other in pairs
    ]
    guess = future + 0.1 * rng.normal(size=future.shape)
    return future_rows(guess, future, present, future.mean(axis=0), future.std(axis=0), keys)
