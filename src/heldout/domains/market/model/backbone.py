"""Backbones over a price panel: the stack, and random numbers that any model has to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from heldout.backbone import Backbone, Baseline, Contract, CurvePanel, FeaturesView, FloatArray, Params, TrainView
from heldout.corpus import Corpus
from heldout.domains.market.board.ic import cumulative_ic
from heldout.domains.market.model.model import FILE, MarketModel
from heldout.domains.market.model.stack import Stack, fit_stack
from heldout.domains.market.model.trees import Trees, fit_trees, predict_trees, require_lightgbm
from heldout.errors import TamperedError
from heldout.evidence import read_json, write_json
from heldout.study.reads import tracked

_NOTES = [
    "The mean rank IC is `srocc` within cells: a cell is a date, so no figure mixes one day's market with another's.",
    "A group is a block of dates at least as long as a label looks ahead; intervals are over blocks, not over rows.",
    "Returns are before costs. A panel of assets that are known to have survived shows too much.",
]


class StackParams(Params):
    """The `fit:` block of the stack."""

    stack: Literal["families", "flat"] = Field(
        "families", description="families: a ridge a family of features and one over these; flat: one ridge"
    )
    inner_folds: int = Field(
        5, ge=2, le=50, description="parts in time from which the second level learns (families only)"
    )
    equal_weights: float = Field(
        0.5, gt=0, le=1, description="share of equal weights in the second level; the rest is estimated (families only)"
    )
    trees: Trees | None = Field(None, description="boosted trees beside the ridges; {} with their defaults")


class MarketStackBackbone(Backbone):
    """Bayesian ridges in two levels, and a share of boosted trees."""

    name: ClassVar[str] = "market_stack"
    Params = StackParams
    contract: ClassVar[Contract] = Contract(
        readers=("market_panel",), tasks=("regression",), primary_metrics=("srocc",), files=(FILE,)
    )
    params: StackParams

    def __init__(self, params: StackParams) -> None:
        """Check that the libraries are there, before any compute is spent."""
        super().__init__(params)
        if params.trees is not None:
            require_lightgbm()

    def fit(self, view: TrainView, seed: int, workdir: Path) -> MarketModel:
        """Fit the ridges, then the trees if there are any.

        Raises:
            StudyError: If a parameter is set that this fit did not read.
        """
        params, reads = tracked(self.params)
        target = view.target.astype(np.float64)
        stack = _ridges(view, target, params)
        trees = params.trees
        names = tuple(view.features.columns)
        if trees is None:
            model = MarketModel(names, stack)
        else:
            fitted = fit_trees(view.features, target, trees, seed)
            model = MarketModel(names, stack, fitted, *_weights(stack, fitted, view.features, trees.share))
        reads.check("fit")
        return model

    def predict(self, model: MarketModel, view: FeaturesView) -> FloatArray:
        """Forward return relative to the universe, float64 ``[rows]``."""
        return model.predict(view.features)

    def save(self, model: MarketModel, folder: Path) -> None:
        """Write one safetensors file."""
        model.save(folder)

    def load(self, folder: Path) -> MarketModel:
        """Read what ``save`` wrote."""
        return MarketModel.load(folder)

    def quick(self) -> MarketStackBackbone:
        """Few trees; the ridges as they are."""
        if self.params.trees is None:
            return self
        few = self.params.trees.model_copy(update={"rounds": min(5, self.params.trees.rounds)})
        return type(self)(self.params.model_copy(update={"trees": few}))

    def baselines(self) -> list[Baseline]:
        """Random numbers, and one ridge over all features."""
        flat = Baseline("flat", "one Bayesian ridge over all features", self.name, {"stack": "flat"})
        noise = Baseline("noise", "random numbers", MarketNoiseBackbone.name)
        return [noise] if self.params.stack == "flat" and self.params.trees is None else [flat, noise]

    def default_gate(self) -> dict[str, object]:
        """A mean rank IC worth its noise, and a lead over random numbers that its blocks bear out."""
        return {
            "min_groups": 12,
            "rules": [
                {"id": "rank-ic", "metric": "srocc", "over": "within_cell", "at_least": 0.01},
                {"id": "beats-noise", "metric": "srocc", "against": "noise", "at_least": 0.0},
            ],
        }

    def curves(self, corpus: Corpus, samples: pl.DataFrame, prediction: FloatArray | Any) -> list[CurvePanel]:
        """Rank IC, summed over dates."""
        return [cumulative_ic(samples, prediction)]

    def packages(self) -> tuple[str, ...]:
        """What ridges and trees are fitted with."""
        trees = () if self.params.trees is None else ("lightgbm",)
        return ("numpy", "polars", "scikit-learn", "scipy", *trees)

    def units(self) -> str:
        """Unit of the target."""
        return "return"

    def notes(self) -> list[str]:
        """What the numbers are, and are not."""
        return list(_NOTES)


class NoiseParams(Params):
    """Random numbers have no parameters."""


class MarketNoiseBackbone(Backbone):
    """Normal random numbers that look at nothing: whoever cannot tell a model from these cannot tell models apart."""

    name: ClassVar[str] = "market_noise"
    Params = NoiseParams
    contract: ClassVar[Contract] = Contract(tasks=("regression",), primary_metrics=("srocc",), files=("noise.json",))

    def fit(self, view: TrainView, seed: int, workdir: Path) -> int:
        """The seed is the model."""
        return seed

    def predict(self, model: int, view: FeaturesView) -> FloatArray:
        """Float64 ``[rows]``."""
        return np.random.default_rng(model).normal(size=view.features.height)

    def save(self, model: int, folder: Path) -> None:
        """Write the seed."""
        write_json(folder / "noise.json", {"schema": "heldout.market-noise/1", "seed": model})

    def load(self, folder: Path) -> int:
        """Read the seed."""
        found = read_json(folder / "noise.json")
        if not isinstance(found, dict) or not isinstance(found.get("seed"), int):
            raise TamperedError("this is no noise model", where=str(folder), hint="fit it again")
        return int(found["seed"])

    def packages(self) -> tuple[str, ...]:
        """The numbers are numpy's."""
        return ("numpy",)

    def default_gate(self) -> dict[str, object]:
        """The gate of the stack, which random numbers should not clear."""
        return {"rules": [{"id": "rank-ic", "metric": "srocc", "over": "within_cell", "at_least": 0.01}]}


def _ridges(view: TrainView, target: FloatArray, params: StackParams) -> Stack:
    if params.stack == "flat":
        return fit_stack(view.features, target, view.groups, flat=True, inner_folds=0, equal=1.0)
    return fit_stack(
        view.features,
        target,
        view.groups,
        flat=False,
        inner_folds=params.inner_folds,
        equal=params.equal_weights,
    )


def _weights(stack: Stack, trees: str, features: pl.DataFrame, share: float) -> tuple[float, float]:
    """Weights of trees and ridges that give each its share in the spread that the ridges have on the training rows."""
    ridge_spread = float(stack.predict(features).std())
    tree_spread = float(predict_trees(trees, features).std())
    return (share * ridge_spread / tree_spread if tree_spread > 0 else 0.0), 1.0 - share
