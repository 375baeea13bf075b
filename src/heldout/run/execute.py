"""The straight road: corpus, split, fit, predict, metrics, gate, verdict, report."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from heldout.backbone import Judged
from heldout.corpus import Corpus
from heldout.corpus.guards import Finding, check_corpus
from heldout.errors import StaleError, UnitError
from heldout.evaluate import Predictions, summarise
from heldout.evidence import JsonLines, digest, sha256_file, write_json, write_text
from heldout.evidence import provenance as provenance_of
from heldout.gate import Facts, build_verdict, judge
from heldout.gate.verdict_files import remove_verdicts, write_verdict
from heldout.run.collect import collect
from heldout.run.fitting import Plan, Report, UnitFailure, fit_units, plan_units
from heldout.run.layout import RunFolder, run_folder, run_key
from heldout.run.ledger import Ledger, Look, Outcome
from heldout.run.manifest import SIGNATURE_FILE, files_digest, run_files, write_manifest
from heldout.run.resolve import Contender, Resolved, lock_yaml
from heldout.run.units import Unit, cached_corpus, make_unit
from heldout.split import Split, split_corpus

Listener = Callable[[Mapping[str, Any]], None]
_INPUTS = {"run.json", "study.lock.yaml", "corpus.json", "split.json", "progress.jsonl", ".lock"}


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before compute is spent."""

    resolved: Resolved
    corpus: Corpus
    split: Split
    findings: tuple[Finding, ...]
    folder: RunFolder
    plans: Mapping[str, tuple[Contender, Plan, tuple[Unit, ...]]]

    def summary(self) -> dict[str, Any]:
        """The plan as a document, for ``--dry-run``."""
        units = {
            plan[0].id: {"reused": len(plan[1].reused), "to_fit": len(plan[1].pending)} for plan in self.plans.values()
        }
        return {
            "schema": "heldout.plan/1",
            "run": str(self.folder.path),
            "corpus_sha256": self.corpus.manifest.sha256,
            "variant_sha256": self.resolved.sha256,
            "rows": self.corpus.manifest.rows,
            "folds": [fold.id for fold in self.split.folds],
            "units": units,
            "findings": [finding.to_json() for finding in self.findings],
            "smoke": self.resolved.smoke,
        }

    @property
    def blocking(self) -> list[str]:
        """Sentences of the findings that forbid a PROMOTE."""
        return [finding.what for finding in self.findings if finding.blocking]


def prepare(resolved: Resolved, runs: Path) -> Prepared:
    """Read the corpus, split it, run the guards, and plan which units are reused and which are fitted.

    Raises:
        HeldoutError: If the corpus cannot be used or cannot be split.
    """
    corpus = cached_corpus(resolved.reader)
    split = split_corpus(resolved.spec.split, corpus.manifest)
    key = run_key(resolved.sha256, corpus.manifest.sha256, resolved.smoke, provenance_of.code_digest())
    folder = run_folder(runs, resolved.name, resolved.variant, key)
    options = resolved.config["corpus"]
    plans = {}
    for contender in (resolved.main, *resolved.baselines):
        baseline = None if contender is resolved.main else contender.id
        units = tuple(
            make_unit(contender, seed, fold, corpus, options, folder.unit(seed, fold.id, baseline))
            for seed in contender.seeds
            for fold in split.folds
        )
        plans["" if baseline is None else baseline] = (contender, plan_units(units), units)
    return Prepared(resolved, corpus, split, tuple(check_corpus(corpus)), folder, plans)


def execute(prepared: Prepared, *, workers: int | None = None, listener: Listener | None = None) -> dict[str, Any]:
    """Fit what is pending, judge, and write everything into the run directory.

    Returns:
        The verdict document.

    Raises:
        UnitError: If a unit of the variant itself failed; the others are stored, and the verdict is HOLD.
        StaleError: If another process is working on the same run.
    """
    folder = prepared.folder
    with _only_one(folder), JsonLines(folder.file("progress.jsonl")) as progress:
        emit = _emitter(progress, listener)
        prepared = _planned_again(prepared)
        _write_inputs(prepared)
        if prepared.plans[""][1].pending:
            _remove_results(folder)
        failures = _fit_all(prepared, workers, emit)
        if failures[""]:
            document = _look(prepared, None, {}, failures[""])
            write_verdict(folder.path, document)
            raise _failed(failures[""])
        document = _evaluate(prepared, failures)
        emit("complete", document["verdict"], 1, 1)
    return document


def _planned_again(prepared: Prepared) -> Prepared:
    """The plan as of now: another process may have finished units before this one got the lock."""
    plans = {name: (contender, plan_units(units), units) for name, (contender, _, units) in prepared.plans.items()}
    return replace(prepared, plans=plans)


def _planned_again(prepared: Prepared) -> Prepared:
    """The plan as of now: another process may have finished units before this one got the lock."""
    plans = {name: (contender, plan_units(units), units) for name, (contender, _, units) in prepared.plans.items()}
    return replace(prepared, plans=plans)


def _remove_results(folder: RunFolder) -> None:
    """Remove what was computed from older units, the verdict first; a failed run must not lie beside old metrics."""
    remove_verdicts(folder.path)
    for path in folder.path.iterdir():
        if path.is_file() and path.name not in _INPUTS:
            path.unlink()


def _fit_all(prepared: Prepared, workers: int | None, emit: Report) -> dict[str, list[UnitFailure]]:
    failures = {}
    for name, (contender, plan, _) in prepared.plans.items():
        emit("plan", f"{contender.id}: {plan.sentence()}", len(plan.reused), len(plan.reused) + len(plan.pending))
        pending = [unit for unit, _ in plan.pending]
        failures[name] = fit_units(
            contender, pending, prepared.corpus, prepared.resolved.reader, prepared.folder, workers, emit
        )
    return failures


def _evaluate(prepared: Prepared, failures: Mapping[str, Sequence[UnitFailure]]) -> dict[str, Any]:
    """Predictions, metrics, verdict and reports of a run whose own units are all there."""
    resolved, folder = prepared.resolved, prepared.folder
    collected = {
        name: collect(units, prepared.corpus) for name, (_, _, units) in prepared.plans.items() if not failures[name]
    }
    predictions, documents = collected.pop("")
    predictions.write(folder.path)
    n_train = {fold.id: len(prepared.corpus.rows_of(fold.train)) for fold in prepared.split.folds}
    contenders = {name: (prepared.plans[name][0].description, theirs) for name, (theirs, _) in collected.items()}
    metrics = summarise(predictions, n_train, resolved.spec.bootstrap, contenders)
    write_json(folder.file("metrics.json"), metrics)
    document = _look(prepared, metrics, _wall_times(documents), ())
    warnings = sorted({warning for each in documents for warning in each["warnings"]})
    warnings += [
        f"baseline {failure.unit.name} failed: {failure.reason}" for part in failures.values() for failure in part
    ]
    _report(prepared, document, metrics, predictions, warnings)
    folder.file(SIGNATURE_FILE).unlink(missing_ok=True)
    document["judged"]["files_sha256"] = files_digest(run_files(folder.path))
    write_verdict(folder.path, document)
    write_manifest(folder.path)
    return document


def _look(
    prepared: Prepared,
    metrics: Mapping[str, Any] | None,
    wall_times: Mapping[int, float],
    failures: Sequence[UnitFailure],
) -> dict[str, Any]:
    """Judge, and write the look into the study's trial ledger; without metrics it is a failure."""
    resolved = prepared.resolved
    key = (resolved.sha256, prepared.corpus.manifest.sha256, prepared.split.sha256)
    with Ledger(prepared.folder.path.parent) as ledger:
        nothing: dict[str, Any] = {"members": {}, "ensemble": {}, "undefined": []}
        document = _judge(prepared, metrics or nothing, wall_times, failures, ledger.attempt(*key))
        outcome: Outcome = "FAILED" if metrics is None else document["verdict"]
        return document | {"trial": ledger.record(_trial(prepared, outcome, metrics)).to_json()}


def _judge(
    prepared: Prepared,
    metrics: Mapping[str, Any],
    wall_times: Mapping[int, float],
    failures: Sequence[UnitFailure],
    attempt: int,
) -> dict[str, Any]:
    resolved, folder = prepared.resolved, prepared.folder
    failed = {(failure.unit.seed, failure.unit.fold.id) for failure in failures}
    units = prepared.plans[""][2]
    facts = Facts(
        seeds=resolved.main.seeds,
        folds=[fold.id for fold in prepared.split.folds],
        units=frozenset((unit.seed, unit.fold.id) for unit in units) - failed,
        foreign=_foreign_seeds(folder, resolved.main.seeds),
        groups=len(prepared.corpus.manifest.groups),
        smoke=resolved.smoke,
        blocking=prepared.blocking,
        attempt=attempt,
    )
    backbone = resolved.main.backbone
    provenance = provenance_of.build(
        args={"study": resolved.name, "variant": resolved.variant, "seeds": list(resolved.main.seeds)},
        inputs={"corpus": resolved.corpus_path},
        outputs={"run": folder.path.name},
        device=backbone.device(),
    )
    core = build_verdict(
        study=resolved.name,
        variant=resolved.variant,
        seeds=resolved.main.seeds,
        outcomes=judge(metrics, resolved.gate, facts),
        findings=[finding.to_json() for finding in prepared.findings],
        smoke=resolved.smoke,
        judged=_judged_digests(prepared),
        provenance=provenance,
    )
    if failures:
        return core
    context = Judged(
        folder=folder.path,
        corpus_path=resolved.corpus_path,
        manifest=prepared.corpus.manifest,
        config=resolved.config,
        metrics=metrics,
        verdict=core,
        wall_time_s=wall_times,
        smoke=resolved.smoke,
        provenance=provenance,
    )
    for name, value in backbone.published_files(context).items():
        write_json(folder.file(name), value)
    published = dict(backbone.published_verdict_fields(context))
    # The published wording of the recommendation is a field that people grep for; nothing else may be replaced.
    return published | core | {key: published[key] for key in ("recommendation",) if key in published}


def _trial(prepared: Prepared, outcome: Outcome, metrics: Mapping[str, Any] | None) -> Look:
    """This look, as the ledger records it."""
    resolved, folder = prepared.resolved, prepared.folder
    primary = None
    if metrics is not None:
        primary = {"metric": metrics["primary"], "value": metrics["ensemble"]["pooled"][metrics["primary"]]}
    return Look(
        run=folder.path.name,
        variant=resolved.variant,
        variant_sha256=resolved.sha256,
        corpus_sha256=prepared.corpus.manifest.sha256,
        split_sha256=prepared.split.sha256,
        gate_sha256=digest(resolved.config["gate"]),
        seeds=resolved.main.seeds,
        smoke=resolved.smoke,
        outcome=outcome,
        primary=primary,
        metrics_sha256=None if metrics is None else sha256_file(folder.file("metrics.json")),
    )


def _judged_digests(prepared: Prepared) -> dict[str, Any]:
    folder, resolved = prepared.folder, prepared.resolved
    files = {"predictions": "predictions.jsonl", "metrics": "metrics.json"}
    return {
        "corpus_path": provenance_of.portable(resolved.corpus_path),
        "corpus_sha256": prepared.corpus.manifest.sha256,
        "variant_sha256": resolved.sha256,
        "split_sha256": prepared.split.sha256,
        **{
            f"{label}_sha256": sha256_file(folder.file(name)) if folder.file(name).exists() else None
            for label, name in files.items()
        },
        "code_sha256": provenance_of.code_digest(),
        "environment": digest(provenance_of.package_versions()),
    }


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
    write_text(folder.file("study.lock.yaml"), lock_yaml(resolved.config))
    write_json(folder.file("corpus.json"), prepared.corpus.manifest.to_json())
    write_json(folder.file("split.json"), prepared.split.to_json())
    path = folder.file("run.json")
    if not path.exists():
        write_json(
            path,
            {
                "schema": "heldout.run/1",
                "run": folder.path.name,
                "study": resolved.name,
                "variant": resolved.variant,
                "variant_sha256": resolved.sha256,
                "corpus_sha256": prepared.corpus.manifest.sha256,
                "split_sha256": prepared.split.sha256,
                "code_sha256": provenance_of.code_digest(),
                "seeds": list(resolved.main.seeds),
                "smoke": resolved.smoke,
                "started_at_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            },
        )


def _foreign_seeds(folder: RunFolder, seeds: Sequence[int]) -> list[str]:
    """Fits of seeds that this run does not declare: leftovers that must not lie beside a verdict."""
    declared = {f"seed{seed}" for seed in seeds}
    fits = folder.path / "fits"
    return sorted(path.name for path in fits.iterdir() if path.name not in declared) if fits.is_dir() else []


def _wall_times(documents: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    times: dict[int, float] = {}
    for document in documents:
        times[document["seed"]] = round(times.get(document["seed"], 0.0) + document["wall_time_s"], 3)
    return times


def _failed(failures: Sequence[UnitFailure]) -> UnitError:
    first = failures[0]
    return UnitError(
        f"{len(failures)} units failed, the first with: {first.reason}",
        where=first.unit.name,
        hint="mend the cause and run the same command: finished units are reused",
    )


def _emitter(progress: JsonLines, listener: Listener | None) -> Report:
    def emit(event: str, unit: str, done: int, total: int) -> None:
        record = {"event": event, "unit": unit, "done": done, "total": total}
        progress.append(record | {"ts": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")})
        if listener is not None:
            listener(record)

    return emit


@contextmanager
def _only_one(folder: RunFolder) -> Iterator[None]:
    """Two processes that fit the same run would write the same units."""
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.file(".lock"), timeout=0):
            yield
    except Timeout:
        raise StaleError(
            "another process is working on this run", where=str(folder.path), hint="wait for it, then run again"
        ) from None
