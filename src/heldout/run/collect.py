"""From finished units to one table of out-of-fold predictions, in the order of the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from heldout.backbone import FloatArray
from heldout.corpus import Corpus
from heldout.errors import CorpusError
from heldout.evaluate import Predictions
from heldout.evaluate.predictions import SLICE
from heldout.run.units import Unit, read_unit


def collect(
    units: Sequence[Unit], corpus: Corpus, slices: Sequence[str] = ()
) -> tuple[Predictions, list[dict[str, Any]]]:
    """Put the predictions of every unit at the rows that it held out.

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
    fold_of = np.full(len(corpus.target), "", dtype=object)
    members: dict[int, FloatArray] = {}
    for unit, labels, values in parts:
        rows = corpus.rows_of(unit.fold.test)
        if len(rows) != len(values):
            raise CorpusError(
                f"{len(values)} predictions for {len(rows)} rows", where=str(unit.folder), hint="remove that folder"
            )
        fold_of[rows] = unit.fold.id
        shape = (len(corpus.target), len(classes)) if classes else (len(corpus.target),)
        member = members.setdefault(unit.seed, np.full(shape, np.nan))
        if classes:
            member[rows] = _aligned(values, labels, classes)
        else:
            member[rows] = values
    held_out = np.flatnonzero(fold_of != "")
    samples = _samples(corpus, held_out, fold_of[held_out], slices)
    return Predictions(samples, {seed: values[held_out] for seed, values in members.items()}, classes), documents


def _samples(corpus: Corpus, rows: Any, folds: Any, slices: Sequence[str]) -> pl.DataFrame:
    columns = {"sample_id": corpus.ids.gather(rows), "group": corpus.groups.gather(rows)}
    if corpus.cells is not None:
        columns["cell"] = corpus.cells.gather(rows)
    columns["fold"] = pl.Series(folds.astype(str))
    columns["target"] = pl.Series(corpus.target[rows])
    for name in slices:
        columns[SLICE + name] = corpus.features[name].gather(rows).cast(pl.String).fill_null("")
    return pl.DataFrame(columns)


def _classes(corpus: Corpus, parts: Sequence[tuple[Unit, tuple[str, ...], FloatArray]]) -> tuple[str, ...]:
    if corpus.task == "regression":
        return ()
    seen = set(corpus.target.tolist()).union(*(labels for _, labels, _ in parts))
    return tuple(sorted(seen))


def _aligned(values: FloatArray, labels: tuple[str, ...], classes: tuple[str, ...]) -> FloatArray:
    """Columns of a model that knows ``labels``, spread over all classes; a class unseen in training gets zero."""
    full = np.zeros((len(values), len(classes)))
    full[:, [classes.index(label) for label in labels]] = values
    return full
