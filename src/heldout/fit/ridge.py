"""Ridge regression whose folds are all fitted from one pass over the rows (``heldout.fit.closed_form``).

Minimises ``sum(v (y - b - z w)**2) + alpha * sum(w**2)``, where ``z`` are the features standardised on the training
rows (A. Hoerl and R. Kennard, 1970) and ``v`` is the weight of a row, or 1; the intercept ``b`` is not penalised.
Values of text are 0 or 1 and not standardised.
It is what scikit-learn's ``Ridge`` fits behind ``StandardScaler`` and ``OneHotEncoder``, up to rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from heldout.backbone import Contract, FeaturesView, FloatArray, TrainView, WeightedParams
from heldout.backbone.grouped import GroupedBackbone
from heldout.backbone.tensors import Arrays, pack, unpack
from heldout.corpus import Corpus
from heldout.evidence import write_bytes
from heldout.fit.closed_form import LinearModel, Moments, fit_moments, moments, together
from heldout.fit.design import Column, chosen, columns_of, in_order, matrix

FILE = "model.safetensors"
SCHEMA = "heldout.ridge/1"
_NOTE = "A ridge regression has no randomness: its one seed stands for all, and nothing is to be read from a spread."


class RidgeParams(WeightedParams):
    """The `fit:` block of a ridge regression."""

    alpha: float = Field(1.0, gt=0, description="strength of the L2 penalty, on standardised features")
    features: list[str] | None = Field(None, min_length=1, description="feature columns to use; null: all")


class Summary(NamedTuple):
    """What rows say: moments of the columns that they have."""

    columns: tuple[Column, ...]
    moments: Moments


class RidgeModel(NamedTuple):
    """A fitted ridge and the columns that it reads."""

    columns: tuple[Column, ...]
    linear: LinearModel


class RidgeBackbone(GroupedBackbone):
    """Ridge regression; no fold costs a pass over the rows."""

    name: ClassVar[str] = "ridge"
    Params = RidgeParams
    contract: ClassVar[Contract] = Contract(tasks=("regression",), files=(FILE,), weights=True)
    seeded: ClassVar[bool] = False
    params: RidgeParams

    def check(self, corpus: Corpus) -> None:
        """The declared features are there."""
        chosen(corpus.features, self.params.features)

    def summarise(self, view: TrainView) -> Summary:
        """Moments of the rows of one group."""
        view = self.params.counted(view)
        features = chosen(view.features, self.params.features)
        columns = columns_of(features)
        return Summary(columns, moments(matrix(features, columns), view.target, view.weight))

    def join(self, one: Summary, other: Summary) -> Summary:
        """Moments of the rows of both; a value of text that one of them lacks is 0 in all its rows."""
        columns = one.columns if one.columns == other.columns else in_order({*one.columns, *other.columns})
        return Summary(columns, together(_spread_over(one, columns), _spread_over(other, columns)))

    def fit_summary(self, summary: Summary, seed: int) -> RidgeModel:
        """Solve the normal equations; the seed changes nothing."""
        numeric = np.array([column.value is None for column in summary.columns])
        return RidgeModel(
            summary.columns, fit_moments(summary.moments, "ridge", alpha=self.params.alpha, scale=numeric)
        )

    def predict(self, model: RidgeModel, view: FeaturesView) -> FloatArray:
        """Float64 ``[rows]``; a value of text without training rows adds nothing."""
        chosen(view.features, sorted({column.feature for column in model.columns}))
        return model.linear.predict(matrix(view.features, model.columns))

    def save(self, model: RidgeModel, folder: Path) -> None:
        """Write one safetensors file."""
        linear = model.linear
        arrays = {"coef": linear.coef, "center": linear.center, "level": np.array([linear.level])}
        write_bytes(folder / FILE, pack(arrays, {"schema": SCHEMA, "columns": [list(each) for each in model.columns]}))

    def load(self, folder: Path) -> RidgeModel:
        """Read what ``save`` wrote.

        Raises:
            TamperedError: If the file is something else.
        """
        return unpack(folder / FILE, "ridge regression", _rebuilt)

    def warnings(self, view: FeaturesView, model: RidgeModel) -> list[str]:
        """Values of text that no training row had."""
        known: dict[str, set[str]] = {}
        for column in model.columns:
            if column.value is not None:
                known.setdefault(column.feature, set()).add(column.value)
        found = []
        for name, values in known.items():
            unseen = sorted(set(view.features[name].cast(str).unique().drop_nulls()) - values)
            if unseen:
                found.append(f"{name} {', '.join(unseen)}: not among the training rows of a fold, predicted without it")
        return found

    def notes(self) -> list[str]:
        """What one seed says."""
        return [_NOTE]

    def packages(self) -> tuple[str, ...]:
        """It is numpy alone that computes; polars makes the columns."""
        return ("numpy", "polars")


def _spread_over(summary: Summary, columns: tuple[Column, ...]) -> Moments:
    """The moments with columns of zeros where the rows have none."""
    if summary.columns == columns:
        return summary.moments
    places = {column: index for index, column in enumerate(columns)}
    at = np.array([*(places[column] for column in summary.columns), len(columns)])
    rows, *parts = summary.moments
    width = len(columns) + 1
    mean, scatter, low, high = np.zeros(width), np.zeros((width, width)), np.zeros(width), np.zeros(width)
    mean[at], scatter[np.ix_(at, at)], low[at], high[at] = parts
    return Moments(rows, mean, scatter, low, high)


def _rebuilt(arrays: Arrays, facts: Any) -> RidgeModel:
    columns = tuple(Column(str(name), None if value is None else str(value)) for name, value in facts["columns"])
    coef, center, level = (np.asarray(arrays[name], dtype=np.float64) for name in ("coef", "center", "level"))
    if facts["schema"] != SCHEMA or not coef.shape == center.shape == (len(columns),) or level.shape != (1,):
        raise ValueError("its numbers do not fit its columns")
    return RidgeModel(columns, LinearModel(coef, center, float(level[0])))
