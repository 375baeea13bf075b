"""Models that learnt nothing never promote, and a planted improvement does as often as was promised."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.gate import Facts, judge, verdict_of
from heldout.gate.plan import detectable_effect
from heldout.study import BootstrapSpec, GateSpec
from heldout.task import Predictions, summarise

STUDIES, GROUPS, ROWS, SEEDS = 200, 12, 40, (0, 1, 2)
BOOTSTRAP = BootstrapSpec(draws=400)
# A policy as people write it: beat the line by its paired interval, and hold in every group.
GATE = GateSpec(
    rules=[  # type: ignore[list-item]
        {"id": "beats-linear", "metric": "rmse", "against": "linear", "at_least": 0.0},
        {"id": "worst-group", "metric": "plcc", "over": "worst_group", "at_least": 0.5},
    ]
)
NAMES = np.repeat([f"g{i:02}" for i in range(GROUPS)], ROWS)
GROUP_OF = np.repeat(np.arange(GROUPS), ROWS)
FOLDS = sorted(set(NAMES.tolist()))


def _verdict(target: np.ndarray, members: list[np.ndarray], line: np.ndarray, gate: GateSpec = GATE) -> str:
    samples = pl.DataFrame({"sample_id": [f"s{i}" for i in range(len(NAMES))], "group": NAMES, "fold": NAMES})
    samples = samples.with_columns(target=pl.Series(target))
    ours = Predictions(samples, dict(enumerate(members)))
    theirs = Predictions(samples, {0: line})
    metrics = summarise(ours, {}, BOOTSTRAP, {"linear": ("a line", theirs)})
    units = frozenset((seed, fold) for seed in SEEDS for fold in FOLDS)
    facts = Facts(seeds=SEEDS, folds=FOLDS, units=units, foreign=[], groups=GROUPS, smoke=None, blocking=[], attempt=1)
    return verdict_of(judge(metrics, gate, facts))


def _ridge(X: np.ndarray, y: np.ndarray, learn_from: np.ndarray) -> np.ndarray:
    """Out-of-fold ridge predictions: each group predicted from the others, ``learn_from`` in place of the target."""
    found = np.empty(len(y))
    for group in range(GROUPS):
        test = GROUP_OF == group
        A, b = X[~test], learn_from[~test]
        weights = np.linalg.solve(A.T @ A + np.eye(X.shape[1]), A.T @ (b - b.mean()))
        found[test] = X[test] @ weights + b.mean()
    return found


def _data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(len(NAMES), 5))
    return X, X @ rng.normal(size=5) + 0.3 * rng.normal(size=GROUPS)[GROUP_OF] + rng.normal(size=len(NAMES))


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["shuffled targets", "random predictions", "the group's mean of another group"])
def test_null_arms_never_promote(arm: str) -> None:
    """A model that learnt nothing would replace one that works."""
    rng = np.random.default_rng(2024)
    verdicts = []
    for _ in range(STUDIES):
        X, y = _data(rng)
        line = _ridge(X, y, y)
        match arm:
            case "shuffled targets":
                members = [_ridge(X, y, rng.permutation(y)) for _ in SEEDS]
            case "random predictions":
                members = [rng.normal(y.mean(), y.std(), len(y)) for _ in SEEDS]
            case _:
                members = [y.reshape(GROUPS, ROWS).mean(axis=1)[(GROUP_OF + 1 + seed) % GROUPS] for seed in SEEDS]
        verdicts.append(_verdict(y, members, line))
    assert {"HOLD"} == set(verdicts)


@pytest.mark.slow
def test_a_planted_improvement_promotes_with_the_stated_power() -> None:
    """A gate that never promotes would pass every other test."""
    rng = np.random.default_rng(7)
    gate = GateSpec(rules=GATE.rules[:1])
    effect = detectable_effect(GROUPS, BOOTSTRAP.level)
    promoted = []
    for _ in range(STUDIES):
        _, y = _data(rng)
        # Errors of a known size in every group, so that the paired difference has mean `effect` and deviation 1.
        unit = rng.normal(size=len(y))
        for group in range(GROUPS):
            rows = group == GROUP_OF
            unit[rows] /= np.sqrt(np.mean(unit[rows] ** 2))
        ours = 10.0 + rng.normal(size=GROUPS)
        theirs = ours + effect + rng.normal(size=GROUPS)
        verdict = _verdict(y, [y + ours[GROUP_OF] * unit] * len(SEEDS), y + theirs[GROUP_OF] * unit, gate)
        promoted.append(verdict == "PROMOTE")
    assert np.mean(promoted) > 0.8 - 3 * np.sqrt(0.8 * 0.2 / STUDIES)


@pytest.mark.slow
def test_an_equal_model_promotes_as_rarely_as_its_interval_says() -> None:
    """Two equal models would change places for ever, at a rate that nobody chose."""
    rng = np.random.default_rng(17)
    gate = GateSpec(rules=GATE.rules[:1])
    promoted = []
    for _ in range(STUDIES):
        _, y = _data(rng)
        members = [y + rng.normal(size=len(y))] * len(SEEDS)
        promoted.append(_verdict(y, members, y + rng.normal(size=len(y)), gate) == "PROMOTE")
    assert np.mean(promoted) < 0.025 + 4 * np.sqrt(0.025 * 0.975 / STUDIES)


def test_the_arms_differ_only_in_what_they_learnt() -> None:
    """The null arms could hold because the harness never promotes."""
    rng = np.random.default_rng(3)
    X, y = _data(rng)
    line = _ridge(X[:, :1], y, y)
    members: list[Any] = [_ridge(X, y, y)] * len(SEEDS)
    assert "PROMOTE" == _verdict(y, members, line)
