"""Contenders that know nothing: one answer a fold, from the targets of its training rows and nothing else.

A gate that one of them passes is no gate. They are predicted fold by fold as any model is, and scored by the same code;
only a correlation, which a constant has not, counts as 0 where it is undefined or lower: whoever knows nothing may as
well guess. Where rows have weights, mean, median, majority, shares and quantiles are those by weight.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.corpus import TargetKind
from heldout.evidence import finite_or_none
from heldout.split import Fold
from heldout.study import GateSpec
from heldout.task.classification import OF_A_CLASS
from heldout.task.metrics import label_codes
from heldout.task.ranks import Ranked
from heldout.task.weighted import of_size_one

DESCRIPTIONS = {
    "mean": "the mean of the training rows",
    "median": "the median of the training rows",
    "majority": "the most frequent class of the training rows",
    "prior": "the shares of the classes in the training rows",
    "chance": "the same probability for every class",
}
NAMES = {"regression": ("mean", "median"), "classification": ("majority", "prior", "chance")}
_ROUNDING = 1e-9
ALWAYS, QUANTILE = "always ", "quantile "
# Of a task: sorted targets of training rows, their weights, classes -> float64 [1], or [classes] probabilities.
Answer = Callable[[NDArray[Any], FloatArray | None, tuple[str, ...]], FloatArray]


@dataclass(frozen=True)
class Trivial:
    """A contender that knows nothing.

    Attributes:
        name: Such as ``mean``.
        answers: By fold: its answer to every row, float64 ``[1]``, of several targets ``[outputs]``, or ``[classes]``
            probabilities.
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

    def differs(self, other: Trivial, scale: float | FloatArray) -> str | None:
        """The first fold of the other in which the two answer otherwise, by more than rounding; None if none does.

        Args:
            other: What is expected.
            scale: Size of the targets, or of each.
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


def names_of(task: TargetKind, asked: Sequence[str] = (), own: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the contenders that know nothing, with those that metrics of a class or a quantile ask for.

    Who always says one class finds all of it; who always says the quantile has the least loss of all that know nothing.

    Args:
        task: Kind of target.
        asked: Names of metrics, such as ``recall@fraud`` and ``pinball@0.9``.
        own: Names of those that the study's task brings.
    """
    families = (name.partition("@") for name in asked)
    more = [
        f"{ALWAYS}{parameter}" if family in OF_A_CLASS else f"{QUANTILE}{parameter.partition('@')[0]}"
        for family, _, parameter in families
        if parameter and (family in OF_A_CLASS or family == "pinball")
    ]
    return (*NAMES[task], *dict.fromkeys(more), *own)


def trivial_contenders(
    target: NDArray[Any],
    groups: NDArray[Any],
    folds: Sequence[Fold],
    classes: Sequence[str] = (),
    asked: Sequence[str] = (),
    weight: FloatArray | None = None,
    own: Mapping[str, Answer] | None = None,
) -> dict[str, Trivial]:
    """Every contender that knows nothing, by name.

    Each row is read once: means and shares are sums over groups, so that a fold costs as many numbers as groups. What a
    task brings is asked once a fold, of all its training rows.

    Args:
        target: float64 ``[rows]``, of several ``[rows, outputs]``, or str for classes.
        groups: Group of each row.
        folds: Which groups do not train; all others do.
        classes: Names of the classes, each label among them; empty for regression.
        asked: Names of the metrics that rules ask for.
        weight: How much each row counts, float64 ``[rows]``; None counts all alike.
        own: Those that the study's task brings, by name.
    """
    if target.ndim > 1:
        each = [trivial_contenders(column, groups, folds, (), asked, weight, own) for column in target.T]
        return {
            name: Trivial(name, {fold: np.concatenate([one[name].answers[fold] for one in each]) for fold in apart})
            for name, apart in ((name, found.answers) for name, found in each[0].items())
        }
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    place = {name: code for code, name in enumerate(names.tolist())}
    apart = {fold.id: np.array([place[name] for name in fold.apart if name in place], dtype=np.int64) for fold in folds}
    task: TargetKind = "classification" if classes else "regression"
    extra = names_of(task, asked)[len(NAMES[task]) :]
    weight = None if weight is None else of_size_one(weight)
    brought = _asked_by_fold(target, codes, apart, tuple(classes), weight, own or {})
    if classes:
        found = _of_classes(_counts(target, codes, len(names), classes, weight), apart)
        chosen = [name.removeprefix(ALWAYS) for name in extra if name.startswith(ALWAYS)]
        answers = {name: np.eye(len(classes))[list(classes).index(name)] for name in chosen if name in classes}
        always = {
            f"{ALWAYS}{name}": Trivial(f"{ALWAYS}{name}", dict.fromkeys(apart, answer))
            for name, answer in answers.items()
        }
        return found | always | brought
    values = target.astype(np.float64)
    counts = np.bincount(codes, weights=weight, minlength=len(names))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.bincount(codes, weights=values if weight is None else values * weight, minlength=len(names))
        # Added up anew for each fold: taking away what is held out would leave its rounding behind.
        means = {fold: np.array([_but(sums, part).sum() / _but(counts, part).sum()]) for fold, part in apart.items()}
    rows = Ranked(values, codes, len(names), weight)
    found = {"mean": Trivial("mean", means), "median": Trivial("median", _medians(rows, apart))}
    for name in extra:
        around = rows.around(apart, float(name.removeprefix(QUANTILE)))
        found[name] = Trivial(
            name, {fold: np.array([low + (high - low) * on]) for fold, (low, high, on) in around.items()}
        )
    return found | brought


def _asked_by_fold(
    target: NDArray[Any],
    codes: NDArray[np.int64],
    apart: Mapping[str, NDArray[np.int64]],
    classes: tuple[str, ...],
    weight: FloatArray | None,
    own: Mapping[str, Answer],
) -> dict[str, Trivial]:
    """What a task's contenders answer in each fold, of training rows in an order that says nothing of their groups."""
    if not own:
        return {}
    truth = label_codes(target.astype(str), classes) if classes else target.astype(np.float64)
    order = np.argsort(truth, kind="stable") if weight is None else np.lexsort((weight, truth))
    if weight is not None:
        order = order[weight[order] > 0]
    found: dict[str, dict[str, FloatArray]] = {name: {} for name in own}
    for fold, part in apart.items():
        rows = order[~np.isin(codes[order], part)]
        for name, answer in own.items():
            weighing = None if weight is None else weight[rows]
            nobody = np.full(len(classes) or 1, np.nan)  # where no training row counts nothing is known
            found[name][fold] = answer(truth[rows], weighing, classes) if len(rows) else nobody
    return {name: Trivial(name, answers) for name, answers in found.items()}


def _but(values: NDArray[Any], apart: NDArray[np.int64]) -> NDArray[Any]:
    """What the training groups have, in order."""
    trains = np.ones(len(values), dtype=bool)
    trains[apart] = False
    return values[trains]


def _medians(rows: Ranked, apart: Mapping[str, NDArray[np.int64]]) -> dict[str, FloatArray]:
    around = rows.around(apart, 0.5)
    return {fold: np.array([low / 2 + high / 2]) for fold, (low, high, _) in around.items()}


def _counts(
    target: NDArray[Any], codes: NDArray[np.int64], groups: int, classes: Sequence[str], weight: FloatArray | None
) -> FloatArray:
    labels = label_codes(target.astype(str), tuple(classes))
    flat = np.bincount(codes * len(classes) + labels, weights=weight, minlength=groups * len(classes))
    return flat.reshape(groups, len(classes)).astype(np.float64)


def _of_classes(counts: FloatArray, apart: Mapping[str, NDArray[np.int64]]) -> dict[str, Trivial]:
    sums = {fold: _but(counts, part).sum(axis=0) for fold, part in apart.items()}
    classes = counts.shape[1]
    nobody = np.full(classes, np.nan)  # where no training row counts there is no share, and no class that leads
    majority = {fold: np.eye(classes)[int(row.argmax())] if row.any() else nobody for fold, row in sums.items()}
    prior = {fold: row / row.sum() if row.any() else nobody for fold, row in sums.items()}
    chance = {fold: np.full(classes, 1 / classes) for fold in sums}
    answers = {"majority": majority, "prior": prior, "chance": chance}
    return {name: Trivial(name, answers[name]) for name in NAMES["classification"]}
