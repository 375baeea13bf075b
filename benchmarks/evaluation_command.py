"""How long does ``heldout eval run`` take to find that nothing is left to do, of 100,000 windows?

The index is as large as a real one: every record holds its label options. The model answers at once. What is measured
is the command's function in a process that has imported it, so that neither imports nor the model are counted.

    python benchmarks/evaluation_command.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _measure import report, spread, take_turns, times_faster

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run
from heldout.domains.embodied.index.build import write_index, write_manifest
from heldout.evidence import sha256_file
from heldout.predict.partial import PARTIAL_FILE
from heldout.predict.session import Sample
from heldout.predict.shards import Shard

ACTIONS = [f"move object {number} to the shelf" for number in range(40)]
ANSWER = '{"action":"move object 0 to the shelf","contact":"no"}'
_BOUND = 1.0


class Instant:
    """A model that takes no time; one sample at a time, as a large one."""

    batch = 1

    def __init__(self, index: str, adapter: str | None = None) -> None:
        """Nothing to load."""

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """The same text for all."""
        return [{"raw_prediction": ANSWER} for _ in samples]


def record(number: int, split: str) -> dict[str, Any]:
    action = ACTIONS[number % len(ACTIONS)]
    window = {"start_frame": 20 * (number % 256), "end_frame": 20 * (number % 256) + 19, "num_frames": 20}
    context = {key: window[key] for key in ("start_frame", "end_frame")} | {"max_video_frames": 16}
    answer = {"action": action, "subtask": "tidy", "objects": ["shelf"], "contact": "yes", "transition": "no"}
    answer |= {"next_action": action, "evidence_window": {key: window[key] for key in ("start_frame", "end_frame")}}
    language = {"question": "What happens?", "action_options": ACTIONS, "subtask_options": ["tidy"]}
    media = {"video_streams": [], "mosaic_video_path": None, "audio_path": None, "context_window": context}
    episode = f"session{number // 256:05d}_{split}__ep1"
    return {
        "id": f"{episode}:win:{number:06d}",
        "source_record_id": None,
        "episode_id": episode,
        "split": split,
        "target": "episode_qa",
        "prompt_type": "json_episode_understanding",
        "window": window,
        "modalities": {
            "media": media,
            "sensor_features": {"path": None, "index": None, "dim": 0},
            "language": language,
        },
        "supervision": answer,
        "sealed": False,
        "provenance": {"episode_path": f"../store/{episode}", "note": "x" * 1500},
        "adapter_views": {},
    }


def make_index(folder: Path, windows: int) -> Path:
    def records() -> Iterator[dict[str, Any]]:
        yield from (record(number, "train") for number in range(1024))
        yield from (record(number, "test") for number in range(windows))

    folder.mkdir(parents=True)
    write_manifest(folder, write_index(folder, records()).document(folder, {}) | {"run_id": "benchmark"}, [])
    return folder


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--windows", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ratio, figures = measure(Path(name), options.turns, options.windows)
    for label, figure in figures.items():
        if "left" in label:
            print(f"bound: {label} <= {_BOUND:g}: {'kept' if figure['median'] <= _BOUND else 'BROKEN'}")
    title = f"heldout eval run of {options.windows:,} windows that are predicted already"
    report("evaluation_command", title, ["msgspec", "numpy"], ratio, figures)


def measure(folder: Path, turns: int, windows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ratios to hashing the index, which no safe start can leave out; seconds."""
    index = make_index(folder / "index", windows)
    contract = load_registry(folder)["qwen3_omni_lora"]
    plan = Plan(index, f"{Path(__file__).stem}:Instant")

    def whole() -> None:
        run(plan, contract, folder / "whole")

    def shard() -> None:
        run(plan, contract, folder / "shard", shard=Shard(0, 2))

    def torn() -> None:
        path = folder / "shard" / PARTIAL_FILE
        path.write_bytes(path.read_bytes()[:-20])
        shard()

    taken = take_turns(
        {
            "nothing left, scored": whole,
            "nothing left of a shard": shard,
            "the last one torn": torn,
            "sha256 of the index": lambda: sha256_file(index / "window_index.jsonl"),
        },
        turns,
    )
    names = [name for name in taken.wall[0] if name != "sha256 of the index"]
    ratio = times_faster(taken.wall, [(name, "sha256 of the index") for name in names])
    figures = {name: spread([turn[name] for turn in taken.wall], "s") for name in taken.wall[0]}
    return ratio, figures | {
        f"{name}, processor": spread([turn[name] for turn in taken.cpu], "s") for name in taken.cpu[0]
    }


if __name__ == "__main__":
    main()
