"""Fitting all units of a contender: what is finished is reused, the rest is fitted, and each failure is kept apart."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from heldout.backbone.asked import asked_of
from heldout.backbone.given import GivenBackbone, level_of_backbone
from heldout.corpus import Corpus, Reader
from heldout.documents.names import UNIT_FILE
from heldout.engine import default_workers, run_tasks
from heldout.engine.apart import asking
from heldout.engine.local import as_completed
from heldout.errors import HeldoutError
from heldout.evidence import read_json, read_plain
from heldout.run.apart.foreign import Apart, is_foreign
from heldout.run.failures import UnitFailure, unit_failure
from heldout.run.layout import RunFolder
from heldout.run.models import fits_here, models
from heldout.run.units.compute import (
    Computed,
    Files,
    Inputs,
    argument_of,
    compute_foreign,
    compute_unit,
    files_of,
    kept_of,
)
from heldout.run.units.contender import Contender
from heldout.run.units.landing import Landing, why_not_finished
from heldout.run.units.unit import Unit
from heldout.run.units.words import keep_words, warned

# Two workers take four seconds of processor to import what a fit needs. In so few cells no fit is long as a rule, and
# where one is, no more than that one is computed alone.
_SMALL, _HERE_S = 200_000, 3.0

Report = Callable[[str, str, int, int], None]
Twin = Callable[[Unit], Unit]


@dataclass(frozen=True)
class Plan:
    """What a resumed run does, decided before it starts."""

    reused: tuple[Unit, ...]
    pending: tuple[tuple[Unit, str], ...]

    def sentence(self, verb: str = "fit") -> str:
        """For people: how many units are reused and how many are fitted (or asked), and why."""
        reasons: dict[str, int] = {}
        for _, reason in self.pending:
            reasons[reason] = reasons.get(reason, 0) + 1
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        why = why if verb == "fit" else why.replace("fitted", "asked")
        return f"{len(self.reused)} units reused, {len(self.pending)} to {verb}" + (f" ({why})" if why else "")


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
    with Landing() as landing:
        for unit in units:
            source = twin(unit).folder
            if why_not_finished(unit) is None or why_not_finished(twin(unit)) is not None:
                continue
            names = (*read_json(source / UNIT_FILE)["files"], UNIT_FILE)
            landing.land(unit, {name: read_plain(source / name) for name in names})


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
    scratch = folder.scratch(contender.id)
    inputs = Inputs({corpus.manifest.sha256: reader.options.path}, scratch)
    failures, warnings = [], []
    if units:
        scratch.mkdir(parents=True, exist_ok=True)
        ended = _computed(contender, units, corpus, reader, folder, inputs, workers, report)
        with closing(ended), Landing() as landing:
            for count, (unit, files, error) in enumerate(ended, start=1):
                kept = kept_of(unit, inputs)
                warnings.append(keep_words(kept, folder.log(unit.contender, unit.seed, unit.fold.id)))
                if error is not None:
                    failures.append(unit_failure(folder, unit, error))
                elif files is not None:
                    landing.land(unit, files)
                    shutil.rmtree(kept, ignore_errors=True)  # nothing is left to go on with
                    if level_of_backbone(contender.backbone) == "asked":
                        landing.flush()  # what was answered batch by batch, for hours, is thrown away next
                report("fitted" if error is None else "failed", unit.name, count, len(units))
        for sentence in warned(warnings, len(units)):
            report("warned", f"{contender.id}: {sentence}", len(units), len(units))
    if not failures:  # what a training left of itself may be gone on with
        shutil.rmtree(scratch, ignore_errors=True)
    with suppress(OSError):  # where nothing is left in them
        scratch.rmdir()
    with suppress(OSError):
        scratch.parent.rmdir()
    return failures


def _computed(
    contender: Contender,
    units: Sequence[Unit],
    corpus: Corpus,
    reader: Reader,
    folder: RunFolder,
    inputs: Inputs,
    workers: int | None,
    report: Report,
) -> Generator[Computed, None, None]:
    """Each unit as it is computed, or why it could not be; whoever takes it lands it before the next."""
    asked = asked_of(contender.backbone)
    if asked is not None:
        from heldout.run.asking import ask_units, take_units  # with what reads partial files: no verification needs it

        if isinstance(asked, GivenBackbone):
            yield from take_units(asked, units, corpus)
        else:
            yield from ask_units(asked, units, corpus, reader, folder, inputs, workers, report)
    elif is_foreign(contender.backbone):
        yield from _fit_shut_in(contender, units, corpus, reader, folder, inputs, workers)
    elif fits_here(contender.backbone, corpus):
        yield from _fit_here(contender, units, corpus, inputs)
    else:
        yield from _fit_apart(contender, units, corpus, reader, inputs, workers)


def _fit_shut_in(
    contender: Contender,
    units: Sequence[Unit],
    corpus: Corpus,
    reader: Reader,
    folder: RunFolder,
    inputs: Inputs,
    workers: int | None,
) -> Generator[Computed, None, None]:
    apart = Apart(contender.backbone, (*reader.kept(), folder.around))

    def fit(unit: Unit) -> Files:
        argument = argument_of(unit, reader, contender.backbone, corpus.manifest.sha256)
        return compute_foreign(argument, inputs, corpus, apart)

    with asking(fit, units, workers or default_workers()) as waiting:
        for done in as_completed(waiting):
            unit, error = waiting.pop(done), done.exception()
            yield Computed(unit, None if error else done.result(), error)


def _fit_here(
    contender: Contender, units: Sequence[Unit], corpus: Corpus, inputs: Inputs
) -> Generator[Computed, None, None]:
    backbone, left = contender.backbone, {unit.name: unit for unit in units}
    last = time.monotonic()
    try:
        for unit, model, error in models(backbone, units, corpus, inputs.scratch):
            left.pop(unit.name)
            try:
                if error is not None:
                    raise error
                files = files_of(unit, backbone, model, corpus, inputs, last)
            except HeldoutError as failure:
                yield Computed(unit, None, failure)
            else:
                yield Computed(unit, files)
            last = time.monotonic()
    except Exception as error:
        if not isinstance(error, HeldoutError) and type(backbone).__module__.startswith("heldout."):
            raise  # a fault of ours
        yield from (Computed(unit, None, error) for unit in left.values())


def _fit_apart(
    contender: Contender,
    units: Sequence[Unit],
    corpus: Corpus,
    reader: Reader,
    inputs: Inputs,
    workers: int | None,
) -> Generator[Computed, None, None]:
    arguments = [argument_of(unit, reader, contender.backbone, corpus.manifest.sha256) for unit in units]
    compute, cells = partial(compute_unit, inputs=inputs), corpus.features.height * max(1, corpus.features.width)
    here_s = _HERE_S if cells <= _SMALL else 0.0
    with closing(run_tasks(compute, arguments, workers=workers, here_s=here_s)) as results:
        for done in results:
            yield Computed(units[done.index], cast("Files | None", done.result), done.error)
