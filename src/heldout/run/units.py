"""A unit of work: one seed on one fold. The same key gives the same predictions, anywhere.

A unit's folder holds the model, its predictions of the held-out rows, and last of all ``unit.json``, which names both
by digest. A unit without a ``unit.json`` that fits its key, its packages and its files does not exist: it is fitted
again.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import Backbone, ClassScores, FeaturesView, FitJob, FloatArray, TrainView
from heldout.backbone.code import Code, code_of
from heldout.corpus import Corpus, Reader, Task
from heldout.documents.names import UNIT_FILE, UNIT_PREDICTIONS
from heldout.errors import CorpusError, HeldoutError, UnitError
from heldout.evidence import atomic_path, digest, plain_path, read_json, sha256_file, write_json
from heldout.run.apart.foreign import Apart
from heldout.run.contender import Contender
from heldout.run.environment import difference, environment
from heldout.split import Fold
from heldout.task.probabilities import why_not_probabilities

SCHEMA = "heldout.unit/2"
OLDER = "heldout.unit/1"  # whose keys hold the names of all training groups
PREDICTIONS = UNIT_PREDICTIONS


@dataclass(frozen=True)
class Unit:
    """What to fit and where to put it.

    Attributes:
        contender: Id of the variant or baseline.
        seed: Declared seed.
        fold: Groups that are held out, and by that which train.
        key: Digest of everything that is asked for: backbone, parameters, corpus, fold, seed, code.
        folder: Where model, predictions and ``unit.json`` go.
        packages: Versions of what it is fitted with, besides our own sources.
        code: What fits it.
    """

    contender: str
    seed: int
    fold: Fold
    key: str
    folder: Path
    packages: Mapping[str, str] = field(default_factory=dict)
    code: Code = field(default_factory=lambda: Code(""))

    @property
    def name(self) -> str:
        """For messages and progress."""
        return f"{self.contender}/seed{self.seed}/{self.fold.id}"


@dataclass(frozen=True)
class UnitTask:
    """A unit with all that a worker process needs to fit it."""

    unit: Unit
    reader: Reader
    backbone: Backbone
    corpus_sha256: str


def make_unit(
    contender: Contender, seed: int, fold: Fold, corpus: Corpus, corpus_options: Any, folder: Path, code: Code
) -> Unit:
    """Describe a unit and compute its key."""
    key = digest(
        {
            "schema": SCHEMA,
            "backbone": contender.backbone.name,
            "fit": contender.fit,
            "corpus": {"sha256": corpus.manifest.sha256, "options": corpus_options},
            "seed": seed,
            "fold": fold.to_json(),
            "code": code.sha256,
        }
    )
    return Unit(contender.id, seed, fold, key, folder, environment(contender.backbone), code)


def stream_seed(seed: int, fold: str) -> int:
    """Seed of the one random stream of (seed, fold), in 0 .. 2**32 - 1. No two folds share a stream."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x00{fold}".encode()).digest()[:4], "big")


def train_view(corpus: Corpus, fold: Fold) -> TrainView:
    """The rows of a fold's training groups, copied out of the corpus: the held-out rows are not in it."""
    validation = group_view(corpus, corpus.rows_of(fold.val)) if fold.val else None
    return replace(group_view(corpus, corpus.rows_but(fold.apart)), validation=validation)


def group_view(corpus: Corpus, rows: NDArray[np.int64]) -> TrainView:
    """Rows to learn from, copied out of the corpus."""
    target = corpus.target[rows]
    return TrainView(
        features=corpus.features[rows],
        # Text is as wide as the longest label at hand: the width of a held-out one must not show.
        target=target if corpus.task == "regression" else np.array(target.tolist(), dtype=str),
        groups=corpus.groups.gather(rows).to_numpy().astype(str),
        task=corpus.task,
    )


def test_view(corpus: Corpus, fold: Fold) -> FeaturesView:
    """Features of a fold's held-out rows, without targets."""
    return FeaturesView(corpus.features[corpus.rows_of(fold.test)])


def fit_job(unit: Unit, corpus: Corpus) -> FitJob:
    """The job that a backbone's ``fit_many`` takes."""
    name = f"seed{unit.seed}/{unit.folder.name}"
    return FitJob(name, train_view(corpus, unit.fold), stream_seed(unit.seed, unit.fold.id))


def fit_unit(task: UnitTask) -> str:
    """Fit, predict and store one unit; runs in a worker process."""
    corpus = cached_corpus(task.reader)
    _refuse_other_world(task, corpus)
    started = time.monotonic()
    job = fit_job(task.unit, corpus)
    scratch = task.unit.folder / "scratch"
    model = task.backbone.fit(job.view, job.seed, scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    store_unit(task.unit, task.backbone, model, corpus, started)
    return task.unit.name


def fit_foreign(task: UnitTask, apart: Apart, corpus: Corpus) -> str:
    """Have one unit fitted in a shut-in process and its stored model asked in another, and store what that answers."""
    _refuse_other_world(task, corpus)
    unit, started = task.unit, time.monotonic()
    unit.folder.mkdir(parents=True, exist_ok=True)
    (unit.folder / UNIT_FILE).unlink(missing_ok=True)
    apart.fit(fit_job(unit, corpus), unit.folder)
    view = test_view(corpus, unit.fold)
    answer = apart.ask(unit.folder, view)
    _complete(unit, task.backbone, answer.predicted, corpus, started, answer.warnings)
    return unit.name


def _refuse_other_world(task: UnitTask, corpus: Corpus) -> None:
    """Corpus, packages and code may change while a run goes on; what is fitted then is of another run.

    Raises:
        HeldoutError: If one of them did.
    """
    if corpus.manifest.sha256 != task.corpus_sha256:
        raise CorpusError(
            "the corpus changed during the run", where=str(task.reader.options.path), hint="run the study again"
        )
    found = environment(task.backbone)
    if found != dict(task.unit.packages):
        raise UnitError(
            f"packages changed during the run: {difference(task.unit.packages, found)}",
            where=task.unit.name,
            hint="run the study again: what was fitted with the old versions is fitted anew",
        )
    refuse_other_code(task)


def refuse_other_code(task: UnitTask) -> None:
    """The user's own code may be edited while a run goes on; a run of two codes would be one that nobody wrote.

    Raises:
        UnitError: If it was.
    """
    if not task.unit.code.user:
        return
    now = code_of(task.backbone, type(task.reader)).user
    edited = sorted(name for name in {*now, *task.unit.code.user} if now.get(name) != task.unit.code.user.get(name))
    if edited:
        raise UnitError(
            f"the code changed during the run: {', '.join(edited)}",
            where=task.unit.name,
            hint="run the study again: what was fitted with the old code is fitted anew",
        )


def store_unit(unit: Unit, backbone: Backbone, model: Any, corpus: Corpus, started: float) -> None:
    """Save the model and its predictions of the held-out rows; ``unit.json`` goes last and makes them count."""
    view = test_view(corpus, unit.fold)
    predicted = backbone.predict(model, view)
    _checked(predicted, corpus.task, view.features.height, unit, backbone)
    unit.folder.mkdir(parents=True, exist_ok=True)
    (unit.folder / UNIT_FILE).unlink(missing_ok=True)
    backbone.save(model, unit.folder)
    _complete(unit, backbone, predicted, corpus, started, backbone.warnings(view, model))


def _complete(
    unit: Unit,
    backbone: Backbone,
    predicted: FloatArray | ClassScores,
    corpus: Corpus,
    started: float,
    warnings: Sequence[str],
) -> None:
    """Write predictions and, last of all, ``unit.json`` beside a model that is there."""
    rows = len(corpus.rows_of(unit.fold.test))
    values = _checked(predicted, corpus.task, rows, unit, backbone)
    _write_predictions(unit.folder / PREDICTIONS, values)
    saved = [path.relative_to(unit.folder).as_posix() for path in unit.folder.rglob("*") if path.is_file()]
    names = sorted({PREDICTIONS, *backbone.contract.files, *saved} - {UNIT_FILE})
    write_json(
        unit.folder / UNIT_FILE,
        {
            "schema": SCHEMA,
            "key": unit.key,
            "packages": dict(unit.packages),
            "code": unit.code.to_json(),
            "contender": unit.contender,
            "seed": unit.seed,
            "fold": unit.fold.id,
            "n_train": corpus.manifest.rows - len(corpus.rows_of(unit.fold.apart)),
            "n_test": rows,
            "classes": list(predicted.classes) if isinstance(predicted, ClassScores) else [],
            "files": {name: sha256_file(unit.folder / name) for name in names},
            "warnings": list(warnings),
            "wall_time_s": round(time.monotonic() - started, 3),
        },
    )


def why_not_finished(unit: Unit) -> str | None:
    """None if the unit is there, whole, of this key and of these packages; else the reason to fit it (again)."""
    path = unit.folder / UNIT_FILE
    if not path.exists():
        return "not fitted yet"
    try:
        document = read_json(path)
        if document["key"] != unit.key:
            return "fitted for another corpus, configuration or code"
        if document["packages"] != dict(unit.packages):
            return f"fitted with {difference(document['packages'], unit.packages)}"
        for name, sha256 in document["files"].items():
            if not (unit.folder / name).is_file() or sha256_file(unit.folder / name) != sha256:
                return f"{name} is not the file that unit.json names"
    except (HeldoutError, KeyError, TypeError, AttributeError):
        return "unit.json is damaged"
    return None


def read_unit(unit: Unit) -> tuple[dict[str, Any], FloatArray]:
    """The document and the predictions of a finished unit."""
    from safetensors.numpy import load_file

    document: dict[str, Any] = read_json(unit.folder / UNIT_FILE)
    values = load_file(plain_path(unit.folder / PREDICTIONS))["prediction"].astype(np.float64)
    wrong = why_not_probabilities(values, document["classes"]) if document["classes"] else None
    if wrong is not None:
        hint = "remove that folder and run the study again"
        raise CorpusError(f"these are no probabilities: {wrong}", where=str(unit.folder / PREDICTIONS), hint=hint)
    return document, values


def cached_corpus(reader: Reader) -> Corpus:
    """The reader's corpus, read once a process unless its file changes."""
    path = reader.options.path
    stamp = (path.stat().st_mtime_ns, path.stat().st_size, path.stat().st_ino) if path.exists() else None
    return _cached(type(reader), reader.options.model_dump_json(), stamp)


@functools.lru_cache(maxsize=1)
def _cached(cls: type[Reader], options: str, stamp: object) -> Corpus:
    return cls(cls.Options.model_validate_json(options)).read()


def _write_predictions(path: Path, values: FloatArray) -> None:
    from safetensors.numpy import save_file

    with atomic_path(path) as partial:
        save_file({"prediction": np.ascontiguousarray(values)}, partial)


def _checked(predicted: FloatArray | ClassScores, task: Task, rows: int, unit: Unit, backbone: Backbone) -> FloatArray:
    """What a model answered: a number a row, or probabilities that are some.

    Raises:
        UnitError: If it is anything else; nothing could be judged by it.
    """
    estimator = getattr(backbone.params, "estimator", backbone.name)
    try:
        given = predicted.probability if isinstance(predicted, ClassScores) else predicted
        values: FloatArray = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise _no_answer(f"{estimator} answered something that is no number", unit) from None
    if isinstance(predicted, ClassScores) != (task == "classification"):
        what = "probabilities for a regression" if task == "regression" else "numbers and no probabilities"
        raise _no_answer(f"{estimator} answered {what}", unit)
    if len(np.atleast_1d(values)) != rows:
        raise _no_answer(f"{estimator} answered {len(np.atleast_1d(values))} predictions for {rows} rows", unit)
    if not isinstance(predicted, ClassScores) and values.ndim != 1:
        raise _no_answer(f"{estimator} answered {values.ndim} dimensions: one number a row is needed", unit)
    wrong = why_not_probabilities(values, predicted.classes) if isinstance(predicted, ClassScores) else None
    if wrong is not None:
        raise _no_answer(f"{estimator} answered what are no probabilities: {wrong}", unit)
    return values


def _no_answer(what: str, unit: Unit) -> UnitError:
    hint = "`predict` answers every row in order: a finite number, or for classes probabilities that sum to 1"
    return UnitError(what, where=unit.name, hint=hint)
