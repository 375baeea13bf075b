"""The model to beat is another run, on the same rows held out the same way, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from heldout.errors import InputError, StudyError, TamperedError
from heldout.run import Run
from heldout.verify import verify_run

BEATS = {"rules": [{"id": "beats", "metric": "rmse", "against": "champion", "at_least": 0.0}]}
POOR = {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 1000.0}}
GOOD = {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 0.1}}


@pytest.fixture
def poor(desk: Any) -> Run:
    """A champion that shrinks everything towards the mean."""
    run: Run = desk.run(study="poor", fit=POOR)
    return run


def _beats(run: Run) -> dict[str, Any]:
    (rule,) = (rule for rule in run.document["rules"] if rule["id"] == "beats")
    return dict(rule)


@pytest.mark.slow
def test_a_better_model_beats_the_champion_and_a_worse_one_does_not(desk: Any, poor: Run) -> None:
    """Promotions would not depend on who holds the place."""
    desk.amend(study="good", fit=GOOD, champion=str(poor.folder), gate=BEATS)
    good = desk.run(study="good", fit=GOOD, champion=str(poor.folder), gate=BEATS)
    assert ("PROMOTE", "PASS") == (good.verdict, _beats(good)["outcome"])
    assert good.numbers["baselines"]["champion"]["mean"] == poor.numbers["ensemble"]["mean"]
    worse = desk.run(study="worse", fit=POOR, champion=str(good.folder), gate=BEATS)
    assert ("HOLD", "FAIL") == (worse.verdict, _beats(worse)["outcome"])


@pytest.mark.slow
@pytest.mark.first_is_fast
def test_nobody_beats_an_equal(desk: Any, poor: Run) -> None:
    """A copy of the champion would replace it for ever."""
    same = desk.run(study="same", fit=POOR, champion=str(poor.folder), gate=BEATS | {"min_groups": 3})
    assert 0.0 == _beats(same)["observed"]
    assert "PASS" == _beats(same)["outcome"]  # the bound is at least 0: declare a gain to ask for one
    asking = {"rules": [BEATS["rules"][0] | {"at_least": 1e-6}]}
    assert "HOLD" == desk.run(study="asking", fit=POOR, champion=str(poor.folder), gate=asking).verdict


@pytest.mark.slow
def test_a_model_may_lose_a_declared_share_of_what_the_champion_scores(desk: Any, poor: Run) -> None:
    """Cheaper models would be held for the fourth digit, or the margin be guessed in the units of each metric."""
    within = {"id": "within", "metric": "rmse", "against": "champion", "over": "pooled", "relative": True}
    almost = {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 1010.0}}
    outcomes = {}
    for name, share in (("loose", -0.02), ("tight", -1e-7)):
        gate = {"rules": [within | {"at_least": share}]}
        run = desk.run(study=name, fit=almost, champion=str(poor.folder), gate=gate)
        outcomes[share] = next(rule for rule in run.document["rules"] if rule["id"] == "within")
        assert verify_run(run.folder).broken is None
    assert ["PASS", "FAIL"] == [rule["outcome"] for rule in outcomes.values()], outcomes
    assert "at_least -0.02 of champion's value" == outcomes[-0.02]["bound"]


@pytest.mark.slow
def test_the_comparison_is_verified_from_the_run_alone(desk: Any, poor: Run) -> None:
    """The champion's run could be gone, or changed, when somebody checks the verdict."""
    good = desk.run(study="good", fit=GOOD, champion=str(poor.folder), gate=BEATS)
    shutil.rmtree(poor.folder)
    assert verify_run(good.folder).broken is None
    path = good.folder / "champion" / "predictions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2", 1))
    assert verify_run(good.folder).broken is not None


@pytest.mark.slow
def test_a_champion_of_other_rows_is_refused(desk: Any, poor: Run) -> None:
    """A difference of scores on different rows says nothing."""
    frame = pl.read_csv(desk.table)
    frame.with_columns(score=pl.col("score") + 0.01).write_csv(desk.table)
    with pytest.raises(InputError, match="another corpus"):
        desk.prepare(fit=GOOD, champion=str(poor.folder), gate=BEATS)


@pytest.mark.slow
def test_a_champion_of_another_split_is_refused(desk: Any, poor: Run) -> None:
    """The same."""
    with pytest.raises(InputError, match="another split"):
        desk.prepare(fit=GOOD, champion=str(poor.folder), gate=BEATS, split={"kind": "group-k-fold", "folds": 2})


def test_a_champion_whose_predictions_were_edited_is_refused(desk: Any, poor: Run) -> None:
    """A champion could be made easy to beat."""
    path = poor.folder / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["seed0"] += 100
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TamperedError, match="not those that were judged"):
        desk.prepare(fit=GOOD, champion=str(poor.folder), gate=BEATS)


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_what_is_no_run_is_refused(desk: Any, where: str, tmp_path: Path) -> None:
    """A typing error in the path would make the rule UNKNOWN only after training."""
    with pytest.raises(InputError, match="no computed verdict"):
        desk.prepare(champion=where, gate=BEATS)


def test_a_rule_against_nobody_is_refused(desk: Any) -> None:
    """A study without a champion would HOLD for ever and not say why."""
    with pytest.raises(StudyError, match="compares with 'champion'") as caught:
        desk.prepare(gate=BEATS)
    assert "champion: runs/" in str(caught.value)
    wrong = {"rules": [BEATS["rules"][0] | {"against": "meen"}]}
    with pytest.raises(StudyError, match="did you mean 'mean'"):
        desk.prepare(gate=wrong)


@pytest.mark.slow
def test_costs_are_measured_when_a_rule_asks(desk: Any) -> None:
    """A model that is too large or slow to serve would be promoted."""
    size = {"id": "size", "metric": "model_bytes", "at_most": 1}
    speed = {"id": "speed", "metric": "latency_us", "at_most": 1e9}
    run = desk.run(gate={"rules": [size, speed]})
    outcomes = {rule["id"]: rule for rule in run.document["rules"]}
    assert ("FAIL", "PASS") == (outcomes["size"]["outcome"], outcomes["speed"]["outcome"])
    biggest = max(path.stat().st_size for path in run.folder.glob("fits/*/*/model.skops"))
    assert biggest == outcomes["size"]["observed"]
    assert verify_run(run.folder).broken is None
    document = json.loads((run.folder / "costs.json").read_text())
    assert {"model_bytes", "latency_us", "rows", "device", "form", "schema"} == set(document)


@pytest.mark.slow
def test_slices_go_with_the_predictions(desk: Any) -> None:
    """A declared slice could not be recomputed from the run's files."""
    worst = {"id": "kind", "metric": "rmse", "over": "worst_slice", "slice": "kind", "at_most": 100}
    run = desk.run(gate={"slices": ["kind"], "rules": [worst]})
    found = run.numbers["ensemble"]["slices"]["kind"]
    assert {"left", "right"} == set(found)
    assert 60 == sum(block["rows"] for block in found.values())
    assert verify_run(run.folder).broken is None
    with pytest.raises(StudyError, match="no feature"):
        desk.prepare(gate={"slices": ["kindness"], "rules": [worst | {"slice": "kindness"}]})
