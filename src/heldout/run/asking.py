"""Units of a model from elsewhere: nothing is fitted; its held-out rows are asked batch by batch, resumably.

heldout's own code and that of known libraries is asked in worker processes that load the model once. Foreign code is
asked shut in, in a fresh process for each block of batches. Either way the answers of a batch are on disk, in the
unit's folder, before the next one is asked; when all are there the unit lands as any other, and they go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from heldout.aside import words_to
from heldout.backbone import ClassScores, FeaturesView
from heldout.backbone.asked import Answers, AskedBackbone, ask_in_batches
from heldout.backbone.given import GivenBackbone
from heldout.corpus import Corpus, Reader
from heldout.engine import Done, default_workers, run_tasks
from heldout.engine.apart import asking
from heldout.engine.local import as_completed
from heldout.errors import HeldoutError, UnitError
from heldout.evidence import alone
from heldout.predict.identity import Identity
from heldout.predict.partial import PARTIAL_FILE
from heldout.run.apart.elsewhere import ask_block
from heldout.run.apart.foreign import Apart, is_foreign
from heldout.run.asked.answers import Collected
from heldout.run.layout import RunFolder
from heldout.run.units.compute import (
    Argument,
    Computed,
    Files,
    Inputs,
    argument_of,
    checked,
    corpus_of,
    log_of,
    refuse_other_world,
    with_card,
)
from heldout.run.units.unit import Unit, Work, test_view

_LOCK = ".asking.lock"
_LOCK_SECONDS = 10.0
Report = Callable[[str, str, int, int], None]
Ask = Callable[[FeaturesView], Iterator[Answers]]
_loaded: dict[tuple[str, str, str], Any] = {}  # the one model of this process


class Asked(NamedTuple):
    """The files of a unit, and why earlier answers were thrown away, if they were."""

    files: Files
    why_not: str | None


@dataclass(frozen=True)
class ToAsk:
    """A unit to ask for, and the folder in which its answers are kept as they come in."""

    argument: Argument
    folder: Path

    @property
    def backbone(self) -> AskedBackbone:
        """The model from elsewhere."""
        assert isinstance(self.argument.backbone, AskedBackbone)
        return self.argument.backbone


def ask_units(
    backbone: AskedBackbone,
    units: Sequence[Unit],
    corpus: Corpus,
    reader: Reader,
    folder: RunFolder,
    inputs: Inputs,
    workers: int | None,
    report: Report,
) -> Generator[Computed, None, None]:
    """Ask for the held-out rows of units; each as it is answered, or why it is not. What was answered by then stays."""
    tasks = [ToAsk(argument_of(unit, reader, backbone, corpus.manifest.sha256), unit.folder) for unit in units]
    hidden = (*reader.kept(), folder.around)
    for count, done in enumerate(_ended(backbone, tasks, corpus, inputs, hidden, workers), start=1):
        unit, found = units[done.index], done.result
        if not isinstance(found, Asked):
            yield Computed(unit, None, done.error)
            continue
        if found.why_not is not None:
            said = f"{unit.name}: the answers that were there are thrown away: {found.why_not}"
            report("anew", said, count, len(units))
        yield Computed(unit, found.files)
        sweep([unit])  # it has landed


def _ended(
    backbone: AskedBackbone,
    tasks: Sequence[ToAsk],
    corpus: Corpus,
    inputs: Inputs,
    hidden: tuple[Path, ...],
    workers: int | None,
) -> Iterator[Done]:
    if not is_foreign(backbone):
        try:
            with closing(run_tasks(partial(ask_unit, inputs=inputs), tasks, workers=workers)) as results:
                yield from results
        finally:
            _loaded.clear()
        return
    apart = Apart(backbone, hidden)

    def ask(index: int) -> Asked:
        return ask_foreign(tasks[index], inputs, apart, corpus)

    with asking(ask, range(len(tasks)), workers or default_workers()) as waiting:
        for done in as_completed(waiting):
            error = done.exception()
            yield Done(waiting.pop(done), None if error else done.result(), error)


def ask_unit(task: ToAsk, inputs: Inputs) -> Asked:
    """Ask for the rows of one unit in this process, which keeps the model for the next."""

    def ask(view: FeaturesView) -> Iterator[Answers]:
        return ask_in_batches(task.backbone, _model(task.backbone), view, task.backbone.rows_at_once)

    with words_to(log_of(task.argument.work, inputs)):
        return _unit(task, inputs, corpus_of(task.argument, inputs), ask)


def ask_foreign(task: ToAsk, inputs: Inputs, apart: Apart, corpus: Corpus) -> Asked:
    """Have the rows of one unit asked in shut-in processes, a block each."""
    backbone, size = task.backbone, task.backbone.rows_at_once

    def ask(view: FeaturesView) -> Iterator[Answers]:
        for start in range(0, view.features.height, size * backbone.block):
            part = FeaturesView(view.features[start : start + size * backbone.block])
            yield from ask_block(apart, backbone, part, size).batches

    return _unit(task, inputs, corpus, ask)


def _unit(task: ToAsk, inputs: Inputs, corpus: Corpus, ask: Ask) -> Asked:
    """Ask for what is missing of a unit."""
    refuse_other_world(task.argument, inputs, corpus)
    work, backbone, started = task.argument.work, task.backbone, time.monotonic()
    view = test_view(corpus, work.fold)
    # A worker of a run that was killed may write for a moment yet.
    held = alone(task.folder, "asks for this unit", lock=_LOCK, wait=_LOCK_SECONDS)
    with held, Collected(task.folder, identity_of(task)) as collected:
        missing = FeaturesView(view.features[collected.rows :])
        _refuse_other_model(backbone, collected, work)
        for answers in ask(missing) if missing.features.height else ():
            _refuse_other_model(backbone, collected, work)
            _take(answers, collected, corpus, view, work, backbone)
        return Asked(with_card(work, backbone, collected.joined(), corpus, started, {}), collected.why_not)


def take_units(backbone: GivenBackbone, units: Sequence[Unit], corpus: Corpus) -> Generator[Computed, None, None]:
    """What was predicted elsewhere for the held-out rows of each unit, or why there is none."""
    frame = backbone.load(backbone.found())
    judged = sorted({name for unit in units for name in unit.fold.test})
    rows = backbone.rows_of(frame, corpus.ids, corpus.rows_of(judged))
    for unit in units:
        started, held_out = time.monotonic(), corpus.rows_of(unit.fold.test)
        try:
            _refuse_changed(backbone, unit)
            said = Answers(backbone.answers(frame[rows[held_out]], unit.seed, corpus.task), [])
            yield Computed(unit, with_card(unit, backbone, said, corpus, started, {}))
        except HeldoutError as error:
            yield Computed(unit, None, error)


def _refuse_changed(backbone: GivenBackbone, unit: Unit) -> None:
    """The file may be written anew while it is read; a run of two files would be one that nobody predicted.

    Raises:
        UnitError: If it was.
    """
    if backbone.content().sha256 != backbone.sha256:
        hint = "run the study again: what lies there now are other predictions"
        raise UnitError("the predictions changed during the run", where=unit.name, hint=hint)


def sweep(units: Iterable[Unit]) -> None:
    """Remove what a kill left beside units that were finished just before it."""
    for unit in units:
        for name in (PARTIAL_FILE, _LOCK):
            (unit.folder / name).unlink(missing_ok=True)


def _take(
    answers: Answers, collected: Collected, corpus: Corpus, view: FeaturesView, work: Work, backbone: AskedBackbone
) -> None:
    """Put a batch on disk if it answers the rows that it was asked, as those before it did.

    Raises:
        UnitError: If it is anything else; what was answered before stays.
    """
    predicted = answers.predicted
    count = len(predicted.probability if isinstance(predicted, ClassScores) else predicted)
    if count > view.features.height - collected.rows:
        hint = "`predict` answers every row, in order"
        raise UnitError(f"{backbone.name} answered more rows than it was asked", where=work.name, hint=hint)
    checked(predicted, corpus.manifest, count, work, backbone)
    before = collected.batches[0].predicted if collected.batches else predicted
    if isinstance(predicted, ClassScores) and isinstance(before, ClassScores) and predicted.classes != before.classes:
        hint = "`predict` names the same classes in the same order, whatever it is asked"
        raise UnitError(f"{backbone.name} answered other classes than before", where=work.name, hint=hint)
    collected.append(answers)


def identity_of(task: ToAsk) -> Identity:
    """What the answers of a unit are answers of; neither the model's place nor the size of a batch is in it."""
    work, backbone = task.argument.work, task.backbone
    return Identity(
        adapter={"backbone": backbone.name, "model": backbone.sha256, "packages": dict(work.packages)},
        dataset=task.argument.corpus_sha256,
        split={"seed": work.seed, "fold": work.fold.to_json()},
        prompt=backbone.params.model_dump(mode="json"),
        decoding=work.key,
        code=work.code.to_json(),
    )


def _refuse_other_model(backbone: AskedBackbone, collected: Collected, work: Work) -> None:
    """A model may be edited while it is asked; answers of two models would be a model that nobody has.

    Raises:
        UnitError: If it was; then nothing of this unit is kept.
    """
    if backbone.content().sha256 != backbone.sha256:
        collected.discard()
        raise UnitError(
            "the model changed during the run",
            where=str(backbone.place),
            hint="run the study again: the model that lies there now is another variant",
        )


def _model(backbone: AskedBackbone) -> Any:
    """The model of this process, loaded once."""
    key = (backbone.name, backbone.params.model_dump_json(), str(backbone.found()))
    if key not in _loaded:
        _loaded.clear()  # one in memory at a time
        _loaded[key] = backbone.load(backbone.found())
    return _loaded[key]
