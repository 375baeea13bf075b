"""Rules that are chosen after the result: whatever file, study, name or features the same targets come with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import Desk, route, table_desk

from heldout.run import execute

KIND = "registration"
STRICT = {"regression": 0.99999, "classification": 0.999}


def held(desk: Desk, *more: object) -> None:
    """A first run under a bound that nothing reaches."""
    desk.rules(bound(desk, 1))
    assert 1 == desk.run(*more).code


def bound(desk: Desk, tight: int) -> dict[str, Any]:
    """The desk's rule: as it passes, or out of reach."""
    rule = dict(desk.study["gate"]["rules"][0])
    rule["at_least"] = 0.99999 if tight else {"srocc": 0.02, "kappa": 0.3}.get(rule["metric"], 0.7)
    return rule


def loosened(desk: Desk) -> dict[str, Any]:
    """Run with the bound loosened; what the rule `pre-registered` says."""
    desk.rules(bound(desk, 0))
    answer = desk.run()
    assert answer.code in (0, 1), answer
    return desk.rule("pre-registered")


def needs_an_amendment(desk: Desk) -> None:
    """The loosened rules HOLD, until a reason is given; the verdict shows it and verifies."""
    rule = loosened(desk)
    assert "FAIL" == rule["outcome"], rule
    assert "heldout gate amend" in rule["sentence"]
    assert "HOLD" == desk.verdict["verdict"]
    done = desk.heldout("gate", "amend", "study.yaml", "--reason", "the bound was a slip of the pen")
    assert 0 == done.code, done
    assert 0 == desk.run().code
    assert "a slip of the pen" in desk.rule("pre-registered")["sentence"]
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@route(KIND, "motivated author", "loosens a bound after a HOLD", "HOLD")
def test_a_loosened_bound_holds(every_road: Desk) -> None:
    """A threshold could be lowered to what was reached, on any task."""
    held(every_road)
    needs_an_amendment(every_road)


def killed(desk: Desk, monkeypatch: pytest.MonkeyPatch, *more: object) -> None:
    """A run that ends when predictions and metrics are on disk, and nobody was told of them."""
    with monkeypatch.context() as patch:
        patch.setattr(execute, "judge_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert 130 == desk.run(*more).code
    assert list(desk.of_study.glob("*/metrics.json"))
    assert not list(desk.of_study.glob("*/HOLD.json"))


@pytest.mark.slow
@route(KIND, "motivated author", "kills a smoke run when its metrics are written, then chooses the bound", "HOLD")
def test_a_look_whose_run_was_killed_is_a_look(every_road: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics that lie in a folder could be read, and the verdict would say that nobody had looked."""
    every_road.rules(bound(every_road, 1))
    killed(every_road, monkeypatch, "--set", "gate.min_groups=2")
    assert not (every_road.of_study / "policies.jsonl").exists(), "a smoke run registers nothing"
    needs_an_amendment(every_road)


@pytest.mark.slow
@route(KIND, "motivated author", "kills each try that looks bad before it has a verdict", "flagged")
def test_tries_that_were_killed_are_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of many would be the first attempt."""
    good = desk.study["fit"]
    desk.rules(bound(desk, 0), max_attempts=2)
    for k in (1, 2):
        desk.write(fit={"estimator": "sklearn.neighbors.KNeighborsRegressor", "params": {"n_neighbors": k}})
        killed(desk, monkeypatch)
    desk.write(fit=good)
    assert 1 == desk.run().code
    assert (3, 3) == (desk.verdict["trial"]["attempt"], desk.verdict["trial"]["looks"])
    assert "FAIL" == desk.rule("attempts")["outcome"]
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@route(KIND, "motivated author", "renames the study after a HOLD and loosens the bound", "HOLD")
def test_a_renamed_study_was_seen(every_road: Desk) -> None:
    """A new name would be a new start."""
    held(every_road)
    every_road.write(study="other")
    assert "FAIL" == loosened(every_road)["outcome"]
    assert "attacked" in every_road.rule("pre-registered")["sentence"]


@pytest.mark.slow
@route(
    KIND,
    "motivated author",
    "amends the rules in one study and runs them in another, where no reason stands",
    "flagged",
)
def test_a_reason_given_in_another_study_is_shown(every_road: Desk) -> None:
    """The verdict that is shown around would know of no amendment."""
    held(every_road)
    assert "FAIL" == loosened(every_road)["outcome"]
    assert 0 == every_road.heldout("gate", "amend", "study.yaml", "--reason", "the bound was a typing error").code
    every_road.write(study="fresh")
    every_road.run()
    told = every_road.rule("pre-registered")
    assert "PASS" == told["outcome"]
    assert "amended in the study attacked, with reasons: the bound was a typing error" in told["sentence"]
    assert 0 == every_road.heldout("verify", every_road.newest).code


@pytest.mark.slow
@route(KIND, "motivated author", "renames the study at every try, so that each is a first attempt", "flagged")
def test_a_try_under_another_name_is_counted(road: Desk) -> None:
    """Twenty studies of one try would be promoted by luck as often as one of twenty tries, uncorrected."""
    road.run()
    first = road.verdict["judged"]["variant_sha256"]
    for number in (2, 3):
        road.write(study=f"try-{number}", seeds=[10 * number])
        plan = json.loads(road.heldout("gate", "plan", "study.yaml", "--json").out)
        assert number == plan["attempt"]
        road.run()
        trial = road.verdict["trial"]
        assert (number, number, 1) == (trial["attempt"], trial["of"], trial["looks"])
        assert 0 == road.heldout("verify", road.newest).code
        road.run()
        assert trial == road.verdict["trial"], "judged again, it would be another attempt"
    road.write(study="the-same")
    road.run()
    assert 3 == road.verdict["trial"]["attempt"], "the very variant of another study is no new try"
    assert first != road.verdict["judged"]["variant_sha256"]


@pytest.mark.slow
@route(KIND, "motivated author", "tries on two of five groups under other names, and judges the best on all", "flagged")
def test_tries_on_a_part_of_the_groups_are_counted(desk: Desk) -> None:
    """Two fifths of what judges would have been tuned on, unseen."""
    rows = pl.read_csv(desk.folder / "table.csv")
    rows.filter(pl.col("site").is_in(["g0", "g1"])).write_csv(desk.folder / "part.csv")
    corpus, gate = desk.study["corpus"], desk.study["gate"]
    for seed in (1, 2):
        desk.write(
            study=f"part-{seed}", seeds=[seed], corpus=corpus | {"path": "part.csv"}, gate=gate | {"min_groups": 2}
        )
        desk.run()
        assert seed == desk.verdict["trial"]["attempt"]
    desk.write(study="whole", corpus=corpus, gate=gate)
    desk.run()
    assert 3 == desk.verdict["trial"]["attempt"]


@pytest.mark.slow
def test_a_look_that_saw_no_truth_freezes_no_count(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped before it fits would make each later try the first."""
    for number in (1, 2, 3):
        desk.write(study=f"try-{number}", seeds=[number])
        with monkeypatch.context() as patch:
            patch.setattr(execute, "with_fitted_state", lambda found: replace(found, reached=True))
            assert 1 == desk.run().code
        assert "FAILED" == json.loads((desk.of_study / "trials.jsonl").read_text().splitlines()[-1])["outcome"]
    for number in (1, 2, 3):
        desk.write(study=f"try-{number}", seeds=[number])
        desk.run()
        assert number == desk.verdict["trial"]["attempt"]


@pytest.mark.slow
def test_a_run_that_is_judged_again_after_other_rules_were_registered_verifies(desk: Desk) -> None:
    """An honest run would be TAMPERED for good, and the hint to run it again would not help."""
    assert 0 == desk.run().code
    honest = dict(desk.study)
    desk.rules(bound(desk, 0) | {"at_least": 0.5})
    assert 0 == desk.heldout("gate", "amend", "study.yaml", "--reason", "a looser bound is enough").code
    desk.write(**honest)
    for _ in range(2):
        assert 0 == desk.run().code
        assert 0 == desk.heldout("verify", desk.newest).code
        (desk.newest / "report.html").unlink()
    assert 1 == desk.verdict["trial"]["attempt"]


@pytest.mark.slow
@route(KIND, "careless user", "tries a smoke run first and sets the bounds to what it showed", "HOLD")
def test_a_smoke_run_is_a_look(every_road: Desk) -> None:
    """`--set` would be the way to look before the rules are written down."""
    every_road.rules(bound(every_road, 1))
    assert 1 == every_road.run("--set", "gate.min_seeds=2").code
    assert not (every_road.of_study / "policies.jsonl").exists()
    needs_an_amendment(every_road)


@pytest.mark.slow
@route(KIND, "careless user", "tries a smoke run first and then runs the study as it was declared", "flagged")
def test_a_smoke_run_of_a_declared_study_costs_nothing(desk: Desk) -> None:
    """Nobody would try anything out any more."""
    assert 1 == desk.run("--set", "bootstrap.draws=200").code
    assert 0 == desk.run().code
    assert 2 == desk.verdict["trial"]["looks"]


def _table(desk: Desk) -> pl.DataFrame:
    return pl.read_csv(desk.folder / "table.csv")


def _row_fewer(desk: Desk) -> None:
    _table(desk).filter(pl.col("y").cum_count().over("site") > 1).write_csv(desk.folder / "table.csv")


def _noise_column(desk: Desk) -> None:
    frame = _table(desk)
    noise = np.random.default_rng(5).normal(size=frame.height)
    frame.with_columns(noise=pl.Series(noise)).write_csv(desk.folder / "table.csv")


def _features_rounded(desk: Desk) -> None:
    _table(desk).with_columns(pl.col("a", "b").round(3)).write_csv(desk.folder / "table.csv")


def _features_replaced(desk: Desk) -> None:
    _table(desk).with_columns(a=pl.col("a") * 2 + 1, b=pl.col("b") - 3).write_csv(desk.folder / "table.csv")


def _groups_renamed(desk: Desk) -> None:
    _table(desk).with_columns(site="clinic " + pl.col("site")).write_csv(desk.folder / "table.csv")


def _one_group_renamed(desk: Desk) -> None:
    _table(desk).with_columns(site=pl.col("site").replace("g3", "zz")).write_csv(desk.folder / "table.csv")


def _split_in_two(desk: Desk) -> None:
    _table(desk).filter(pl.col("site").is_in(["g0", "g1", "g2"])).write_csv(desk.folder / "table.csv")


def _halved(desk: Desk) -> None:
    _table(desk).gather_every(2).write_csv(desk.folder / "table.csv")


def _requoted(desk: Desk) -> None:
    path = desk.folder / "table.csv"
    path.write_text(path.read_text().replace("site", '"site"', 1))


def _columns_reordered(desk: Desk) -> None:
    _table(desk).select("y", "b", "site", "a").write_csv(desk.folder / "table.csv")


def _rows_shuffled(desk: Desk) -> None:
    _table(desk).sample(fraction=1.0, shuffle=True, seed=3).write_csv(desk.folder / "table.csv")


def _as_parquet(desk: Desk) -> None:
    _table(desk).write_parquet(desk.folder / "table.parquet")
    desk.write(corpus=desk.study["corpus"] | {"path": "table.parquet"})


def _column_renamed(desk: Desk) -> None:
    _table(desk).rename({"y": "outcome", "a": "first"}).write_csv(desk.folder / "table.csv")
    desk.write(corpus=desk.study["corpus"] | {"target": "outcome"})


def _more_rows(desk: Desk) -> None:
    frame = _table(desk)
    new = frame.with_columns(site="new " + pl.col("site"))
    if desk.study["corpus"]["task"] == "regression":
        new = new.with_columns(y=pl.col("y") + 0.12345, a=pl.col("a") * 1.01)
    else:
        new = new.with_columns(a=pl.col("a") * 1.01, b=pl.col("b") * 0.99)
    pl.concat([frame, new.head(60)]).write_csv(desk.folder / "table.csv")


def _regrouped(desk: Desk) -> None:
    frame = _table(desk)
    frame.with_columns(site=pl.Series([f"h{number % 7}" for number in range(frame.height)])).write_csv(
        desk.folder / "table.csv"
    )


CUTS: dict[str, tuple[str, Callable[[Desk], None]]] = {
    "row fewer": ("leaves out one row of each group", _row_fewer),
    "noise": ("adds a column of noise", _noise_column),
    "rounded": ("rounds the features", _features_rounded),
    "replaced": ("replaces every feature by a function of it", _features_replaced),
    "renamed": ("renames every group", _groups_renamed),
    "one renamed": ("renames one group", _one_group_renamed),
    "split": ("splits the file in two by groups", _split_in_two),
    "halved": ("keeps every second row", _halved),
    "requoted": ("quotes a cell of the header otherwise", _requoted),
    "reordered": ("reorders the columns", _columns_reordered),
    "shuffled": ("shuffles the rows", _rows_shuffled),
    "parquet": ("saves the table as Parquet", _as_parquet),
    "column": ("renames the target's column", _column_renamed),
    "appended": ("appends new groups", _more_rows),
    "regrouped": ("groups the rows otherwise", _regrouped),
}
for _how, _ in CUTS.values():
    route(KIND, "motivated author", f"loosens a bound after a HOLD and {_how}", "HOLD")(lambda: None)


@pytest.fixture(scope="module", params=["regression", "classification"])
def looked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a HOLD."""
    desk = table_desk(tmp_path_factory.mktemp("looked"), task=request.param)
    held(desk)
    return desk.folder


def copied(source: Path, target: Path) -> Desk:
    """A copy of a desk, to go on with."""
    shutil.copytree(source, target)
    return Desk(target, json.loads((target / "study.yaml").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
def test_the_same_targets_were_seen(looked: Path, tmp_path: Path, cut: str) -> None:
    """The same truth would be looked at again, under rules that were made for it."""
    desk = copied(looked, tmp_path / "copy")
    CUTS[cut][1](desk)
    assert "FAIL" == loosened(desk)["outcome"], desk.rule("pre-registered")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
@route(KIND, "careless user", "runs a study of other data in the same folder, under rules of its own", "flagged")
def test_other_data_registers_by_itself(tmp_path: Path, task: str) -> None:
    """Every second study of a folder would need an amendment for nothing."""
    desk = table_desk(tmp_path, task=task)
    held(desk)
    other = table_desk(tmp_path, task=task, seed=1, rows=170)
    _table(other).with_columns(site="new " + pl.col("site")).write_csv(tmp_path / "table.csv")
    assert 0 == other.run().code, other.rule("pre-registered")
    assert [] == other.verdict["policy"]["notes"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["rounded", "shifted"])
@route(KIND, "motivated author", "rounds the targets at the tenth digit, or adds a constant, after a HOLD", "flagged")
def test_targets_that_were_touched_are_a_finding(desk: Desk, how: str) -> None:
    """Nobody would see that the same groups came back with other numbers."""
    held(desk)
    change = pl.col("y").round(9) if how == "rounded" else pl.col("y") + 1e-3
    _table(desk).with_columns(y=change).write_csv(desk.folder / "table.csv")
    assert 0 == (loosened(desk)["outcome"] != "PASS")
    assert "names reappear with other targets" in desk.rule("pre-registered")["sentence"]
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@route(KIND, "motivated author", "leaves out the group that failed, under the same rules", "flagged")
def test_a_group_that_is_gone_is_named(desk: Desk) -> None:
    """The worst group could be left out until the rest passes."""
    held(desk)
    _table(desk).filter(pl.col("site") != "g2").write_csv(desk.folder / "table.csv")
    assert 1 == desk.run().code
    sentence = desk.rule("pre-registered")["sentence"]
    assert "groups were scored before and are not scored now: g2" in sentence
    assert "PASS" == desk.rule("pre-registered")["outcome"]


@pytest.mark.slow
@route(KIND, "careless user", "appends new days under the same rules", "flagged")
def test_appended_groups_under_the_same_rules_need_nothing(desk: Desk) -> None:
    """A growing corpus would need a reason every day."""
    assert 0 == desk.run().code
    _more_rows(desk)
    assert 0 == desk.run().code
    assert [] == desk.verdict["policy"]["amendments"]
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda rule: [rule | {"at_least": 0.8}],
        lambda rule: [rule, {"id": "small", "metric": "rmse", "over": "pooled", "at_most": 5}],
        lambda rule: [rule | {"id": "renamed", "at_least": 0.71}],
    ],
    ids=["tighter", "one more", "renamed"],
)
@route(KIND, "careless user", "makes a bound stricter after a look", "flagged")
def test_a_stricter_bound_is_allowed_and_counted(desk: Desk, change: Callable[[Any], list[Any]]) -> None:
    """Whoever asks more of a model than he promised would have to excuse himself."""
    assert 0 == desk.run().code
    desk.rules(*change(bound(desk, 0)))
    assert 0 == desk.run().code
    assert "bounds were made stricter once after a look" in desk.rule("pre-registered")["sentence"]
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.parametrize(
    "gate",
    [
        {"rules": [{"id": "good", "metric": "srocc", "over": "pooled", "at_least": 0.9}]},
        {"rules": [{"id": "good", "metric": "plcc", "over": "folds", "at_least": 0.9}]},
        {"min_groups": 2},
        {"max_attempts": None},
    ],
    ids=["metric", "over", "min_groups", "attempts"],
)
@route(KIND, "motivated author", "swaps a rule's metric, or what else the gate asks, after a look", "HOLD")
def test_another_metric_is_never_stricter(desk: Desk, gate: dict[str, Any]) -> None:
    """The number that happens to be good would be the one that is asked for."""
    first = {"min_groups": 3, "max_attempts": 5, "rules": [bound(desk, 0)]}
    desk.write(gate=first)
    assert 0 == desk.run().code
    desk.write(gate=first | gate)
    assert 1 == desk.run().code
    assert "FAIL" == desk.rule("pre-registered")["outcome"]


@pytest.mark.slow
@route(KIND, "motivated author", "swaps the baseline that a rule names for a weaker one after a look", "HOLD")
def test_a_baseline_is_part_of_the_rule(desk: Desk) -> None:
    """A gain over a constant 1000 would pass for one over a forest."""
    rule = {"id": "gain", "metric": "rmse", "against": "ref", "at_least": 0.1}
    ref = {"id": "ref", "backbone": "sklearn", "fit": {"estimator": "sklearn.linear_model.LinearRegression"}}
    desk.write(baselines=[ref], gate={"rules": [rule]})
    assert 1 == desk.run().code
    constant = {"estimator": "sklearn.dummy.DummyRegressor", "params": {"strategy": "constant", "constant": 1000.0}}
    desk.write(baselines=[ref | {"fit": constant}])
    assert 1 == desk.run().code
    assert "FAIL" == desk.rule("pre-registered")["outcome"]
    assert "PASS" == desk.rule("gain")["outcome"]
    done = desk.heldout("gate", "amend", "study.yaml", "--reason", "the reference model was withdrawn")
    assert (0, 1) == (done.code, desk.run().code)
    assert "PASS" == desk.rule("pre-registered")["outcome"]
    assert "FAIL" == desk.rule("non-trivial")["outcome"]  # the mean beats a constant 1000 as well


@pytest.mark.slow
@route(KIND, "careless user", "adds a baseline that no rule names", "flagged")
def test_a_baseline_that_no_rule_names_is_no_rule(desk: Desk) -> None:
    """A table with one more line would need a reason."""
    assert 0 == desk.run().code
    desk.write(baselines=[{"id": "mean", "backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyRegressor"}}])
    assert 0 == desk.run().code
    assert [] == desk.verdict["policy"]["notes"]


def _edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def _drop_sidecar(desk: Desk) -> None:
    named = json.loads((desk.of_study / "trials.jsonl").read_text().splitlines()[0])["groups_sha256"]
    (desk.of_study / "looks" / f"{named}.json").unlink()


def _edit_sidecar(desk: Desk) -> None:
    named = json.loads((desk.of_study / "trials.jsonl").read_text().splitlines()[0])["groups_sha256"]
    path = desk.of_study / "looks" / f"{named}.json"
    path.write_text(path.read_text().replace('"rows":30', '"rows":31'))


def _looks_zero(desk: Desk) -> None:
    path = desk.of_study / "policies.jsonl"
    path.write_text(path.read_text().replace('"looks":1', '"looks":0'))


DAMAGE: dict[str, tuple[str, Callable[[Desk], None]]] = {
    "no policies": ("deletes policies.jsonl", lambda desk: (desk.of_study / "policies.jsonl").unlink()),
    "no trials": ("deletes trials.jsonl", lambda desk: (desk.of_study / "trials.jsonl").unlink()),
    "neither": (
        "deletes both ledgers beside a run",
        lambda desk: [(desk.of_study / name).unlink() for name in ("trials.jsonl", "policies.jsonl")] and None,
    ),
    "short policies": (
        "cuts the last registration off",
        lambda desk: _edit(desk.of_study / "policies.jsonl", lambda lines: lines[:-1]),
    ),
    "short trials": (
        "cuts the last look off",
        lambda desk: _edit(desk.of_study / "trials.jsonl", lambda lines: lines[:-1]),
    ),
    "first look": (
        "cuts the first look off",
        lambda desk: _edit(desk.of_study / "trials.jsonl", lambda lines: lines[1:]),
    ),
    "looks 0": ("edits the number of looks before a registration", _looks_zero),
    "no groups": ("deletes the list of the groups that were seen", _drop_sidecar),
    "other groups": ("edits the list of the groups that were seen", _edit_sidecar),
}
for _how, _ in DAMAGE.values():
    route(KIND, "motivated author", f"{_how}, then loosens the bound", "TAMPERED")(lambda: None)


@pytest.fixture(scope="module")
def amended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a HOLD, an amendment, and a second HOLD under it."""
    desk = table_desk(tmp_path_factory.mktemp("amended"))
    held(desk)
    desk.rules(bound(desk, 1) | {"at_least": 0.9999})
    assert 0 == desk.heldout("gate", "amend", "study.yaml", "--reason", "one digit too many").code
    assert 1 == desk.run().code
    return desk.folder


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("study", ["attacked", "other"])
def test_a_damaged_ledger_is_no_fresh_start(amended: Path, tmp_path: Path, how: str, study: str) -> None:
    """Whoever deletes what he looked at would begin anew, under the same name or another one."""
    desk = copied(amended, tmp_path / "copy")
    run = desk.newest
    DAMAGE[how][1](desk)
    answer = desk.heldout("verify", run)
    assert (3, True) == (answer.code, "TAMPERED" in answer.out) or how == "neither", answer
    desk.write(study=study)
    desk.rules(bound(desk, 0))
    answer = desk.run()
    assert 3 == answer.code, answer
    assert "HO-E410" in answer.err


def _two_axes(desk: Desk, *, declared: bool) -> None:
    """A second column to hold out by, and a variant that does so."""
    table = pl.read_csv(desk.folder / "table.csv").with_row_index("row")
    table.with_columns(block="b" + (pl.col("row") // 38).cast(pl.String)).drop("row").write_csv(
        desk.folder / "table.csv"
    )
    corpus = desk.study["corpus"] | {"ignore": ["block"]}
    other = {"id": "by-block", "set": {"corpus.group": "block", "corpus.ignore": ["site"]}}
    desk.write(corpus=corpus, variants=[other] if declared else [])


@pytest.mark.slow
@route(KIND, "careless user", "judges one model along two declared axes, by film and by encoder", "flagged")
def test_axes_that_were_declared_together_are_one_registration(desk: Desk) -> None:
    """A model that must hold along two axes would need a reason for the second one."""
    _two_axes(desk, declared=True)
    for words in ((), ("--variant", "by-block"), ()):
        answer = desk.run(*words)
        assert 0 == answer.code, answer
        assert "PASS" == desk.rule("pre-registered")["outcome"]
        assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@route(KIND, "motivated author", "holds out along another column after a look along the first one", "HOLD")
def test_an_axis_that_was_added_after_a_look_needs_a_reason(desk: Desk) -> None:
    """Whoever may choose the column afterwards takes the one along which the model holds."""
    _two_axes(desk, declared=False)
    assert 0 == desk.run().code
    desk.write(variants=[{"id": "by-block", "set": {"corpus.group": "block", "corpus.ignore": ["site"]}}])
    assert 1 == desk.run("--variant", "by-block").code
    assert "FAIL" == desk.rule("pre-registered")["outcome"]
