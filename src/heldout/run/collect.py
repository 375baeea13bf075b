"""From finished units to one table of out-of-fold predictions, in the order of the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.backbone.grouped import rows_by_group
from heldout.corpus import Corpus
from heldout.documents.names import UNIT_PREDICTIONS
from heldout.errors import CorpusError
from heldout.run.units.landing import read_unit
from heldout.run.units.unit import Unit
from heldout.split import Fold
from heldout.task import Predictions
from heldout.task.predictions import SLICE, target_columns


def collect(
    units: Sequence[Unit], corpus: Corpus, slices: Sequence[str] = ()
) -> tuple[Predictions, list[dict[str, Any]]]:
    """Put the predictions of every unit at the rows that it held out.

    Where several folds hold a row out, it stands once for each of them.

    Args:
        units: Finished units, every seed over the same folds.
        corpus: The corpus that they were fitted on.
        slices: Feature columns whose values go with every row.

    Returns:
        Predictions of the rows that some fold holds out, and the units' documents.

    Raises:
        CorpusError: If a unit's predictions do not fit its rows, or a row is left without one.
    """
    documents, parts = [], []
    for unit in units:
        document, values = read_unit(unit)
        documents.append(document)
        parts.append((unit, tuple(document["classes"]), values))
    classes = _classes(corpus, parts)
    rows, folds = held_out_rows(corpus, [unit.fold for unit in units])
    by_fold = rows_by_group(pl.Series(folds))
    members: dict[int, FloatArray] = {}
    for unit, labels, values in parts:
        places = by_fold[unit.fold.id]
        if len(places) != len(values) or bool(labels) != bool(classes):
            kind = "predictions" if bool(labels) == bool(classes) else "answers of another task"
            what = f"{len(values)} {kind} for {len(places)} rows"
            raise CorpusError(what, where=str(unit.folder), hint="remove that folder")
        wide = classes or corpus.manifest.outputs
        shape = (len(rows), len(wide)) if wide else (len(rows),)
        if not classes and values.shape[1:] != shape[1:]:
            where = str(unit.folder / UNIT_PREDICTIONS)
            raise CorpusError("answers for another number of targets", where=where, hint="remove that folder")
        member = members.setdefault(unit.seed, np.full(shape, np.nan))
        member[places] = _aligned(values, labels, classes) if classes else values
    return Predictions(_samples(corpus, rows, folds, slices), members, classes), documents


def held_out_rows(corpus: Corpus, folds: Sequence[Fold]) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Row of the corpus and fold of each held-out prediction, by row and then in the order of the folds."""
    by_id = {fold.id: corpus.rows_of(fold.test) for fold in folds}
    rows = np.concatenate(list(by_id.values()))
    number = np.repeat(np.arange(len(by_id)), [len(each) for each in by_id.values()])
    order = np.lexsort((number, rows))
    return rows[order], np.array(list(by_id))[number[order]]


def _samples(corpus: Corpus, rows: Any, folds: Any, slices: Sequence[str]) -> pl.DataFrame:
    columns = {"sample_id": corpus.ids.gather(rows), "group": corpus.groups.gather(rows)}
    if corpus.cells is not None:
        columns["cell"] = corpus.cells.gather(rows)
    columns["fold"] = pl.Series(folds)
    columns |= target_columns(corpus.targets("score", rows), corpus.manifest.outputs)
    weight = corpus.weights(rows)
    if weight is not None:
        columns["weight"] = pl.Series(weight)
    for name in slices:
        columns[SLICE + name] = corpus.features[name].gather(rows).cast(pl.String).fill_null("")
    return pl.DataFrame(columns)


def _classes(corpus: Corpus, parts: Sequence[tuple[Unit, tuple[str, ...], FloatArray]]) -> tuple[str, ...]:
    if corpus.task == "regression":
        return ()
    seen = set(corpus.targets("score").tolist()).union(*(labels for _, labels, _ in parts))
    return tuple(sorted(seen))


def _aligned(values: FloatArray, labels: tuple[str, ...], classes: tuple[str, ...]) -> FloatArray:
    """Columns of a model that knows ``labels``, spread over all classes; a class unseen in training gets zero."""
    full = np.zeros((len(values), len(classes)))
    full[:, [classes.index(label) for label in labels]] = values
    return full
