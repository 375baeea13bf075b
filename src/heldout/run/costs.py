"""What a model costs as it is served: bytes on disk, and time to predict. Measured only if a rule asks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from heldout.backbone import Backbone, FeaturesView
from heldout.backbone.asked import AskedBackbone, asked_of
from heldout.corpus import Corpus
from heldout.documents.names import COSTS_FILE, UNIT_FILE, UNIT_PREDICTIONS
from heldout.evidence import read_json
from heldout.run.apart.child import turns_of
from heldout.run.apart.elsewhere import turns_apart
from heldout.run.apart.foreign import Apart, is_foreign
from heldout.run.units.unit import Unit
from heldout.study import COSTS, GateSpec

SCHEMA = "heldout.costs/1"
AS_SAVED = "as saved"
_TURNS, _ROWS = 7, 1000


def wanted(gate: GateSpec) -> bool:
    """Whether a rule asks for a cost."""
    return any(rule.metric in COSTS for rule in gate.rules)


def measure(units: Sequence[Unit], backbone: Backbone, corpus: Corpus, hidden: tuple[Path, ...]) -> dict[str, object]:
    """The document ``costs.json``.

    ``model_bytes`` is the largest of all units; ``latency_us`` is the median over several turns of predicting up to
    1,000 held-out rows with the first unit's model, in microseconds a row, on the machine that judges. Both are of the
    exported model where the backbone exports one, such as an ONNX graph; `form` says so. Foreign code is timed where it
    is shut in from what is hidden.
    """
    first = units[0]
    view = FeaturesView(corpus.features[corpus.rows_of(first.fold.test)[:_ROWS]])
    served = None
    asked = asked_of(backbone)
    if asked is not None:
        return _document(asked.content().bytes, _turns_elsewhere(asked, view, hidden), view, backbone)
    if is_foreign(backbone) and not _exports(backbone):
        turns = Apart(backbone, hidden).turns(first.folder, view, _TURNS)
    else:
        model = backbone.load(first.folder)
        served = backbone.served(model)
        turns = turns_of(served.predict if served else partial(backbone.predict, model), view, _TURNS)
    size = max(model_bytes(unit.folder, backbone) for unit in units)
    return _document(size, turns, view, backbone) | {"form": served.form if served else AS_SAVED}


def _document(size: int, turns: Sequence[float], view: FeaturesView, backbone: Backbone) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "model_bytes": size,
        "latency_us": statistics.median(turns),
        "rows": view.features.height,
        "device": backbone.device(),
        "form": AS_SAVED,
    }


def _turns_elsewhere(asked: AskedBackbone, view: FeaturesView, hidden: tuple[Path, ...]) -> list[float]:
    """Microseconds a row of a model from elsewhere, each of several times."""
    if is_foreign(asked):
        return turns_apart(Apart(asked, hidden), asked, view, _TURNS)
    return turns_of(partial(asked.predict, asked.load(asked.found())), view, _TURNS)


def _exports(backbone: Backbone) -> bool:
    return type(backbone).served is not Backbone.served


def model_bytes(folder: Path, backbone: Backbone) -> int:
    """Bytes of a unit's model: of its export, or of every file of the fit but its predictions."""
    served = backbone.served(backbone.load(folder)) if _exports(backbone) else None
    return len(served.data) if served else saved_bytes(folder)


def saved_bytes(folder: Path) -> int:
    """Bytes of every file of the fit but its predictions."""
    files = read_json(folder / UNIT_FILE)["files"]
    return sum((folder / name).stat().st_size for name in files if name != UNIT_PREDICTIONS)


def read_costs(folder: Path) -> dict[str, float]:
    """The measured costs of a run; empty if none were."""
    path = folder / COSTS_FILE
    if not path.exists():
        return {}
    document = read_json(path)
    return {name: float(document[name]) for name in COSTS}
