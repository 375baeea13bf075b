"""A backbone that fits nothing: a price list from elsewhere, as JSON, is asked for rows that its author never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from heldout.backbone import AskedBackbone, AskedParams, Contract, FeaturesView, FloatArray
from heldout.corpus.guards import Finding
from heldout.errors import HeldoutError, InputError
from heldout.evidence import read_json


class PricedParams(AskedParams):
    """The `fit:` block; `model` names the list, and `held_out` says how it is known that it saw none of the groups."""

    floor: float = Field(0.0, ge=0, description="no answer is below it")


class Priced(AskedBackbone):
    """``{"base": 3.0, "per": {"length": 0.5}}``: a base, and a price for each unit of a feature."""

    name: ClassVar[str] = "priced"
    Params = PricedParams
    contract: ClassVar[Contract] = Contract(tasks=("regression",))
    params: PricedParams

    def load(self, path: Path) -> dict[str, Any]:
        """Read the list; whatever is no list is refused."""
        found = read_json(path)
        if not isinstance(found, dict) or not isinstance(found.get("per"), dict) or "base" not in found:
            raise InputError(
                "this is no price list", where=str(path), hint='write {"base": 3.0, "per": {"length": 0.5}}'
            )
        return found

    def predict(self, model: dict[str, Any], view: FeaturesView) -> FloatArray:
        """One answer a row, from the list and that row alone."""
        found = np.full(view.features.height, float(model["base"]))
        for name, price in model["per"].items():
            found = found + float(price) * view.features[name].to_numpy().astype(np.float64)
        return np.maximum(found, self.params.floor)

    def check_model(self, path: Path, rows: FeaturesView) -> list[Finding]:
        """The list can be read, and prices features that the corpus has."""
        try:
            lacking = sorted(set(self.load(path)["per"]) - set(rows.features.columns))
        except HeldoutError as error:
            return [_finding("PRICED-1", f"the list cannot be read: {error.what}", path)]
        return [_finding("PRICED-2", f"it prices {name!r}, which the corpus has not", path) for name in lacking]

    def packages(self) -> tuple[str, ...]:
        """An upgrade of these asks again."""
        return ("numpy", "polars")


def _finding(code: str, what: str, path: Path) -> Finding:
    return Finding(code, blocking=True, what=what, where=path.name, hint="ask whoever sent the list")
