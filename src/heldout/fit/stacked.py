"""The stacked engine: many networks in one PyTorch program, one batched matrix product a layer.

All models of a stack are at the same step. Each has its own rows, and so its own number of steps: a model that is
done leaves the stack. Rows that fill up a short batch carry weight zero. Parameters of all models lie in one flat
buffer, which one fused Adam updates. Forward and backward are written out: autograd's bookkeeping costs more than the
products of such small layers.

On the CPU a model's bits do not depend on its stack. Where there is a GPU the same program runs on it; its libraries
choose their kernels by the size of the stack, so that promise does not hold there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from heldout.fit import device, streams
from heldout.fit.mlp import LOG_VARIANCE_FLOOR, Float32, MLPConfig, MLPWeights, TrainJob, initial_weights
from heldout.fit.progress import Checkpoints, ModelState, OnProgress, job_keys, require_finite

if TYPE_CHECKING:
    import torch

_STACK = 64  # more models than this no longer fit in cache
_BLOCK = 32  # steps whose rows are looked up together
_LANES = 32  # PyTorch computes the end of an array, below this, with scalar code that may round otherwise


def train(
    config: MLPConfig, jobs: Sequence[TrainJob], workdir: Path, *, on_progress: OnProgress
) -> Iterator[tuple[str, MLPWeights]]:
    """Train all jobs, stack by stack; see ``heldout.fit.train``."""
    batch = _Batch(config, jobs, workdir, on_progress)
    for members in batch.stacks():
        yield from batch.run(members)
    batch.checkpoints.drop(_NAME)


_NAME = "stacked"


class _Batch:
    """The jobs of one call, what is known of each, and where its state is kept."""

    def __init__(self, config: MLPConfig, jobs: Sequence[TrainJob], workdir: Path, on_progress: OnProgress) -> None:
        self.config, self.jobs, self.on_progress = config, jobs, on_progress
        self.checkpoints = Checkpoints(workdir)
        self.keys = job_keys(f"stacked/{device.name()}", config, jobs)
        self.states = self.checkpoints.load(self.keys)

    def stacks(self) -> list[list[int]]:
        """Numbers of the jobs that train together: equal steps, furthest first."""
        steps = [self.states[key].step if key in self.states else 0 for key in self.keys]
        together = [
            [index for index, at in enumerate(steps) if at == step] for step in sorted(set(steps), reverse=True)
        ]
        return [group[i : i + _STACK] for group in together for i in range(0, len(group), _STACK)]

    def run(self, members: Sequence[int]) -> Iterator[tuple[str, MLPWeights]]:
        """Train one stack to the end."""
        jobs = [self.jobs[index] for index in members]
        stack = _Stack(self.config, jobs, [self._state(index) for index in members])
        keys = [self.keys[index] for index in members]
        while stack.jobs:
            with device.one_thread():
                finished = stack.advance(self.checkpoints.due, self.on_progress)
            if not finished:
                states = stack.states()
                for job, state in zip(stack.jobs, states, strict=True):
                    require_finite(job, *state[1:])
                self.states.update(zip(keys, states, strict=True))
                self.checkpoints.save(_NAME, self.states)
                continue
            states = stack.states()
            for position in finished:
                job = stack.jobs[position]
                require_finite(job, states[position].weights)
                yield (
                    job.name,
                    MLPWeights.from_flat(states[position].weights, self.config.widths, self.config.activation),
                )
            for position in reversed(finished):
                self.states.pop(keys.pop(position), None)
            stack.keep([position for position in range(len(stack.jobs)) if position not in finished])

    def _state(self, index: int) -> ModelState:
        if self.keys[index] in self.states:
            return self.states[self.keys[index]]
        weights = initial_weights(self.config, self.jobs[index].seed).to_flat()
        return ModelState(0, weights, np.zeros_like(weights), np.zeros_like(weights))


class _Stack:
    """Models at one step, as batched tensors.

    Attributes:
        jobs: Those still in training, in the order of the tensors' first dimension.
        step: Steps done by each.
    """

    def __init__(self, config: MLPConfig, jobs: Sequence[TrainJob], states: Sequence[ModelState]) -> None:
        import torch

        self._config, self._device = config, torch.device(device.name())
        self._rows = -(-config.batch_size // _LANES) * _LANES
        self._X = torch.from_numpy(np.concatenate([job.X for job in jobs])).to(self._device)
        self._y = torch.from_numpy(np.concatenate([job.y for job in jobs])).to(self._device)
        self._offsets = np.cumsum([0] + [len(job.y) for job in jobs])[:-1].astype(np.int64)
        self.jobs, self.step = list(jobs), states[0].step
        self._load(states)

    def advance(self, pause: Callable[[], bool], on_progress: OnProgress) -> list[int]:
        """Train until models are done (their positions) or ``pause`` says so (an empty list)."""
        per_epoch = [-(-len(job.y) // self._config.batch_size) for job in self.jobs]
        end = self._config.epochs * min(per_epoch)
        while self.step < end:
            count = min(_BLOCK, end - self.step)
            rows, weights = self._rows_of_block(count)
            for k in range(count):
                self._one_step(rows[k], weights[k])
                self.step += 1
                for job, steps in zip(self.jobs, per_epoch, strict=True):
                    if self.step % steps == 0:
                        on_progress(job.name, self.step // steps, self._config.epochs)
            if self.step < end and pause():
                return []
        return [position for position, steps in enumerate(per_epoch) if self._config.epochs * steps == self.step]

    def states(self) -> list[ModelState]:
        """A copy of each model's state."""
        adam = self._optimizer.state[self._flat]
        parts = [self._models_of(buffer) for buffer in (self._flat.data, adam["exp_avg"], adam["exp_avg_sq"])]
        return [ModelState(self.step, *(part[m] for part in parts)) for m in range(len(self.jobs))]

    def keep(self, positions: Sequence[int]) -> None:
        """Let all but these models leave the stack."""
        states = self.states()
        self.jobs = [self.jobs[position] for position in positions]
        self._offsets = self._offsets[list(positions)]
        if positions:
            self._load([states[position] for position in positions])

    def _load(self, states: Sequence[ModelState]) -> None:
        import torch

        self._flat = torch.nn.Parameter(self._buffer([state.weights for state in states]))
        self._flat.grad = torch.zeros_like(self._flat)
        kind = torch.optim.Adam if self._config.optimizer == "adam" else torch.optim.AdamW
        self._optimizer = kind(
            [self._flat],
            lr=self._config.lr,
            betas=self._config.betas,
            eps=self._config.eps,
            weight_decay=self._config.weight_decay,
            fused=True,
        )
        self._optimizer.state[self._flat] = {
            "step": torch.tensor(float(self.step), device=self._device),
            "exp_avg": self._buffer([state.first for state in states]),
            "exp_avg_sq": self._buffer([state.second for state in states]),
        }
        self._W, self._b = self._views(self._flat.data)
        self._gW, self._gb = self._views(self._flat.grad)

    def _buffer(self, models: Sequence[Float32]) -> torch.Tensor:
        """Flat vectors of models as one buffer: for each layer all ``W``, then all ``b``; zeros up to whole lanes."""
        import torch

        stacked, at, parts = np.stack(models), 0, []
        for inputs, outputs in self._config.layer_shapes():
            for size in (inputs * outputs, outputs):
                parts.append(stacked[:, at : at + size].ravel())
                at += size
        parts.append(np.zeros(-stacked.size % _LANES, dtype=np.float32))
        return torch.from_numpy(np.concatenate(parts)).to(self._device)

    def _models_of(self, buffer: torch.Tensor) -> Float32:
        """The inverse of ``_buffer``: float32 ``[models, P]``."""
        W, b = self._views(buffer)
        parts = [part.flatten(1) for pair in zip(W, b, strict=True) for part in pair]
        together: Float32 = np.concatenate([part.cpu().numpy() for part in parts], axis=1)
        return together

    def _views(self, buffer: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Each layer's ``W`` ``[models, in, out]`` and ``b`` ``[models, 1, out]`` inside the buffer."""
        models, at, W, b = len(self.jobs), 0, [], []
        for inputs, outputs in self._config.layer_shapes():
            W.append(buffer[at : at + models * inputs * outputs].view(models, inputs, outputs))
            at += models * inputs * outputs
            b.append(buffer[at : at + models * outputs].view(models, 1, outputs))
            at += models * outputs
        return W, b

    def _rows_of_block(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Row numbers ``[count, models * rows]`` into all rows, and each row's share of its mean loss, same shape."""
        import torch

        models, batch_size = len(self.jobs), self._config.batch_size
        rows = np.full((count, models, self._rows), -1, dtype=np.int64)
        for m, job in enumerate(self.jobs):
            rows[:, m, :batch_size] = streams.rows_of_steps(job.seed, len(job.y), batch_size, self.step, count)
        real = rows >= 0
        share = (real / np.maximum(real.sum(axis=2, keepdims=True), 1)).astype(np.float32)
        rows = np.where(real, rows, 0) + self._offsets[None, :, None]
        flat = (torch.from_numpy(array.reshape(count, -1)).to(self._device) for array in (rows, share))
        return next(flat), next(flat)

    def _one_step(self, rows: torch.Tensor, share: torch.Tensor) -> None:
        import torch

        models, hidden = len(self.jobs), len(self._W) - 1
        h = self._X.index_select(0, rows).view(models, self._rows, -1)
        y, share = self._y.index_select(0, rows).view(models, -1), share.view(models, -1)
        inputs, sums, masks = [], [], []
        with torch.no_grad():
            for layer in range(hidden):
                inputs.append(h)
                sums.append(torch.baddbmm(self._b[layer], h, self._W[layer]))
                masks.append(self._mask(layer))
                h = _activate(self._config.activation, sums[layer])
                if masks[layer] is not None:
                    h.mul_(masks[layer])
            inputs.append(h)
            d = self._loss_gradient(self._outputs(h), y, share)
            for layer in range(hidden, -1, -1):
                torch.bmm(inputs[layer].transpose(1, 2), d, out=self._gW[layer])
                torch.sum(d, 1, keepdim=True, out=self._gb[layer])
                if layer:
                    by_input = self._W[layer].transpose(1, 2)
                    d = d * by_input if d.shape[2] == 1 else torch.bmm(d, by_input)
                    if masks[layer - 1] is not None:
                        d.mul_(masks[layer - 1])
                    d = _activation_gradient(self._config.activation, d, sums[layer - 1])
        self._optimizer.step()

    def _outputs(self, h: torch.Tensor) -> torch.Tensor:
        """Of the last layer, ``[models, rows, outputs]``.

        As sums: a product with one column is computed in another order when there is one model.
        """
        import torch

        columns = self._W[-1].transpose(1, 2).unsqueeze(2).unbind(1)
        return torch.stack([(h * column).sum(2) for column in columns], dim=2) + self._b[-1]

    def _loss_gradient(self, out: torch.Tensor, y: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Of each model's mean loss with respect to its outputs, ``[models, rows, outputs]``."""
        import torch

        error = out[:, :, 0] - y
        if self._config.loss == "mse":
            return (2.0 * error * share).unsqueeze(2)
        log_variance = out[:, :, 1].clamp(min=LOG_VARIANCE_FLOOR)
        precision = torch.exp(-log_variance)
        above = (out[:, :, 1] >= LOG_VARIANCE_FLOOR).to(out.dtype)
        by_log_variance = 0.5 * (1.0 - error.square() * precision) * above
        return torch.stack([error * precision * share, by_log_variance * share], dim=2)

    def _mask(self, layer: int) -> torch.Tensor | None:
        """Dropout factors ``[models, rows, units]`` of this step: zero, or what keeps the expectation."""
        import torch

        if self._config.dropout == 0.0:
            return None
        units = self._config.widths[layer + 1]
        keys = streams.mask_keys([job.seed for job in self.jobs], self.step, layer)
        shape = len(self.jobs), self._rows, units
        if self._device.type == "cpu":
            kept = streams.keep(keys, self._rows * units, self._config.dropout)
            return torch.from_numpy(kept * streams.keep_scale(self._config.dropout)).view(shape)
        kept_there = device.keep(keys, self._rows * units, self._config.dropout, self._device)
        return (kept_there * float(streams.keep_scale(self._config.dropout))).view(shape)


def _activate(activation: str, z: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    function: Callable[[torch.Tensor], torch.Tensor] = getattr(functional, activation)
    return function(z)


def _activation_gradient(activation: str, d: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    import torch

    if activation == "gelu":
        return torch.ops.aten.gelu_backward(d, z)
    if activation == "silu":
        return torch.ops.aten.silu_backward(d, z)
    return torch.ops.aten.threshold_backward(d, z, 0.0)
