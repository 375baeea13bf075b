"""What code that learns and predicts is given: rows of some groups, and never more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.manifest import TargetKind


@dataclass(frozen=True)
class TrainView:
    """The training rows of one fold: all that ``fit`` may see.

    Attributes:
        features: One row a sample.
        target: float64 of shape ``[rows]`` for regression, of several targets ``[rows, outputs]``; str for
            classification.
        groups: Group of each row, str of shape ``[rows]``.
        task: What the target is.
        validation: Rows of other groups to stop or choose by, which no verdict sees; None where the fold has none.
        weight: How much each row counts, float64 of shape ``[rows]``; None where all count alike.
        target_name: What the corpus calls the target.
    """

    features: pl.DataFrame
    target: NDArray[Any]
    groups: NDArray[np.str_]
    task: TargetKind
    validation: TrainView | None = None
    weight: NDArray[np.float64] | None = None
    target_name: str = "target"


@dataclass(frozen=True)
class FeaturesView:
    """Rows to predict: features, no targets, no groups."""

    features: pl.DataFrame
