"""A fitted market model, and its one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.backbone.tensors import Arrays, pack, unpack
from heldout.domains.market.model.stack import Linear, Stack
from heldout.domains.market.model.trees import predict_trees
from heldout.errors import InputError
from heldout.evidence import write_bytes

if TYPE_CHECKING:
    import polars as pl

FILE = "market.safetensors"
SCHEMA = "heldout.market/1"


@dataclass(frozen=True)
class MarketModel:
    """The ridges, and the trees where there are some.

    Attributes:
        features: Columns that it was fitted on, in order.
        stack: The ridges.
        trees: LightGBM's text; None without trees.
        weight: What the trees' prediction is multiplied with: their share, in the spread of the ridges.
        ridge_weight: What the ridges' prediction is multiplied with.
    """

    features: tuple[str, ...]
    stack: Stack
    trees: str | None = None
    weight: float = 0.0
    ridge_weight: float = 1.0

    def predict(self, features: pl.DataFrame) -> FloatArray:
        """Forward return relative to the universe, float64 ``[rows]``.

        Raises:
            InputError: If the columns are not those that it was fitted on.
        """
        if set(features.columns) != set(self.features):
            raise InputError(
                f"the model was fitted on {', '.join(self.features)}",
                where=f"columns {', '.join(features.columns)}",
                hint="build the rows with the `corpus:` block that the model was trained with",
            )
        found = self.ridge_weight * self.stack.predict(features)
        if self.trees is not None:
            found = found + self.weight * predict_trees(self.trees, features.select(self.features))
        return found

    def save(self, folder: Path) -> None:
        """Write the file; the same model gives the same bytes."""
        stack = self.stack
        tensors: dict[str, NDArray[Any]] = {f"first.{name}.coef": each.coef for name, each in stack.first.items()}
        tensors |= {f"first.{name}.intercept": np.array([each.intercept]) for name, each in stack.first.items()}
        tensors |= {f"scale.{name}": np.array([value]) for name, value in stack.scale.items()}
        tensors |= {"second.coef": stack.second.coef, "second.intercept": np.array([stack.second.intercept])}
        tensors["weights"] = np.array([self.ridge_weight, self.weight])
        if self.trees is not None:
            tensors["trees"] = np.frombuffer(self.trees.encode(), dtype=np.uint8)
        facts = {
            "schema": SCHEMA,
            "features": list(self.features),
            "columns": [[name, list(columns)] for name, columns in stack.columns.items()],
        }
        write_bytes(folder / FILE, pack(tensors, facts))

    @classmethod
    def load(cls, folder: Path) -> MarketModel:
        """Read the file.

        Raises:
            TamperedError: If it is not what ``save`` writes.
        """
        return unpack(folder / FILE, "market model", cls._rebuilt)

    @classmethod
    def _rebuilt(cls, tensors: Arrays, facts: Mapping[str, Any]) -> MarketModel:
        if facts["schema"] != SCHEMA:
            raise ValueError(f"its schema is {facts['schema']!r}")
        columns = {name: tuple(names) for name, names in facts["columns"]}
        first = {
            name: Linear(tensors[f"first.{name}.coef"], float(tensors[f"first.{name}.intercept"][0]))
            for name in columns
        }
        scale = {name: float(tensors[f"scale.{name}"][0]) for name in columns}
        second = Linear(tensors["second.coef"], float(tensors["second.intercept"][0]))
        ridge_weight, weight = (float(value) for value in tensors["weights"])
        trees = tensors["trees"].tobytes().decode() if "trees" in tensors else None
        return cls(tuple(facts["features"]), Stack(columns, first, scale, second), trees, weight, ridge_weight)
