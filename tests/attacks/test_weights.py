"""Verdicts that are made by weights: who decides after a look how much each row counts decides what is good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import Desk, route, table_desk

KIND = "registration"
HEAVY = 200.0


@pytest.fixture(params=["regression", "classification"])
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A desk whose model is good in half of the rows only; every row weighs 1, and its gate says HOLD."""
    desk = table_desk(tmp_path, task=request.param)
    frame = table(desk).with_columns(good=pl.int_range(pl.len()) % 2 == 0, w=1.0)
    spoilt = frame["y"].gather(np.random.default_rng(1).permutation(len(frame)))
    frame = frame.with_columns(y=pl.when("good").then("y").otherwise(spoilt))
    frame.write_csv(desk.folder / "table.csv")
    rule = dict(desk.study["gate"]["rules"][0]) | {"at_least": 0.8 if request.param == "regression" else 0.85}
    desk.write(corpus=desk.study["corpus"] | {"weight": "w", "ignore": ["good"]}, gate={"rules": [rule]})
    return desk


def table(desk: Desk) -> pl.DataFrame:
    return pl.read_csv(desk.folder / "table.csv")


def put(desk: Desk, name: str = "table.csv", **columns: Any) -> None:
    table(desk).with_columns(**columns).write_csv(desk.folder / name)


def heavy() -> pl.Expr:
    """Weights that are moved to the rows where the model is good."""
    return pl.when("good").then(HEAVY).otherwise(1.0)


def held(desk: Desk) -> None:
    """The first look, under the weights as they are."""
    assert 1 == desk.run().code
    assert "PASS" == desk.rule("pre-registered")["outcome"]


def refused(desk: Desk) -> None:
    """Every declared rule passes now, and the verdict is HOLD all the same, because the rules are others."""
    answer = desk.run()
    assert 1 == answer.code, answer
    assert "PASS" == desk.rule("good")["outcome"], desk.rule("good")
    assert "FAIL" == desk.rule("pre-registered")["outcome"], desk.rule("pre-registered")
    assert "HOLD" == desk.verdict["verdict"]


@pytest.mark.slow
def test_the_attack_would_work(bad: Desk) -> None:
    """The tests below would show that something else than the weights holds the verdict."""
    put(bad, w=heavy())
    assert 0 == bad.run().code, bad.verdict["reasons"]


@pytest.mark.slow
@route(KIND, "motivated author", "moves weight to the rows where the model is good, after a HOLD", "HOLD")
def test_weights_that_were_moved_after_a_look_hold(bad: Desk) -> None:
    """The rows that a model cannot do would be weighed away."""
    held(bad)
    put(bad, w=heavy())
    refused(bad)
    assert "with other weights" in bad.rule("pre-registered")["sentence"]
    assert 0 == bad.heldout("gate", "amend", "study.yaml", "--reason", "the sampling weights were wrong").code
    assert 0 == bad.run().code
    assert "sampling weights were wrong" in bad.rule("pre-registered")["sentence"]
    verified = bad.heldout("verify", bad.newest, "--corpus", "table.csv")
    assert 0 == verified.code, verified


@pytest.mark.slow
@route(KIND, "motivated author", "brings weights into a study after a HOLD without any", "HOLD")
def test_weights_that_come_after_a_look_hold(bad: Desk) -> None:
    """Whoever has no weights yet could choose them by what came out."""
    put(bad, w=heavy())
    weighted = bad.study["corpus"]
    bad.write(corpus=weighted | {"weight": None, "ignore": ["good", "w"]})
    held(bad)
    bad.write(corpus=weighted)
    refused(bad)


@pytest.mark.slow
@route(KIND, "motivated author", "takes the weights out after a HOLD by them", "HOLD")
def test_weights_that_are_taken_out_after_a_look_hold(bad: Desk) -> None:
    """Who declared what counts could forget it where rows that count little are done well."""
    put(bad, w=pl.when("good").then(1.0).otherwise(HEAVY))
    held(bad)
    bad.write(corpus=bad.study["corpus"] | {"weight": None, "ignore": ["good", "w"]})
    answer = bad.run()
    assert (1, "FAIL") == (answer.code, bad.rule("pre-registered")["outcome"])


@pytest.mark.slow
@route(KIND, "motivated author", "moves weights, and renames the study, the file, the column and the groups", "HOLD")
def test_moved_weights_under_new_names_hold(bad: Desk) -> None:
    """A new name for everything would be a new start."""
    held(bad)
    moved = table(bad).with_columns(importance=heavy(), site="site " + pl.col("site").str.to_uppercase()).drop("w")
    moved[::-1].write_csv(bad.folder / "fresh.csv")
    bad.write(study="fresh", corpus=bad.study["corpus"] | {"path": "fresh.csv", "weight": "importance"})
    refused(bad)


@pytest.mark.slow
@route(KIND, "motivated author", "gives the column of weights another name, or all weights another scale", "HOLD")
@pytest.mark.parametrize("which", ["name", "scale"])
def test_the_same_weights_otherwise_need_a_reason(bad: Desk, which: str) -> None:
    """What is told apart by what comes out would be told apart by whoever wants something to come out."""
    held(bad)
    put(bad, **({"v": pl.col("w")} if which == "name" else {"w": pl.col("w") * 7.0}))
    if which == "name":
        bad.write(corpus=bad.study["corpus"] | {"weight": "v", "ignore": ["good", "w"]})
    bad.run()
    assert "FAIL" == bad.rule("pre-registered")["outcome"]


@pytest.mark.slow
@route(KIND, "motivated author", "declares a weighted variant, looks without, and then fills the weights in", "HOLD")
def test_a_variant_that_was_declared_fixes_no_weights(bad: Desk) -> None:
    """A column that was only named would be filled in when it is known what it has to say."""
    corpus = bad.study["corpus"]
    overlay = {"id": "weighed", "set": {"corpus.weight": "w", "corpus.ignore": ["good"]}}
    bad.write(corpus=corpus | {"weight": None, "ignore": ["good", "w"]}, variants=[overlay])
    held(bad)
    put(bad, w=heavy())
    answer = bad.run("--variant", "weighed")
    assert (1, "FAIL") == (answer.code, bad.rule("pre-registered")["outcome"]), answer


@pytest.mark.slow
@pytest.mark.parametrize("change", ["order", "weights of what trains"])
def test_what_counts_the_same_needs_no_reason(bad: Desk, change: str) -> None:
    """Somebody who sorts a table would be asked why the rules changed."""
    split = {"split": {"kind": "fixed", "test": ["g0", "g1", "g2"]}} if change != "order" else {}
    bad.write(**split)
    held(bad)
    if change == "order":
        table(bad)[::-1].write_csv(bad.folder / "table.csv")
    else:
        put(bad, w=pl.when(pl.col("site") == "g4").then(2.0).otherwise("w"))
    bad.run()
    assert "PASS" == bad.rule("pre-registered")["outcome"], bad.rule("pre-registered")


@pytest.mark.slow
def test_two_axes_of_one_weighted_file_need_no_reason(bad: Desk) -> None:
    """Whoever declares beforehand that a model is judged by site and by batch would be taken for a forger."""
    put(bad, batch="b" + (pl.int_range(pl.len()) // 30).cast(pl.String), w=heavy())
    overlay = {"id": "by-batch", "set": {"corpus.group": "batch", "corpus.ignore": ["good", "site"]}}
    bad.write(corpus=bad.study["corpus"] | {"ignore": ["good", "batch"]}, variants=[overlay])
    bad.run()
    bad.run("--variant", "by-batch")
    assert "by-batch" == bad.verdict["variant"]
    assert "PASS" == bad.rule("pre-registered")["outcome"], bad.rule("pre-registered")


@route(
    "a verdict believed unseen",
    "sender of a bundle",
    "edits the weights of rows in the predictions of a run",
    "TAMPERED",
)
def test_edited_weights_are_tampered(bad: Desk, tmp_path: Path) -> None:
    """A HOLD would become a PROMOTE in an editor."""
    held(bad)
    run = bad.newest
    path = run / "predictions.jsonl"
    rows = [json.loads(line) | {"weight": 2.0 + n % 2} for n, line in enumerate(path.read_text().splitlines())]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert 3 == bad.heldout("verify", run).code


@pytest.mark.slow
@route(KIND, "motivated author", "lets weights change places among rows of one label after a look", "HOLD")
def test_weights_that_change_places_are_other_weights(tmp_path: Path) -> None:
    """Each pair of a label and a weight is still there, and the heavy ones are now the rows that were right."""
    desk = table_desk(tmp_path, task="classification")
    rng = np.random.default_rng(5)
    frame = table(desk).with_columns(
        good=pl.int_range(pl.len()) % 2 == 0, w=pl.Series(rng.permutation([1.0, 40.0] * 75))
    )
    spoilt = frame["y"].gather(rng.permutation(len(frame)))
    frame.with_columns(y=pl.when("good").then("y").otherwise(spoilt)).write_csv(desk.folder / "table.csv")
    rule = dict(desk.study["gate"]["rules"][0]) | {"at_least": 0.75}
    desk.write(corpus=desk.study["corpus"] | {"weight": "w", "ignore": ["good"]}, gate={"rules": [rule]})
    held(desk)
    moved = pl.col("w").sort().over("site", "y")  # light ones first
    order = table(desk).with_row_index("row").sort("site", "y", "good").with_columns(w=moved).sort("row").drop("row")
    order.write_csv(desk.folder / "table.csv")
    refused(desk)
