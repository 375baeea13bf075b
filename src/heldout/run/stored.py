"""Whether the stored models answer what was judged: foreign code is asked once more, in fresh processes.

All predictions are on disk by then. Up to 200 units of a contender are asked, above that 200 that nobody chose: those
whose keys are smallest by digest. A model that answers from memory, from files that only one process had, by the clock
or by the number of its process answers otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.backbone import ClassScores
from heldout.corpus import Corpus
from heldout.documents.names import STORED_FILE
from heldout.engine import default_workers
from heldout.engine.apart import asking
from heldout.errors import HeldoutError
from heldout.evidence import read_json
from heldout.gate.integrity import Stored
from heldout.run.apart.foreign import Apart, is_foreign
from heldout.run.prepare import Planned, Prepared
from heldout.run.units import Unit, read_unit, test_view

SCHEMA = "heldout.stored/1"
_MOST = 200
_ROUNDING = 1e-6


class _Asked(NamedTuple):
    name: str
    same: bool
    even: bool
    fence: Mapping[str, str]


def ask_stored(prepared: Prepared, fitted: Sequence[Planned], workers: int | None) -> dict[str, Any] | None:
    """The document ``stored.json``, or None if none of the fitted contenders has foreign code."""
    foreign = [each for each in fitted if is_foreign(each.contender.backbone)]
    if not foreign:
        return None
    asked: list[_Asked] = []
    for contender, _, units in foreign:
        apart = Apart(contender.backbone, (prepared.resolved.corpus_path, prepared.study))
        ask = partial(_ask, apart, corpus=prepared.corpus)
        with asking(ask, drawn(units), workers or default_workers()) as waiting:
            asked += [answered.result() for answered in waiting]
    return {
        "schema": SCHEMA,
        "units": sum(len(units) for _, _, units in foreign),
        "asked": len(asked),
        "deterministic": all(contender.backbone.deterministic for contender, _, _ in foreign),
        "different": [each.name for each in asked if not each.same],
        "uneven": [each.name for each in asked if not each.even],
        "fence": _weakest([each.fence for each in asked if each.fence]),
    }


def drawn(units: Sequence[Unit], most: int = _MOST) -> list[Unit]:
    """All units if they are few, else those whose keys come first by digest."""
    if len(units) <= most:
        return list(units)
    return sorted(units, key=lambda unit: hashlib.sha256(unit.key.encode()).hexdigest())[:most]


def read_stored(folder: Path) -> Stored | None:
    """What was found when the stored models were asked; None if nobody had to."""
    path = folder / STORED_FILE
    if not path.exists():
        return None
    found = read_json(path)
    return Stored(
        units=int(found["units"]),
        asked=int(found["asked"]),
        deterministic=bool(found["deterministic"]),
        different=tuple(map(str, found["different"])),
        uneven=tuple(map(str, found["uneven"])),
        fence=dict(found["fence"]),
    )


def _ask(apart: Apart, unit: Unit, corpus: Corpus) -> _Asked:
    """Whether the stored model of a unit answers what was judged, to the last bit, and row by row alike."""
    document, judged = read_unit(unit)
    try:
        answer = apart.ask(unit.folder, test_view(corpus, unit.fold), parts=True)
    except HeldoutError:
        return _Asked(unit.name, same=False, even=True, fence={})
    predicted = answer.predicted
    classes = list(predicted.classes) if isinstance(predicted, ClassScores) else []
    values = predicted.probability if isinstance(predicted, ClassScores) else predicted
    same = classes == document["classes"] and np.array_equal(values.reshape(judged.shape), judged, equal_nan=True)
    spread = float(np.nanstd(values)) or 1.0
    parts = values if answer.parts is None else answer.parts
    even = parts.shape == values.shape and np.allclose(
        parts, values, rtol=_ROUNDING, atol=_ROUNDING * spread, equal_nan=True
    )
    return _Asked(unit.name, same=same, even=bool(even), fence=answer.fence)


def _weakest(fences: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What held all of them; several words for one thing where it was not the same everywhere."""
    return {key: " or ".join(sorted({fence[key] for fence in fences})) for key in sorted(_keys(fences))}


def _keys(fences: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield from {key for fence in fences for key in fence}
