"""Data sets and predictions in the published format, small enough to check by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

ACTIONS = ("reach for the cup", "move the cup", "open the drawer", "wipe")
OBJECTS = ("cup", "drawer", "cloth")
Guess = Callable[[dict[str, Any]], str]


def answer(rng: random.Random, start: int) -> dict[str, Any]:
    action = rng.choices(ACTIONS, (6, 3, 2, 1))[0]
    return {
        "action": action,
        "subtask": rng.choice(["serve", "tidy", "unknown"]),
        "objects": sorted(rng.sample(OBJECTS, rng.randint(0, 2))),
        "contact": rng.choices(["yes", "no", "unknown"], (7, 3, 1))[0],
        "transition": rng.choices(["no", "yes"], (9, 1))[0],
        "next_action": action if rng.random() < 0.8 else rng.choice([*ACTIONS, "unknown"]),
        "evidence_window": {"start_frame": start, "end_frame": start + 19},
    }


def write_dataset(path: Path, episodes: int = 12, windows: int = 12, seed: int = 1) -> list[dict[str, Any]]:
    """``dataset.jsonl``: the first half train, then one val, the rest test. The prompt states the window."""
    rng = random.Random(seed)
    rows = []
    for episode in range(episodes):
        split = "train" if episode < episodes // 2 else "val" if episode == episodes // 2 else "test"
        for number in range(windows):
            name, start = f"session{episode:02d}__ep1", 20 * number
            rows.append(
                {
                    "id": f"{name}:qa:{number}",
                    "episode_id": name,
                    "split": split,
                    "target": "episode_qa",
                    "prompt_type": "json_episode_understanding",
                    "center_window": {"start_frame": start, "end_frame": start + 19, "num_frames": 20},
                    "media": {"video_paths": [], "context_start_frame": 0, "context_end_frame": start + 19},
                    "question": f"What happens in frames {start} to {start + 19}?",
                    "answer_json": answer(rng, start),
                    "action_options": sorted(ACTIONS[:3]),
                    "subtask_options": ["serve", "tidy"],
                }
            )
    for row in rows:  # the fourth action is one that train never saw
        if row["split"] == "train" and row["answer_json"]["action"] == ACTIONS[3]:
            row["answer_json"]["action"] = ACTIONS[0]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def predictions_of(dataset: list[dict[str, Any]], guess: Guess, split: str = "test") -> list[dict[str, Any]]:
    """Rows of ``predictions.jsonl``, without what follows from them."""
    return [
        {
            "id": row["id"],
            "target": row["target"],
            "split": row["split"],
            "episode_id": row["episode_id"],
            "center_window": row["center_window"],
            "true_label": row["answer_json"]["action"],
            "raw_prediction": guess(row),
            "true_json": row["answer_json"],
        }
        for row in dataset
        if row["split"] == split
    ]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def noisy(seed: int) -> Guess:
    """Right in three fields of four, now and then fenced, chatty or broken."""
    rng = random.Random(seed)

    def guess(row: dict[str, Any]) -> str:
        said = dict(row["answer_json"])
        other = answer(rng, 0)
        for field in ("action", "subtask", "objects", "contact", "transition", "next_action"):
            if rng.random() < 0.25:
                said[field] = other[field]
        text = json.dumps(said)
        form = rng.random()
        if form < 0.1:
            return f"```json\n{text}\n```"
        if form < 0.2:
            return f"The answer is {text}."
        if form < 0.25:
            return f"they {said['action'].upper()} {{"
        if form < 0.3:
            return json.dumps({"action": said["action"]})
        return text

    return guess
