"""The engines against the plain loop: number by number on shared streams, by statistics on streams of their own."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.fit import MLPConfig, predict

pytest.importorskip("torch")


def distance(ours: Any, theirs: Any) -> float:
    a, b = ours.to_flat(), theirs.to_flat()
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.first_is_fast
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("loss", ["mse", "gaussian_nll"])
@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_a_trajectory_with_dropout_is_the_loops(
    make_jobs: Any, fit: Any, engine: str, activation: Any, loss: Any, optimizer: Any
) -> None:
    """The fast engine would train another recipe than the one declared: masks, short batches, L2, bias correction."""
    config = MLPConfig(
        (20, 64, 64, 2 if loss == "gaussian_nll" else 1),
        activation,
        dropout=0.1,
        epochs=12,
        weight_decay=1e-2,
        optimizer=optimizer,
        loss=loss,
    )
    jobs = make_jobs([130, 97, 64])
    loop, ours = fit(config, jobs, "loop"), fit(config, jobs, engine)
    for name, weights in loop.items():
        assert distance(ours[name], weights) < 2e-5


@pytest.mark.slow
def test_two_hundred_steps_without_dropout_stay_with_the_loop(make_jobs: Any, fit: Any, engine: str) -> None:
    """An error too small for one step's gradient would add up over a training."""
    config = MLPConfig((20, 64, 64, 1), epochs=40, weight_decay=1e-5)
    jobs = make_jobs([160])
    assert distance(fit(config, jobs, engine)["job0"], fit(config, jobs, "loop")["job0"]) < 1e-5


@pytest.mark.slow
def test_held_out_correlation_is_the_loops_within_seed_noise(engine: str, fit: Any) -> None:
    """A verdict by the fast engine would not stand for the published recipe (Welch's t over 8 seeds each)."""
    from scipy import stats

    from heldout.fit.mlp import TrainJob

    published = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/_published.py"))["plain_steps"]

    rng = np.random.default_rng(5)
    X = rng.normal(size=(1800, 20)).astype(np.float32)
    y = (np.tanh(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=1800)).astype(np.float32)
    config = MLPConfig((20, 64, 64, 1), dropout=0.1, epochs=8, weight_decay=1e-5)
    jobs = [TrainJob(f"seed{seed}", X[:1200], y[:1200], seed) for seed in range(8)]

    def correlation(weights: Any) -> float:
        return float(np.corrcoef(predict(weights, X[1200:]), y[1200:])[0, 1])

    ours = [correlation(weights) for weights in fit(config, jobs, engine).values()]
    theirs = [correlation(published(config, job).weights) for job in jobs]
    assert stats.ttest_ind(ours, theirs, equal_var=False).pvalue > 0.001
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.02
