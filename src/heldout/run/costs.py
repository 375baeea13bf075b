"""What a fitted model costs: bytes on disk, and time to predict. Measured only if a rule asks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heldout.backbone import Backbone, FeaturesView
from heldout.corpus import Corpus
from heldout.evidence import read_json
from heldout.run.units import PREDICTIONS, Unit
from heldout.study import COSTS, GateSpec

COSTS_FILE = "costs.json"
SCHEMA = "heldout.costs/1"
_TURNS, _ROWS = 7, 1000


def wanted(gate: GateSpec) -> bool:
    """Whether a rule asks for a cost."""
    return any(rule.metric in COSTS for rule in gate.rules)


def measure(units: Sequence[Unit], backbone: Backbone, corpus: Corpus) -> dict[str, Any]:
    """The document ``costs.json``.

    ``model_bytes`` is the largest of all units; ``latency_us`` is the median over several turns of predicting up to
    1,000 held-out rows with the first unit's model, in microseconds a row, on the machine that judges.
    """
    first = units[0]
    view = FeaturesView(corpus.features[corpus.rows_of(first.fold.test)[:_ROWS]])
    model = backbone.load(first.folder)
    backbone.predict(model, view)
    turns = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        backbone.predict(model, view)
        turns.append((time.perf_counter() - start) / view.features.height * 1e6)
    return {
        "schema": SCHEMA,
        "model_bytes": max(model_bytes(unit.folder) for unit in units),
        "latency_us": statistics.median(turns),
        "rows": view.features.height,
        "device": backbone.device(),
    }


def model_bytes(folder: Path) -> int:
    """Bytes of a unit's model: every file of the fit but its predictions."""
    files = read_json(folder / "unit.json")["files"]
    return sum((folder / name).stat().st_size for name in files if name != PREDICTIONS)


def read_costs(folder: Path) -> dict[str, float]:
    """The measured costs of a run; empty if none were."""
    path = folder / COSTS_FILE
    if not path.exists():
        return {}
    document = read_json(path)
    return {name: float(document[name]) for name in COSTS}
