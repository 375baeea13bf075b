"""Jobs and shortcuts that the tests of the engines share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from heldout.fit import MLPConfig, MLPWeights, TrainJob, train

ENGINES = ("cached", "stacked")


def one_job(name: str, n: int, seed: int, columns: int = 20, *, data_seed: int = 0) -> TrainJob:
    """Rows shaped like the main job's: six smooth features, a one-hot block with one live column, two constants."""
    rng = np.random.default_rng([data_seed, n])
    X = rng.normal(size=(n, columns)).astype(np.float32)
    X[:, 6:18] = 0.0
    X[:, 11:12] = 1.0
    y = np.tanh(X[:, 0]) + 0.5 * X[:, 1 % columns] * X[:, 2 % columns] + 0.05 * rng.normal(size=n)
    return TrainJob(name, np.ascontiguousarray(X), y.astype(np.float32), seed)


@pytest.fixture
def make_jobs() -> Callable[..., list[TrainJob]]:
    def make(rows: Sequence[int], columns: int = 20) -> list[TrainJob]:
        return [one_job(f"job{i}", n, seed=i, columns=columns) for i, n in enumerate(rows)]

    return make


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., dict[str, MLPWeights]]:
    """Train in a fresh folder and collect the weights by name."""
    count = iter(range(1000))

    def run(config: MLPConfig, jobs: Sequence[TrainJob], engine: str, **options: object) -> dict[str, MLPWeights]:
        return dict(train(config, jobs, tmp_path / f"work{next(count)}", engine=engine, **options))  # type: ignore[arg-type]

    return run


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that claims bit-identical results; skipped where it is not installed."""
    pytest.importorskip("numba" if request.param == "cached" else "torch")
    return str(request.param)
