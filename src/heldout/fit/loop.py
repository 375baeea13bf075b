"""The plain loop: one model at a time in PyTorch, as anyone would write it.

It is the reference that the engines must agree with: it draws its permutations and masks from ``streams``, so that a
trajectory can be compared number by number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heldout.fit import streams
from heldout.fit.device import one_thread
from heldout.fit.mlp import LOG_VARIANCE_FLOOR, Layer, MLPConfig, MLPWeights, TrainJob, initial_weights
from heldout.fit.progress import OnProgress, require_finite

if TYPE_CHECKING:
    import torch


def train(
    config: MLPConfig, jobs: Sequence[TrainJob], workdir: Path, *, on_progress: OnProgress
) -> Iterator[tuple[str, MLPWeights]]:
    """Train one model after another with the shared streams. A killed batch repeats the model in flight."""
    for job in jobs:
        with one_thread():
            weights = _train_one(config, job, on_progress)
        require_finite(job, weights.to_flat())
        yield job.name, weights


def _train_one(config: MLPConfig, job: TrainJob, on_progress: OnProgress) -> MLPWeights:
    import torch

    dropouts = _StreamedDropout.family(config, job.seed)
    net = _network(config, lambda layer: dropouts[layer])
    _set_weights(net, initial_weights(config, job.seed))
    optimizer, loss_of = _optimizer(config, net), _loss(config)
    X, y = torch.from_numpy(job.X), torch.from_numpy(job.y)
    step = 0
    for epoch in range(config.epochs):
        order = torch.from_numpy(streams.permutation(job.seed, epoch, len(y)))
        for rows in order.split(config.batch_size):
            for dropout in dropouts:
                dropout.step = step
            optimizer.zero_grad()
            loss_of(net(X[rows]), y[rows]).backward()
            optimizer.step()
            step += 1
        on_progress(job.name, epoch + 1, config.epochs)
    return _weights_of(config, net)


class _StreamedDropout:
    """Dropout whose mask is the stream's; stands in a Sequential through ``module``."""

    def __init__(self, config: MLPConfig, seed: int, layer: int) -> None:
        self.step = 0
        self._config, self._seed, self._layer = config, seed, layer

    @classmethod
    def family(cls, config: MLPConfig, seed: int) -> list[_StreamedDropout]:
        return [cls(config, seed, layer) for layer in range(len(config.widths) - 2)]

    def __call__(self, h: torch.Tensor) -> torch.Tensor:
        import torch

        if self._config.dropout == 0.0:
            return h
        kept = streams.keep(
            streams.mask_keys([self._seed], self.step, self._layer), h.numel(), self._config.dropout
        ).reshape(h.shape)
        return h * torch.from_numpy(kept * streams.keep_scale(self._config.dropout))


def _network(
    config: MLPConfig, dropout: Callable[[int], Callable[[torch.Tensor], torch.Tensor]]
) -> torch.nn.Sequential:
    import torch

    class Call(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
            super().__init__()
            self.function = function

        def forward(self, h: torch.Tensor) -> torch.Tensor:
            return self.function(h)

    activation = {"gelu": torch.nn.GELU, "relu": torch.nn.ReLU, "silu": torch.nn.SiLU}[config.activation]
    parts: list[torch.nn.Module] = []
    for layer, (inputs, outputs) in enumerate(config.layer_shapes()):
        parts.append(torch.nn.Linear(inputs, outputs))
        if layer < len(config.widths) - 2:
            drop = dropout(layer)
            parts += [activation(), drop if isinstance(drop, torch.nn.Module) else Call(drop)]
    return torch.nn.Sequential(*parts)


def _optimizer(config: MLPConfig, net: torch.nn.Module) -> torch.optim.Optimizer:
    import torch

    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(net.parameters(), lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay)


def _loss(config: MLPConfig) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    import torch

    if config.loss == "mse":
        return lambda out, y: torch.nn.functional.mse_loss(out.squeeze(-1), y)

    def gaussian_nll(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        log_variance = out[:, 1].clamp(min=LOG_VARIANCE_FLOOR)
        return (0.5 * (log_variance + (y - out[:, 0]) ** 2 * torch.exp(-log_variance))).mean()

    return gaussian_nll


def _set_weights(net: torch.nn.Sequential, weights: MLPWeights) -> None:
    import torch

    linears = [part for part in net if isinstance(part, torch.nn.Linear)]
    with torch.no_grad():
        for linear, layer in zip(linears, weights.layers, strict=True):
            linear.weight.copy_(torch.from_numpy(layer.W.T.copy()))
            linear.bias.copy_(torch.from_numpy(layer.b))


def _weights_of(config: MLPConfig, net: torch.nn.Sequential) -> MLPWeights:
    import torch

    linears = [part for part in net if isinstance(part, torch.nn.Linear)]
    layers = tuple(Layer(part.weight.detach().numpy().T.copy(), part.bias.detach().numpy().copy()) for part in linears)
    return MLPWeights(layers, config.activation)
