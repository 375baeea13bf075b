"""Metrics of predicted labels, from three sums a class: right, support, predicted.

A contender may also be a lottery: its expected sums stand in for counts, so chance needs no seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.evidence import finite_or_none


class LabelSums:
    """Sums of every group, in the order right, support, predicted: float64 ``[groups, 3 * classes]``."""

    def __init__(self, classes: Sequence[str], groups: NDArray[np.int64]) -> None:
        """Name the classes, and number the group of every row.

        Args:
            classes: Every label that is truth or prediction.
            groups: Number of the group of each row, int64 ``[rows]``.
        """
        self.classes = tuple(classes)
        self._groups = groups
        self._shape = (int(groups.max(initial=-1)) + 1, len(self.classes))
        self._place = {name: code for code, name in enumerate(self.classes)}

    def of_labels(self, truth: Sequence[str], predicted: Sequence[str]) -> FloatArray:
        """A contender that gives one label a row."""
        true, said = self._codes(truth), self._codes(predicted)
        right = true == said
        parts = [self._count(true[right], self._groups[right]), self._count(true), self._count(said)]
        return np.concatenate(parts, axis=1)

    def of_lottery(self, truth: Sequence[str], shares: Mapping[str, float]) -> FloatArray:
        """A contender that draws its label from ``shares``, whatever the row shows."""
        support = self._count(self._codes(truth))
        chance = np.array([shares.get(name, 0.0) for name in self.classes])
        said = support.sum(axis=1, keepdims=True) * chance
        return np.concatenate([support * chance, support, said], axis=1)

    def _codes(self, labels: Sequence[str]) -> NDArray[np.int64]:
        return np.array([self._place[label] for label in labels], dtype=np.int64)

    def _count(self, codes: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> FloatArray:
        found: FloatArray = np.zeros(self._shape)
        np.add.at(found, (self._groups if groups is None else groups, codes), 1.0)
        return found


def accuracy(sums: FloatArray) -> FloatArray:
    """Share of rows that are right."""
    right, support, _ = np.split(sums, 3, axis=-1)
    return _ratio(right.sum(-1), support.sum(-1))


def balanced_accuracy(sums: FloatArray) -> FloatArray:
    """Mean recall over the classes that occur."""
    right, support, _ = np.split(sums, 3, axis=-1)
    return _mean_over(_ratio(right, support), support > 0)


def supported_macro_f1(sums: FloatArray) -> FloatArray:
    """Mean F1 over the classes that occur."""
    right, support, said = np.split(sums, 3, axis=-1)
    return _mean_over(_ratio(2 * right, support + said), support > 0)


def macro_f1(sums: FloatArray) -> FloatArray:
    """Mean F1 over all classes, where one that neither occurs nor is predicted counts as 0: the published one."""
    right, support, said = np.split(sums, 3, axis=-1)
    f1: FloatArray = np.nan_to_num(_ratio(2 * right, support + said)).mean(-1)
    return f1


def per_class(classes: Sequence[str], sums: FloatArray) -> list[dict[str, Any]]:
    """Support, predicted, precision, recall and F1 of every class, by name. ``sums`` has shape ``[3 * classes]``."""
    right, support, said = np.split(sums, 3)
    found = {
        "support": support,
        "predicted": said,
        "precision": _ratio(right, said),
        "recall": _ratio(right, support),
        "f1": np.nan_to_num(_ratio(2 * right, support + said)),
    }
    order = sorted(range(len(classes)), key=lambda code: classes[code])
    return [
        {"class_name": classes[code]} | {name: _plain(name, values[code]) for name, values in found.items()}
        for code in order
    ]


def _plain(name: str, value: np.float64) -> float | int | None:
    return round(float(value)) if name in ("support", "predicted") else finite_or_none(float(value))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = above / below
    return found


def _mean_over(values: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    return _ratio(np.where(chosen, values, 0.0).sum(-1), chosen.sum(-1).astype(np.float64))
