"""How a training batch tells where it is, keeps its state, and fails: shared by the engines."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.errors import UnitError
from heldout.evidence import atomic_path, digest, plain_path
from heldout.fit.mlp import Float32, MLPConfig, TrainJob

OnProgress = Callable[[str, int, int], None]

_FORMAT = 1
_SECONDS_BETWEEN = 5.0


class ModelState(NamedTuple):
    """One model in mid-training: steps done, and float32 ``[P]`` each of weights and Adam's two moments.

    The order of the ``P`` numbers is the engine's own.
    """

    step: int
    weights: Float32
    first: Float32
    second: Float32


def job_keys(engine: str, config: MLPConfig, jobs: Sequence[TrainJob]) -> list[str]:
    """What each model is a function of, as a digest: engine, configuration, seed, rows. Its name is not among them."""
    recipe = {"engine": engine, "format": _FORMAT, "config": config.to_dict()}
    rows = {(id(job.X), id(job.y)): job for job in jobs}  # the seeds of a fold share their arrays
    digests = {arrays: _rows_digest(job) for arrays, job in rows.items()}
    return [digest({**recipe, "seed": job.seed, "rows": digests[id(job.X), id(job.y)]}) for job in jobs]


class Checkpoints:
    """Model states in one folder, by key; files are replaced atomically."""

    def __init__(self, folder: Path, *, seconds_between: float = _SECONDS_BETWEEN) -> None:
        self._folder = folder
        self._seconds = seconds_between
        self._last = time.monotonic()

    def load(self, keys: Iterable[str]) -> dict[str, ModelState]:
        """The states of these keys that are there; a damaged file counts as absent (its models train anew)."""
        from safetensors import SafetensorError, safe_open

        wanted, found = set(keys), dict[str, ModelState]()
        for path in sorted(self._folder.glob("*.safetensors")):
            with contextlib.suppress(SafetensorError), safe_open(plain_path(path), framework="numpy") as stored:
                for key in wanted.intersection((stored.metadata() or {}).get("keys", "").split()):
                    weights, first, second = (stored.get_tensor(f"{key}.{part}") for part in ModelState._fields[1:])
                    state = ModelState(int(stored.get_tensor(f"{key}.step")[0]), weights, first, second)
                    if key not in found or found[key].step < state.step:
                        found[key] = state
        return found

    def due(self) -> bool:
        """Whether enough time has passed since the last ``save`` (or the start)."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, name: str, states: Mapping[str, ModelState]) -> None:
        """Replace ``<name>.safetensors`` by these states."""
        from safetensors.numpy import save_file

        tensors: dict[str, NDArray[np.generic]] = {}
        for key, state in states.items():
            tensors[f"{key}.step"] = np.array([state.step], dtype=np.int64)
            for part in ModelState._fields[1:]:
                tensors[f"{key}.{part}"] = np.ascontiguousarray(getattr(state, part))
        with atomic_path(self._folder / f"{name}.safetensors") as partial:
            save_file(tensors, partial, metadata={"keys": " ".join(sorted(states))})
        self._last = time.monotonic()

    def drop(self, name: str) -> None:
        """Remove ``<name>.safetensors`` if it is there."""
        (self._folder / f"{name}.safetensors").unlink(missing_ok=True)


def require_finite(job: TrainJob, *arrays: Float32) -> None:
    """Refuse a model that has run away.

    Raises:
        UnitError: If a number is not finite; names the job.
    """
    if not all(np.isfinite(array).all() for array in arrays):
        raise UnitError(
            "the weights did not stay finite",
            where=job.name,
            hint="lower the learning rate, or standardise features and target",
        )


def _rows_digest(job: TrainJob) -> str:
    sha = hashlib.sha256(repr((job.X.shape, job.y.shape)).encode())
    sha.update(np.ascontiguousarray(job.X).data)
    sha.update(np.ascontiguousarray(job.y).data)
    return sha.hexdigest()
