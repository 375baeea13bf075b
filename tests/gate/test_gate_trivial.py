"""Rule non-trivial: who knows nothing is stopped by a rule that it fails, and by nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.gate.trivial import non_trivial
from heldout.split import Fold
from heldout.study import BootstrapSpec, GateSpec, RuleSpec
from heldout.task import Predictions, summarise
from heldout.task.metrics import table_of
from heldout.task.trivial import Trivial, trivial_contenders

FOLDS = ("a", "b", "c")


def metrics(task: str = "regression", *silent: str, fold: str = "b") -> dict[str, Any]:
    """Of a good model; contenders named silent have no answer in one fold."""
    rng = np.random.default_rng(0)
    groups = np.repeat(FOLDS, 20)
    samples = pl.DataFrame({"sample_id": [f"s{n}" for n in range(60)], "group": groups, "fold": groups})
    classes: tuple[str, ...] = ()
    target: Any = rng.normal(size=60)
    said = target + 0.01 * rng.normal(size=60)
    if task == "classification":
        classes, target = ("no", "yes"), np.where(target > 0.5, "yes", "no")
        said = np.where((target == "yes")[:, None], [0.1, 0.9], [0.9, 0.1])
    folds = [Fold(name, (name,)) for name in FOLDS]
    nothing = trivial_contenders(target, groups, folds, classes)
    for name in silent:
        answers = dict(nothing[name].answers)
        answers[fold] = np.full_like(answers[fold], np.nan)
        nothing[name] = Trivial(name, answers)
    of = Predictions(samples.with_columns(target=pl.Series(target)), {0: said}, classes)
    return summarise(of, {}, BootstrapSpec(draws=100), None, nothing, table=table_of(of.task))


def outcome(found: dict[str, Any], **rule: Any) -> tuple[str, str]:
    (judged,) = non_trivial(found, GateSpec(rules=[RuleSpec(id="good", **rule)]))
    return judged.outcome, judged.sentence


def test_a_gate_that_no_constant_passes_is_one() -> None:
    """The tests below would hold of any outcome."""
    assert "PASS" == outcome(metrics(), metric="mae", over="pooled", at_most=0.1)[0]
    assert "FAIL" == outcome(metrics(), metric="mae", over="pooled", at_most=10.0)[0]


@pytest.mark.parametrize(
    ("task", "silent", "rule"),
    [
        ("regression", "mean", {"metric": "mae", "over": "pooled", "at_most": 0.1}),
        ("regression", "median", {"metric": "mae", "over": "worst_group", "at_most": 0.1}),
        ("regression", "mean", {"metric": "plcc", "over": "pooled", "at_least": 0.9}),
        ("classification", "prior", {"metric": "log_loss", "over": "pooled", "at_most": 0.2}),
        ("classification", "majority", {"metric": "accuracy", "over": "pooled", "at_least": 0.95}),
    ],
)
def test_a_contender_without_an_answer_fails_nothing(task: str, silent: str, rule: dict[str, Any]) -> None:
    """A loose gate would seem one, because what passes it has no number: a constant would be promoted."""
    assert "PASS" == outcome(metrics(task), **rule)[0]
    found, sentence = outcome(metrics(task, silent), **rule)
    assert "UNKNOWN" == found
    assert "has no value in fold 'b'" in sentence
    assert "ordinary size" in sentence


def test_one_that_would_be_promoted_is_told_before_one_without_an_answer() -> None:
    """HOLD would name a cause that is not the worst one."""
    found, sentence = outcome(metrics("regression", "median"), metric="mae", over="pooled", at_most=10.0)
    assert ("FAIL", True) == (found, "the mean of the training rows would be promoted" in sentence)
    assert "UNKNOWN" == outcome(metrics("regression", "mean", "median"), metric="mae", over="pooled", at_most=10.0)[0]
