"""What a model costs as it is served: bytes on disk, and time to predict. Measured only if a rule asks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from heldout.backbone import Backbone, FeaturesView
from heldout.corpus import Corpus
from heldout.evidence import read_json
from heldout.run.units import PREDICTIONS, Unit
from heldout.study import COSTS, GateSpec

COSTS_FILE = "costs.json"
SCHEMA = "heldout.costs/1"
AS_SAVED = "as saved"
_TURNS, _ROWS = 7, 1000


def wanted(gate: GateSpec) -> bool:
    """Whether a rule asks for a cost."""
    return any(rule.metric in COSTS for rule in gate.rules)


def measure(units: Sequence[Unit], backbone: Backbone, corpus: Corpus) -> dict[str, Any]:
    """The document ``costs.json``.

    ``model_bytes`` is the largest of all units; ``latency_us`` is the median over several turns of predicting up to
    1,000 held-out rows with the first unit's model, in microseconds a row, on the machine that judges. Both are of the
    exported model where the backbone exports one, such as an ONNX graph; `form` says so.
    """
    first = units[0]
    view = FeaturesView(corpus.features[corpus.rows_of(first.fold.test)[:_ROWS]])
    model = backbone.load(first.folder)
    served = backbone.served(model)
    predict = served.predict if served else partial(backbone.predict, model)
    predict(view)
    turns = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        predict(view)
        turns.append((time.perf_counter() - start) / view.features.height * 1e6)
    return {
        "schema": SCHEMA,
        "model_bytes": max(model_bytes(unit.folder, backbone) for unit in units),
        "latency_us": statistics.median(turns),
        "rows": view.features.height,
        "device": backbone.device(),
        "form": served.form if served else AS_SAVED,
    }


def model_bytes(folder: Path, backbone: Backbone) -> int:
    """Bytes of a unit's model: of its export, or of every file of the fit but its predictions."""
    served = backbone.served(backbone.load(folder))
    return len(served.data) if served else saved_bytes(folder)


def saved_bytes(folder: Path) -> int:
    """Bytes of every file of the fit but its predictions."""
    files = read_json(folder / "unit.json")["files"]
    return sum((folder / name).stat().st_size for name in files if name != PREDICTIONS)


def read_costs(folder: Path) -> dict[str, float]:
    """The measured costs of a run; empty if none were."""
    path = folder / COSTS_FILE
    if not path.exists():
        return {}
    document = read_json(path)
    return {name: float(document[name]) for name in COSTS}
