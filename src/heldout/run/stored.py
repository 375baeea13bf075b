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
from typing import NamedTuple

import numpy as np

from heldout.backbone import Backbone, ClassScores, FeaturesView
from heldout.backbone.asked import Answers, AskedBackbone, ask_in_batches, asked_of
from heldout.backbone.given import level_of_backbone
from heldout.corpus import Corpus
from heldout.documents.names import STORED_FILE
from heldout.engine import default_workers
from heldout.engine.apart import asking
from heldout.errors import HeldoutError
from heldout.evidence import read_json
from heldout.gate.integrity import Stored
from heldout.run.apart.foreign import Apart, is_foreign
from heldout.run.asked.again import KeptAnswers, asked_unit_again, backwards, near, rows_again
from heldout.run.prepare import Planned, Prepared
from heldout.run.units.landing import read_unit
from heldout.run.units.unit import Unit, test_view

SCHEMA = "heldout.stored/1"
_MOST = 200
_ROUNDING = 1e-6


class _Asked(NamedTuple):
    name: str
    same: bool
    even: bool
    fence: Mapping[str, str]


def ask_stored(prepared: Prepared, fitted: Sequence[Planned], workers: int | None) -> dict[str, object] | None:
    """The document ``stored.json``; None if no contender has foreign code, or asks a model from elsewhere."""
    again = [each for each in fitted if _can_be_asked(each.contender.backbone)]
    if not again:
        return None
    asked: list[_Asked] = []
    for contender, _, units in again:
        apart = Apart(contender.backbone, (*prepared.resolved.reader.kept(), prepared.study))
        model, ask = asked_of(contender.backbone), partial(_ask, apart, corpus=prepared.corpus)
        if model is not None and not is_foreign(model):
            asked += _ask_here(model, drawn(units), prepared.corpus)
            continue
        if model is not None:
            ask = partial(_ask_elsewhere, apart, model, len(drawn(units)), prepared.corpus)
        with asking(ask, drawn(units), workers or default_workers()) as waiting:
            asked += [answered.result() for answered in waiting]
    return {
        "schema": SCHEMA,
        "units": sum(len(units) for _, _, units in again),
        "asked": len(asked),
        "deterministic": all(contender.backbone.deterministic for contender, _, _ in again),
        "different": [each.name for each in asked if not each.same],
        "uneven": [each.name for each in asked if not each.even],
        "fence": _weakest([each.fence for each in asked if each.fence]),
    }


def _can_be_asked(backbone: Backbone) -> bool:
    """Whether there is a reason to ask it again, and something to ask."""
    return is_foreign(backbone) or level_of_backbone(backbone) == "asked"


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


def _ask_elsewhere(apart: Apart, backbone: AskedBackbone, units: int, corpus: Corpus, unit: Unit) -> _Asked:
    """Whether a model from elsewhere answers the same a second time, for some of its rows and asked backwards."""
    document, judged = read_unit(unit)
    kept = KeptAnswers(unit.key, document["classes"], judged)
    try:
        found = asked_unit_again(apart, backbone, kept, test_view(corpus, unit.fold), units)
    except HeldoutError:
        return _Asked(unit.name, same=False, even=True, fence={})
    return _Asked(unit.name, same=found.same, even=True, fence=found.fence)


def _ask_here(backbone: AskedBackbone, units: Sequence[Unit], corpus: Corpus) -> list[_Asked]:
    """The same of heldout's own code: a model that draws, or answers a row by its batch, answers otherwise."""
    model, found = backbone.load(backbone.found()), []
    for unit in units:
        document, judged = read_unit(unit)
        rows = rows_again(backbone, unit.key, judged, len(units))

        def ask(part: FeaturesView, size: int) -> list[Answers]:
            return list(ask_in_batches(backbone, model, part, size))

        classes, values = backwards(backbone, test_view(corpus, unit.fold), rows, ask)
        same = list(classes) == document["classes"] and near(values, judged[rows], _ROUNDING)
        found.append(_Asked(unit.name, same=same, even=True, fence={}))
    return found


def _weakest(fences: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What held all of them; several words for one thing where it was not the same everywhere."""
    return {key: " or ".join(sorted({fence[key] for fence in fences})) for key in sorted(_keys(fences))}


def _keys(fences: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield from {key for fence in fences for key in fence}
