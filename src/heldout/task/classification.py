"""Metrics of classes, from labels or probabilities. Definitions are those of scikit-learn; exceptions are named.

Undefined, where scikit-learn answers 0 with a warning: recall of a class that does not occur, precision of one that is
never predicted, and F1 of one that is neither; any AUC where truth has one class only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.task.metric import SHARE, Metric, Needs, Rows
from heldout.task.weighted import of_size_one

# The least probability that the log loss takes, as in scikit-learn: without it one certain error would be infinite.
_LEAST = float(np.finfo(np.float64).eps)
_BINS = 15  # of the calibration error: C. Guo et al., "On Calibration of Modern Neural Networks" (2017)
_BEFORE = 1e-15


def _accuracy(rows: Rows) -> float:
    return rows.mean(rows.truth == rows.label)


def _recalls(rows: Rows) -> FloatArray:
    """Recall of every class that occurs."""
    support = rows.confusion.sum(axis=1)
    occurs = support > 0
    found: FloatArray = np.diag(rows.confusion)[occurs] / support[occurs]
    return found


def _balanced_accuracy(rows: Rows) -> float:
    return float(_recalls(rows).mean()) if rows.confusion.any() else math.nan


def _f1_over(rows: Rows, chosen: NDArray[np.bool_]) -> float:
    support, said = rows.confusion.sum(axis=1), rows.confusion.sum(axis=0)
    f1 = 2 * np.diag(rows.confusion)[chosen] / (support[chosen] + said[chosen])
    return float(f1.mean()) if len(f1) else math.nan


def _macro_f1(rows: Rows) -> float:
    """Mean F1 over the classes that occur or are predicted."""
    return _f1_over(rows, rows.confusion.sum(axis=1) + rows.confusion.sum(axis=0) > 0)


def _macro_f1_before(rows: Rows) -> float:
    """Mean F1 over the classes that occur: that of documents ``heldout.metrics/1``."""
    return _f1_over(rows, rows.confusion.sum(axis=1) > 0)


def _log_loss(rows: Rows, least: float = _LEAST) -> float:
    chosen = rows.said[np.arange(len(rows)), rows.truth]
    return -rows.mean(np.log(np.clip(chosen, least, 1.0)))


def _unlike(one: FloatArray, other: FloatArray) -> float:
    """Weight of the pairs of two classes that differ: added up, for what remains of all pairs would be rounding."""
    before, after = np.cumsum(other[:-1]), np.cumsum(other[:0:-1])[::-1]
    return float(one[1:] @ before + one[:-1] @ after)


def _beyond_luck(rows: Rows) -> tuple[float, float]:
    """Agreement beyond that of independent labels, and how much of it there could be; in squares of the total."""
    table = of_size_one(rows.confusion)
    wrong = table.copy()
    np.fill_diagonal(wrong, 0.0)
    most = _unlike(table.sum(axis=1), table.sum(axis=0))
    return most - float(table.sum() * wrong.sum()), most


def _mcc(rows: Rows) -> float:
    """Correlation of truth and label over all classes (J. Gorodkin, "Comparing two K-category assignments", 2004)."""
    table = of_size_one(rows.confusion)
    support, said = table.sum(axis=1), table.sum(axis=0)
    both = _unlike(support, support) * _unlike(said, said)
    if not both:
        return 0.0  # one class alone, in truth or in what was said
    return _beyond_luck(rows)[0] / math.sqrt(both)


def _kappa(rows: Rows) -> float:
    """Agreement beyond that of independent labels (J. Cohen, 1960)."""
    agreement, most = _beyond_luck(rows)
    return agreement / most if most else math.nan


def _brier(rows: Rows) -> float:
    """Mean squared distance of the probabilities from the truth: of one class if there are two, else over all."""
    truth = np.eye(len(rows.classes))[rows.truth]
    square = ((rows.said - truth) ** 2).sum(axis=1)
    return rows.mean(square / 2 if len(rows.classes) <= 2 else square)


def _area(positive: NDArray[np.bool_], score: FloatArray, weight: FloatArray | None) -> float:
    """Area under the ROC curve: the share of pairs in order, ties counting half; NaN with one class only."""
    names, inverse = np.unique(score, return_inverse=True)
    mass = np.ones(len(score)) if weight is None else weight
    ups = np.bincount(inverse[positive], weights=mass[positive], minlength=len(names))
    downs = np.bincount(inverse[~positive], weights=mass[~positive], minlength=len(names))
    pairs = ups.sum() * downs.sum()
    below = np.cumsum(downs) - downs / 2
    return float(ups @ below / pairs) if pairs > 0 else math.nan


def _roc_auc(rows: Rows) -> float:
    """Of two classes; of more, the mean over each class against all others."""
    codes = range(len(rows.classes)) if len(rows.classes) > 2 else [len(rows.classes) - 1]
    return float(np.mean([_area(rows.truth == code, rows.said[:, code], rows.share) for code in codes]))


def _average_precision(positive: NDArray[np.bool_], score: FloatArray, weight: FloatArray | None) -> float:
    """Precision at every threshold, weighted by the recall that it adds; NaN where no row is positive."""
    names, inverse = np.unique(-score, return_inverse=True)
    mass = np.ones(len(score)) if weight is None else weight
    hits = np.bincount(inverse[positive], weights=mass[positive], minlength=len(names))
    said = np.cumsum(np.bincount(inverse, weights=mass, minlength=len(names)))
    if not hits.sum() > 0:
        return math.nan
    known = said > 0
    return float((np.cumsum(hits)[known] / said[known]) @ hits[known] / hits.sum())


def _calibration_error(rows: Rows, bins: int = _BINS) -> float:
    """Mean distance of confidence from accuracy, over equal bins of the probability of the predicted class."""
    confidence = rows.said.max(axis=1)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    mass = of_size_one(rows.mass)
    gap = np.bincount(place, weights=mass * ((rows.truth == rows.label) - confidence), minlength=bins)
    return float(np.abs(gap).sum() / mass.sum())


def _one_class(rows: Rows) -> str | None:
    if len(np.unique(rows.truth)) > 1 and len(rows.classes) <= 2:
        return None
    lacking = [name for code, name in enumerate(rows.classes) if not (rows.truth == code).any()]
    if len(np.unique(rows.truth)) == 1:
        return f"every row is of the class {rows.classes[int(rows.truth[0])]!r}"
    return f"no row is of the class {lacking[0]!r}" if lacking else None


CLASSIFICATION = (
    Metric("accuracy", "accuracy", "higher", SHARE, "label", _accuracy),
    Metric("balanced_accuracy", "balanced accuracy", "higher", SHARE, "label", _balanced_accuracy),
    Metric("macro_f1", "macro F1", "higher", SHARE, "label", _macro_f1),
    Metric("log_loss", "log loss", "lower", (0.0, -math.log(_LEAST)), "probability", _log_loss),
)
# As documents `heldout.metrics/1` have them: F1 over the classes that occur, and another least probability.
CLASSIFICATION_BEFORE = (
    *CLASSIFICATION[:2],
    Metric("macro_f1", "macro F1", "higher", SHARE, "label", _macro_f1_before),
    Metric(
        "log_loss", "log loss", "lower", (0.0, -math.log(_BEFORE)), "probability", partial(_log_loss, least=_BEFORE)
    ),
)
MORE_OF_CLASSES = (
    Metric("roc_auc", "ROC AUC", "higher", SHARE, "probability", _roc_auc, aliases=("auc",), undefined=_one_class),
    Metric("brier", "Brier score", "lower", (0.0, 2.0), "probability", _brier, aliases=("brier_score",)),
    Metric(
        "expected_calibration_error", "expected calibration error", "lower", SHARE, "probability", _calibration_error,
        aliases=("ece",),
    ),
    Metric("mcc", "MCC", "higher", (-1.0, 1.0), "label", _mcc, aliases=("matthews_corrcoef",)),
    Metric("kappa", "Cohen's kappa", "higher", (-1.0, 1.0), "label", _kappa, aliases=("cohen_kappa",)),
)  # fmt: skip

OfClass = Callable[[Rows, int], float]


def _precision(rows: Rows, code: int) -> float:
    said = rows.confusion[:, code].sum()
    return float(rows.confusion[code, code] / said) if said > 0 else math.nan


def _recall(rows: Rows, code: int) -> float:
    support = rows.confusion[code].sum()
    return float(rows.confusion[code, code] / support) if support > 0 else math.nan


def _f1(rows: Rows, code: int) -> float:
    both = rows.confusion[code].sum() + rows.confusion[:, code].sum()
    return float(2 * rows.confusion[code, code] / both) if both > 0 else math.nan


def _auc_of(rows: Rows, code: int) -> float:
    return _area(rows.truth == code, rows.said[:, code], rows.share)


def _average_precision_of(rows: Rows, code: int) -> float:
    return _average_precision(rows.truth == code, rows.said[:, code], rows.share)


OF_A_CLASS: dict[str, tuple[str, bool, OfClass]] = {
    "precision": ("precision", False, _precision),
    "recall": ("recall", False, _recall),
    "f1": ("F1", False, _f1),
    "roc_auc": ("ROC AUC", True, _auc_of),
    "average_precision": ("average precision", True, _average_precision_of),
}


def of_class(family: str, name: str) -> Metric:
    """A metric of one named class, the others taken together: ``recall@fraud``."""
    label, of_probability, function = OF_A_CLASS[family]

    def compute(rows: Rows) -> float:
        return function(rows, rows.classes.index(name)) if name in rows.classes else math.nan

    def undefined(rows: Rows) -> str | None:
        if name not in rows.classes:
            return f"there is no class {name!r}"
        code = rows.classes.index(name)
        if not (rows.truth == code).any():
            return f"no row is of the class {name!r}"
        if (rows.truth == code).all():
            return f"every row is of the class {name!r}"
        return f"the class {name!r} is never predicted"

    needs: Needs = "probability" if of_probability else "label"
    return Metric(f"{family}@{name}", f"{label} of {name}", "higher", SHARE, needs, compute, undefined=undefined)


def top_k(parameter: str) -> Metric:
    """The share of rows whose class is among the k most probable: ``top_k_accuracy@3``.

    Equal probabilities are taken in the order that scikit-learn takes them: the last class first.

    Raises:
        ValueError: If the parameter is no number of classes.
    """
    count = int(parameter)
    if count < 1:
        raise ValueError("k is a number of classes, 1 or more")

    def share(rows: Rows) -> float:
        order = np.argsort(rows.said, axis=1, kind="stable")[:, ::-1]
        return rows.mean((order[:, :count] == rows.truth[:, None]).any(axis=1))

    return Metric(f"top_k_accuracy@{count}", f"top-{count} accuracy", "higher", SHARE, "probability", share)


def calibration_error(parameter: str) -> Metric:
    """The expected calibration error over another number of bins: ``expected_calibration_error@10``.

    Raises:
        ValueError: If the parameter is no number of bins.
    """
    bins = int(parameter)
    if bins < 2:
        raise ValueError("at least 2 bins")
    compute = partial(_calibration_error, bins=bins)
    label = f"expected calibration error, {bins} bins"
    return Metric(f"expected_calibration_error@{bins}", label, "lower", SHARE, "probability", compute)
