"""Linear models of every fold from one pass over the rows: leave-one-group-out without a refit on rows.

A group is summed up by its moments: rows, means, and the scatter of features and target about their means. The moments
of a fold are those of its training groups put together (T. Chan, G. Golub and R. LeVeque, 1979), and a linear, ridge or
Bayesian ridge model depends on nothing else. The usual shortcut, the total minus the held-out group, is not taken:
its rounding would carry held-out rows into the model, and the fold of a large group would lose digits. Adding the
training groups costs a matrix a group more and leaves both out.

Exact up to rounding as long as the features are not nearly collinear: squares halve the digits, so a direction with
less than 1e-10 of the largest eigenvalue cannot be told from none. Such a fold is refused and not answered badly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.errors import InputError

Kind = Literal["linear", "ridge", "bayesian_ridge"]
Floats = NDArray[np.float64]

_NONE, _CLEAR = 1e-14, 1e-10  # an eigenvalue, as a part of the largest: below, it is zero; between, nobody knows
_PASSES, _STILL = 300, 1e-3  # of the Bayesian iteration, as in scikit-learn
_PRIOR = 1e-6


class Moments(NamedTuple):
    """What a linear model needs to know of rows.

    Attributes:
        rows: How many there are.
        mean: Of each feature and, last, of the target.
        scatter: Sums of products of the deviations from the means, ``[features + 1, features + 1]``.
    """

    rows: int
    mean: Floats
    scatter: Floats


class LinearModel(NamedTuple):
    """Predicts ``X @ coef + intercept``."""

    coef: Floats
    intercept: float

    def predict(self, X: Floats) -> Floats:
        """The target of each row."""
        return X @ self.coef + self.intercept


def moments(X: Floats, y: Floats) -> Moments:
    """Moments of rows.

    Raises:
        InputError: If a number is not finite, or there are no rows.
    """
    joint = np.column_stack([X, y]).astype(np.float64)
    if not len(joint) or not np.isfinite(joint).all():
        raise InputError(
            "there are no rows" if not len(joint) else "a feature or a target is not a finite number",
            where="features and target of a group",
            hint="fill or remove what is missing",
        )
    mean = joint.mean(axis=0)
    joint -= mean
    return Moments(len(joint), mean, joint.T @ joint)


def together(parts: Sequence[Moments]) -> Moments:
    """Moments of all rows of the parts; the same parts in the same order give the same bits."""
    sizes = np.array([part.rows for part in parts], dtype=np.float64)
    means = np.stack([part.mean for part in parts])
    mean = sizes @ means / sizes.sum()
    apart = (means - mean) * np.sqrt(sizes)[:, None]
    return Moments(int(sizes.sum()), mean, np.sum([part.scatter for part in parts], axis=0) + apart.T @ apart)


def by_group(X: Floats, y: Floats, groups: Sequence[str] | NDArray[np.str_]) -> dict[str, Moments]:
    """Moments of each group, in the order of the names; each from its own rows and nothing else."""
    names, of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    order = np.argsort(of, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(of))[:-1])
    return {str(name): moments(X[rows], y[rows]) for name, rows in zip(names, parts, strict=True)}


def leave_one_group_out(
    groups: Mapping[str, Moments], kind: Kind, *, alpha: float = 1.0, scale: bool = False
) -> Iterator[tuple[str, LinearModel]]:
    """Hold out each group in turn and fit the others.

    Args:
        groups: As from `by_group`.
        kind: Least squares (the shortest coefficients if several fit alike), ridge, or Bayesian ridge.
        alpha: Ridge penalty on the squared coefficients; the intercept is not penalised.
        scale: Whether the penalty sees standardised features; coefficients are of the features as they are.

    Raises:
        InputError: If there are fewer than two groups, or a fold's features are nearly collinear.
    """
    if kind == "ridge" and not alpha > 0:
        raise InputError(f"a ridge of {alpha} is none", where="alpha", hint="take a positive alpha, or `linear`")
    if len(groups) < 2:
        raise InputError("one group cannot be held out from others", where="groups", hint="use at least two groups")
    for held_out in groups:
        rest = together([part for name, part in groups.items() if name != held_out])
        try:
            yield held_out, fit_moments(rest, kind, alpha=alpha, scale=scale)
        except InputError as error:
            raise InputError(error.what, where=f"the fold that holds out {held_out}", hint=error.hint) from None


def fit_moments(data: Moments, kind: Kind, *, alpha: float = 1.0, scale: bool = False) -> LinearModel:
    """Fit one model; the arguments are those of `leave_one_group_out`.

    Raises:
        InputError: If least squares or Bayesian ridge cannot tell a direction of the features from none.
    """
    inner, cross = data.scatter[:-1, :-1], data.scatter[:-1, -1]
    spread = np.sqrt(np.diag(inner) / data.rows) if scale else np.ones(len(cross))
    spread = np.where(spread > 10 * np.finfo(np.float64).eps * np.abs(data.mean[:-1]), spread, 1.0)  # constant: as is
    inner, cross = inner / np.outer(spread, spread), cross / spread
    if kind == "ridge":
        coef = np.linalg.solve(inner + alpha * np.eye(len(cross)), cross)
    else:
        values, axes = _directions(inner)
        along = axes.T @ cross
        coef = axes @ (along / values) if kind == "linear" else _bayesian(values, axes, along, data)
    shown: Floats = np.asarray(coef / spread, dtype=np.float64)
    return LinearModel(shown, float(data.mean[-1] - data.mean[:-1] @ shown))


def _directions(inner: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues of the scatter that are not zero, and their axes."""
    values, axes = np.linalg.eigh(inner)
    largest = max(float(values[-1]), np.finfo(np.float64).tiny)
    unclear = (values > _NONE * len(values) * largest) & (values < _CLEAR * largest)
    if unclear.any():
        raise InputError(
            "the features are nearly collinear, which moments cannot resolve",
            where="features",
            hint="remove or combine the features that say the same, or standardise them",
        )
    kept = values >= _CLEAR * largest
    return values[kept], axes[:, kept]


def _bayesian(values: Floats, axes: Floats, along: Floats, data: Moments) -> Floats:
    """Coefficients by evidence maximisation (D. MacKay, Bayesian interpolation, 1992), stopped as in scikit-learn."""
    total = float(data.scatter[-1, -1])
    noise, weight = 1.0 / (total / data.rows + float(np.finfo(np.float64).eps)), 1.0  # precisions
    before: Floats | None = None
    for _ in range(_PASSES):
        weights = along / (values + weight / noise)
        error = max(total - 2 * float(weights @ along) + float(weights**2 @ values), 0.0)
        known = float(np.sum(noise * values / (weight + noise * values)))
        weight = (known + 2 * _PRIOR) / (float(weights @ weights) + 2 * _PRIOR)
        noise = (data.rows - known + 2 * _PRIOR) / (error + 2 * _PRIOR)
        coef: Floats = axes @ weights
        if before is not None and np.abs(before - coef).sum() < _STILL:
            break
        before = coef
    final: Floats = axes @ (along / (values + weight / noise))
    return final
