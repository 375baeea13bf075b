"""Probabilities are probabilities: from 0 to 1, each row summing to 1, a column a class. A score is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_OUTSIDE = 1e-9  # rounding of a double
_SUM = 1e-6  # rounding of single precision, which many libraries answer in
_CLASSES = 100  # above this many, rounding adds up
_SHOWN = 5  # labels, in a sentence


def why_not_probabilities(
    values: NDArray[np.float64], classes: Sequence[str], *, finite_only: bool = True
) -> str | None:
    """What is wrong, with where and how many; None if these are probabilities.

    Args:
        values: float64, should be of shape ``[rows, classes]``.
        classes: Name of each column.
        finite_only: Whether a number that is not finite is a fault. Where files are read again it is none: such a row
            stands in them, and the rules say so.
    """
    if values.ndim != 2 or values.shape[1] != len(classes):
        shape = " x ".join(str(length) for length in values.shape)
        return f"the answer is {shape} numbers for {len(classes)} classes: one column a class is needed"
    repeated = sorted({name for name in classes if classes.count(name) > 1})
    if repeated:
        return f"the class {repeated[0]!r} has two columns"
    finite = np.isfinite(values).all(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        outside = finite & ((values < -_OUTSIDE) | (values > 1 + _OUTSIDE)).any(axis=1)
        sums = values.sum(axis=1)
        wrong = finite & ~outside & (np.abs(sums - 1) > _SUM * max(1.0, len(classes) / _CLASSES))
    for rows, what in ((~finite, "are not finite"), (outside, "lie outside 0 to 1"), (wrong, "do not sum to 1")):
        if rows.any() and (finite_only or what != "are not finite"):
            first = int(rows.argmax())
            shown = f"{sums[first]:.6g} in all" if what == "do not sum to 1" else f"{_worst(values[first]):g}"
            return f"{int(rows.sum())} of {len(values)} rows {what}, the first is row {first + 1} ({shown})"
    return None


def _worst(row: NDArray[np.float64]) -> float:
    """The number of a row that is farthest from being a probability."""
    found = row[~np.isfinite(row)]
    return float(found[0] if found.size else row[np.abs(row - 0.5).argmax()])


def listed(labels: Iterable[str]) -> str:
    """Labels in a sentence: the first few by name, and how many more there are."""
    names = sorted(labels)
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
