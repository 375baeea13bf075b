"""Other ways to train many small networks: torch.func, scikit-learn over joblib, the plain loop; and how ours grows.

Microseconds a model-step, all in one run and in turns: ours and joblib on all cores, the loop and torch.func on one
thread, which is faster for them here. scikit-learn's network has no dropout and ReLU for GELU, which is less work.
Growth is the time of ten times the models, or rows, over the time of one; 10 is proportional.

    python benchmarks/fit_peers.py
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _corpus import corpus, folds
from _measure import clock, report, spread
from _published import plain_steps
from joblib import Parallel, delayed
from sklearn.neural_network import MLPRegressor

from heldout.engine import default_workers
from heldout.fit import MLPConfig, TrainJob, train

RECIPE = MLPConfig((20, 64, 64, 1), dropout=0.1, weight_decay=1e-5, epochs=1)
OURS, LOOP, VMAP, SKLEARN = "cached", "loop without DataLoader", "torch.func.vmap", "MLPRegressor over joblib"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps of the loop and of torch.func that are timed")
    options = parser.parse_args()
    jobs = jobs_of(5640, 5)
    work: dict[str, Callable[[], float]] = {
        OURS: lambda: ours(jobs, epochs=2),
        LOOP: lambda: loop(jobs[0], 5 * options.steps),
        VMAP: lambda: vmap(jobs, options.steps),
        SKLEARN: lambda: sklearn(jobs[: 2 * default_workers()]),
    }
    few, many = jobs_of(5640, 1), jobs_of(5640, 10)
    long = [job._replace(X=np.tile(job.X, (10, 1)), y=np.tile(job.y, 10)) for job in few]  # only their number counts
    turns, growth = [], []
    for turn in range(options.turns + 1):
        taken = {name: measure() for name, measure in work.items()}
        base, models, rows = (ours(part, epochs=2) * steps_of(part) for part in (few, many, long))
        if turn:  # the first compiles and fills caches
            turns.append(taken)
            growth.append((models / base, rows / base))
            print({name: round(value, 1) for name, value in taken.items()})
    ratio = {
        f"{OURS} over {peer}": spread([turn[peer] / turn[OURS] for turn in turns]) for peer in (LOOP, VMAP, SKLEARN)
    }
    figures = {name: spread([turn[name] for turn in turns], "us a model-step") for name in work}
    figures["growth: 90 models over 9, 5,640 rows"] = spread([models for models, _ in growth], "times the time")
    figures["growth: 56,400 rows over 5,640, 9 models"] = spread([rows for _, rows in growth], "times the time")
    title = f"{len(jobs)} networks 20-64-64-1, 5,640 rows, batches of 32"
    report("fit_peers", title, ("torch", "scikit-learn", "joblib", "numba"), ratio, figures)


def jobs_of(rows: int, seeds: int) -> list[TrainJob]:
    """One model a seed and held-out clip."""
    return [job for fold in folds(corpus(rows), seeds) for job in fold.jobs]


def steps_of(jobs: list[TrainJob], epochs: int = 1) -> int:
    """Steps of all models together."""
    return epochs * sum(-(-len(job.y) // RECIPE.batch_size) for job in jobs)


def ours(jobs: list[TrainJob], epochs: int) -> float:
    """The cached engine on every core."""

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            list(train(replace(RECIPE, epochs=epochs), jobs, Path(folder), engine="cached"))

    return 1e6 * clock(work)[0] / steps_of(jobs, epochs)


def loop(job: TrainJob, steps: int) -> float:
    """One model after another in PyTorch, one thread, batches by index."""
    timed = plain_steps(replace(RECIPE, epochs=9), job, data_loader=False, max_steps=steps)
    return 1e6 * timed.wall / timed.steps


def sklearn(jobs: list[TrainJob]) -> float:
    """A process a core, one epoch a model."""

    def fit(job: TrainJob) -> None:
        warnings.simplefilter("ignore")  # that one epoch is not convergence
        recipe = {"batch_size": RECIPE.batch_size, "alpha": RECIPE.weight_decay, "learning_rate_init": RECIPE.lr}
        MLPRegressor(hidden_layer_sizes=RECIPE.widths[1:-1], max_iter=1, **recipe).fit(job.X, job.y)

    return 1e6 * clock(lambda: Parallel(default_workers())(delayed(fit)(job) for job in jobs))[0] / steps_of(jobs)


def vmap(jobs: list[TrainJob], steps: int) -> float:
    """All models as one by `vmap` over stacked parameters, as PyTorch's tutorial on model ensembling shows."""
    torch.set_num_threads(1)  # with two, threads of so little work wait for each other most of the time
    nets = [network() for _ in jobs]
    stacked, _ = torch.func.stack_module_state(nets)  # type: ignore[arg-type]
    weights = {name: value.detach().requires_grad_() for name, value in stacked.items()}
    adam = torch.optim.Adam(weights.values(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay)
    skeleton = network().to("meta")
    rows = min(len(job.y) for job in jobs)
    X = torch.from_numpy(np.stack([job.X[:rows] for job in jobs]))
    y = torch.from_numpy(np.stack([job.y[:rows] for job in jobs]))

    def loss(values: Any, batch: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        found = torch.func.functional_call(skeleton, values, (batch,))
        return torch.nn.functional.mse_loss(found.squeeze(-1), target)

    gradient = torch.func.vmap(torch.func.grad(loss), randomness="different")

    def work() -> None:
        order = torch.stack([torch.randperm(rows) for _ in jobs])
        model = torch.arange(len(jobs))[:, None]
        for step in range(steps):
            at = order[:, step * RECIPE.batch_size : (step + 1) * RECIPE.batch_size]
            for name, value in gradient(weights, X[model, at], y[model, at]).items():
                weights[name].grad = value
            adam.step()

    return 1e6 * clock(work)[0] / (steps * len(jobs))


def network() -> torch.nn.Module:
    """The network of the recipe."""
    layers: list[torch.nn.Module] = []
    for inputs, outputs in zip(RECIPE.widths[:-2], RECIPE.widths[1:-1], strict=True):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.GELU(), torch.nn.Dropout(RECIPE.dropout)]
    return torch.nn.Sequential(*layers, torch.nn.Linear(*RECIPE.widths[-2:]))


if __name__ == "__main__":
    main()
