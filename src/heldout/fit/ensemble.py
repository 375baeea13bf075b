"""The one entry point: many small dense networks, each yielded as soon as it is trained."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NoReturn, get_args

import numpy as np

from heldout.errors import InputError, PrerequisiteError
from heldout.fit.mlp import MLPConfig, MLPWeights, TrainJob
from heldout.fit.progress import OnProgress

Engine = Literal["auto", "cached", "stacked", "loop"]


def train(
    config: MLPConfig,
    jobs: Sequence[TrainJob],
    workdir: Path,
    *,
    engine: Engine = "auto",
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[str, MLPWeights]]:
    """Train every job and yield ``(name, weights)`` as each is finished, in no promised order.

    A model is a function of the configuration, its own rows and its seed, for a given engine: chunks, workers and
    resume change no bit of it. Ask for the next model only when this one is safely stored: from then on ``workdir``
    may forget it. A batch that was killed goes on from ``workdir``; jobs that are done by then may be left out.

    Args:
        config: Network and recipe.
        jobs: What to train; names are unique.
        workdir: Folder of intermediate state, made if needed.
        engine: ``cached`` (Numba, one model a core), ``stacked`` (PyTorch, all models in one program, CUDA where there
            is one), ``loop`` (plain PyTorch, one model at a time). ``auto`` takes the fastest that is installed.
        workers: Cores that ``cached`` may use; None takes those of this process. The other engines use one.
        on_progress: Called with (name, epochs done, epochs).

    Raises:
        InputError: If the arrays of a job are not what the configuration needs, or not finite.
        UnitError: If weights do not stay finite; it names the job.
        PrerequisiteError: If the engine that was asked for is not installed.
    """
    _check(config, jobs)
    if workers is not None and workers < 1:
        raise InputError("workers must be 1 or more", where="workers", hint="leave it out to use every core")
    chosen = resolve_engine(engine)
    notify = on_progress or (lambda name, done, total: None)
    if chosen == "cached":
        from heldout.fit import cached

        return cached.train(config, jobs, workdir, workers=workers, on_progress=notify)
    if chosen == "stacked":
        from heldout.fit import stacked

        return stacked.train(config, jobs, workdir, on_progress=notify)
    from heldout.fit import loop

    return loop.train(config, jobs, workdir, on_progress=notify)


def resolve_engine(engine: Engine = "auto") -> Literal["cached", "stacked", "loop"]:
    """The engine that will run: ``auto`` is ``cached`` where Numba is installed, else ``stacked``.

    Raises:
        InputError: If there is no such engine.
        PrerequisiteError: If it is not installed.
    """
    if engine not in get_args(Engine):
        raise InputError(f"no engine {engine!r}", where="engine", hint=f"one of {', '.join(get_args(Engine))}")
    if engine == "auto":
        return "cached" if _imports("numba") else "stacked" if _imports("torch") else _missing("stacked", "torch")
    needs = "numba" if engine == "cached" else "torch"
    return engine if _imports(needs) else _missing(engine, needs)


def _imports(module: str) -> bool:
    """Whether it is installed and runs here: Numba refuses a numpy that is newer than itself."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _missing(engine: str, module: str) -> NoReturn:
    raise PrerequisiteError(
        f"the engine {engine} needs {module}, which is not installed", where=engine, hint=f"pip install {module}"
    )


def _check(config: MLPConfig, jobs: Sequence[TrainJob]) -> None:
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError("two jobs have one name", where=twice, hint="give each job a name of its own")
    for job in jobs:
        _check_arrays(config, job)
        if not 0 <= job.seed < 1 << 63:
            raise InputError(f"the seed {job.seed} is not in 0 .. 2**63 - 1", where=job.name, hint="choose another")


def _check_arrays(config: MLPConfig, job: TrainJob) -> None:
    X, y = job.X, job.y
    if X.dtype != np.float32 or y.dtype != np.float32:
        raise _bad_job(job, f"X is {X.dtype} and y is {y.dtype}, not float32", "convert with astype(np.float32)")
    if X.ndim != 2 or X.shape[1] != config.widths[0] or y.shape != X.shape[:1]:
        shapes = f"X has shape {list(X.shape)} and y {list(y.shape)}"
        raise _bad_job(job, f"{shapes}, not [n, {config.widths[0]}] and [n]", "check the columns")
    if X.shape[0] == 0:
        raise _bad_job(job, "there are no rows", "a fold needs at least one training row")
    for what, array in (("X", X), ("y", y)):
        finite = np.isfinite(array)
        if not finite.all():
            bad = np.argwhere(~finite)[0]
            at = ", ".join(str(int(i)) for i in bad)
            raise _bad_job(job, f"{what}[{at}] is {array[tuple(bad)]}", "remove or impute non-finite values")


def _bad_job(job: TrainJob, what: str, hint: str) -> InputError:
    return InputError(what, where=job.name, hint=hint)
