"""Predicting samples so that nothing is lost and nothing is mixed.

Before, during and after a crash there is one invariant: ``predictions.partial.jsonl`` holds rows of one identity, at
most one a sample, and only the parent process writes. A killed run loses the batches that were under way. Started
again, with any number of workers, it predicts what is missing; the rows of all samples, in the order of the samples,
are the same bytes as those of a run that nobody disturbed, if predictions do not depend on their neighbours.

A predictor is named by ``module:function`` and its options, so that every worker makes its own; it sees samples and
never an answer.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from heldout.engine import Done, run_tasks
from heldout.errors import HeldoutError, InputError, PrerequisiteError, RefusedError, UnitError
from heldout.evidence import alone
from heldout.evidence.machine import machine_error
from heldout.predict.identity import Identity
from heldout.predict.partial import PARTIAL_FILE, PartialWriter, read_partial, read_since
from heldout.predict.progress import Progress
from heldout.predict.shards import in_order

_LOCK = ".evaluation.lock"
_LOCK_SECONDS = 10.0


class Sample(NamedTuple):
    """What is predicted.

    Attributes:
        id: Unique.
        group: Its episode, subject, source.
        ref: What the predictor finds it by; plain and picklable, such as an offset into a file.
    """

    id: str
    group: str
    ref: Any


class Predictor(Protocol):
    """What an evaluation drives."""

    def predict(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, Any]]:
        """One row a sample, in their order: plain JSON without ``id``, all numbers finite."""
        ...


class PredictorSpec(NamedTuple):
    """How a worker makes a predictor: a function or class by ``module:name``, and its keyword arguments.

    Its attribute ``batch`` (1 without) is how many samples are predicted at once, and what a kill can cost a worker.
    """

    factory: str
    options: Mapping[str, Any]

    @property
    def batch(self) -> int:
        """Samples that a worker takes at once: the attribute ``batch`` of the function, so that no model is loaded."""
        return max(1, int(getattr(self._function(), "batch", 1)))

    def takes(self, option: str) -> bool:
        """Whether it is made with that keyword argument.

        Raises:
            PrerequisiteError: If there is no such function.
        """
        known = inspect.signature(self._function()).parameters.values()
        return any(one.name == option or one.kind is inspect.Parameter.VAR_KEYWORD for one in known)

    def load(self) -> Predictor:
        """Make it.

        Raises:
            PrerequisiteError: If there is no such function.
        """
        predictor: Predictor = self._function()(**self.options)
        return predictor

    def _function(self) -> Any:
        module, _, name = self.factory.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise PrerequisiteError(
                f"there is no predictor {self.factory!r}: {error}",
                where=self.factory,
                hint="module:function, importable by the workers",
            ) from None


class Finished(NamedTuple):
    """What a session leaves.

    Attributes:
        rows: All rows in the order of the samples; None if some samples failed.
        predicted: Samples that this session predicted.
        failed: Sample ids with the reason.
    """

    rows: list[bytes] | None
    predicted: int
    failed: list[tuple[str, str]]

    def require(self) -> list[bytes]:
        """The rows.

        Raises:
            UnitError: If some samples failed.
        """
        if self.rows is None:
            name, reason = self.failed[0]
            raise UnitError(
                f"{len(self.failed)} samples could not be predicted; the first: {reason}",
                where=name,
                hint="what was predicted is kept; mend the cause and run the command again",
            )
        return self.rows


@dataclass(frozen=True)
class Session:
    """One evaluation, or one shard of it, in one folder.

    Attributes:
        folder: Holds ``predictions.partial.jsonl`` and ``progress.jsonl``.
        identity: What is predicted, by what.
        samples: In order; ids unique.
        facts: Written into the first event of every start.
    """

    folder: Path
    identity: Identity
    samples: Sequence[Sample]
    facts: Mapping[str, Any]

    def run(self, spec: PredictorSpec, *, workers: int = 1) -> Finished:
        """Predict what is missing.

        Args:
            spec: The predictor.
            workers: Processes; 1 predicts in this one.

        Raises:
            InputError: If an id stands twice.
            RefusedError: If the folder holds predictions of something else, or of samples that are not asked.
            StaleError: If another process predicts there.
        """
        expected = [sample.id for sample in self.samples]
        if len(set(expected)) != len(expected):
            raise InputError("a sample id stands twice", where="samples", hint="remove the copies", code="HO-G004")
        with alone(self.folder, "predicts there", lock=_LOCK, wait=_LOCK_SECONDS):
            rows = self._finished(expected)
            missing = [sample for sample in self.samples if sample.id not in rows]
            if not missing:
                return Finished(in_order(rows, expected, {}), 0, [])
            made, failed = self._predict(missing, spec, workers)
            rows |= made
            left = None if failed else in_order(rows, expected, {})
            return Finished(left, len(made), failed)

    def _finished(self, expected: Sequence[str]) -> dict[str, bytes]:
        path = self.folder / PARTIAL_FILE
        rows = read_partial(path, self.identity).rows
        foreign = rows.keys() - set(expected)
        if foreign:
            raise RefusedError(
                f"{len(foreign)} predictions there are of samples that are not asked, such as {min(foreign)}",
                where=str(path),
                hint="go on with the same shard and limit, or choose another folder",
                code="HO-E422",
            )
        return rows

    def _predict(
        self, missing: Sequence[Sample], spec: PredictorSpec, workers: int
    ) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        """Rows that are on disk now and were not before, and what failed."""
        options, batch = json.dumps(spec.options, sort_keys=True), spec.batch
        chunks = [missing[start : start + batch] for start in range(0, len(missing), batch)]
        done = len(self.samples) - len(missing)
        failed: list[tuple[str, str]] = []
        path = self.folder / PARTIAL_FILE
        with (
            closing(PartialWriter(path, self.identity)) as partial,
            Progress(self.folder, len(self.samples), done) as progress,
        ):
            before = path.stat().st_size
            start = {"num_eval_samples": len(self.samples), "completed_before_start": done, "resume": done > 0}
            progress.say("eval_start", **self.facts, **start, workers=workers, key=self.identity.key)
            tasks = [_Task(spec.factory, options, chunk) for chunk in chunks]
            with closing(run_tasks(_answer, tasks, workers=workers)) as results:
                for answer in _answers(results):
                    failed += _take(answer, partial, progress)
            progress.say("eval_complete" if not failed else "eval_failed", completed_samples=progress.done)
        return read_since(path, self.identity, before), failed


def _take(answer: _Answer, partial: PartialWriter, progress: Progress) -> list[tuple[str, str]]:
    """Write down what a worker answered; return what is no row, with the reason."""
    failed = []
    for sample, row in zip(answer.samples, answer.rows, strict=True):
        problem = row if isinstance(row, str) else _written(partial, {**row, "id": sample.id})
        if problem is not None:
            failed.append((sample.id, problem))
            progress.say("sample_error", sample_id=sample.id, episode_id=sample.group, error=problem)
    if len(failed) < len(answer.samples):
        last = answer.samples[-1]
        progress.predicted(len(answer.samples) - len(failed), last.id, last.group, answer.seconds)
    return failed


class _Task(NamedTuple):
    factory: str
    options: str
    samples: Sequence[Sample]


class _Answer(NamedTuple):
    samples: Sequence[Sample]
    rows: list[Mapping[str, Any] | str]  # a text says why there is no row
    seconds: float


def _answers(results: Iterator[Done]) -> Iterator[_Answer]:
    for result in results:
        if result.error is not None:
            raise result.error
        assert isinstance(result.result, _Answer)
        yield result.result


def _answer(task: _Task) -> _Answer:
    """What a worker does: predict a batch; if that fails, each sample by itself, so that one costs only itself."""
    predictor = _predictor(task.factory, task.options)
    started = time.perf_counter()
    try:
        rows: list[Mapping[str, Any] | str] = list(predictor.predict(task.samples))
        if len(rows) != len(task.samples):
            raise ValueError(f"{len(rows)} rows for {len(task.samples)} samples")
    except Exception as error:
        refused = machine_error(error)
        if refused is not None:
            raise refused from error
        if len(task.samples) == 1:
            rows = [_reason(error)]
        else:
            rows = [_answer(task._replace(samples=[sample])).rows[0] for sample in task.samples]
    return _Answer(task.samples, rows, time.perf_counter() - started)


def _written(partial: PartialWriter, row: Mapping[str, Any]) -> str | None:
    """Write a row down, or say why it cannot be one."""
    try:
        partial.append(row)
    except (TypeError, ValueError) as error:
        return f"the row is no strict JSON: {error}"
    return None


def _reason(error: Exception) -> str:
    return error.what if isinstance(error, HeldoutError) else f"{type(error).__name__}: {error}"


@functools.lru_cache(maxsize=1)
def _predictor(factory: str, options: str) -> Predictor:
    """The predictor of this process: made once."""
    return PredictorSpec(factory, json.loads(options)).load()
