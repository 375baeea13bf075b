"""How does the time of the CPU engine grow with rows, folds, seeds and width? The slope on a log-log scale, and a plot.

Every point trains whole models for ten epochs on all cores, several turns; the slope of each turn is that of a straight
line through the logarithms. 1 is proportional. A width has its square of weights, so 2 is proportional there.

    python benchmarks/fit_growth.py
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from _corpus import corpus, folds
from _measure import clock, report, spread

from heldout.fit import MLPConfig, TrainJob, train

mpl.use("svg")
RECIPE = MLPConfig((20, 64, 64, 1), dropout=0.1, weight_decay=1e-5, epochs=10)
PLOT = Path(__file__).parent / "results" / "fit_growth.svg"


class Point(NamedTuple):
    """What is trained, and where it stands on its axis."""

    value: int
    jobs: Sequence[TrainJob]
    recipe: MLPConfig = RECIPE


def main() -> None:
    """Measure, draw, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    swept = axes()
    turns = [
        {axis: [seconds(point) for point in points] for axis, points in swept.items()} for _ in range(-1, options.turns)
    ]
    taken = {axis: np.array([turn[axis] for turn in turns[1:]]) for axis in swept}  # the first turn compiles
    slopes = {axis: [slope(points, times) for times in taken[axis]] for axis, points in swept.items()}
    ratio = {f"slope over {axis}": spread(each) for axis, each in slopes.items()}
    figures = {
        f"{axis} {points[0].value:,} to {points[-1].value:,}": spread(
            list(taken[axis][:, -1] / taken[axis][:, 0]), "times"
        )
        for axis, points in swept.items()
    }
    draw(swept, taken)
    report("fit_growth", "time against rows, folds, seeds and width", ("numba", "numpy"), ratio, figures)


def axes() -> dict[str, list[Point]]:
    """Along each axis the same job, two, four and eight times as large."""
    one = [job for fold in folds(corpus(5640), 1) for job in fold.jobs]
    return {
        "rows": [Point(len(one[0].y) * k, [_longer(job, k) for job in one[:4]]) for k in (1, 2, 4, 8)],
        "folds": [Point(k, [job for fold in folds(corpus(5640), 2)[:k] for job in fold.jobs]) for k in (1, 2, 4, 8)],
        "seeds": [Point(k, [job for fold in folds(corpus(5640), k)[:2] for job in fold.jobs]) for k in (1, 2, 4, 8)],
        "width": [Point(w, one[:4], replace(RECIPE, widths=(20, w, w, 1))) for w in (32, 64, 128, 256)],
    }


def seconds(point: Point) -> float:
    """Of the clock, for all models of a point."""

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            list(train(point.recipe, list(point.jobs), Path(folder), engine="cached"))

    return clock(work)[0]


def slope(points: Sequence[Point], times: Sequence[float]) -> float:
    """Of the line through the logarithms."""
    return float(np.polyfit(np.log([point.value for point in points]), np.log(times), 1)[0])


def draw(swept: Mapping[str, Sequence[Point]], taken: Mapping[str, np.ndarray]) -> None:
    """Medians on a log-log scale, the range over the turns, and the slope."""
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "heldout", "font.size": 9})
    figure, panels = plt.subplots(1, len(swept), figsize=(11, 2.8), constrained_layout=True)
    for axes_, (axis, points) in zip(panels, swept.items(), strict=True):
        values, times = [point.value for point in points], taken[axis]
        middle = np.median(times, axis=0)
        axes_.errorbar(values, middle, [middle - times.min(0), times.max(0) - middle], marker="o", capsize=3)
        axes_.set(xscale="log", yscale="log", xlabel=axis, title=f"slope {slope(points, list(middle)):.2f}")
        axes_.set_xticks(values, [f"{value:,}" for value in values])
        axes_.minorticks_off()
    panels[0].set_ylabel("seconds")
    figure.savefig(PLOT, metadata={"Date": None})


def _longer(job: TrainJob, times: int) -> TrainJob:
    return job._replace(X=np.tile(job.X, (times, 1)), y=np.tile(job.y, times))  # only their number counts


if __name__ == "__main__":
    main()
