"""Metrics of one set of rows. A metric that cannot be computed is NaN here and ``null``, with the reason, on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray

Kind = Literal["regression", "classification"]
Better = Literal["higher", "lower", "near zero"]
Needs = Literal["value", "label", "probability", "model"]
# The least probability that the log loss takes: without it one certain error would make it infinite.
_LEAST_PROBABILITY = 1e-15


@dataclass(frozen=True)
class Metric:
    """What is known of a metric before anything is computed: rules, tables and comparisons follow from it.

    Attributes:
        name: In documents.
        label: Column head.
        better: The direction in which a value is better.
        range: Least and largest value that can come out.
        needs: What must be predicted for it; ``model``: it is measured on the fitted model.
        unit: None where it is that of the target; empty where it has none.
        aliases: Plain names that a rule may use.
        of_itself: False where another metric says the same and tables show that one.
    """

    name: str
    label: str
    better: Better
    range: tuple[float, float]
    needs: Needs
    unit: str | None = ""
    aliases: tuple[str, ...] = ()
    of_itself: bool = True

    @property
    def best(self) -> float:
        """The value that nothing exceeds."""
        low, high = self.range
        return {"higher": high, "lower": low, "near zero": 0.0}[self.better]


_ANY, _SIZE, _SHARE = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)
_OF_VALUES = (
    Metric("plcc", "PLCC", "higher", (-1.0, 1.0), "value", aliases=("pearson",)),
    Metric("srocc", "SROCC", "higher", (-1.0, 1.0), "value", aliases=("spearman",)),
    Metric("rmse", "RMSE", "lower", _SIZE, "value", unit=None),
    Metric("mae", "MAE", "lower", _SIZE, "value", unit=None),
    Metric("bias", "bias", "near zero", _ANY, "value", unit=None),
    Metric("abs_bias", "absolute bias", "lower", _SIZE, "value", unit=None, of_itself=False),
)
_OF_CLASSES = (
    Metric("accuracy", "accuracy", "higher", _SHARE, "label"),
    Metric("balanced_accuracy", "balanced accuracy", "higher", _SHARE, "label"),
    Metric("macro_f1", "macro F1", "higher", _SHARE, "label"),
    Metric("log_loss", "log loss", "lower", (0.0, -math.log(_LEAST_PROBABILITY)), "probability"),
)
# What a rule may ask besides the metrics of rows: how often an interval holds, and what a model costs.
_OF_MODELS = (
    Metric("coverage", "coverage", "higher", _SHARE, "value"),
    Metric("model_bytes", "model size", "lower", (1.0, math.inf), "model", unit="bytes"),
    Metric("latency_us", "latency", "lower", _SIZE, "model", unit="µs"),
)
METRICS: dict[str, Metric] = {each.name: each for each in (*_OF_VALUES, *_OF_CLASSES, *_OF_MODELS)}
_NAMED: dict[str, Metric] = METRICS | {alias: each for each in METRICS.values() for alias in each.aliases}
REGRESSION = tuple(each.name for each in _OF_VALUES)
CLASSIFICATION = tuple(each.name for each in _OF_CLASSES)
CONSTANT_PREDICTION = "the prediction is constant"
_CONSTANT = 1e-12


def names(kind: Kind) -> tuple[str, ...]:
    """Names of the metrics of a kind of target; the first is the primary one."""
    return REGRESSION if kind == "regression" else CLASSIFICATION


def named(name: str) -> Metric | None:
    """The metric of this name, plain or as in documents; None where there is none."""
    return _NAMED.get(name)


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


def as_if_guessed(scores: Mapping[str, float]) -> dict[str, float]:
    """Metrics of a contender that knows nothing: a correlation is 0 where a constant has none, or a lower one."""
    correlations = {"plcc", "srocc"}
    return {
        name: (value if value > 0 else 0.0) if name in correlations else value  # NaN is not above 0
        for name, value in scores.items()
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
    chosen = np.clip(probability[np.arange(len(truth)), truth], _LEAST_PROBABILITY, 1.0)
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
    """Whether value ``a`` of a metric is better than ``b``; larger is better where nothing is known of it."""
    metric = METRICS.get(name)
    match metric.better if metric else "higher":
        case "near zero":
            return abs(a) < abs(b)
        case "lower":
            return a < b
        case _:
            return a > b


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
