"""How does planning a run grow with the number of groups? Every group held out once, 100 rows a group.

Each point is one `heldout run --dry-run`, a process of its own: corpus, folds, guards, units. Its seconds, its highest
resident memory, and the bytes of the split's document. The slope is that of a straight line through the logarithms; 1
is proportional.

    python benchmarks/split_growth.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from _measure import report, spread

from heldout import Study
from heldout.evidence import dumps
from heldout.split import split_corpus

ROWS = 100
STUDY = """
study: many-groups
corpus: {path: table.parquet, group: group, target: y}
backbone: ridge
seeds: [0]
baselines: []
gate: {rules: [{id: r, metric: pearson, over: pooled, at_least: 0.5}]}
"""
MEGABYTE = 1 << 20
# A process begins with the memory of the one that starts it: a small one stands between.
WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


class Taken(NamedTuple):
    """What a plan cost."""

    seconds: float
    memory: float


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--groups", type=int, nargs="+", default=[1000, 3000, 10_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = {count: study_of(count, Path(name) / str(count)) for count in options.groups}
        sizes = [float(document_bytes(folder)) for folder in folders.values()]
        turns = [{count: plan(folder) for count, folder in folders.items()} for _ in range(options.turns)]
    figures, ratio = {}, {}
    for count, size in zip(options.groups, sizes, strict=True):
        figures[f"{count:,} groups, time"] = spread([turn[count].seconds for turn in turns], "s")
        figures[f"{count:,} groups, memory"] = spread([turn[count].memory / MEGABYTE for turn in turns], "MB")
        figures[f"{count:,} groups, split.json"] = spread([size / MEGABYTE], "MB")
    for what in Taken._fields:
        slopes = [slope(options.groups, [getattr(turn[count], what) for count in options.groups]) for turn in turns]
        ratio[f"slope of {what} over groups"] = spread(slopes)
    ratio["slope of split.json over groups"] = spread([slope(options.groups, sizes)])
    title = f"heldout run --dry-run, every group held out, {ROWS} rows a group"
    report("split_growth", title, ("numpy", "polars", "pydantic"), ratio, figures)


def study_of(groups: int, folder: Path) -> Path:
    """A folder with a study and its table."""
    folder.mkdir()
    rng, rows = np.random.default_rng(0), groups * ROWS
    frame = pl.DataFrame({name: rng.normal(size=rows) for name in ("a", "b")})
    names = pl.Series("group", np.repeat([f"visitor{number:05d}" for number in range(groups)], ROWS))
    frame.with_columns(names, y=pl.col("a") + pl.Series(rng.normal(size=rows))).write_parquet(folder / "table.parquet")
    (folder / "study.yaml").write_text(STUDY)
    return folder


def plan(folder: Path) -> Taken:
    """Seconds and highest resident memory of one plan."""
    command = [sys.executable, "-c", WATCH, sys.executable, "-m", "heldout", "run", "--dry-run", "study.yaml"]
    started = time.perf_counter()
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    scale = 1 if sys.platform == "darwin" else 1024
    return Taken(time.perf_counter() - started, float(found.stdout) * scale)


def document_bytes(folder: Path) -> int:
    """Of `split.json`, as a run writes it."""
    resolved = Study.load(folder / "study.yaml").resolve()
    return len(dumps(split_corpus(resolved.splitter, resolved.reader.read()).to_json()))


def slope(values: list[int], costs: list[float]) -> float:
    """Of the line through the logarithms."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


if __name__ == "__main__":
    main()
