"""Fitting all units of a contender: what is finished is reused, the rest is fitted, and each failure is kept apart."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from heldout.corpus import Corpus, Reader
from heldout.documents.names import RUN_FILE, UNIT_FILE
from heldout.engine import default_workers, run_tasks
from heldout.engine.apart import asking
from heldout.engine.local import as_completed
from heldout.errors import HeldoutError
from heldout.evidence import read_json, read_plain, write_bytes
from heldout.run.apart.foreign import Apart, is_foreign
from heldout.run.contender import Contender
from heldout.run.failures import UnitFailure, unit_failure
from heldout.run.layout import RunFolder
from heldout.run.models import fits_here, models
from heldout.run.units import Unit, UnitTask, fit_foreign, fit_unit, store_unit, why_not_finished

Report = Callable[[str, str, int, int], None]
Twin = Callable[[Unit], Unit]


@dataclass(frozen=True)
class Plan:
    """What a resumed run does, decided before it starts."""

    reused: tuple[Unit, ...]
    pending: tuple[tuple[Unit, str], ...]

    def sentence(self) -> str:
        """For people: how many units are reused and how many are fitted, and why."""
        reasons: dict[str, int] = {}
        for _, reason in self.pending:
            reasons[reason] = reasons.get(reason, 0) + 1
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        return f"{len(self.reused)} units reused, {len(self.pending)} to fit" + (f" ({why})" if why else "")


def plan_units(units: Sequence[Unit], twin: Twin | None = None) -> Plan:
    """Look at each unit's folder and decide: reuse it, or fit it and why.

    Args:
        units: What is asked for.
        twin: The same unit where another run has it; one that is finished there is reused.
    """
    reused, pending = [], []
    for unit in units:
        reason = why_not_finished(unit)
        if reason is None or (twin is not None and why_not_finished(twin(unit)) is None):
            reused.append(unit)
        else:
            pending.append((unit, reason))
    return Plan(tuple(reused), tuple(pending))


def copy_finished(units: Sequence[Unit], twin: Twin) -> None:
    """Bring over what another run has of these units; same key and packages, same bytes."""
    for unit in units:
        source = twin(unit).folder
        if why_not_finished(unit) is None or why_not_finished(twin(unit)) is not None:
            continue
        (unit.folder / UNIT_FILE).unlink(missing_ok=True)
        for name in (*read_json(source / UNIT_FILE)["files"], UNIT_FILE):  # which makes them count, last
            write_bytes(unit.folder / name, read_plain(source / name))


def fit_units(
    contender: Contender,
    units: Sequence[Unit],
    corpus: Corpus,
    reader: Reader,
    folder: RunFolder,
    workers: int | None,
    report: Report,
) -> list[UnitFailure]:
    """Fit units and store each as it is finished.

    A backbone with its own ``fit_many`` trains them in one program, and one that fits from summaries of groups reads
    each group once; any other is fitted unit by unit in processes. Foreign code is fitted in a fresh process for each
    unit, shut in.

    Returns:
        The units that failed; the others are stored all the same.

    Raises:
        MachineError: If the machine refused something; what is stored by then stays.
    """
    if not units:
        return []
    if is_foreign(contender.backbone):
        return _fit_shut_in(contender, units, corpus, reader, folder, workers, report)
    if fits_here(contender.backbone, corpus):
        return _fit_here(contender, units, corpus, folder, report)
    return _fit_apart(contender, units, corpus, reader, folder, workers, report)


def _fit_shut_in(
    contender: Contender,
    units: Sequence[Unit],
    corpus: Corpus,
    reader: Reader,
    folder: RunFolder,
    workers: int | None,
    report: Report,
) -> list[UnitFailure]:
    of_a_study = folder.file(RUN_FILE).exists()  # else a refit, somewhere
    apart = Apart(contender.backbone, (reader.options.path, folder.path.parent if of_a_study else folder.path))

    def fit(unit: Unit) -> str:
        return fit_foreign(UnitTask(unit, reader, contender.backbone, corpus.manifest.sha256), apart, corpus)

    failures = []
    with asking(fit, units, workers or default_workers()) as waiting:
        for count, done in enumerate(as_completed(waiting), start=1):
            unit, error = waiting[done], done.exception()
            if error is not None:
                failures.append(unit_failure(folder, unit, error))
            report("fitted" if error is None else "failed", unit.name, count, len(units))
    return failures


def _fit_here(
    contender: Contender, units: Sequence[Unit], corpus: Corpus, folder: RunFolder, report: Report
) -> list[UnitFailure]:
    scratch = folder.scratch(contender.id)
    finished: set[str] = set()
    failures: list[UnitFailure] = []
    last = time.monotonic()
    try:
        for unit, model, error in models(contender.backbone, units, corpus, scratch):
            finished.add(unit.name)
            try:
                if error is not None:
                    raise error
                store_unit(unit, contender.backbone, model, corpus, last)
                report("fitted", unit.name, len(finished), len(units))
            except HeldoutError as failure:
                failures.append(unit_failure(folder, unit, failure))
                report("failed", unit.name, len(finished), len(units))
            last = time.monotonic()
    except Exception as error:
        if not isinstance(error, HeldoutError) and type(contender.backbone).__module__.startswith("heldout."):
            raise  # a fault of ours
        return failures + [unit_failure(folder, unit, error) for unit in units if unit.name not in finished]
    shutil.rmtree(scratch, ignore_errors=True)
    return failures


def _fit_apart(
    contender: Contender,
    units: Sequence[Unit],
    corpus: Corpus,
    reader: Reader,
    folder: RunFolder,
    workers: int | None,
    report: Report,
) -> list[UnitFailure]:
    tasks = [UnitTask(unit, reader, contender.backbone, corpus.manifest.sha256) for unit in units]
    failures = []
    with closing(run_tasks(fit_unit, tasks, workers=workers)) as results:
        for count, done in enumerate(results, start=1):
            unit = units[done.index]
            if done.error is None:
                report("fitted", unit.name, count, len(units))
            else:
                failures.append(unit_failure(folder, unit, done.error))
                report("failed", unit.name, count, len(units))
    return failures
