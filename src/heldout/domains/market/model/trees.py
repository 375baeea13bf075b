"""Boosted trees beside the ridges: one thread and a seed, so that the same rows give the same trees."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from heldout.backbone import FloatArray, Params
from heldout.errors import PrerequisiteError

if TYPE_CHECKING:
    import polars as pl


class Trees(Params):
    """Parameters of the boosted trees and of their share in the prediction."""

    share: float = Field(0.5, gt=0, le=1, description="share of the trees; the rest is the ridges'")
    rounds: int = Field(200, ge=1, le=10_000)
    leaves: int = Field(15, ge=2, le=1024)
    learning_rate: float = Field(0.05, gt=0, le=1)
    min_rows: int = Field(200, ge=1, description="fewest rows of a leaf")
    rows_share: float = Field(0.8, gt=0, le=1, description="share of the rows that a tree sees")
    columns_share: float = Field(0.8, gt=0, le=1, description="share of the features that a tree sees")


def require_lightgbm() -> None:
    """Refuse before any compute is spent where the library is not installed.

    Raises:
        PrerequisiteError: With the command that installs it.
    """
    if find_spec("lightgbm") is None:
        raise PrerequisiteError(
            "`fit.trees` needs LightGBM, which is not installed",
            where="fit.trees",
            hint="pip install 'heldout[market]'",
        )


def fit_trees(features: pl.DataFrame, target: FloatArray, params: Trees, seed: int) -> str:
    """Fit, and give the model as LightGBM's own text."""
    import lightgbm

    settings: dict[str, object] = {
        "objective": "regression",
        "num_leaves": params.leaves,
        "learning_rate": params.learning_rate,
        "min_data_in_leaf": params.min_rows,
        "bagging_fraction": params.rows_share,
        "bagging_freq": 1,
        "feature_fraction": params.columns_share,
        "seed": seed % 2**31,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(_values(features), target, feature_name=list(features.columns), free_raw_data=True)
    booster = lightgbm.train(settings, data, num_boost_round=params.rounds)
    return str(booster.model_to_string())


def predict_trees(model: str, features: pl.DataFrame) -> FloatArray:
    """Float64 ``[rows]``."""
    import lightgbm

    booster = lightgbm.Booster(model_str=model)
    found: FloatArray = np.asarray(booster.predict(_values(features), num_threads=1), dtype=np.float64)
    return found


def _values(features: pl.DataFrame) -> FloatArray:
    return np.ascontiguousarray(features.to_numpy(), dtype=np.float64)
