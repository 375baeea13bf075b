"""From predictions to a verdict, without a hand-made metrics file in between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from heldout.evidence import dumps
from heldout.gate import Facts, judge, verdict_of
from heldout.study import BootstrapSpec, GateSpec
from heldout.task import Predictions, summarise

GROUPS = ("east", "north", "south", "west")
SEEDS = (0, 1)
GATE = GateSpec.model_validate(
    {
        "min_seeds": 2,
        "rules": [
            {"id": "mean", "metric": "plcc", "scope": "members", "statistic": "mean", "at_least": 0.9},
            {"id": "spread", "metric": "plcc", "scope": "members", "statistic": "spread", "at_most": 0.02},
            {"id": "worst", "metric": "plcc", "over": "worst_group", "at_least": 0.9},
            {"id": "bias", "metric": "abs_bias", "over": "worst_group", "at_most": 0.5},
            {"id": "clips", "metric": "plcc", "over": "cells", "at_least": 0.5},
        ],
    }
)


def predictions(
    *, shift: float = 0.0, noise: float = 0.1, nan: bool = False, constant: str | None = None
) -> Predictions:
    rng = np.random.default_rng(1)
    groups = np.repeat(GROUPS, 30)
    target = rng.normal(size=120)
    frame = pl.DataFrame(
        {
            "sample_id": [f"row{number}" for number in range(120)],
            "group": groups,
            "cell": [f"{group}/{number % 5}" for number, group in enumerate(groups)],
            "fold": groups,
            "target": target,
        }
    )
    members = {}
    for seed in SEEDS:
        members[seed] = target + noise * rng.normal(size=120) + np.where(groups == "west", shift, 0.0)
        if constant:
            members[seed][groups == constant] = 3.0
    if nan:
        members[1][7] = np.nan
    return Predictions(frame, members)


def open_rules(found: Predictions) -> Sequence[tuple[str, str]]:
    metrics = summarise(found, dict.fromkeys(GROUPS, 90), BootstrapSpec(draws=100))
    dumps(metrics)
    units = frozenset((seed, fold) for seed in SEEDS for fold in GROUPS)
    outcomes = judge(metrics, GATE, Facts(SEEDS, GROUPS, units, (), len(GROUPS), None, ()))
    passed = all(outcome.outcome == "PASS" for outcome in outcomes)
    assert ("PROMOTE" if passed else "HOLD") == verdict_of(outcomes)
    return [(outcome.id, outcome.outcome) for outcome in outcomes if outcome.outcome != "PASS"]


def test_good_predictions_are_promoted() -> None:
    """A good model would be held for ever."""
    assert [] == open_rules(predictions())


def test_defect_15_a_shifted_group_is_held_in_spite_of_its_correlation() -> None:
    """Correlation ignores an offset: a model that is wrong by a constant would be promoted."""
    assert [("bias", "FAIL")] == open_rules(predictions(shift=0.9))


def test_noise_is_held() -> None:
    """A gate that lets anything through would not be one."""
    found = dict(open_rules(predictions(noise=3.0)))
    assert "FAIL" == found["mean"]
    assert "FAIL" == found["worst"]


@pytest.mark.parametrize("group", GROUPS)
def test_defect_12_a_fold_without_a_correlation_is_unknown(group: str) -> None:
    """Three good folds would carry one of which nothing is known."""
    found = dict(open_rules(predictions(constant=group)))
    assert {"mean": "UNKNOWN", "spread": "UNKNOWN", "worst": "UNKNOWN"} == {
        name: found[name] for name in ("mean", "spread", "worst")
    }


def test_defect_12_one_nan_among_240_predictions_is_held() -> None:
    """A NaN would compare false and drop out unseen."""
    found = dict(open_rules(predictions(nan=True)))
    assert {"finite": "FAIL", "mean": "UNKNOWN", "spread": "UNKNOWN", "worst": "UNKNOWN"} == {
        name: found[name] for name in ("finite", "mean", "spread", "worst")
    }
    assert {"bias": "UNKNOWN", "clips": "UNKNOWN"} == {name: found[name] for name in ("bias", "clips")}
