"""``metrics.json``: every number from predictions alone, and no undefined one that vanishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from heldout.evidence import dumps
from heldout.study import BootstrapSpec
from heldout.task import Predictions, metrics, summarise
from heldout.task.regression import REGRESSION

GROUPS = ("east", "north", "south", "west")
EACH = 24
QUICK = BootstrapSpec(draws=200)
N_TRAIN = dict.fromkeys(GROUPS, 3 * EACH)


def make(
    seeds: Sequence[int] = (0, 1, 2), *, cells: int = 0, folds: dict[str, str] | None = None, shuffle: int | None = None
) -> Predictions:
    """Targets with a noise of .3; groups differ in level; each seed is off by its own noise."""
    rng = np.random.default_rng(9)
    groups = np.repeat(GROUPS, EACH)
    target = rng.normal(size=len(groups)) + np.repeat(np.arange(4.0), EACH)
    members = {seed: target + 0.3 * rng.normal(size=len(target)) for seed in seeds}
    table: dict[str, Any] = {"sample_id": [f"row{i}" for i in range(len(groups))], "group": groups}
    if cells:
        table["cell"] = [f"{group}/{index % cells}" for index, group in enumerate(groups)]
    table["fold"] = [(folds or {}).get(str(group), str(group)) for group in groups]
    table["target"] = target
    order = np.arange(len(groups)) if shuffle is None else np.random.default_rng(shuffle).permutation(len(groups))
    frame = pl.DataFrame(table)[order]
    return Predictions(frame, {seed: values[order] for seed, values in members.items()})


def spoil(predictions: Predictions, seed: int, group: str, value: float) -> Predictions:
    """One row of a group, or with a finite value the whole group, gets this value from one seed."""
    rows = np.flatnonzero(predictions.samples["group"].to_numpy() == group)
    values = predictions.members[seed].copy()
    values[rows if np.isfinite(value) else rows[:1]] = value
    return Predictions(predictions.samples, {**predictions.members, seed: values})


def rows_of(predictions: Predictions, group: str) -> NDArray[np.int64]:
    return np.flatnonzero(predictions.samples["group"].to_numpy() == group)


def at(document: Any, path: str) -> Any:
    for part in path.split("/"):
        document = document[part]
    return document


def test_every_number_is_computed_from_its_own_rows() -> None:
    """A fold would be scored with another fold's rows, or a seed with another seed's predictions."""
    predictions = make()
    found = summarise(predictions, N_TRAIN, QUICK)
    by_fold = []
    for group in GROUPS:
        rows = rows_of(predictions, group)
        expected = metrics.regression(predictions.target[rows], predictions.members[1][rows])
        block = found["members"]["1"]["folds"][group]
        assert expected == {name: block[name] for name in expected}
        assert (EACH, 3 * EACH) == (block["rows"], block["n_train"])
        by_fold.append(expected["plcc"])
    member = found["members"]["1"]
    statistics = {name: member[name]["plcc"] for name in ("mean", "min", "max", "std")}
    assert {
        "mean": pytest.approx(np.mean(by_fold)),
        "min": min(by_fold),
        "max": max(by_fold),
        "std": pytest.approx(np.std(by_fold, ddof=1)),
    } == statistics
    assert metrics.regression(predictions.target, predictions.members[1]) == member["pooled"]
    mean = np.mean([predictions.members[seed] for seed in (0, 1, 2)], axis=0)
    assert metrics.regression(predictions.target, mean)["rmse"] == pytest.approx(found["ensemble"]["pooled"]["rmse"])
    assert [] == found["undefined"]


def test_the_document_says_what_it_is_of() -> None:
    """A metrics file could not be told from that of another task, or with fewer seeds."""
    found = summarise(make((4, 1)), N_TRAIN, QUICK)
    expected = {
        "schema": "heldout.metrics/1",
        "task": "regression",
        "primary": "plcc",
        "rows": 96,
        "groups": 4,
        "seeds": [1, 4],
        "folds": list(GROUPS),
    }
    assert expected == {key: found[key] for key in expected}
    assert ["1", "4"] == list(found["members"])


def test_the_same_predictions_give_the_same_bytes_in_any_order_of_seeds() -> None:
    """A verdict could not be checked by computing its metrics again."""
    predictions = make()
    backwards = Predictions(predictions.samples, dict(reversed(predictions.members.items())))
    assert dumps(summarise(predictions, N_TRAIN, QUICK)) == dumps(summarise(backwards, N_TRAIN, QUICK))


def test_the_order_of_rows_changes_nothing_but_rounding() -> None:
    """A sorted corpus would be another result."""
    one, two = (summarise(make(shuffle=shuffle), N_TRAIN, QUICK)["ensemble"] for shuffle in (None, 1))
    for path in ("mean/plcc", "mean/srocc", "pooled/rmse", "worst_group/mae/value", "sigma/coverage_95"):
        assert at(one, path) == pytest.approx(at(two, path), abs=1e-12)
    assert at(one, "worst_group/plcc/group") == at(two, "worst_group/plcc/group")


@pytest.mark.parametrize(
    ("value", "why", "undefined"),
    [
        (float("nan"), "1 predictions are not finite", [each.name for each in REGRESSION]),
        (float("inf"), "1 predictions are not finite", [each.name for each in REGRESSION]),
        (80.0, "the prediction is constant", ("plcc", "srocc")),
    ],
)
def test_defect_12_a_mean_over_folds_with_an_undefined_fold_is_null(
    value: float, why: str, undefined: tuple[str, ...]
) -> None:
    """One good fold of four could pass, since the others drop out of a nan-mean."""
    found = summarise(spoil(make(), 1, "north", value), N_TRAIN, QUICK)
    reasons = {item["where"]: item["why"] for item in found["undefined"]}
    for name in undefined:
        assert found["members"]["1"]["folds"]["north"][name] is None
        assert why == reasons[f"members/1/folds/north/{name}"]
        for statistic in ("mean", "std", "min", "max"):
            assert found["members"]["1"][statistic][name] is None
            assert "a fold is undefined" == reasons[f"members/1/{statistic}/{name}"]
        assert found["members"]["1"]["folds"]["south"][name] is not None, "the other folds are still told"
        assert found["members"]["0"]["mean"][name] is not None, "and the other seeds"
    dumps(found)


def test_defect_12_a_seed_that_is_not_finite_undefines_the_ensemble() -> None:
    """The mean of five seeds would silently be that of four."""
    found = summarise(spoil(make(), 1, "north", float("nan")), N_TRAIN, QUICK)["ensemble"]
    assert {"group": "north", "value": None} == found["worst_group"]["plcc"]
    assert (None, None) == (found["intervals"]["plcc"]["low"], found["intervals"]["plcc"]["high"])
    assert (None, None) == (found["sigma"]["mean"], found["sigma"]["coverage_95"])
    assert found["pooled"]["rmse"] is None


def test_every_null_has_a_reason() -> None:
    """Somebody would read a dash in the report and never learn why."""
    broken = spoil(spoil(make((0, 1), cells=3), 0, "west", float("nan")), 1, "east", 80.0)
    found = summarise(broken, N_TRAIN, QUICK)
    listed = {item["where"] for item in found["undefined"]}
    assert len(listed) == len(found["undefined"])
    nulls = set()
    for part in ("members/0", "members/1", "ensemble"):
        block = at(found, part)
        for label in ("mean", "std", "min", "max", "pooled", "cells", "within_cell"):
            nulls |= {f"{part}/{label}/{name}" for name, value in block[label].items() if value is None}
        for fold, scores in block["folds"].items():
            nulls |= {f"{part}/folds/{fold}/{name}" for name, value in scores.items() if value is None}
    assert nulls == listed
    assert "members/0/cells/plcc" in nulls
    assert all(item["why"] for item in found["undefined"])


def test_one_fold_has_no_spread_and_is_still_scored() -> None:
    """A fixed test set would have a spread of zero, as if it were certain."""
    found = summarise(make(folds=dict.fromkeys(GROUPS, "test")), {"test": 10}, QUICK)
    assert found["ensemble"]["std"]["plcc"] is None
    assert {"where": "ensemble/std/plcc", "why": "one fold has no spread"} in found["undefined"]
    assert found["ensemble"]["pooled"]["plcc"] == pytest.approx(found["ensemble"]["mean"]["plcc"])


def test_the_worst_group_is_named_even_where_a_fold_holds_several() -> None:
    """A bad group would hide inside the fold that it shares with a good one."""
    predictions = make(folds={"east": "part0", "north": "part0", "south": "part1", "west": "part1"})
    rows = rows_of(predictions, "north")
    members = {
        seed: np.where(np.isin(np.arange(96), rows), -values, values) for seed, values in predictions.members.items()
    }
    found = summarise(Predictions(predictions.samples, members), {"part0": 1, "part1": 1}, QUICK)["ensemble"]
    assert ["part0", "part1"] == sorted(found["folds"])
    assert sorted(GROUPS) == sorted(found["groups"])
    assert "north" == found["worst_group"]["plcc"]["group"]
    assert found["groups"]["north"]["plcc"] == found["worst_group"]["plcc"]["value"] < -0.9
    assert "groups" not in summarise(make(), N_TRAIN, QUICK)["ensemble"], "where folds are groups, once is enough"


def test_cells_are_scored_by_their_means_and_inside() -> None:
    """Steps between clips would hide that nothing inside a clip is predicted."""
    predictions = make((0,), cells=3)
    found = summarise(predictions, N_TRAIN, QUICK)["members"]["0"]
    cells = predictions.samples.with_columns(prediction=pl.Series(predictions.members[0])).group_by("cell")
    means = cells.agg(pl.col("target", "prediction").mean()).sort("cell")
    expected = metrics.regression(means["target"].to_numpy(), means["prediction"].to_numpy())
    assert {name: pytest.approx(value) for name, value in expected.items()} == found["cells"]
    inside = [
        metrics.regression(frame["target"].to_numpy(), frame["prediction"].to_numpy())["plcc"] for _, frame in cells
    ]
    assert np.mean(inside) == pytest.approx(found["within_cell"]["plcc"])
    assert (12, {}) == (found["within_cell"]["cells"], found["within_cell"]["undefined_cells"])


def test_a_cell_that_cannot_be_scored_is_counted() -> None:
    """A still clip would drop out of the mean over clips unseen."""
    predictions = spoil(make((0,), cells=3), 0, "north", 80.0)
    found = summarise(predictions, N_TRAIN, QUICK)["members"]["0"]["within_cell"]
    assert {"plcc": 3, "srocc": 3} == found["undefined_cells"]
    assert (12, True) == (found["cells"], found["plcc"] > 0.5)


def test_baselines_stand_in_the_same_table() -> None:
    """The question whether the mean would do as well could not be asked."""
    baseline = spoil(make((0,)), 0, "west", 3.0)
    found = summarise(make(), N_TRAIN, QUICK, {"mean": ("predicts the mean", baseline)})
    block = found["baselines"]["mean"]
    assert ("predicts the mean", 1) == (block["description"], block["seeds"])
    assert block["folds"]["west"]["plcc"] is None
    assert {"where": "baselines/mean/folds/west/plcc", "why": "the prediction is constant"} in found["undefined"]
    assert found["ensemble"]["mean"]["plcc"] is not None


def test_classes_are_scored_as_classes() -> None:
    """A classifier would be judged by the correlation of its class numbers."""
    rng = np.random.default_rng(2)
    groups = np.repeat(["a", "b", "c"], 10)
    truth = rng.choice(["no", "yes"], size=30)
    sure = np.where(truth == "yes", 0.9, 0.1)
    scores = np.stack([1 - sure, sure], axis=1)
    frame = pl.DataFrame(
        {"sample_id": [f"{i}" for i in range(30)], "group": groups, "fold": groups, "target": truth.tolist()}
    )
    found = summarise(Predictions(frame, {0: scores, 1: scores}, ("no", "yes")), {}, QUICK)
    assert ("classification", "accuracy", ["no", "yes"]) == (found["task"], found["primary"], found["classes"])
    assert 1.0 == found["ensemble"]["mean"]["balanced_accuracy"]
    assert -np.log(0.9) == pytest.approx(found["ensemble"]["pooled"]["log_loss"])
    assert {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"} == set(found["ensemble"]["worst_group"])
    assert "sigma" not in found["ensemble"]
