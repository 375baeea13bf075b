"""Gates that decide nothing: bounds, trivial contenders, probabilities that are none, copies of one model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import Answer, Desk, module_of, route, table_desk
from hypothesis import given
from hypothesis import strategies as st

from heldout.evidence import sha256_file, write_json
from heldout.gate import Facts, judge
from heldout.run.layout import files_digest, run_files, write_manifest
from heldout.split import Fold
from heldout.study import BootstrapSpec, GateSpec
from heldout.task import Predictions, summarise
from heldout.task.trivial import trivial_contenders

FOLDS_OF_THREE = [Fold(each, (each,)) for each in "abc"]

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
    "a log loss that none exceeds": {"metric": "log_loss", "at_most": 37},
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


@pytest.mark.slow
def test_a_bound_against_the_direction_stands_with_a_reason(desk: Desk) -> None:
    """Whoever looks for a leak by a correlation that is too good could not say so."""
    reason = "a sum with noise cannot be this good"
    leak = {"id": "no-leak", "metric": "pearson", "over": "pooled", "at_most": 0.999, "why": reason}
    desk.rules(leak, {"id": "good", "metric": "pearson", "over": "pooled", "at_least": 0.7})
    answer = desk.run()
    assert 0 == answer.code, answer
    assert reason in desk.rule("no-leak")["sentence"]
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
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


@pytest.mark.slow
@route("probability", "motivated author", "`predict_proba` returns 3.0, NaN or rows that do not sum to 1", "stopped")
@pytest.mark.parametrize("answer", NO_PROBABILITIES.values(), ids=NO_PROBABILITIES)
def test_what_is_no_probability_is_never_judged(tmp_path: Path, answer: str) -> None:
    """A log loss of 0 would be read off numbers above 1."""
    desk, found = _odd(tmp_path, answer)
    assert 5 == found.code, found
    assert "odd_scores.Odd answered" in found.err or "could not convert" in found.err
    assert not [*desk.of_study.glob("*/PROMOTE.json"), *desk.of_study.glob("*/metrics.json")]


@pytest.mark.slow
@route("probability", "motivated author", "names one class twice, so that two columns count for it", "stopped")
def test_a_class_has_one_column(tmp_path: Path) -> None:
    """The second column would replace the first, and be judged alone."""
    desk, found = _odd(tmp_path, "0", "Twice")
    assert 5 == found.code, found
    assert "two columns" in found.err
    assert not [*desk.of_study.glob("*/PROMOTE.json")]


@pytest.mark.slow
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


@pytest.mark.slow
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
    write_manifest(desk.newest)
    answer = desk.heldout("verify", desk.newest, "--json")
    assert 3 == answer.code, answer
    assert "no probabilities" in answer.out + answer.err


# Rules of each road that knowing nothing passes.
LOOSE: dict[str, list[dict[str, Any]]] = {
    "regression": [
        {"id": "order", "metric": "pearson", "at_least": -0.999},
        {"id": "error", "metric": "rmse", "at_most": 1e9},
    ],
    "frames": [
        {"id": "order", "metric": "plcc", "over": "worst_group", "at_least": -0.5},
        {"id": "error", "metric": "mae", "over": "cells", "at_most": 100},
        {"id": "inside", "metric": "srocc", "over": "within_cell", "at_least": -0.9},
    ],
    "panel": [{"id": "rank-ic", "metric": "spearman", "over": "within_cell", "at_least": -0.5}],
    "classification": [
        {"id": "right", "metric": "accuracy", "over": "pooled", "at_least": 0.3},
        {"id": "loss", "metric": "log_loss", "at_most": 1.5},
    ],
}


def _kind(desk: Desk) -> str:
    reader = str(desk.study["corpus"]["reader"])
    kinds = {"video_frames": "frames", "market_panel": "panel", "window_index": "classification"}
    return kinds.get(reader, str(desk.study["corpus"].get("task")))


@pytest.mark.slow
@route("gate", "motivated author", "declares rules so loose that the mean, or the majority, would be promoted", "HOLD")
def test_a_gate_that_knowing_nothing_passes_is_no_gate(road: Desk) -> None:
    """A model that learnt nothing would be the champion of a gate that looks like one."""
    road.rules(*LOOSE[_kind(road)])
    answer = road.run()
    assert 1 == answer.code, answer
    assert {"non-trivial"} == {rule["id"] for rule in road.verdict["rules"] if rule["outcome"] != "PASS"}
    assert "would be promoted by the same rules" in road.rule("non-trivial")["sentence"]
    assert 0 == road.heldout("verify", road.newest).code


GATES_OF_NOTHING: dict[str, list[dict[str, Any]]] = {
    "costs only": [{"id": "size", "metric": "model_bytes", "at_most": 1e9}],
    "spread only": [
        {"id": "spread", "metric": "plcc", "over": "pooled", "scope": "members", "statistic": "spread", "at_most": 1}
    ],
    "a coverage that any width has": [{"id": "covers", "metric": "coverage", "level": 0.8, "at_least": 0.01}],
    "a bias that the mean has too": [{"id": "bias", "metric": "abs_bias", "over": "pooled", "at_most": 5}],
    "a margin below the mean": [{"id": "gain", "metric": "rmse", "against": "mean", "at_least": -5}],
    "each seed for itself": [
        {"id": "seeds", "metric": "rmse", "scope": "members", "statistic": "max", "over": "pooled", "at_most": 50},
        {"id": "spread", "metric": "rmse", "scope": "members", "statistic": "spread", "at_most": 0.2},
    ],
    "a correlation that must not be too good": [
        {"id": "leak", "metric": "plcc", "over": "pooled", "at_most": 0.99, "why": "more would be a leak"}
    ],
    "a slice": [{"id": "slice", "metric": "rmse", "over": "worst_slice", "slice": "b", "at_most": 50}],
}


@pytest.mark.slow
@route("gate", "careless user", "declares rules over costs, spreads, coverage or margins and none over skill", "HOLD")
@pytest.mark.parametrize("name", GATES_OF_NOTHING)
def test_a_rule_beside_the_point_cannot_stand_in_for_one(tmp_path: Path, name: str) -> None:
    """A rule that says nothing of what is predicted would shield a gate without one."""
    desk = table_desk(tmp_path)
    if name == "a slice":
        frame = pl.read_csv(tmp_path / "table.csv").with_columns((pl.col("b") > 0).cast(pl.Int64))
        frame.write_csv(tmp_path / "table.csv")
    trees = {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "params": {"n_estimators": 5}}
    desk.write(baselines=[MEAN], fit=trees, seeds=[0, 1])
    desk.rules(*GATES_OF_NOTHING[name], slices=["b"] if name == "a slice" else [])
    answer = desk.run()
    assert 1 == answer.code, answer
    assert "FAIL" == desk.rule("non-trivial")["outcome"], desk.verdict["rules"]


@pytest.mark.slow
@route("gate", "motivated author", "registers a model that predicts the mean under a gate against the mean", "HOLD")
@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_a_model_that_is_the_mean_is_told_from_one_that_learnt(desk: Desk, strategy: str) -> None:
    """Its gain over itself is 0, and 0 is at least 0."""
    dummy = {"estimator": "sklearn.dummy.DummyRegressor", "params": {"strategy": strategy}}
    desk.write(baselines=[MEAN | {"id": "rival", "fit": dummy}], fit=dummy)
    desk.rules({"id": "gain", "metric": "rmse", "against": "rival", "at_least": 0})
    answer = desk.run()
    assert 1 == answer.code, answer
    assert "PASS" == desk.rule("gain")["outcome"]
    assert f"every prediction is the {strategy}" in desk.rule("non-trivial")["sentence"]


@pytest.mark.slow
def test_a_real_gain_over_the_mean_is_a_gate(desk: Desk) -> None:
    """The first gate that people write would hold every model."""
    desk.write(baselines=[MEAN])
    desk.rules({"id": "gain", "metric": "rmse", "against": "mean", "at_least": 0})
    answer = desk.run()
    assert 0 == answer.code, answer


@pytest.mark.slow
@route(
    "gate", "motivated author", "pools folds of a rising target, where the mean of the past orders the future", "HOLD"
)
def test_the_mean_of_the_past_may_order_the_future(tmp_path: Path) -> None:
    """A trend over folds would be taken for skill."""
    desk = table_desk(tmp_path, groups=6, signal=False)
    frame = pl.read_csv(tmp_path / "table.csv")
    number = pl.col("site").str.slice(1).cast(pl.Float64)
    frame.with_columns(y=pl.col("y") + 10 * number, t=number).write_csv(tmp_path / "table.csv")
    desk.write(corpus=desk.study["corpus"] | {"time": "t"}, split={"kind": "walk-forward", "warmup": 2, "window": 1})
    desk.rules({"id": "good", "metric": "plcc", "over": "pooled", "at_least": 0.7})
    answer = desk.run()
    assert 1 == answer.code, answer
    assert "FAIL" == desk.rule("non-trivial")["outcome"], desk.verdict["rules"]


@route("gate", "operator", "asks for a plan of a gate over costs only", "flagged")
def test_the_plan_says_when_a_gate_is_over_costs_only(desk: Desk) -> None:
    """It would be found after days of training."""
    desk.rules({"id": "size", "metric": "model_bytes", "at_most": 1e9})
    answer = desk.heldout("gate", "plan", "study.yaml")
    assert 1 == answer.code
    assert "non-trivial" in answer.out


def _forge(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what knows nothing in the metrics, and mend every digest that names them."""
    metrics = json.loads((run / "metrics.json").read_text())
    change(metrics)
    write_json(run / "metrics.json", metrics)
    verdict = next(run / name for name in ("PROMOTE.json", "HOLD.json") if (run / name).exists())
    document = json.loads(verdict.read_text())
    document["judged"]["metrics_sha256"] = sha256_file(run / "metrics.json")
    document["judged"]["files_sha256"] = files_digest(run_files(run))
    write_json(verdict, document)
    write_manifest(run)


def _broken(desk: Desk, *more: object) -> set[str]:
    """The links that `heldout verify` finds broken."""
    answer = desk.heldout("verify", desk.newest, "--json", *more)
    assert answer.code in (0, 3), answer
    return {link["id"] for link in json.loads(answer.out)["links"] if link["state"] == "BROKEN"}


FORGERIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another answer": lambda m: m["trivial"]["contenders"]["mean"]["answers"].update(g1=1e9),
    "another score": lambda m: m["trivial"]["contenders"]["mean"]["ensemble"]["pooled"].update(rmse=1e12),
    "one contender less": lambda m: m["trivial"]["contenders"].pop("median"),
    "no contenders": lambda m: m["trivial"].update(contenders={}),
    "no block": lambda m: m.pop("trivial"),
    "copies": lambda m: m["copies"].update({"1": 0}),
}


@pytest.mark.slow
@route(
    "gate", "motivated author", "edits what the trivial contenders answered or scored, or leaves them out", "TAMPERED"
)
@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_what_knows_nothing_is_computed_again(desk: Desk, change: Callable[[dict[str, Any]], None]) -> None:
    """The rule would be judged by numbers that nobody computed."""
    assert 0 == desk.run().code
    _forge(desk.newest, change)
    assert "metrics" in _broken(desk)


@route(
    "gate",
    "motivated author",
    "edits the answer of the mean in a fold whose training rows are in no table",
    "needs --corpus",
)
def test_answers_from_rows_that_no_fold_held_out_need_the_corpus(desk: Desk) -> None:
    """A fixed test set leaves the training targets out of the run."""
    desk.write(split={"kind": "fixed", "test": ["g0", "g1", "g2"]})
    assert 0 == desk.run().code
    from heldout.verify.evidence import RunEvidence
    from heldout.verify.results import recomputed_metrics

    run = desk.newest
    fold = json.loads((run / "split.json").read_text())["folds"][0]["id"]
    _forge(run, lambda m: m["trivial"]["contenders"]["mean"]["answers"].update({fold: 7.0}))
    again = recomputed_metrics(RunEvidence.open(run))
    _forge(run, lambda m: m.update(again))
    assert not {"metrics", "corpus-file"} & _broken(desk)
    assert "corpus-file" in _broken(desk, "--corpus", desk.folder / "table.csv")


# One model under five seeds: nothing is drawn in these.
ONE_MODEL = ["linear_model.LinearRegression", "linear_model.Ridge", "neighbors.KNeighborsRegressor", "svm.SVR"]
STEADY = [
    {"id": "good", "metric": "plcc", "over": "pooled", "at_least": 0.5},
    {"id": "steady", "metric": "plcc", "over": "pooled", "scope": "members", "statistic": "spread", "at_most": 0.0001},
    {"id": "worst", "metric": "plcc", "over": "pooled", "scope": "members", "statistic": "min", "at_least": 0.5},
    {"id": "covers", "metric": "coverage", "level": 0.95, "interval": "seeds", "at_least": 0.1},
]


@pytest.mark.slow
@route("seeds", "careless user", "declares five seeds of an estimator that draws nothing", "HOLD")
@pytest.mark.parametrize("estimator", ONE_MODEL)
def test_copies_of_one_model_are_one_seed(desk: Desk, estimator: str) -> None:
    """Five copies would show a spread of 0, and be five proofs."""
    desk.write(fit={"estimator": f"sklearn.{estimator}"}, seeds=[0, 1, 2, 3, 4])
    desk.rules(*STEADY, min_seeds=5)
    answer = desk.run()
    assert 1 == answer.code, answer
    outcomes = {rule["id"]: rule["outcome"] for rule in desk.verdict["rules"] if rule["outcome"] != "PASS"}
    assert {"seeds": "FAIL", "steady": "UNKNOWN", "worst": "UNKNOWN", "covers": "UNKNOWN"} == outcomes
    assert all("the same as seed 0" in desk.rule(name)["sentence"] for name in outcomes)
    assert 1 == desk.rule("seeds")["observed"]
    report = (desk.newest / "RUN_REPORT.md").read_text()
    assert "## Seeds" not in report
    assert "One model, not several" in report
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@route("seeds", "motivated author", "gives five seeds of one model the look of several by rounding", "HOLD")
def test_copies_are_found_on_every_road(road: Desk) -> None:
    """The same under another task or domain."""
    ridge = road.study["backbone"] == "ridge"
    if ridge:  # which takes one seed only: the copies come from scikit-learn
        road.write(backbone="sklearn", fit={"estimator": "sklearn.linear_model.Ridge"})
    road.write(seeds=[3, 1])
    road.rules(*road.study["gate"]["rules"], min_seeds=2)
    answer = road.run()
    assert 1 == answer.code, answer
    assert {"seeds"} == {rule["id"] for rule in road.verdict["rules"] if rule["outcome"] != "PASS"}
    assert "seed 3 predicts the same as seed 1" in road.rule("seeds")["sentence"]


def test_three_models_of_five_seeds_count_three() -> None:
    """Partial copies would count in full, or not at all."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"sample_id": ["a", "b", "c"], "group": ["a", "b", "c"], "fold": ["a", "b", "c"]})
    frame = frame.with_columns(target=pl.Series(rng.normal(size=3)))
    first, second, third = rng.normal(size=(3, 3))
    found = Predictions(frame, {0: first, 1: second, 2: first * (1 + 1e-15), 3: third, 4: second})
    assert {2: 0, 4: 1} == found.copies
    document = summarise(found, {}, BootstrapSpec(draws=100), None, {})
    facts = Facts((0, 1, 2, 3, 4), list("abc"), frozenset(), (), 3, None, ())
    (seeds,) = (rule for rule in judge(document, GateSpec(min_seeds=4), facts) if rule.id == "seeds")
    assert ("FAIL", 3) == (seeds.outcome, seeds.observed)
    (enough,) = (rule for rule in judge(document, GateSpec(min_seeds=3), facts) if rule.id == "seeds")
    assert "PASS" == enough.outcome


@pytest.mark.slow
@given(st.integers(0, 2), st.integers(0, 5), st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans())
def test_what_is_not_finite_never_vanishes(seed: int, row: int, value: float, classes: bool) -> None:
    """One number of many would drop out of a mean, be the copy of another, or be shielded by its twin."""
    rng = np.random.default_rng(0)
    groups = ["a", "a", "b", "b", "c", "c"]
    frame = pl.DataFrame({"sample_id": list("uvwxyz"), "group": groups, "fold": groups})
    if classes:
        members = {each: np.full((6, 2), 0.5) for each in range(3)}
        members[seed][row, 0] = value
        frame = frame.with_columns(target=pl.Series(["no", "yes"] * 3))
    else:
        members = {each: np.arange(6.0) for each in range(3)}
        members[seed][row] = value
        frame = frame.with_columns(target=pl.Series(rng.normal(size=6)))
    found = Predictions(frame, members, ("no", "yes") if classes else ())
    assert seed not in found.copies
    assert seed not in found.copies.values()
    trivial = trivial_contenders(found.target, np.array(groups), FOLDS_OF_THREE, found.classes)
    document = summarise(found, {}, BootstrapSpec(draws=100), None, trivial)
    metric = {"metric": "accuracy", "at_least": 0.1} if classes else {"metric": "rmse", "at_most": 1e6}
    rules = [{"id": "pooled", "over": "pooled", **metric}, {"id": "folds", **metric}]
    gate = GateSpec.model_validate({"rules": rules})
    facts = Facts((0, 1, 2), list("abc"), frozenset((s, f) for s in range(3) for f in "abc"), (), 3, None, ())
    outcomes = {rule.id: rule for rule in judge(document, gate, facts)}
    assert ("UNKNOWN", "UNKNOWN") == (outcomes["pooled"].outcome, outcomes["folds"].outcome)
    assert "FAIL" == outcomes["finite"].outcome
    assert f"folds/{groups[row]}" in outcomes["finite"].sentence
    assert f"{seed}" in {each["where"].split("/")[1] for each in document["undefined"]}
    assert "1 predictions are not finite" in {each["why"] for each in document["undefined"]}


NEVER = {
    "spread of one seed": {"metric": "rmse", "scope": "members", "statistic": "spread", "at_most": 0.1},
    "coverage of few groups": {"metric": "coverage", "level": 0.95, "at_least": 0.9},
    "cells that are not there": {"metric": "plcc", "over": "within_cell", "at_least": 0.1},
}


@route(
    "Gate",
    "careless user",
    "A rule can never be judged on these groups and seeds, such as the spread of one seed.",
    "stopped",
)
@pytest.mark.parametrize("rule", NEVER.values(), ids=NEVER)
def test_a_rule_that_can_never_be_judged_costs_no_look(desk: Desk, rule: dict[str, Any]) -> None:
    """The run would be HOLD whatever comes out, and the held-out groups would have been seen for nothing."""
    desk.rules({"id": "never"} | rule)
    answer = desk.run()
    assert 2 == answer.code, answer
    assert "can never be judged" in answer.err
    assert "study.yaml:" in answer.err
    assert not desk.of_study.exists()
    assert 1 == desk.heldout("gate", "plan", "study.yaml").code
