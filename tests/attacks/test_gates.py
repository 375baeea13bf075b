"""Gates that decide nothing: bounds, trivial contenders, probabilities that are none, copies of one model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_kit import Answer, Desk, module_of, route, table_desk

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
def test_a_bound_on_labels_that_decides_nothing_is_refused(tmp_path: Path, rule: dict[str, Any]) -> None:
    """The same, for classes."""
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


# Answers of `predict_proba` that are no probabilities, by what is wrong with them.
NO_PROBABILITIES = {
    "three in every column": "np.full((len(X), 2), 3.0)",
    "rows that sum to two": "np.ones((len(X), 2))",
    "a negative one": "np.column_stack([np.full(len(X), -0.5), np.full(len(X), 1.5)])",
    "one row of many": "np.where(np.arange(len(X))[:, None] == 7, 0.9, 0.5) * np.ones((len(X), 2))",
    "NaN": "np.full((len(X), 2), np.nan)",
    "infinity": "np.full((len(X), 2), np.inf)",
    "a column too many": "np.full((len(X), 3), 1 / 3)",
    "one column": "np.ones((len(X), 1))",
    "one dimension": "np.full(len(X), 0.5)",
    "text": "np.full((len(X), 2), 'a')",
    "just outside": "np.column_stack([np.full(len(X), 1 + 1e-6), np.full(len(X), -1e-6)])",
}
ODD = """
import numpy as np
from sklearn.linear_model import LogisticRegression

class Odd(LogisticRegression):
    def predict_proba(self, X):
        return {answer}

class Twice(LogisticRegression):
    def fit(self, X, y):
        super().fit(X, y)
        self.classes_ = np.array(["yes", "yes"])
        return self

class Single(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X).astype(np.float32)
"""


def _odd(folder: Path, answer: str, name: str = "Odd") -> tuple[Desk, Answer]:
    desk = table_desk(folder, task="classification")
    desk.write(fit={"estimator": f"odd_scores.{name}"})
    desk.rules({"id": "loss", "metric": "log_loss", "at_most": 0.4, "over": "pooled"})
    with module_of(folder, "odd_scores", ODD.format(answer=answer)):
        return desk, desk.run()


@route("probability", "motivated author", "`predict_proba` returns 3.0, NaN or rows that do not sum to 1", "stopped")
@pytest.mark.parametrize("answer", NO_PROBABILITIES.values(), ids=NO_PROBABILITIES)
def test_what_is_no_probability_is_never_judged(tmp_path: Path, answer: str) -> None:
    """A log loss of 0 would be read off numbers above 1."""
    desk, found = _odd(tmp_path, answer)
    assert found.code not in (0, 70), found
    assert "odd_scores.Odd answered" in found.err or "could not convert" in found.err
    assert not [*desk.of_study.glob("*/PROMOTE.json"), *desk.of_study.glob("*/metrics.json")]


@route("probability", "motivated author", "names one class twice, so that two columns count for it", "stopped")
def test_a_class_has_one_column(tmp_path: Path) -> None:
    """The second column would replace the first, and be judged alone."""
    desk, found = _odd(tmp_path, "0", "Twice")
    assert found.code not in (0, 70), found
    assert "two columns" in found.err
    assert not [*desk.of_study.glob("*/PROMOTE.json")]


def test_single_precision_is_precise_enough(tmp_path: Path) -> None:
    """Libraries that answer in float32 would be refused for their rounding."""
    desk, found = _odd(tmp_path, "0", "Single")
    assert 0 == found.code, found
    assert 0 == desk.heldout("verify", desk.newest).code


def _plant(run: Path, name: str = "predictions.safetensors") -> None:
    """Replace what one unit predicted by 3.0 in every column, and mend its digest."""
    from safetensors.numpy import load_file, save_file

    unit = next(iter(sorted(run.glob("fits/seed0/*"))))
    values = load_file(unit / name)["prediction"]
    save_file({"prediction": np.full_like(values, 3.0)}, unit / name)
    document = json.loads((unit / "unit.json").read_text())
    document["files"][name] = hashlib.sha256((unit / name).read_bytes()).hexdigest()
    (unit / "unit.json").write_text(json.dumps(document))


@route("probability", "motivated author", "writes 3.0 into a stored unit, mends its digest and runs again", "stopped")
def test_probabilities_are_asked_again_when_they_are_read(tmp_path: Path) -> None:
    """The check at the door would be walked round through the file."""
    desk = table_desk(tmp_path, task="classification")
    assert 0 == desk.run().code
    _plant(desk.newest)
    (desk.newest / "manifest.json").unlink()
    again = desk.run()
    assert again.code not in (0, 70), again
    assert "no probabilities" in again.err


@route("probability", "sender of a bundle", "sends a run whose stored probabilities are none", "TAMPERED")
def test_verify_asks_for_probabilities_too(tmp_path: Path) -> None:
    """Whoever is sent a run would not see it."""
    desk = table_desk(tmp_path, task="classification")
    assert 0 == desk.run().code
    path = desk.newest / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {key: 3.0 for key in row if "_p_" in key}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = desk.heldout("verify", desk.newest, "--json")
    assert 3 == answer.code, answer
    assert "no probabilities" in answer.out + answer.err
