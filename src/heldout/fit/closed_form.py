"""Linear models of every fold from one pass over the rows: leave-one-group-out without a refit on rows.

A group is summed up by its moments: rows, means, and the scatter of features and target about their means. The moments
of a fold are those of its training groups put together (T. Chan, G. Golub and R. LeVeque, 1979), and a linear, ridge or
Bayesian ridge model depends on nothing else. The usual shortcut, the total minus the held-out group, is not taken:
its rounding would carry held-out rows into the model, and the fold of a large group would lose digits. Adding the
training groups leaves both out and costs one addition a level of a tree over the groups (``Pool``).

Exact up to rounding as long as the features are not nearly collinear: squares halve the digits, so a direction with
less than 1e-10 of the largest eigenvalue cannot be told from none. Such a fold is refused and not answered badly,
unless a penalty outweighs that direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.backbone.pool import Pool
from heldout.errors import InputError

Kind = Literal["linear", "ridge", "bayesian_ridge"]
Floats = NDArray[np.float64]

_NONE, _CLEAR = 1e-14, 1e-10  # an eigenvalue, as a part of the largest: below, it is zero; between, nobody knows
_CONSTANT = 1e-12  # a feature that varies by less, as a part of its size, varies by rounding
_LARGEST = 1e140  # its square may be added up, and that divided by a small spread
_PASSES, _STILL = 300, 1e-3  # of the Bayesian iteration, as in scikit-learn
_PRIOR = 1e-6


class Moments(NamedTuple):
    """What a linear model needs to know of rows.

    Attributes:
        rows: How many there are; by weight, where rows have weights.
        mean: Of each feature and, last, of the target.
        scatter: Sums of products of the deviations from the means, ``[features + 1, features + 1]``.
        low: The least of each feature and, last, of the target.
        high: The largest.
    """

    rows: float
    mean: Floats
    scatter: Floats
    low: Floats
    high: Floats

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which features do not vary; told by their ends, since the rounding of a mean looks like a small spread."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        found: NDArray[np.bool_] = (self.high - self.low <= _CONSTANT * size)[:-1]
        return found


class LinearModel(NamedTuple):
    """Predicts ``(X - center) @ coef + level``.

    Attributes:
        coef: Of the features as they are.
        center: Mean of each feature over the training rows.
        level: Mean of the target over the training rows.
    """

    coef: Floats
    center: Floats
    level: float

    @property
    def intercept(self) -> float:
        """What ``X @ coef`` lacks."""
        return float(self.level - self.center @ self.coef)

    def predict(self, X: Floats) -> Floats:
        """The target of each row; a row's answer is the same to the last bit whichever rows are asked with it."""
        found: Floats = np.einsum("ij,j->i", np.ascontiguousarray(X) - self.center, self.coef) + self.level
        return found


def moments(X: Floats, y: Floats, weight: Floats | None = None) -> Moments:
    """Moments of rows; of a group whose rows all weigh nothing, moments that add nothing.

    Args:
        X: Features, float64 ``[rows, features]``.
        y: Target, float64 ``[rows]``.
        weight: How much each row counts, more than 0; None counts all alike.

    Raises:
        InputError: If a number is not finite or far too large, or there are no rows.
    """
    joint = np.column_stack([X, y]).astype(np.float64, copy=False)
    if weight is not None and not len(joint):
        nothing = np.zeros(joint.shape[1])
        return Moments(0.0, nothing, np.outer(nothing, nothing), nothing, nothing)
    if not len(joint):
        raise InputError("there are no rows", where="features and target of a group", hint="remove the group")
    low, high = joint.min(axis=0), joint.max(axis=0)
    _check_range(low, high)
    if weight is not None:
        mean = np.average(joint, axis=0, weights=weight)
        joint -= mean
        return Moments(float(weight.sum()), mean, joint.T @ (joint * weight[:, None]), low, high)
    mean = joint.mean(axis=0)
    joint -= mean
    return Moments(len(joint), mean, joint.T @ joint, low, high)


def _check_range(low: Floats, high: Floats) -> None:
    largest = float(np.max(np.maximum(-low, high)))  # NaN if there is one
    if not largest <= _LARGEST:
        finite = np.isfinite(largest)
        raise InputError(
            "a number is too large to be squared" if finite else "a feature or a target is not a finite number",
            where="features and target of a group",
            hint="use other units" if finite else "fill or remove what is missing",
        )


def together(one: Moments, other: Moments) -> Moments:
    """Moments of the rows of both; no entry depends on how many others there are."""
    if not one.rows or not other.rows:
        return other if not one.rows else one
    rows = one.rows + other.rows
    apart = other.mean - one.mean
    share = other.rows / rows
    return Moments(
        rows,
        one.mean + apart * share,
        one.scatter + other.scatter + np.outer(apart, apart) * (one.rows * share),
        np.minimum(one.low, other.low),
        np.maximum(one.high, other.high),
    )


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
    pool = Pool(groups, groups.__getitem__, together)
    for held_out in groups:
        rest = pool.of(name for name in groups if name != held_out)
        try:
            yield held_out, fit_moments(rest, kind, alpha=alpha, scale=scale)
        except InputError as error:
            raise InputError(error.what, where=f"the fold that holds out {held_out}", hint=error.hint) from None


def fit_moments(
    data: Moments,
    kind: Kind,
    *,
    alpha: float = 1.0,
    scale: bool | NDArray[np.bool_] = False,
) -> LinearModel:
    """Fit one model.

    Args:
        data: Of the training rows.
        kind: As in `leave_one_group_out`.
        alpha: As there.
        scale: As there; or which features are standardised.

    Raises:
        InputError: If a direction of the features cannot be told from none, and no penalty outweighs it.
    """
    if not data.rows:
        raise InputError("every training row weighs nothing", where="training groups", hint="give some rows a weight")
    varies = ~data.constant & (np.diag(data.scatter)[:-1] > 0)
    inner, cross = data.scatter[:-1, :-1] * np.outer(varies, varies), data.scatter[:-1, -1] * varies
    spread = np.where(varies & scale, np.sqrt(np.diag(inner) / data.rows), 1.0)
    inner, cross = inner / np.outer(spread, spread), cross / spread
    if kind == "ridge" and alpha > _CLEAR * np.trace(inner):
        coef = np.linalg.solve(inner + alpha * np.eye(len(cross)), cross)
    else:
        penalty = alpha if kind == "ridge" else 0.0
        values, axes = _directions(inner, penalty)
        along = axes.T @ cross
        coef = _bayesian(values, axes, along, data) if kind == "bayesian_ridge" else axes @ (along / (values + penalty))
    shown: Floats = np.asarray(coef / spread, dtype=np.float64)
    return LinearModel(shown, data.mean[:-1], float(data.mean[-1]))


def _directions(inner: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Eigenvalues of the scatter that are not zero, and their axes."""
    values, axes = np.linalg.eigh(inner)
    largest = max(float(values[-1]), np.finfo(np.float64).tiny)
    none = values <= _NONE * len(values) * largest
    if (~none & (values + penalty < _CLEAR * largest)).any():
        raise InputError(
            "the features are nearly collinear, which moments cannot resolve",
            where="features",
            hint="remove or combine the features that say the same, standardise them, or take a larger penalty",
        )
    return values[~none], axes[:, ~none]


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
