"""Contenders that know nothing: one answer a fold, from the targets of its training rows and nothing else.

A gate that one of them passes is no gate. They are predicted fold by fold as any model is, and scored by the same code;
only a correlation, which a constant has not, counts as 0 where it is undefined or lower: whoever knows nothing may as
well guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.corpus import Task
from heldout.evidence import finite_or_none
from heldout.split import Fold
from heldout.study import GateSpec
from heldout.task.classification import OF_A_CLASS

DESCRIPTIONS = {
    "mean": "the mean of the training rows",
    "median": "the median of the training rows",
    "majority": "the most frequent class of the training rows",
    "prior": "the shares of the classes in the training rows",
    "chance": "the same probability for every class",
}
NAMES = {"regression": ("mean", "median"), "classification": ("majority", "prior", "chance")}
_ROUNDING = 1e-9
_ALWAYS, _QUANTILE = "always ", "quantile "


@dataclass(frozen=True)
class Trivial:
    """A contender that knows nothing.

    Attributes:
        name: Such as ``mean``.
        answers: By fold: its answer to every row, float64 ``[1]``, or ``[classes]`` probabilities.
    """

    name: str
    answers: Mapping[str, FloatArray]

    def predict(self, folds: NDArray[Any]) -> FloatArray:
        """Its prediction of every row, of the shape of a model's.

        Args:
            folds: Fold that holds each row out.
        """
        names, inverse = np.unique(folds.astype(str), return_inverse=True)
        table = np.stack([self.answers[name] for name in names.tolist()])
        found: FloatArray = table[inverse]
        return found[:, 0] if found.shape[1] == 1 else found

    def to_json(self) -> dict[str, Any]:
        """What must be known to predict it again: a number a fold, or a list of probabilities."""
        plain = {fold: [finite_or_none(float(value)) for value in row] for fold, row in self.answers.items()}
        return {fold: row[0] if len(row) == 1 else row for fold, row in plain.items()}

    @classmethod
    def from_json(cls, name: str, document: Mapping[str, Any]) -> Trivial:
        """The contender that ``to_json`` wrote down."""
        answers = {fold: np.atleast_1d(np.array(value, dtype=np.float64)) for fold, value in document.items()}
        return cls(name, answers)

    def differs(self, other: Trivial, scale: float) -> str | None:
        """The first fold of the other in which the two answer otherwise, by more than rounding; None if none does.

        Args:
            other: What is expected.
            scale: Size of the targets.
        """
        for fold, answer in sorted(other.answers.items()):
            mine = self.answers.get(fold)
            if mine is None or mine.shape != answer.shape:
                return fold
            if not np.allclose(mine, answer, rtol=0.0, atol=_ROUNDING * scale, equal_nan=True):
                return fold
        return None


def asked_by(gate: GateSpec) -> list[str]:
    """Names of the metrics that the rules of a gate ask for."""
    return [rule.metric for rule in gate.rules]


def names_of(task: Task, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the contenders that know nothing, with those that metrics of a class or a quantile ask for.

    Who always says one class finds all of it; who always says the quantile has the least loss of all that know nothing.

    Args:
        task: Kind of target.
        asked: Names of metrics, such as ``recall@fraud`` and ``pinball@0.9``.
    """
    families = (name.partition("@") for name in asked)
    more = [
        f"{_ALWAYS}{parameter}" if family in OF_A_CLASS else f"{_QUANTILE}{parameter}"
        for family, _, parameter in families
        if parameter and (family in OF_A_CLASS or family == "pinball")
    ]
    return (*NAMES[task], *dict.fromkeys(more))


def trivial_contenders(
    target: NDArray[Any],
    groups: NDArray[Any],
    folds: Sequence[Fold],
    classes: Sequence[str] = (),
    asked: Sequence[str] = (),
) -> dict[str, Trivial]:
    """Every contender that knows nothing, by name.

    Each row is read once: means and shares are sums over groups, so that a fold costs as many numbers as groups.

    Args:
        target: float64 ``[rows]``, or str for classes.
        groups: Group of each row.
        folds: Which groups do not train; all others do.
        classes: Names of the classes, each label among them; empty for regression.
        asked: Names of the metrics that rules ask for.
    """
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    place = {name: code for code, name in enumerate(names.tolist())}
    apart = {fold.id: np.array([place[name] for name in fold.apart if name in place], dtype=np.int64) for fold in folds}
    task: Task = "classification" if classes else "regression"
    extra = names_of(task, asked)[len(NAMES[task]) :]
    if classes:
        found = _of_classes(_counts(target, codes, len(names), classes), apart)
        chosen = [name.removeprefix(_ALWAYS) for name in extra if name.startswith(_ALWAYS)]
        answers = {name: np.eye(len(classes))[list(classes).index(name)] for name in chosen if name in classes}
        return found | {
            f"{_ALWAYS}{name}": Trivial(f"{_ALWAYS}{name}", dict.fromkeys(apart, answer))
            for name, answer in answers.items()
        }
    values = target.astype(np.float64)
    counts = np.bincount(codes, minlength=len(names))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.bincount(codes, weights=values, minlength=len(names))
        # Added up anew for each fold: taking away what is held out would leave its rounding behind.
        means = {fold: np.array([_but(sums, part).sum() / _but(counts, part).sum()]) for fold, part in apart.items()}
    found = {"mean": Trivial("mean", means), "median": Trivial("median", _medians(values, codes, len(names), apart))}
    for name in extra:
        around = _around(values, codes, len(names), apart, float(name.removeprefix(_QUANTILE)))
        found[name] = Trivial(
            name, {fold: np.array([low + (high - low) * on]) for fold, (low, high, on) in around.items()}
        )
    return found


def _but(values: NDArray[Any], apart: NDArray[np.int64]) -> NDArray[Any]:
    """What the training groups have, in order."""
    trains = np.ones(len(values), dtype=bool)
    trains[apart] = False
    return values[trains]


def _medians(
    values: FloatArray, codes: NDArray[np.int64], groups: int, apart: Mapping[str, NDArray[np.int64]]
) -> dict[str, FloatArray]:
    around = _around(values, codes, groups, apart, 0.5)
    return {fold: np.array([low / 2 + high / 2]) for fold, (low, high, _) in around.items()}


def _around(
    values: FloatArray, codes: NDArray[np.int64], groups: int, apart: Mapping[str, NDArray[np.int64]], level: float
) -> dict[str, tuple[np.float64, np.float64, float]]:
    """The two training rows around a quantile, and how far it lies on the way from one to the other, by fold.

    The rows are sorted once, and a fold steps over those that do not train.
    """
    order = np.argsort(values, kind="stable")
    ordered, owner = values[order], codes[order]
    by_group = np.argsort(owner, kind="stable")  # places among the ordered rows, ascending in each group
    starts = np.searchsorted(owner[by_group], np.arange(groups + 1))
    found = {}
    for fold, part in apart.items():
        out = np.sort(np.concatenate([by_group[starts[each] : starts[each + 1]] for each in part] or [by_group[:0]]))
        place = (len(ordered) - len(out) - 1) * level
        # The k-th row that trains stands behind as many others as there are before it.
        ranks = np.array([math.floor(place), math.ceil(place)])
        low, high = ordered[ranks + np.searchsorted(out - np.arange(len(out)), ranks, side="right")]
        found[fold] = (low, high, place - math.floor(place))
    return found


def _counts(target: NDArray[Any], codes: NDArray[np.int64], groups: int, classes: Sequence[str]) -> FloatArray:
    index = {name: code for code, name in enumerate(classes)}
    labels = np.array([index[label] for label in target.astype(str).tolist()], dtype=np.int64)
    flat = np.bincount(codes * len(classes) + labels, minlength=groups * len(classes))
    return flat.reshape(groups, len(classes)).astype(np.float64)


def _of_classes(counts: FloatArray, apart: Mapping[str, NDArray[np.int64]]) -> dict[str, Trivial]:
    sums = {fold: _but(counts, part).sum(axis=0) for fold, part in apart.items()}
    classes = counts.shape[1]
    majority = {fold: np.eye(classes)[int(row.argmax())] for fold, row in sums.items()}
    prior = {fold: row / row.sum() for fold, row in sums.items()}
    chance = {fold: np.full(classes, 1 / classes) for fold in sums}
    answers = {"majority": majority, "prior": prior, "chance": chance}
    return {name: Trivial(name, answers[name]) for name in NAMES["classification"]}
