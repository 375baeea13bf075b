"""The cached engine: each core trains one network at a time, out of its own cache, with a Numba kernel.

Threads share the models among them; the kernel holds no lock. State is saved at epoch boundaries, a file a model.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.engine import default_workers
from heldout.fit import streams
from heldout.fit.layout import Layout
from heldout.fit.mlp import Float32, MLPConfig, MLPWeights, TrainJob, initial_weights
from heldout.fit.progress import Checkpoints, ModelState, OnProgress, job_keys, require_finite

_STEPS_PER_CALL = 4096  # tens of milliseconds: long against Python's overhead, short against a wish to stop
_ALIGNMENT = 64


class _Event(NamedTuple):
    """What a worker tells: epochs done, and the weights if the model is finished, or the error that stopped it."""

    job: int
    epochs: int
    weights: MLPWeights | None = None
    error: BaseException | None = None


def train(
    config: MLPConfig, jobs: Sequence[TrainJob], workdir: Path, *, workers: int | None, on_progress: OnProgress
) -> Iterator[tuple[str, MLPWeights]]:
    """Train all jobs, one a core; see ``heldout.fit.train``."""
    batch = _Batch(config, jobs, workdir)
    count = min(workers or default_workers(), len(jobs))
    threads = [threading.Thread(target=batch.work, name=f"fit-{i}", daemon=True) for i in range(count)]
    try:
        for thread in threads:
            thread.start()
        left = len(jobs)
        while left:
            event = batch.events.get()
            if event.error is not None:
                raise event.error
            on_progress(jobs[event.job].name, event.epochs, config.epochs)
            if event.weights is not None:
                yield jobs[event.job].name, event.weights
                batch.forget(event.job)
                left -= 1
    finally:
        batch.stop.set()
        for thread in threads:
            thread.join()


class _Batch:
    """Jobs of one call; threads take them one by one.

    ``events`` is the only way back to the caller. Nothing else is shared but the queue of jobs.
    """

    def __init__(self, config: MLPConfig, jobs: Sequence[TrainJob], workdir: Path) -> None:
        self._config, self._jobs, self._workdir = config, jobs, workdir
        self._layout = Layout(config)
        self._keys = job_keys("cached", config, jobs)
        self._states = Checkpoints(workdir).load(self._keys)
        self.events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self.stop = threading.Event()
        self._todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in sorted(range(len(jobs)), key=lambda index: self._keys[index] not in self._states):
            self._todo.put(index)

    def work(self) -> None:
        """Train jobs until none is left; runs in a thread of its own."""
        while not self.stop.is_set():
            try:
                index = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._train_one(index)
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                self.events.put(_Event(index, 0, error=error))
                return

    def forget(self, index: int) -> None:
        """Remove the stored state of a model that the caller has."""
        Checkpoints(self._workdir).drop(self._file(index))

    def _file(self, index: int) -> str:
        twins = self._keys[:index].count(self._keys[index])
        return f"{self._keys[index][:16]}-{twins}"

    def _train_one(self, index: int) -> None:
        job, config, key = self._jobs[index], self._config, self._keys[index]
        checkpoints = Checkpoints(self._workdir)
        model = _Model(config, self._layout, job, self._states.get(key))
        while model.epoch < config.epochs and not self.stop.is_set():
            if checkpoints.due():
                checkpoints.save(self._file(index), {key: model.state()})
            model.advance()
            require_finite(job, model.arrays)
            if model.epoch < config.epochs:
                self.events.put(_Event(index, model.epoch))
        if model.epoch < config.epochs:  # told to stop
            checkpoints.save(self._file(index), {key: model.state()})
        else:
            weights = MLPWeights.from_flat(model.state().weights, config.widths, config.activation)
            self.events.put(_Event(index, model.epoch, weights))


class _Model:
    """One model in training: its padded arrays, and the epochs that it has done."""

    def __init__(self, config: MLPConfig, layout: Layout, job: TrainJob, state: ModelState | None) -> None:
        self._config, self._layout, self._job = config, layout, job
        self._per_epoch = -(-len(job.y) // config.batch_size)
        self.epoch = 0 if state is None else state.step // self._per_epoch
        self.arrays = _aligned(4, layout.parameters)
        self._scratch = _aligned(1, layout.scratch)[0]
        self.arrays[0] = layout.padded(state.weights if state else initial_weights(config, job.seed).to_flat())
        if state is not None:
            self.arrays[2], self.arrays[3] = layout.padded(state.first), layout.padded(state.second)
        self._X, self._y = np.ascontiguousarray(job.X), np.ascontiguousarray(job.y)

    def advance(self) -> None:
        """Train for some epochs."""
        from heldout.fit.kernel import train_epochs

        count = min(max(1, _STEPS_PER_CALL // self._per_epoch), self._config.epochs - self.epoch)
        orders = np.stack([streams.permutation(self._job.seed, self.epoch + i, len(self._y)) for i in range(count)])
        train_epochs(
            self._X,
            self._y,
            orders,
            self.epoch,
            np.uint64(self._job.seed),
            self._config.batch_size,
            self._layout.layers,
            self.arrays.reshape(-1),
            self._scratch,
            *_recipe(self._config),
        )
        self.epoch += count

    def state(self) -> ModelState:
        """A copy, without the padding."""
        weights, _, first, second = (row[self._layout.places] for row in self.arrays)
        return ModelState(self.epoch * self._per_epoch, weights, first, second)


def _recipe(config: MLPConfig) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The kernel's ``choices`` and ``recipe``."""
    coupled = config.weight_decay if config.optimizer == "adam" else 0.0
    left = 1.0 - config.lr * config.weight_decay if config.optimizer == "adamw" else 1.0
    choices = [("gelu", "relu", "silu").index(config.activation), streams.drop_below(config.dropout)]
    recipe = [float(streams.keep_scale(config.dropout)), config.lr, *config.betas, coupled, left, config.eps]
    return np.array(choices, dtype=np.int64), np.array(recipe, dtype=np.float64)


def _aligned(rows: int, columns: int) -> Float32:
    """Zeros ``[rows, columns]`` that begin at a cache line; so does each row if ``columns`` is a multiple of 16."""
    raw = np.zeros(rows * columns * 4 + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + rows * columns * 4].view(np.float32).reshape(rows, columns)
