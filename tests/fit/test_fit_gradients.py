"""Each engine's gradient against autograd in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.fit import MLPConfig, MLPWeights, TrainJob, initial_weights, streams
from heldout.fit.progress import ModelState

torch = pytest.importorskip("torch")
SHAPES = [(20, 64, 64, 1), (20, 1), (20, 7, 1), (20, 80, 33, 17, 1)]


def true_gradient(config: MLPConfig, job: TrainJob) -> Any:
    """Gradient of the first step's loss by autograd in float64, in the order of ``to_flat``."""
    weights = initial_weights(config, job.seed)
    leaves = [[torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in one] for one in weights.layers]
    rows = streams.permutation(job.seed, 0, len(job.y))[: config.batch_size]
    h, y = torch.from_numpy(job.X[rows]).double(), torch.from_numpy(job.y[rows]).double()
    for layer, (W, b) in enumerate(leaves):
        h = h @ W + b
        if layer < len(leaves) - 1:
            h = getattr(torch.nn.functional, config.activation)(h)
            kept = streams.keep(streams.mask_keys([job.seed], 0, layer), h.numel(), config.dropout).reshape(h.shape)
            h = h * torch.from_numpy(kept / (1.0 - config.dropout))
    if config.loss == "mse":
        loss = ((h[:, 0] - y) ** 2).mean()
    else:
        log_variance = h[:, 1].clamp(min=-6.0)
        loss = (0.5 * (log_variance + (y - h[:, 0]) ** 2 / log_variance.exp())).mean()
    loss.backward()
    return np.concatenate([part.grad.numpy().ravel() for one in leaves for part in one])


def stacked_gradient(config: MLPConfig, job: TrainJob) -> Any:
    from heldout.fit import stacked

    weights = initial_weights(config, job.seed).to_flat()
    stack = stacked._Stack(config, [job], [ModelState(0, weights, 0 * weights, 0 * weights)])
    stack.advance(lambda: False, lambda *_: None)
    return stack._models_of(stack._flat.grad)[0]


def cached_gradient(config: MLPConfig, job: TrainJob) -> Any:
    pytest.importorskip("numba")
    from heldout.fit import cached
    from heldout.fit.layout import Layout

    model = cached._Model(config, Layout(config), job, None)
    model.advance()
    return model.arrays[1][model._layout.places]


@pytest.mark.parametrize("gradient", [stacked_gradient, cached_gradient])
@pytest.mark.parametrize("loss", ["mse", "gaussian_nll"])
@pytest.mark.parametrize("activation", ["gelu", "relu", "silu"])
@pytest.mark.parametrize("widths", SHAPES, ids=str)
@pytest.mark.parametrize("rows", [1, 27, 32])
def test_the_gradient_is_the_derivative(
    make_jobs: Any, gradient: Any, widths: tuple[int, ...], activation: Any, loss: Any, rows: int
) -> None:
    """Training would descend something else than the declared loss."""
    outputs = (2,) if loss == "gaussian_nll" else (1,)
    config = MLPConfig(widths[:-1] + outputs, activation, dropout=0.2, epochs=1, loss=loss)
    job = make_jobs([rows])[0]
    true, ours = true_gradient(config, job), gradient(config, job)
    assert np.linalg.norm(ours - true) < 1e-6 * np.linalg.norm(true)


def test_the_floor_of_the_log_variance_stops_its_gradient(make_jobs: Any, tmp_path: Path) -> None:
    """A network sure of itself would be pushed further and further below the floor."""
    config = MLPConfig((20, 8, 2), epochs=1, loss="gaussian_nll")
    job = make_jobs([16])[0]
    low = MLPWeights.from_flat(initial_weights(config, job.seed).to_flat(), config.widths, "gelu")
    low.layers[-1].b[1] = -50.0
    state = ModelState(0, low.to_flat(), 0 * low.to_flat(), 0 * low.to_flat())
    from heldout.fit import stacked

    stack = stacked._Stack(config, [job], [state])
    stack.advance(lambda: False, lambda *_: None)
    assert 0.0 == float(stack._gb[-1][0, 0, 1])
    pytest.importorskip("numba")
    from heldout.fit import cached
    from heldout.fit.layout import Layout

    model = cached._Model(config, Layout(config), job, state)
    model.advance()
    assert 0.0 == float(model.arrays[1][model._layout.places][-1])
