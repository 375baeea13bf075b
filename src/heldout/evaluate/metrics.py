"""Metrics of one set of rows. A metric that cannot be computed is NaN here and ``null``, with the reason, on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray

Kind = Literal["regression", "classification"]
REGRESSION = ("plcc", "srocc", "rmse", "mae", "bias", "abs_bias")
CLASSIFICATION = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
# Where a smaller value is better; everything else is better when larger. `bias` is better when near zero.
SMALLER_IS_BETTER = frozenset({"rmse", "mae", "abs_bias", "log_loss"})
CONSTANT_PREDICTION = "the prediction is constant"
_CONSTANT = 1e-12


def names(kind: Kind) -> tuple[str, ...]:
    """Names of the metrics of a kind of target; the first is the primary one."""
    return REGRESSION if kind == "regression" else CLASSIFICATION


def regression(target: FloatArray, prediction: FloatArray) -> dict[str, float]:
    """PLCC, SROCC with ties, RMSE, MAE, bias (mean of prediction minus target) and its size.

    Args:
        target: float64 of shape ``[rows]``.
        prediction: float64 of shape ``[rows]``.
    """
    if not (len(target) and np.isfinite(target).all() and np.isfinite(prediction).all()):
        return dict.fromkeys(REGRESSION, float("nan"))
    error = prediction - target
    return {
        "plcc": pearson(target, prediction),
        "srocc": pearson(average_ranks(target), average_ranks(prediction)),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "bias": float(np.mean(error)),
        "abs_bias": float(abs(np.mean(error))),
    }


def pearson(x: FloatArray, y: FloatArray) -> float:
    """Pearson correlation; NaN for fewer than two rows or a constant side."""
    if len(x) < 2 or is_constant(x) or is_constant(y):
        return float("nan")
    dx, dy = _deviations(x), _deviations(y)
    return float(np.clip(np.mean(dx * dy) / np.sqrt(np.mean(dx**2) * np.mean(dy**2)), -1.0, 1.0))


def is_constant(values: FloatArray) -> bool:
    """Whether all values are equal up to rounding, relative to their size: 1e-14 is small beside 1, not beside 0."""
    return bool(values.max() - values.min() <= _CONSTANT * np.abs(values).max())


def _deviations(values: FloatArray) -> FloatArray:
    """Deviations from the mean, scaled so that the largest is 1: their squares neither overflow nor vanish."""
    scaled = values / np.abs(values).max()
    centred = scaled - scaled.mean()
    deviations: FloatArray = centred / np.abs(centred).max()
    return deviations


def average_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; equal values share the mean of their ranks (the fractional ranking of Spearman's rho)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: FloatArray = last - (counts - 1) / 2.0
    return mean_rank[inverse]


def classification(target: NDArray[Any], probability: FloatArray, classes: tuple[str, ...]) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1 over the classes that occur, and log loss (nats).

    Args:
        target: Labels, str of shape ``[rows]``; each is in ``classes``.
        probability: float64 of shape ``[rows, classes]``; the label with the largest one is predicted.
        classes: Names of the columns.
    """
    if not (len(target) and np.isfinite(probability).all()):
        return dict.fromkeys(CLASSIFICATION, float("nan"))
    truth = label_codes(target, classes)
    predicted = probability.argmax(axis=1)
    confusion = confusion_matrix(truth, predicted, len(classes))
    support, hits = confusion.sum(axis=1), np.diag(confusion)
    occurs = support > 0
    recall = hits[occurs] / support[occurs]
    f1 = 2 * hits[occurs] / (support[occurs] + confusion.sum(axis=0)[occurs])
    chosen = np.clip(probability[np.arange(len(truth)), truth], 1e-15, 1.0)
    return {
        "accuracy": float(np.mean(truth == predicted)),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "log_loss": float(-np.mean(np.log(chosen))),
    }


def label_codes(labels: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Column number of each label."""
    index = {name: code for code, name in enumerate(classes)}
    return np.array([index[label] for label in labels.tolist()], dtype=np.int64)


def confusion_matrix(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts of shape ``[classes, classes]``: row = truth, column = prediction."""
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def why_undefined(name: str, target: NDArray[Any], prediction: FloatArray) -> str:
    """The sentence that goes beside a ``null``."""
    bad = int(np.size(prediction) - np.isfinite(prediction).sum())
    if bad:
        return f"{bad} predictions are not finite"
    if len(target) < 2:
        return f"{len(target)} rows cannot have a {name}"
    if is_constant(np.asarray(target, dtype=np.float64)):
        return "the target is constant"
    if is_constant(prediction):
        return CONSTANT_PREDICTION
    return "the numbers are too large"


def better(name: str, a: float, b: float) -> bool:
    """Whether value ``a`` of a metric is better than ``b``."""
    if name == "bias":
        return abs(a) < abs(b)
    return a < b if name in SMALLER_IS_BETTER else a > b


def worst(name: str, by_group: Mapping[str, float]) -> tuple[str, float]:
    """The group whose value is worst; an undefined one is worse than any number. Ties go to the first name."""
    chosen = None
    for group, value in sorted(by_group.items()):
        if np.isnan(value):
            return group, value
        if chosen is None or better(name, by_group[chosen], value):
            chosen = group
    assert chosen is not None
    return chosen, by_group[chosen]
