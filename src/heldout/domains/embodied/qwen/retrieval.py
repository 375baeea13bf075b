"""Label options of the most similar train windows: a short list where the whole inventory would fill the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.labels import UNKNOWN

_KEYS = ("action", "subtask")


@dataclass(frozen=True)
class Retriever:
    """Train windows as points of the sensor bridge, with their labels.

    Attributes:
        points: ``[windows, numbers]``.
        groups: Session of each.
        labels: ``action`` and ``subtask`` of each.
    """

    points: FloatArray
    groups: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, points: FloatArray, groups: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> Retriever:
        """From the train windows."""
        labels = {key: tuple(str(answer[key]) for answer in answers) for key in _KEYS}
        return cls(np.round(points, 4), tuple(groups), labels)

    def options(self, point: FloatArray, group: str, most: int) -> dict[str, list[str]]:
        """Up to ``most`` labels of each kind, sorted, from the nearest windows of other sessions.

        A window of the same session would hand a train window its own label.
        """
        distance = ((self.points - point) ** 2).sum(axis=1)
        order = [i for i in np.argsort(distance, kind="stable") if self.groups[i] != group]
        found: dict[str, list[str]] = {}
        for key in _KEYS:
            nearest = dict.fromkeys(self.labels[key][i] for i in order if self.labels[key][i] != UNKNOWN)
            found[key] = sorted(list(nearest)[:most])
        return found

    def to_json(self) -> dict[str, object]:
        """Plain JSON."""
        return {"points": self.points.tolist(), "groups": list(self.groups)} | {
            key: list(self.labels[key]) for key in _KEYS
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Retriever:
        """Read back what ``to_json`` gave."""
        labels = {key: tuple(document[key]) for key in _KEYS}
        return cls(np.array(document["points"], np.float64), tuple(document["groups"]), labels)
