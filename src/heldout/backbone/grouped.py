"""Backbones that need of their rows only what can be summed up group by group, such as linear models.

Every group is then read once, however many folds there are: the model of a fold is fitted from the summaries of its
training groups, which is all that it is given.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.backbone.pool import Pool
from heldout.backbone.protocol import Backbone
from heldout.corpus import TrainView


class GroupedBackbone(Backbone):
    """A family whose fit is a function of summaries of groups; ``fit`` and ``fit_many`` follow from it.

    ``join`` gives the summary that all rows together would have, up to rounding, and changes neither of its arguments.
    """

    @abstractmethod
    def summarise(self, view: TrainView) -> Any:
        """What the rows of one group say; nothing else may influence it."""

    @abstractmethod
    def join(self, one: Any, other: Any) -> Any:
        """The summary of the rows of both."""

    @abstractmethod
    def fit_summary(self, summary: Any, seed: int) -> Any:
        """The model of all rows that were summed up."""

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        """Sum up the groups of the view, and fit: to the last bit what a fit from kept summaries gives."""
        rows = rows_by_group(pl.Series(view.groups))
        pool = Pool(rows, lambda name: self.summarise(_part(view, rows[name])), self.join, keep=False)
        return self.fit_summary(pool.of(rows), seed)


def rows_by_group(groups: pl.Series) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each group, ascending; groups by name."""
    rows = groups.to_frame("group").with_row_index("row").group_by("group").agg(pl.col("row").sort())
    return {name: np.asarray(found, dtype=np.int64) for name, found in sorted(rows.iter_rows())}


def _part(view: TrainView, rows: NDArray[np.int64]) -> TrainView:
    weight = None if view.weight is None else view.weight[rows]
    return TrainView(view.features[rows], view.target[rows], view.groups[rows], view.task, weight=weight)
