"""From units to models in this process: by group summaries, in one program, or one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from heldout.backbone import Backbone, TrainView
from heldout.backbone.grouped import GroupedBackbone, rows_by_group
from heldout.backbone.pool import Pool
from heldout.corpus import Corpus
from heldout.errors import HeldoutError
from heldout.run.units.unit import Unit, fit_job, stream_seed

_BYTES_OF_A_NUMBER = 8
_LITTLE = 1 << 29


class Outcome(NamedTuple):
    """A model, or why there is none."""

    unit: Unit
    model: Any
    error: HeldoutError | None = None


def fits_here(backbone: Backbone, corpus: Corpus) -> bool:
    """Whether the units are fitted in one process: they share work, or train in one program."""
    if isinstance(backbone, GroupedBackbone):
        return sums_fit(corpus)
    return type(backbone).fit_many is not Backbone.fit_many


def sums_fit(corpus: Corpus) -> bool:
    """Whether sums over groups fit into memory: they take less room than the rows, or little.

    Fitted apart instead, every fold sums all its groups up again: a cost that grows with the square of their number.
    """
    groups, width = len(corpus.manifest.groups), len(corpus.manifest.features) + 1
    return corpus.manifest.rows > groups * width or 2 * groups * width**2 * _BYTES_OF_A_NUMBER <= _LITTLE


def models(backbone: Backbone, units: Sequence[Unit], corpus: Corpus, scratch: Path) -> Iterator[Outcome]:
    """The model of each unit; what else is asked for changes none of them.

    Raises:
        HeldoutError: If the backbone fits all units in one program, and that failed.
    """
    if isinstance(backbone, GroupedBackbone):
        yield from _from_sums(backbone, units, corpus)
        return
    jobs = {job.name: (unit, job) for unit in units for job in [fit_job(unit, corpus)]}
    for job, model in backbone.fit_many([job for _, job in jobs.values()], scratch):
        yield Outcome(jobs[job.name][0], model)


def _from_sums(backbone: GroupedBackbone, units: Sequence[Unit], corpus: Corpus) -> Iterator[Outcome]:
    rows = rows_by_group(corpus.groups)

    def summarise(name: str) -> Any:
        view: TrainView = corpus.train_view(rows[name])
        return backbone.summarise(view)

    pool = Pool(rows, summarise, backbone.join)
    for unit in units:
        try:
            model = backbone.fit_summary(pool.but(unit.fold.apart), stream_seed(unit.seed, unit.fold.id))
            yield Outcome(unit, model)
        except HeldoutError as error:
            yield Outcome(unit, None, error)
