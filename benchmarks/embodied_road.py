"""The whole embodied road: 128 episodes of real physics, manifest, index, exports, an evaluation, a public package.

Every step is the command that a user types, in a process of its own. The figures stand in docs/embodied.md, between two
marks; this script writes them there.

    python benchmarks/embodied_road.py            # minutes
    python benchmarks/embodied_road.py --page     # only the page, from results/
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _measure import clock_children, machine

from heldout.evidence import read_json, write_json

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "embodied_road.json"
PAGE = HERE.parent / "docs" / "embodied.md"
START, END = "<!-- road -->", "<!-- end of road -->"
BACKBONE = ("--backbone", "qwen3_omni_lora")
CONTRACT = ("--contract", "qwen3_omni_lora")


def steps(options: argparse.Namespace) -> list[tuple[str, Sequence[str], str]]:
    """Name of each step, its command, and what it leaves."""
    counts = ("--tasks", str(options.tasks), "--seeds", str(options.seeds), "--workers", str(options.workers))
    return [
        ("simulate", ("embodied", "simulate", *counts, "--out", "store", "--quiet"), "store"),
        ("select", ("embodied", "select", "store", "--out", "data"), "data"),
        ("check", ("embodied", "check", "data"), ""),
        ("index", ("index", "build", "data", "--out", "index", "--scale", "20/10", "--scale", "40/20"), "index"),
        ("check the index", ("index", "check", "index", "--manifest", "data"), ""),
        ("export for Qwen", ("embodied", "qwen", "export", "index", "--out", "dataset", "--tile", "96x96"), "dataset"),
        ("export for world models", ("embodied", "world", "export", "index", "--out", "pairs"), "pairs"),
        ("evaluate", ("eval", "run", "index", *BACKBONE, "--predictor", "nearest", "--out", "runs/eval"), "runs/eval"),
        ("package", ("package", "public", "runs/eval", *CONTRACT, "--out", "public.tar.gz"), "public.tar.gz"),
        ("audit", ("package", "audit", "public.tar.gz", *CONTRACT), ""),
        ("verify elsewhere", ("verify", "elsewhere/public.tar.gz"), ""),
    ]


def walk(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Go the road in a folder; seconds and bytes of each step."""
    taken = []
    for name, words, leaves in steps(options):
        if name.startswith("verify"):
            (folder / "elsewhere").mkdir()
            shutil.move(folder / "public.tar.gz", folder / "elsewhere")
        wall, cpu = clock_children([str(Path(sys.executable).with_name("heldout")), *words], folder)
        size = _bytes(folder / leaves) if leaves else None
        taken.append({"step": name, "command": " ".join(words), "seconds": wall, "processor": cpu, "bytes": size})
        print(f"{name:<26} {wall:8.1f} s  {cpu:8.1f} s of the processor  {size or 0:>12,} bytes", flush=True)
    return taken


def _bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What the road took, and what stood at its end."""
    taken = walk(folder, options)
    selected = read_json(folder / "data/episode_manifest.json")["summary"]
    index = read_json(folder / "index/window_index_manifest.json")
    verdict = "PROMOTE" if (folder / "runs/eval/PROMOTE.json").is_file() else "HOLD"
    return {
        "schema": "heldout.benchmark/1",
        "benchmark": "embodied_road",
        "machine": machine(),
        "workers": options.workers,
        "simulated_episodes": options.tasks * options.seeds,
        "usable": selected["usable_split_counts"],
        "windows": index["sample_split_counts"],
        "verdict": verdict,
        "steps": taken,
    }


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    usable, windows = ("/".join(str(result[key][s]) for s in ("train", "val", "test")) for key in ("usable", "windows"))
    load = result["machine"].get("load_at_end")
    busy = f"; other work ran beside it, load {load}" if load and load > 2 else ""
    rows = [_row(one) for one in result["steps"]]
    total = [sum(one[key] for one in result["steps"]) for key in ("seconds", "processor")]
    words = (
        f"{result['simulated_episodes']} simulated episodes, of which {sum(result['usable'].values())} are selected "
        f"({usable}) and cut into {sum(result['windows'].values())} windows ({windows}); "
        f"{result['machine']['cores']} cores, {result['workers']} at work in the simulation{busy}. "
        f"Verdict on the nearest neighbour: {result['verdict']}."
    )
    head = ["| step | command | seconds | of the processor | leaves |", "|---|---|---:|---:|---:|"]
    return "\n".join([words, "", *head, *rows, f"| all | | {total[0]:.0f} | {total[1]:.0f} | |"])


def _row(one: dict[str, Any]) -> str:
    figures = f"{one['seconds']:.1f} | {one['processor']:.1f} | {_size(one['bytes'])}"
    return f"| {one['step']} | `heldout {one['command']}` | {figures} |"


def _size(count: int | None) -> str:
    if not count:
        return ""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def page(text: str, result: dict[str, Any]) -> str:
    """The page with its table replaced."""
    head, tail = text[: text.index(START) + len(START)], text[text.index(END) :]
    return f"{head}\n\n{table(result)}\n\n{tail}"


def main() -> None:
    """Go the road, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if not options.page:
        with tempfile.TemporaryDirectory() as name:
            write_json(RESULTS, measure(Path(name), options))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), json.loads(RESULTS.read_text())), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} ended with {error.returncode}")
