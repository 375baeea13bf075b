"""Closed form against scikit-learn's refits on the rows of each fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import BayesianRidge, LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heldout.errors import InputError
from heldout.fit.closed_form import Kind, by_group, leave_one_group_out

Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]
PEERS: dict[Kind, Any] = {
    "linear": LinearRegression,
    "ridge": lambda: Ridge(alpha=0.7),
    "bayesian_ridge": BayesianRidge,
}


def data(seed: int, groups: int = 5, features: int = 6, offset: float = 0.0, scales: float = 1.0) -> Data:
    """Groups of unequal size and mean; features of unequal scale, some of them correlated."""
    rng = np.random.default_rng(seed)
    of = np.repeat([f"clip{index}" for index in range(groups)], rng.integers(8, 60, groups))
    rng.shuffle(of)
    X = rng.normal(size=(len(of), features)) @ (np.eye(features) + 0.3 * rng.normal(size=(features, features)))
    X = X * np.logspace(0, scales, features) + offset + np.unique(of, return_inverse=True)[1][:, None]
    y = X @ rng.normal(size=features) / np.abs(X).mean() + rng.normal(size=len(of)) + offset
    return X, y, of


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["linear", "ridge", "bayesian_ridge"]),
    groups=st.integers(2, 9),
    features=st.integers(1, 12),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    scales=st.sampled_from([0.0, 1.0, 3.0]),
    scale=st.booleans(),
)
def test_every_fold_is_the_refit_on_its_rows(
    seed: int, kind: Kind, groups: int, features: int, offset: float, scales: float, scale: bool
) -> None:
    """If this failed, the table would show another model than the one that it names."""
    X, y, of = data(seed, groups, features, offset, scales)
    folds = dict(leave_one_group_out(by_group(X, y, of), kind, alpha=0.7, scale=scale))

    assert sorted(set(of)) == sorted(folds)
    for name, model in folds.items():
        peer = make_pipeline(StandardScaler(), PEERS[kind]()) if scale else PEERS[kind]()
        expected = peer.fit(X[of != name], y[of != name]).predict(X)
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-9, atol=1e-9 * y.std() * max(1, abs(offset)))


@pytest.mark.parametrize("kind", ["linear", "ridge", "bayesian_ridge"])
def test_held_out_rows_do_not_touch_a_bit_of_the_model(kind: Kind) -> None:
    """If this failed, held-out rows would reach the model through rounding, as when a group is subtracted."""
    X, y, of = data(3, offset=100.0)
    expected = dict(leave_one_group_out(by_group(X, y, of), kind))["clip2"]
    X[of == "clip2"] *= 1e6
    y[of == "clip2"] = -7

    found = dict(leave_one_group_out(by_group(X, y, of), kind))["clip2"]

    assert (expected.coef.tobytes(), expected.intercept) == (found.coef.tobytes(), found.intercept)


def test_a_fold_of_a_few_rows_is_exact_beside_a_huge_group() -> None:
    """If this failed, a group far from the others would cost the others' folds their digits."""
    X, y, of = data(5, groups=3)
    X[of == "clip0"] += 1e8
    train = of != "clip0"

    found = dict(leave_one_group_out(by_group(X, y, of), "linear"))["clip0"]

    np.testing.assert_allclose(found.coef, LinearRegression().fit(X[train], y[train]).coef_, rtol=1e-9)


@pytest.mark.parametrize("copies", ["same", "constant"])
def test_a_feature_that_says_nothing_new_gets_the_shortest_answer(copies: str) -> None:
    """If this failed, a one-hot column per category beside an intercept could not be fitted."""
    X, y, of = data(7)
    X = np.column_stack([X, X[:, 0] if copies == "same" else np.ones(len(X))])
    for name, model in leave_one_group_out(by_group(X, y, of), "linear"):
        peer = LinearRegression().fit(X[of != name], y[of != name])
        np.testing.assert_allclose(model.coef, peer.coef_, rtol=1e-9, atol=1e-9)


def test_what_moments_cannot_resolve_is_refused() -> None:
    """If this failed, a fold would be answered with coefficients of noise."""
    X, y, of = data(7)
    X = np.column_stack([X, X[:, 0] + 1e-5 * np.random.default_rng(0).normal(size=len(X))])

    with pytest.raises(InputError, match="nearly collinear") as error:
        list(leave_one_group_out(by_group(X, y, of), "linear"))
    assert "the fold that holds out clip0" == error.value.where


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(bad: float) -> None:
    """If this failed, one NaN would make every fold but its own NaN."""
    X, y, of = data(1)
    X[3, 1] = bad
    with pytest.raises(InputError, match="not a finite number"):
        by_group(X, y, of)


def test_one_group_or_no_ridge_is_refused() -> None:
    """If this failed, a model without training rows would be answered, or a singular one."""
    X, y, of = data(1)
    with pytest.raises(InputError, match="one group"):
        list(leave_one_group_out(by_group(X, y, np.full(len(y), "a")), "ridge"))
    with pytest.raises(InputError, match="is none"):
        list(leave_one_group_out(by_group(X, y, of), "ridge", alpha=0.0))
