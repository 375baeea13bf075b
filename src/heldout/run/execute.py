"""The straight road: corpus, split, fit, predict, metrics, gate, verdict, report."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heldout.backbone.asked import asked_of
from heldout.documents.names import (
    CORPUS_FILE,
    COSTS_FILE,
    LOCK_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PROGRESS_FILE,
    RUN_FILE,
    SPLIT_FILE,
    STORED_FILE,
    TRAINED_ON_FILE,
)
from heldout.errors import HeldoutError, InputError, StudyError
from heldout.evidence import Events, JsonLines, Listener, alone, read_json, write_json, write_text
from heldout.evidence import provenance as provenance_of
from heldout.run import champion
from heldout.run.asked.held_out import copy_trained_on
from heldout.run.asked.model_file import write_model
from heldout.run.check import with_model_gate
from heldout.run.collect import collect
from heldout.run.costs import measure, wanted
from heldout.run.failures import UnitFailure, failed
from heldout.run.finished import finished_verdict
from heldout.run.fitted_state import with_fitted_state
from heldout.run.fitting import Report, copy_finished, fit_units
from heldout.run.judging import NOTHING, judge_run, open_targets, register_policy, sealed, wall_times
from heldout.run.layout import RunFolder
from heldout.run.prepare import Planned, Prepared
from heldout.run.resolve import lock_yaml, read_lock
from heldout.run.rules import refuse_never_judged
from heldout.run.stored import ask_stored
from heldout.run.verdict import remove_verdicts, write_verdict
from heldout.task import Predictions, summarise
from heldout.task.functions import check_steady
from heldout.task.metric import Metric
from heldout.task.metrics import rows_of
from heldout.task.rivals import Wanted
from heldout.task.trivial import asked_by, trivial_contenders

_INPUTS = {RUN_FILE, LOCK_FILE, CORPUS_FILE, SPLIT_FILE, MODEL_FILE, TRAINED_ON_FILE, PROGRESS_FILE, ".lock"}


def execute(prepared: Prepared, *, workers: int | None = None, listener: Listener | None = None) -> dict[str, Any]:
    """Fit what is pending, judge, and write everything into the run directory; a finished run is left as it is.

    Returns:
        The verdict document.

    Raises:
        UnitError: If a unit of the variant itself failed; the others are stored, and there is no verdict.
        MachineError: If the machine refused something, such as room on the disk; the same call goes on.
        StaleError: If another process is working on the same run.
        StudyError: If a rule can never be judged on these groups and seeds, unless it is a smoke run.
    """
    folder, resolved = prepared.folder, prepared.resolved
    if resolved.smoke is None:
        held_out, cells = len(prepared.split.held_out), prepared.corpus.cells is not None
        refuse_never_judged(resolved.gate, resolved.document, groups=held_out, seeds=resolved.main.seeds, cells=cells)
    with alone(folder.path, "is working on this run"), JsonLines(folder.file(PROGRESS_FILE)) as progress:
        emit = Events(progress, listener).say
        _bring_over(prepared, emit)
        prepared = _planned_again(prepared)
        unchanged = finished_verdict(prepared)
        if unchanged is not None:
            emit("plan", f"nothing to do: judged {unchanged['generated_at_utc']}, and nothing changed since", 1, 1)
            return unchanged
        prepared = with_model_gate(with_fitted_state(prepared))
        _write_inputs(prepared)
        _write_models(prepared)
        register_policy(prepared)
        if prepared.main.plan.pending:
            _remove_results(folder)
        if prepared.stopped:
            document = judge_run(prepared, NOTHING, {})
            write_verdict(folder.path, document)
            emit("complete", document["verdict"], 1, 1)
            return document
        failures = _fit_all(prepared, workers, emit)
        stored = ask_stored(prepared, [prepared.main, *_fitted(prepared, failures).values()], workers)
        if stored is not None:
            write_json(folder.file(STORED_FILE), stored)
        document = _evaluate(prepared, failures)
        emit("complete", document["verdict"], 1, 1)
    return document


def fit_only(prepared: Prepared, *, workers: int | None = None, listener: Listener | None = None) -> Prepared:
    """Fit what is pending, and judge nothing; the plan as it is then.

    Raises:
        UnitError: If a unit failed; the others are stored.
    """
    folder = prepared.folder
    with alone(folder.path, "is working on this run"), JsonLines(folder.file(PROGRESS_FILE)) as progress:
        emit = Events(progress, listener).say
        _bring_over(prepared, emit)
        prepared = _planned_again(prepared)
        if any(each.plan.pending for each in prepared.contenders):
            _write_inputs(prepared)
            _remove_results(folder)
            failures = _fit_all(prepared, workers, emit)
            if any(failures.values()):
                raise failed([failure for part in failures.values() for failure in part])
    return _planned_again(prepared)


def _bring_over(prepared: Prepared, emit: Report) -> None:
    """Begin beside a finished run of other packages, with those of its units that these packages would fit alike."""
    if prepared.earlier is None:
        return
    earlier, folder = prepared.earlier, prepared.folder
    why = f"{earlier.folder.path.name} was fitted with {earlier.difference}: it stays, and this is a run of its own"
    emit("plan", why, 0, 1)
    for each in prepared.contenders:
        copy_finished(each.plan.reused, partial(earlier.twin, mine=folder))


def _planned_again(prepared: Prepared) -> Prepared:
    """The plan as of now: another process may have finished units before this one got the lock."""
    baselines = {name: each.again() for name, each in prepared.baselines.items()}
    return replace(prepared, main=prepared.main.again(), baselines=baselines)


def _remove_results(folder: RunFolder) -> None:
    """Remove what was computed from older units, the verdict first; a failed run must not lie beside old metrics."""
    remove_verdicts(folder.path)
    for path in folder.path.iterdir():
        if path.is_file() and path.name not in _INPUTS:
            path.unlink()


def _fit_all(prepared: Prepared, workers: int | None, emit: Report) -> dict[str, list[UnitFailure]]:
    """Fit everything that is pending.

    Returns:
        Failures of the baselines, by id.

    Raises:
        UnitError: If a unit of the variant itself failed, when everything else is fitted.
    """
    shutil.rmtree(prepared.folder.failures, ignore_errors=True)

    def fit(each: Planned) -> list[UnitFailure]:
        contender, plan, _ = each
        emit(
            "plan",
            f"{contender.id}: {plan.sentence('fit' if contender.backbone.fits else 'ask')}",
            len(plan.reused),
            len(plan.reused) + len(plan.pending),
        )
        if not contender.backbone.fits:
            from heldout.run.asking import sweep

            sweep(plan.reused)
        pending = [unit for unit, _ in plan.pending]
        return fit_units(contender, pending, prepared.corpus, prepared.resolved.reader, prepared.folder, workers, emit)

    own = fit(prepared.main)
    failures = {name: fit(each) for name, each in prepared.baselines.items()}
    if own:
        raise failed(own)
    return failures


def _fitted(prepared: Prepared, failures: Mapping[str, Sequence[UnitFailure]]) -> dict[str, Planned]:
    """The baselines of which every unit is there, by id."""
    return {name: each for name, each in prepared.baselines.items() if not failures[name]}


def _evaluate(prepared: Prepared, failures: Mapping[str, Sequence[UnitFailure]]) -> dict[str, Any]:
    """Predictions, metrics, verdict and reports of a run whose own units are all there."""
    resolved, folder = prepared.resolved, prepared.folder
    corpus, folds = prepared.corpus, prepared.split.folds
    predictions, documents = collect(prepared.main.units, corpus, resolved.gate.slices)
    table = resolved.metrics(corpus.task)
    _check_metrics(table, predictions)
    open_targets(prepared)  # from here on somebody may see what is true of a held-out row
    predictions.write(folder.path)
    n_train = {fold.id: corpus.manifest.rows - len(corpus.rows_of(fold.apart)) for fold in folds}
    contenders = {
        name: (each.contender.description, collect(each.units, corpus, resolved.gate.slices)[0])
        for name, each in _fitted(prepared, failures).items()
    }
    if resolved.champion is not None:
        resolved.champion.copy_into(folder.path)
        beaten = resolved.champion.predictions(predictions.classes)
        contenders[champion.ID] = (resolved.champion.description, beaten)
    if wanted(resolved.gate):
        hidden = (*resolved.reader.kept(), prepared.study)
        costs = measure(prepared.main.units, resolved.main.backbone, prepared.corpus, hidden)
        write_json(folder.file(COSTS_FILE), costs)
    asked, groups = asked_by(resolved.gate), corpus.groups.to_numpy()
    own = {} if resolved.task is None else resolved.task.answers()
    nothing = trivial_contenders(
        corpus.targets("score"), groups, folds, predictions.classes, asked, corpus.weights(), own
    )
    elsewhere = frozenset(resolved.config.get("models", ()))
    metrics = summarise(
        predictions, n_train, resolved.spec.bootstrap, contenders, nothing, table=table, asked=elsewhere,
        wanted=Wanted.of(resolved.gate),
    )  # fmt: skip
    write_json(folder.file(METRICS_FILE), metrics)
    document = judge_run(prepared, metrics, wall_times(documents))
    warnings = sorted({warning for each in documents for warning in each["warnings"]})
    warnings += [
        f"baseline {failure.unit.name} failed: {failure.reason}" for part in failures.values() for failure in part
    ]
    _report(prepared, document, metrics, predictions, warnings)
    return sealed(folder.path, document)


def _check_metrics(table: Sequence[Metric], predictions: Predictions) -> None:
    """Ask each metric with targets in another order: a slip in somebody's function is found, and costs no look."""
    order = np.random.default_rng().permutation(len(predictions.target))  # that nobody can turn back
    rows = rows_of(
        predictions.target[order], predictions.ensemble, predictions.classes, predictions.weight, predictions.outputs
    )
    for metric in table:
        check_steady(metric, rows)


def _report(
    prepared: Prepared,
    document: Mapping[str, Any],
    metrics: Mapping[str, Any],
    predictions: Predictions,
    warnings: Sequence[str],
) -> None:
    from heldout.report import write_reports

    backbone = prepared.resolved.main.backbone
    write_reports(
        prepared.folder.path,
        verdict=document,
        metrics=metrics,
        manifest=prepared.corpus.manifest.to_json(),
        split=prepared.split.to_json(),
        predictions=predictions.to_frame(),
        notes=backbone.notes(),
        warnings=warnings,
        curves=backbone.curves(prepared.corpus, predictions.samples, predictions.ensemble),
        units=backbone.units(),
    )


def _write_inputs(prepared: Prepared) -> None:
    resolved, folder = prepared.resolved, prepared.folder
    write_text(folder.file(LOCK_FILE), lock_yaml(resolved.config))
    try:
        read_lock(folder.file(LOCK_FILE))
    except InputError:
        raise StudyError(
            "the study holds a text that its lock cannot hold, such as a control character",
            where=str(resolved.document.path),
            hint="leave characters out that no keyboard writes",
        ) from None
    write_json(folder.file(CORPUS_FILE), prepared.corpus.manifest.to_json())
    write_json(folder.file(SPLIT_FILE), prepared.split.to_json())
    path = folder.file(RUN_FILE)
    begun = _begun(path)
    document = {
        "schema": "heldout.run/1",
        "run": folder.path.name,
        "study": resolved.name,
        "variant": resolved.variant,
        "variant_sha256": resolved.sha256,
        "corpus_sha256": prepared.corpus.manifest.sha256,
        "split_sha256": prepared.split.sha256,
        "code_sha256": provenance_of.code_digest(),
        "fit_code": prepared.fit_code,
        "packages": dict(prepared.packages),
        "seeds": list(resolved.main.seeds),
        "smoke": resolved.smoke,
        "started_at_utc": begun.get("started_at_utc", dt.datetime.now(dt.UTC).isoformat(timespec="seconds")),
    }
    if document != begun:
        write_json(path, document)


def _write_models(prepared: Prepared) -> None:
    """Write down which models from elsewhere are asked, and leave the manifest of the training corpus in the run."""
    resolved, folder = prepared.resolved, prepared.folder.path
    backbones = {
        "" if each is resolved.main else each.id: each.backbone for each in (resolved.main, *resolved.baselines)
    }
    models = {name: asked for name, each in backbones.items() if (asked := asked_of(each)) is not None}
    write_model(folder, models, resolved.document.path.parent, prepared.gate)
    if "" in models:
        copy_trained_on(models[""], resolved.config["models"][""]["held_out"], folder)


def _begun(path: Path) -> dict[str, Any]:
    """What ``run.json`` says, where an earlier process left a whole one."""
    try:
        found = read_json(path) if path.exists() else {}
    except HeldoutError:
        return {}
    return found if isinstance(found, dict) else {}
