"""A backbone: the median target of the nearest training rows. One wild row cannot move it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs
from pydantic import Field
from safetensors.numpy import load_file, save_file

from heldout.backbone import Backbone, Contract, FeaturesView, FloatArray, Params, TrainView
from heldout.corpus import Corpus
from heldout.errors import StudyError

FILE = "neighbours.safetensors"


class NeighboursParams(Params):
    """The `fit:` block; the descriptions stand in `heldout study schema`."""

    neighbours: int = Field(5, ge=1, description="training rows whose median is the answer")


class Neighbours(NamedTuple):
    """A fitted model: centre and spread of each feature, and the training rows on that scale."""

    centre: FloatArray
    spread: FloatArray
    rows: FloatArray
    target: FloatArray


class MedianNeighbours(Backbone):
    """Distances are over the numeric features, each scaled by its spread on the training rows."""

    name: ClassVar[str] = "median_neighbours"
    Params = NeighboursParams
    contract: ClassVar[Contract] = Contract(tasks=("regression",), files=(FILE,))
    seeded: ClassVar[bool] = False  # nothing is drawn: a seed changes nothing
    params: NeighboursParams

    def check(self, corpus: Corpus) -> None:
        """Refuse a corpus without numbers before anything is fitted."""
        if not corpus.features.select(cs.numeric()).width:
            raise StudyError("no feature is a number", where="corpus.features", hint="choose numeric columns")

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Neighbours:
        """Everything that is learnt comes from the view: these are the training rows."""
        numbers = _numbers(view.features)
        centre, spread = numbers.mean(axis=0), numbers.std(axis=0)
        spread[spread == 0] = 1.0
        return Neighbours(centre, spread, (numbers - centre) / spread, view.target)

    def predict(self, model: Neighbours, view: FeaturesView) -> FloatArray:
        """One answer a row, from the model and that row alone."""
        rows = (_numbers(view.features) - model.centre) / model.spread
        return np.array([self._answer(model, row) for row in rows], dtype=np.float64)

    def _answer(self, model: Neighbours, row: FloatArray) -> float:
        distance = ((model.rows - row) ** 2).sum(axis=1)
        return float(np.median(model.target[np.argsort(distance, kind="stable")[: self.params.neighbours]]))

    def save(self, model: Neighbours, folder: Path) -> None:
        """Equal models are equal bytes, without a pickle."""
        save_file({name: np.ascontiguousarray(value) for name, value in model._asdict().items()}, folder / FILE)

    def load(self, folder: Path) -> Neighbours:
        """Read what ``save`` wrote."""
        return Neighbours(**load_file(folder / FILE))

    def packages(self) -> tuple[str, ...]:
        """An upgrade of these fits again."""
        return ("numpy", "polars")


def _numbers(features: pl.DataFrame) -> FloatArray:
    return features.select(cs.numeric()).to_numpy().astype(np.float64)
