"""Asking a model from elsewhere a second time for some rows: backwards, and fewer at once.

Which rows is nobody's choice: those that come first by a digest that includes the answers. A model that remembers what
it was asked before, or answers a row by its neighbours, answers otherwise then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import ClassScores, FeaturesView, FloatArray
from heldout.backbone.asked import Answers, AskedBackbone
from heldout.run.apart.elsewhere import ask_block
from heldout.run.apart.foreign import Apart

_ROUNDING = 1e-6
Ask = Callable[[FeaturesView, int], list[Answers]]


class KeptAnswers(NamedTuple):
    """What a unit has on disk: its key, its labels and its answers."""

    key: str
    classes: Sequence[str]
    judged: FloatArray


class Again(NamedTuple):
    """Whether a unit is answered the same a second time, and what held the process that was asked."""

    same: bool
    fence: Mapping[str, str]


def asked_unit_again(apart: Apart, backbone: AskedBackbone, kept: KeptAnswers, view: FeaturesView, units: int) -> Again:
    """Ask foreign code again, in a fresh process, for a part of one of so many units."""
    rows = rows_again(backbone, kept.key, kept.judged, units)
    fences: list[Mapping[str, str]] = []

    def ask(part: FeaturesView, size: int) -> list[Answers]:
        found = ask_block(apart, backbone, part, size)
        fences.append(found.fence)
        return found.batches

    classes, values = backwards(backbone, view, rows, ask)
    same = list(classes) == list(kept.classes) and near(values, kept.judged[rows], _ROUNDING)
    return Again(same, fences[0])


def rows_again(backbone: AskedBackbone, key: str, judged: FloatArray, units: int) -> NDArray[np.int64]:
    """Rows of a unit that are asked again: all if they are few, else those that come first by digest."""
    most = max(1, backbone.again // max(1, units))
    if len(judged) <= most:
        return np.arange(len(judged))
    seed = hashlib.sha256(key.encode() + np.ascontiguousarray(judged).tobytes()).digest()
    by_digest = sorted(range(len(judged)), key=lambda row: hashlib.sha256(seed + row.to_bytes(8, "big")).digest())
    return np.sort(np.array(by_digest[:most], dtype=np.int64))


def backwards(
    backbone: AskedBackbone, view: FeaturesView, rows: NDArray[np.int64], ask: Ask
) -> tuple[tuple[str, ...], FloatArray]:
    """Labels and answers for some rows, in their order, though they are asked in the other."""
    answers = ask(FeaturesView(view.features[rows[::-1]]), max(1, min(backbone.rows_at_once, len(rows)) // 2))
    first = answers[0].predicted
    classes = first.classes if isinstance(first, ClassScores) else ()
    parts = [
        each.predicted.probability if isinstance(each.predicted, ClassScores) else np.asarray(each.predicted)
        for each in answers
    ]
    return classes, np.concatenate(parts)[::-1]


def near(found: FloatArray, judged: FloatArray, tolerance: float) -> bool:
    """Whether answers are the same up to the rounding of another batch, measured by their spread."""
    if found.shape != judged.shape:
        return False
    finite = judged[np.isfinite(judged)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    return bool(np.allclose(found, judged, rtol=tolerance, atol=tolerance * (spread or 1.0), equal_nan=True))
