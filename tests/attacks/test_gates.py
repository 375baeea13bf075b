"""Gates that decide nothing: bounds, trivial contenders, probabilities that are none, copies of one model."""

from __future__ import annotations

from typing import Any

import pytest
from attack_kit import Desk, route

NOTHING: dict[str, dict[str, Any]] = {
    "a correlation of at least -1": {"metric": "plcc", "at_least": -1},
    "a correlation of at most 1": {"metric": "plcc", "at_most": 1},
    "the same under its plain name": {"metric": "pearson", "at_least": -1.0},
    "a rank correlation in the worst group": {"metric": "spearman", "over": "worst_group", "at_least": -1},
    "an error of at least 0": {"metric": "rmse", "at_least": 0},
    "an error of at least 1": {"metric": "mae", "over": "pooled", "at_least": 1},
    "a correlation of at most 0.9": {"metric": "plcc", "at_most": 0.9},
    "a bias that must be large": {"metric": "bias", "at_least": 3},
    "an error below 0": {"metric": "rmse", "at_most": -1},
    "a correlation above 1": {"metric": "plcc", "at_least": 1.5},
    "an error larger than numbers are": {"metric": "rmse", "at_most": 1e300},
    "the worst seed": {"metric": "plcc", "scope": "members", "statistic": "min", "at_least": -1},
    "a spread of at most 2": {"metric": "plcc", "scope": "members", "statistic": "spread", "at_most": 2},
    "a spread that must be large": {"metric": "plcc", "scope": "members", "statistic": "spread", "at_least": 0.1},
    "a coverage of at least 0": {"metric": "coverage", "level": 0.8, "at_least": 0},
    "a coverage that must be low": {"metric": "coverage", "level": 0.8, "at_most": 0.9},
    "a slow model": {"metric": "latency_us", "at_least": 1},
    "no gain at all": {"metric": "plcc", "against": "mean", "at_least": -2},
}
OF_LABELS: dict[str, dict[str, Any]] = {
    "an accuracy of at least 0": {"metric": "accuracy", "at_least": 0},
    "an accuracy of at most 1": {"metric": "balanced_accuracy", "at_most": 1},
    "a log loss of at least 0.2": {"metric": "log_loss", "at_least": 0.2},
    "a log loss that none exceeds": {"metric": "log_loss", "at_most": 35},
}
MEAN = {"id": "mean", "backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyRegressor"}}


def _refused(desk: Desk, rule: dict[str, Any]) -> None:
    """`check`, `gate plan` and `run` name the line of the bound, and nothing is computed."""
    desk.write(baselines=[MEAN] if "against" in rule else [])
    desk.rules({"id": "empty", **rule})
    text = desk.path.read_text().splitlines()
    key = "at_least" if "at_least" in rule else "at_most"
    line = next(number for number, each in enumerate(text, start=1) if f'"{key}"' in each)
    for command in (("check",), ("gate", "plan"), ("run",)):
        answer = desk.heldout(*command, "study.yaml")
        assert 2 == answer.code, answer
        assert f"study.yaml:{line}:" in answer.err
        assert "'empty'" in answer.err
    assert not desk.runs.exists()


@route("gate", "careless user", "declares a bound that every result passes or that looks the wrong way", "stopped")
@pytest.mark.parametrize("rule", NOTHING.values(), ids=NOTHING)
def test_a_bound_that_decides_nothing_is_refused(desk: Desk, rule: dict[str, Any]) -> None:
    """A PROMOTE would rest on a hurdle that nobody can miss."""
    _refused(desk, rule)


@route("gate", "careless user", "declares such a bound on a metric of labels", "stopped")
@pytest.mark.parametrize("rule", OF_LABELS.values(), ids=OF_LABELS)
def test_a_bound_on_labels_that_decides_nothing_is_refused(tmp_path: Any, rule: dict[str, Any]) -> None:
    """The same, for classes."""
    from attack_kit import table_desk

    _refused(table_desk(tmp_path, task="classification"), rule)


@route("gate", "motivated author", "sets an empty bound with --set or in a variant", "stopped")
@pytest.mark.parametrize("how", ["set", "variant"])
def test_an_empty_bound_comes_in_by_no_other_door(desk: Desk, how: str) -> None:
    """What the study may not say, an overlay would."""
    rules = [{"id": "good", "metric": "plcc", "over": "pooled", "at_least": -1}]
    if how == "variant":
        desk.write(variants=[{"id": "loose", "set": {"fit.scale": False, "gate.rules": rules}}])
        answer = desk.run("--variant", "loose")
    else:
        answer = desk.run("--set", 'gate.rules=[{"id": "good", "metric": "plcc", "at_least": -1}]')
    assert 2 == answer.code, answer
    assert "every result passes" in answer.err


@pytest.mark.parametrize("bound", [".nan", ".inf", "-.inf"])
def test_a_bound_is_a_number(desk: Desk, bound: str) -> None:
    """Nothing is below NaN, and nothing above infinity."""
    text = desk.path.read_text()
    desk.path.write_text(text.replace("0.7", bound))
    answer = desk.run()
    assert 2 == answer.code, answer
    assert "study.yaml:" in answer.err


def test_a_bound_against_the_direction_stands_with_a_reason(desk: Desk) -> None:
    """Whoever looks for a leak by a correlation that is too good could not say so."""
    reason = "a sum with noise cannot be this good"
    leak = {"id": "no-leak", "metric": "pearson", "over": "pooled", "at_most": 0.999, "why": reason}
    desk.rules(leak, {"id": "good", "metric": "pearson", "over": "pooled", "at_least": 0.7})
    answer = desk.run()
    assert 0 == answer.code, answer
    assert reason in desk.rule("no-leak")["sentence"]
    assert 0 == desk.heldout("verify", desk.newest).code


def test_a_plain_name_is_the_same_rule(desk: Desk) -> None:
    """A rule told in other words would need an amendment."""
    assert 0 == desk.run().code
    desk.rules({"id": "good", "metric": "pearson", "over": "pooled", "at_least": 0.7})
    answer = desk.run()
    assert 0 == answer.code, answer
    assert "PASS" == desk.rule("pre-registered")["outcome"]
