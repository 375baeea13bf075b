"""What pretraining gives: SmolLM2 with a visual prefix against the same network with random weights.

Both learn four tasks that neither has seen, from the same windows in the same order and as many steps: the pretrained
one by LoRA, the random one with all of its weights. Then both are asked about held-out episodes of these tasks, and the
loss of true answers is taken on eight other tasks that neither was trained on. Every step is a command that a user
types; what is there already is left, so that a stopped benchmark goes on.

    python benchmarks/smollm2_pretrained.py --folder work      # hours on two cores, one thread for each training
    python benchmarks/smollm2_pretrained.py --page             # only the table, from results/
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _measure import machine

from heldout.evidence import read_json, read_json_lines, write_json

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "smollm2_pretrained.json"
PAGE = HERE.parent / "docs" / "smollm2.md"
START, END = "<!-- measured -->", "<!-- end of measured -->"
LEARNT = ("drawer-open", "faucet-close", "handle-press", "coffee-button")
UNSEEN = (
    "window-open",
    "door-close",
    "plate-slide",
    "hammer",
    "push",
    "faucet-open",
    "button-press-topdown",
    "drawer-close",
)
COMMON = (
    *("--batch-size", "4", "--gradient-accumulation-steps", "1", "--epochs", "4", "--lr-schedule", "cosine"),
    *("--warmup-steps", "10", "--max-val-samples", "24", "--progress-every", "10"),
)
ARMS = {
    "pretrained": ("base", "adapter_lora", ("--learning-rate", "0.001", "--checkpoint-every", "20")),
    "random": ("control", "model", ("--learning-rate", "0.0005", "--tuning-mode", "full", "--checkpoint-every", "0")),
}
SHOWN = ("accuracy", "subtask_accuracy", "next_action_accuracy", "contact_accuracy", "transition_accuracy")


def steps() -> list[tuple[str, Sequence[str]]]:
    """What each step leaves, and its command."""
    found: list[tuple[str, Sequence[str]]] = []
    for name, tasks, seeds, fractions in (("", LEARNT, 14, "0.5,0.1,0.4"), ("unseen-", UNSEEN, 4, "0.8,0.1,0.1")):
        named = [word for task in tasks for word in ("--task", task)]
        store, manifest, index, data = (f"{name}{part}" for part in ("store", "manifest", "index", "data"))
        seen = ("--tile", "96x96", "--max-video-frames", "4", "--options", "none", "--no-audio")
        found += [
            (store, ("embodied", "simulate", *named, "--seeds", str(seeds), "--no-audio", "--quiet", "--out", store)),
            (manifest, ("embodied", "select", store, "--fractions", fractions, "--out", manifest)),
            (index, ("index", "build", manifest, "--window", "20", "--stride", "10", "--context-frames", "60")),
            (data, ("embodied", "qwen", "export", index, *seen, "--out", data)),
        ]
        found[-2] = (index, (*found[-2][1], "--out", index))
    found += [
        ("base", ("embodied", "smollm2", "base", "--out", "base")),
        ("control", ("embodied", "smollm2", "base", "--random", "--out", "control")),
    ]
    predictor = ("--backbone", "smollm2_prefix_lora", "--predictor", "smollm2_prefix_lora")
    for arm, (base, weights, options) in ARMS.items():
        train = ("embodied", "qwen", "train", "data", "--base", base, "--out", arm, *COMMON, *options)
        adapter = f"{arm}/{weights}"
        found += [
            (f"{arm}/results/training_metadata.json", train),
            (
                f"eval-{arm}/evaluation.json",
                ("eval", "run", "index", *predictor, "--adapter", adapter, "--out", f"eval-{arm}"),
            ),
        ]
    compare = ("eval", "compare", "eval-pretrained", "eval-random", "--gain", "accuracy", "--out", "decision")
    return [*found, ("decision/comparison.json", compare)]


def losses(folder: Path, adapter: str) -> dict[str, float]:
    """Mean loss of a true answer's token, a window of the tasks that nobody trained on."""
    import torch

    from heldout.domains.embodied.qwen.batch import Dataset, collate
    from heldout.domains.embodied.qwen.loss import answer_loss
    from heldout.domains.embodied.qwen.predictor import load_trained
    from heldout.domains.embodied.qwen.tokens import load_tokenizer

    model, base = load_trained(folder / adapter)
    tokenizer, dataset = load_tokenizer(base), Dataset(folder / "unseen-data")
    found = {}
    for record in dataset.split("train"):
        batch = collate([dataset.example(tokenizer, record)], tokenizer.pad_token_id, "cpu", torch.float32)
        with torch.no_grad():
            found[record["id"]] = float(answer_loss(model, batch)) / int((batch["labels"] != -100).sum())
    return found


def unseen(folder: Path) -> dict[str, Any]:
    """Both losses on unseen tasks, and what pretraining gains, paired by episode."""
    import numpy as np

    from heldout.task.uncertainty import mean_interval

    by_arm = {arm: losses(folder, f"{arm}/{weights}") for arm, (_, weights, _) in ARMS.items()}
    episodes = defaultdict(list)
    for name in by_arm["pretrained"]:
        episodes[name.split(":")[0]].append(by_arm["random"][name] - by_arm["pretrained"][name])
    gains = np.array([float(np.mean(values)) for _, values in sorted(episodes.items())])
    low, high = mean_interval(gains, 0.95)
    means = {arm: float(np.mean(list(found.values()))) for arm, found in by_arm.items()}
    counts = {"windows": len(by_arm["pretrained"]), "episodes": len(gains)}
    return means | {"gain": float(gains.mean()), "low": low, "high": high} | counts


def measure(folder: Path) -> dict[str, Any]:
    """Take every step that is still to be taken, and put the figures together."""
    folder.mkdir(parents=True, exist_ok=True)
    for leaves, words in steps():
        if not (folder / leaves).exists():
            print("heldout", *words)
            done = subprocess.run([sys.executable, "-m", "heldout.cli.main", *words], cwd=folder, check=False)
            if done.returncode not in (0, 1):  # a HOLD is a result
                raise SystemExit(done.returncode)
    comparison = read_json(folder / "decision/comparison.json")
    arms = {}
    for arm in ARMS:
        metadata = read_json(folder / arm / "results/training_metadata.json")
        progress = read_json_lines(folder / arm / "results/progress.jsonl")
        metrics = read_json(folder / f"eval-{arm}/metrics.json")
        arms[arm] = {
            "steps": metadata["global_step"],
            "windows": metadata["num_train_samples"],
            "tuned": metadata["tuning_mode"],
            "val_loss": [one["val_loss"] for one in metadata["history"]],
            "json_validity_strict": metrics["json_validity_strict"],
            "trained_bytes": next(one["trainable_bytes"] for one in progress if "trainable_bytes" in one),
        }
    compared = {name: comparison["metrics"][name] for name in SHOWN if name in comparison["metrics"]}
    baselines = read_json(folder / "eval-pretrained/metrics.json")["evidence"]
    for name, one in compared.items():
        one["majority"] = baselines[name]["baselines"]["majority"]["value"]
    test = {"windows": comparison["samples"], "episodes": comparison["episodes"]}
    found = {"arms": arms, "test": test, "metrics": compared, "unseen": unseen(folder)}
    return found | {"machine": machine()}


def table(document: dict[str, Any]) -> str:
    """The page's part."""
    arms, test, other = document["arms"], document["test"], document["unseen"]
    first = arms["pretrained"]
    told = (
        f"{first['windows']} train windows of four tasks, {first['steps']} steps of 4; {test['windows']} windows of "
        f"{test['episodes']} held-out episodes of the same tasks. Gains are paired intervals over episodes."
    )
    lines = [
        told,
        "",
        "| held-out episodes | pretrained, LoRA | random, all weights | majority | gain |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, one in document["metrics"].items():
        gain = "-" if one["low"] is None else f"{one['gain']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
        label = name.replace("_", " ") if name != "accuracy" else "action accuracy"
        lines.append(f"| {label} | {one['challenger']:.3f} | {one['champion']:.3f} | {one['majority']:.3f} | {gain} |")
    valid = [f"{arms[arm]['json_validity_strict']:.3g}" for arm in ARMS]
    lines += [f"| answers valid, strict | {valid[0]} | {valid[1]} | | |", ""]
    gain = f"{other['gain']:.3f} ({other['low']:.3f} to {other['high']:.3f})"
    told = (
        f"{other['windows']} windows of {other['episodes']} episodes of eight tasks that neither was trained on: the "
        f"loss of a true answer's token is {other['pretrained']:.3f} pretrained, {other['random']:.3f} random; "
        f"gain {gain}."
    )
    lines.append(told)
    return "\n".join(lines)


def write_page(document: dict[str, Any]) -> None:
    """Put the table between the marks."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(START)
    PAGE.write_text(f"{head}{START}\n\n{table(document)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> None:
    """Measure, keep, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("smollm2-pretrained"))
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if not options.page:
        write_json(RESULTS, measure(options.folder))
    write_page(read_json(RESULTS))


if __name__ == "__main__":
    main()
