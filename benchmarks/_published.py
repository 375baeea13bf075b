"""The recipe as published: the plain loop with a DataLoader and PyTorch's own random numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch

from heldout.fit.device import one_thread
from heldout.fit.loop import _loss, _network, _optimizer, _weights_of
from heldout.fit.mlp import MLPConfig, MLPWeights, TrainJob


class Timed(NamedTuple):
    """What ``plain_steps`` measured: optimizer steps, wall seconds, seconds of this thread's own time."""

    weights: MLPWeights
    steps: int
    wall: float
    busy: float


def plain_steps(config: MLPConfig, job: TrainJob, *, data_loader: bool = True, max_steps: int | None = None) -> Timed:
    """Train with PyTorch's own first weights, shuffle and dropout.

    Args:
        config: Network and recipe.
        job: Rows and seed.
        data_loader: Read batches from a DataLoader; else index the tensors by a permutation.
        max_steps: Stop early, for measuring.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        net = _network(config, lambda layer: torch.nn.Dropout(config.dropout))
        optimizer, loss_of = _optimizer(config, net), _loss(config)
        batches = _loader_batches if data_loader else _indexed_batches
        steps, wall, busy = 0, time.perf_counter(), time.thread_time()
        for X, y in islice(batches(config, torch.from_numpy(job.X), torch.from_numpy(job.y)), max_steps):
            optimizer.zero_grad()
            loss_of(net(X), y).backward()
            optimizer.step()
            steps += 1
        wall, busy = time.perf_counter() - wall, time.thread_time() - busy
        return Timed(_weights_of(config, net), steps, wall, busy)


def _loader_batches(config: MLPConfig, X: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(X, y), batch_size=config.batch_size, shuffle=True)
    for _ in range(config.epochs):
        yield from loader


def _indexed_batches(
    config: MLPConfig, X: torch.Tensor, y: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for _ in range(config.epochs):
        for rows in torch.randperm(len(y)).split(config.batch_size):
            yield X[rows], y[rows]
