"""What a unit's files are: fitted, asked and named by digest in a folder that nobody else sees.

Whoever computes is given all by value, or by digest, and answers by value: it needs no run to write to, and may be
killed at any instant. What it answers counts when it has landed.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.aside import words_to
from heldout.backbone import Backbone, ClassScores, FloatArray
from heldout.backbone.asked import Answers, asked_of
from heldout.backbone.code import code_of
from heldout.backbone.environment import difference, environment
from heldout.backbone.probabilities import why_not_probabilities
from heldout.corpus import Corpus, CorpusManifest, Reader
from heldout.documents.names import OUTPUT_LOG, UNIT_FILE, UNIT_PREDICTIONS
from heldout.errors import CorpusError, UnitError
from heldout.evidence import dumps, read_plain, sha256_bytes, sha256_file, unsettled
from heldout.evidence.provenance import code_digest
from heldout.run.apart.foreign import Apart
from heldout.run.units.unit import SCHEMA, Unit, Work, cached_corpus, fit_job, test_view

_LARGE = 16 << 20
Files = dict[str, bytes | Path]
"""By name in the unit's folder, the bytes; of a large file where it lies, to be moved from there."""


@dataclass(frozen=True)
class Inputs:
    """What the machine that computes has for it.

    Attributes:
        content: By digest, where it lies.
        scratch: A folder to work in; whoever made it removes it.
    """

    content: Mapping[str, Path]
    scratch: Path


@dataclass(frozen=True)
class Argument:
    """All that is told of a unit: no list of who trains, and no place of the machine that tells.

    Attributes:
        work: What to fit.
        reader: Of the corpus; its path says what the file is called, not where it lies.
        backbone: Bound to its parameters.
        corpus_sha256: Of the corpus.
        heldout_sha256: Of heldout's own sources, there.
    """

    work: Work
    reader: Reader
    backbone: Backbone
    corpus_sha256: str
    heldout_sha256: str


class Computed(NamedTuple):
    """A unit with its files, or with why it has none."""

    unit: Unit
    files: Files | None
    error: BaseException | None = None


def argument_of(unit: Unit, reader: Reader, backbone: Backbone, corpus_sha256: str) -> Argument:
    """What is told of a unit."""
    return Argument(unit.work, _at(reader, Path(reader.options.path.name)), backbone, corpus_sha256, code_digest())


def compute_unit(argument: Argument, inputs: Inputs) -> Files:
    """The files of a unit, fitted here."""
    corpus = corpus_of(argument, inputs)
    refuse_other_world(argument, inputs, corpus)
    started, job = time.monotonic(), fit_job(argument.work, corpus)
    with words_to(log_of(argument.work, inputs)):
        with _room(inputs) as room:
            model = argument.backbone.fit(job.view, job.seed, Path(room))
        return files_of(argument.work, argument.backbone, model, corpus, inputs, started)


def compute_foreign(argument: Argument, inputs: Inputs, corpus: Corpus, apart: Apart) -> Files:
    """The files of a unit that is fitted in a shut-in process, and whose stored model is asked in another."""
    refuse_other_world(argument, inputs, corpus)
    started, work = time.monotonic(), argument.work
    kept, log = kept_of(work, inputs), log_of(work, inputs)
    kept.mkdir(parents=True, exist_ok=True)
    with _room(inputs) as room:
        apart.fit(fit_job(work, corpus), Path(room), kept, log)
        answer = apart.ask(Path(room), test_view(corpus, work.fold), log=log)
        answers = Answers(answer.predicted, answer.warnings)
        return with_card(work, argument.backbone, answers, corpus, started, _taken(Path(room), inputs))


def kept_of(work: Work, inputs: Inputs) -> Path:
    """Where the fit of a unit keeps its state: that of another key, such as of other code, is never gone on with."""
    return inputs.scratch / "kept" / work.key[:32]


def log_of(work: Work, inputs: Inputs) -> Path:
    """What is printed while a unit is computed, until it is put beside the units of the run."""
    return kept_of(work, inputs) / OUTPUT_LOG


def files_of(work: Work, backbone: Backbone, model: Any, corpus: Corpus, inputs: Inputs, started: float) -> Files:
    """The files of a unit whose model is in memory.

    Raises:
        UnitError: If what it answers is no answer; then nothing is saved.
    """
    view = test_view(corpus, work.fold)
    answers = Answers(backbone.predict(model, view), backbone.warnings(view, model))
    checked(answers.predicted, corpus.manifest, view.features.height, work, backbone)
    with _room(inputs) as room:
        with unsettled():
            backbone.save(model, Path(room))
        return with_card(work, backbone, answers, corpus, started, _taken(Path(room), inputs))


def with_card(work: Work, backbone: Backbone, answers: Answers, corpus: Corpus, started: float, model: Files) -> Files:
    """The files of a model with its predictions and ``unit.json``, which names them all by digest."""
    from safetensors.numpy import save

    rows, predicted = len(corpus.rows_of(work.fold.test)), answers.predicted
    values = checked(predicted, corpus.manifest, rows, work, backbone)
    files = model | {UNIT_PREDICTIONS: save({"prediction": np.ascontiguousarray(values)})}
    asked = asked_of(backbone)  # nothing is fitted of a model from elsewhere
    missing = [] if asked is not None else sorted(name for name in backbone.contract.files if not _saved(name, files))
    if missing:
        hint = "`save` writes every file that the contract names into `folder`"
        raise UnitError(f"{backbone.name} saved no {missing[0]}", where=work.name, hint=hint)
    card = {
        "schema": SCHEMA,
        "key": work.key,
        "packages": dict(work.packages),
        "code": work.code.to_json(),
        "contender": work.contender,
        "seed": work.seed,
        "fold": work.fold.id,
        "n_train": corpus.manifest.rows - len(corpus.rows_of(work.fold.apart)) if asked is None else 0,
        "n_test": rows,
        "classes": list(predicted.classes) if isinstance(predicted, ClassScores) else [],
        "files": {name: _sha256(content) for name, content in files.items()},
        "warnings": list(answers.warnings),
        "wall_time_s": round(time.monotonic() - started, 3),
    }
    return files | {UNIT_FILE: dumps(card | ({} if asked is None else {"model_sha256": asked.sha256}))}


def corpus_of(argument: Argument, inputs: Inputs) -> Corpus:
    """The corpus as it lies here."""
    return cached_corpus(_at(argument.reader, inputs.content[argument.corpus_sha256]))


def refuse_other_world(argument: Argument, inputs: Inputs, corpus: Corpus) -> None:
    """Corpus, packages and code may change while a run goes on, or be others on another machine.

    Raises:
        HeldoutError: If one of them did: what is fitted then is of another run.
    """
    work, place = argument.work, inputs.content[argument.corpus_sha256]
    if corpus.manifest.sha256 != argument.corpus_sha256:
        raise CorpusError("the corpus changed during the run", where=str(place), hint="run the study again")
    if code_digest() != argument.heldout_sha256:
        raise UnitError(
            "the sources of heldout are others than where the run began",
            where=work.name,
            hint="install the same heldout wherever units are fitted, and run the study again",
        )
    found = environment(argument.backbone)
    if found != dict(work.packages):
        raise UnitError(
            f"packages changed during the run: {difference(work.packages, found)}",
            where=work.name,
            hint="run the study again: what was fitted with the old versions is fitted anew",
        )
    if work.code.user:
        _refuse_other_code(argument)


def _refuse_other_code(argument: Argument) -> None:
    """The user's own code may be edited while a run goes on; a run of two codes would be one that nobody wrote."""
    before, now = argument.work.code.user, code_of(argument.backbone, type(argument.reader)).user
    edited = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
    if edited:
        raise UnitError(
            f"the code changed during the run: {', '.join(edited)}",
            where=argument.work.name,
            hint="run the study again: what was fitted with the old code is fitted anew",
        )


def checked(
    predicted: FloatArray | ClassScores, manifest: CorpusManifest, rows: int, work: Work, backbone: Backbone
) -> FloatArray:
    """What a model answered: a number a row, of several targets one for each, or probabilities that are some.

    Raises:
        UnitError: If it is anything else; nothing could be judged by it.
    """
    task, outputs = manifest.task, manifest.outputs
    estimator = getattr(backbone.params, "estimator", backbone.name)
    try:
        given = predicted.probability if isinstance(predicted, ClassScores) else predicted
        values: FloatArray = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise _no_answer(f"{estimator} answered something that is no number", work) from None
    if isinstance(predicted, ClassScores) != (task == "classification"):
        what = "probabilities for a regression" if task == "regression" else "numbers and no probabilities"
        raise _no_answer(f"{estimator} answered {what}", work)
    if len(np.atleast_1d(values)) != rows:
        raise _no_answer(f"{estimator} answered {len(np.atleast_1d(values))} predictions for {rows} rows", work)
    if outputs and values.shape != (rows, len(outputs)):
        shape = " x ".join(map(str, values.shape))
        raise _no_answer(f"{estimator} answered {shape} numbers for {len(outputs)} targets: a column for each", work)
    if not (outputs or isinstance(predicted, ClassScores)) and values.ndim != 1:
        raise _no_answer(f"{estimator} answered {values.ndim} dimensions: one number a row is needed", work)
    wrong = why_not_probabilities(values, predicted.classes) if isinstance(predicted, ClassScores) else None
    if wrong is not None:
        raise _no_answer(f"{estimator} answered what are no probabilities: {wrong}", work)
    return values


def _saved(name: str, files: Files) -> bool:
    """Whether a file of a contract is there; of a folder, any file in it."""
    return name in files or (name.endswith("/") and any(each.startswith(name) for each in files))


def _no_answer(what: str, work: Work) -> UnitError:
    hint = "`predict` answers every row in order: a finite number, or for classes probabilities that sum to 1"
    return UnitError(what, where=work.name, hint=hint)


def _at(reader: Reader, path: Path) -> Reader:
    return type(reader)(reader.options.model_copy(update={"path": path}))


def _room(inputs: Inputs) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=inputs.scratch, ignore_cleanup_errors=True)


def _taken(room: Path, inputs: Inputs) -> Files:
    """The plain files of a folder that is about to go; a large one is moved out of it."""
    files: Files = {}
    for path in sorted(room.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name, large = path.relative_to(room).as_posix(), path.stat().st_size > _LARGE
        files[name] = path.replace(inputs.scratch / uuid.uuid4().hex) if large else read_plain(path)
    return files


def _sha256(content: bytes | Path) -> str:
    return sha256_file(content) if isinstance(content, Path) else sha256_bytes(content)
