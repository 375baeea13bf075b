"""Runs over every new way to split: from the study's line to a verdict that can be verified."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout import plugins
from heldout.corpus import Corpus
from heldout.errors import CorpusError, StudyError
from heldout.evidence import read_json, write_json
from heldout.run.layout import write_manifest
from heldout.run.units.unit import train_view
from heldout.split import Fold
from heldout.verify import verify_run
from heldout.verify.chain import BrokenError
from heldout.verify.evidence import RunEvidence
from heldout.verify.inputs import check_split

CLASS = "sklearn.model_selection.GroupShuffleSplit"
SPLITS: dict[str, dict[str, Any]] = {
    "stratified": {"kind": "stratified-group-k-fold", "folds": 2, "bins": 3},
    "repeated": {"kind": "repeated", "folds": 2, "times": 3},
    "declared": {"kind": "declared", "column": "part"},
    "a class": {"kind": CLASS, "params": {"n_splits": 3, "test_size": 0.5, "random_state": 1}},
    "a class of all": {"kind": "sklearn.model_selection:LeaveOneGroupOut"},
}
GATE = {"min_groups": 2, "rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.5}]}
PARTS = {"ann": "train", "bob": "test", "cyd": "val", "dan": "test"}


@pytest.fixture
def parts(desk: Any) -> Any:
    """The desk, whose table says where each person belongs."""
    frame = pl.read_csv(desk.table)
    frame.with_columns(part=pl.col("person").replace_strict(PARTS)).write_csv(desk.table)
    return desk


def states(run: Path, corpus: Path | None) -> dict[str, str]:
    return {link.id: link.state for link in verify_run(run, corpus=corpus).links}


@pytest.mark.first_is_fast
@pytest.mark.parametrize("name", SPLITS)
def test_a_run_over_each_split_is_judged_and_verified(parts: Any, name: str) -> None:
    """A split could be declared that no run, or no verification, can go through with."""
    corpus = {"path": "table.csv", "group": "person", "target": "score", "id": "id", "ignore": ["part"]}
    run = parts.run(corpus=corpus, split=SPLITS[name], gate=GATE)
    assert ("PROMOTE", []) == (run.verdict, run.document["reasons"])
    document = read_json(run.folder / "split.json")
    assert SPLITS[name]["kind"] == document["kind"]
    assert {"declared": "column", "repeated": None}.get(name, "targets") == document.get("reads")
    for given in (parts.table, None):
        found = states(run.folder, given)
        assert "BROKEN" not in found.values()
        assert {"OK"} == {found[link] for link in ("folds", "units", "predictions", "metrics", "verdict")}
        unknown = given is None and name in ("declared", "a class")
        assert ("NOT CHECKED" if unknown else "OK") == found["split"]
    samples = pl.read_ndjson(run.folder / "predictions.jsonl")
    times = samples.group_by("sample_id").len()["len"].unique().to_list()
    assert [3] == times or name != "repeated"


@pytest.mark.first_is_fast
@pytest.mark.parametrize("name", ["stratified", "a class of all"])
def test_folds_that_targets_would_not_give_are_found_without_the_corpus(parts: Any, name: str) -> None:
    """Whoever likes other folds better would call them stratified."""
    run = parts.run(split=SPLITS[name], gate=GATE).folder
    document = read_json(run / "split.json")
    document["folds"][0]["id"], document["folds"][1]["id"] = "part8", "part9"
    write_json(run / "split.json", document)
    with pytest.raises(BrokenError, match="not those that the declared split gives"):
        check_split(RunEvidence.open(run))
    write_manifest(run)
    assert "BROKEN" == states(run, None)["folds"]


def test_a_column_that_says_otherwise_is_found_with_the_corpus(parts: Any) -> None:
    """A verdict on folds that the table does not declare would hold."""
    run = parts.run(split=SPLITS["declared"], gate=GATE).folder
    document = read_json(run / "split.json")
    del document["folds"][0]["val"]
    write_json(run / "split.json", document)
    with pytest.raises(BrokenError, match="not those that the declared split gives"):
        check_split(RunEvidence.open(run, parts.table))


def test_a_declared_column_is_no_feature(parts: Any) -> None:
    """The model would be told which rows are tested."""
    prepared = parts.prepare(split=SPLITS["declared"])
    assert ("weight", "kind") == prepared.corpus.manifest.features
    assert ["part"] == prepared.resolved.config["corpus"]["ignore"]
    with pytest.raises(CorpusError, match="'part' is two things at once"):
        parts.prepare(split=SPLITS["declared"], corpus=parts_with(features=["weight", "part"]))
    with pytest.raises(CorpusError, match="no column 'prat'"):
        parts.prepare(split={"kind": "declared", "column": "prat"})


def parts_with(**more: Any) -> dict[str, Any]:
    return {"path": "table.csv", "group": "person", "target": "score", "id": "id"} | more


def test_a_reader_without_other_columns_cannot_be_split_by_one(desk: Any) -> None:
    """A column would be declared that is never read."""
    corpus = {"reader": "video_frames", "path": "frames.jsonl"}
    with pytest.raises(StudyError, match="no columns beside its features") as caught:
        desk.load(corpus=corpus, split=SPLITS["declared"]).resolve()
    assert caught.value.hint


def test_validation_groups_reach_the_trainer_and_no_verdict(parts: Any) -> None:
    """Whoever stops early would do so on training rows; or rows that chose a model would judge it."""
    prepared = parts.prepare(split=SPLITS["declared"])
    corpus: Corpus = prepared.corpus
    (fold,) = prepared.split.folds
    assert Fold("test", ("bob", "dan"), val=("cyd",)) == fold
    view = train_view(corpus, fold)
    assert view.validation is not None
    assert ({"ann"}, {"cyd"}) == (set(view.groups), set(view.validation.groups))
    assert view.validation.validation is None
    assert train_view(corpus, Fold("test", ("bob", "dan"))).validation is None
    run = parts.run(split=SPLITS["declared"], gate=GATE)
    assert {"bob", "dan"} == set(pl.read_ndjson(run.folder / "predictions.jsonl")["group"])
    unit = read_json(next(run.folder.glob("fits/seed0/test/unit.json")))
    assert (12, 32) == (unit["n_train"], unit["n_test"])
    looks = [each for each in (run.folder.parent / "looks").iterdir() if "groups" in read_json(each)]
    assert [{"bob", "dan"}] == [set(read_json(each)["groups"]) for each in looks]


@pytest.mark.slow
def test_a_splitter_that_was_edited_is_another_rule(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looked could edit his splitter until it holds out what his model is good at."""
    monkeypatch.syspath_prepend(desk.folder)
    code = "class Last:\n    def split(self, X, y, groups):\n        yield [0, 1], [2, 3]\n"
    (desk.folder / "my_splits.py").write_text(code)
    split = {"kind": "my_splits:Last"}
    first = desk.run(split=split, gate=GATE)
    assert ("PROMOTE", 1) == (first.verdict, first.document["trial"]["attempt"])
    assert ["my_splits"] == list(desk.load(split=split).resolve().config["split"]["code"])
    found = {link.id: link for link in verify_run(first.folder, corpus=desk.table).links}
    assert "NOT CHECKED" == found["split"].state
    assert "--trust-code" in found["split"].what
    with plugins.trusting_code():
        assert "OK" == states(first.folder, desk.table)["split"]
    (desk.folder / "my_splits.py").write_text(code.replace("[0, 1], [2, 3]", "[0, 3], [1, 2]"))
    monkeypatch.delitem(sys.modules, "my_splits")
    second = desk.run(split=split, gate=GATE)
    assert ("HOLD", 2) == (second.verdict, second.document["trial"]["attempt"])
    assert any("rules, split or yardsticks were changed" in reason for reason in second.document["reasons"])


def test_the_name_of_a_fold_is_no_subject(desk: Any) -> None:
    """HO-G010 would take each fold for a person whose rows stand in several groups, and block every verdict."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{number:02d}" for number in range(80)], 12)
    frame = pl.DataFrame({"person": groups, "part": [f"fold{int(name[1:]) % 40}" for name in groups]})
    x = rng.normal(size=len(groups))
    site = 3 * rng.normal(size=40)[[int(name[1:]) % 40 for name in groups]]
    frame = frame.with_columns(x=pl.Series(x), score=pl.Series(x + site + rng.normal(size=len(groups))))
    frame.write_csv(desk.table)
    corpus = {"path": "table.csv", "group": "person", "target": "score"}
    prepared = desk.prepare(corpus=corpus, split=SPLITS["declared"])
    assert (40, ()) == (len(prepared.split.folds), prepared.findings)
    told = desk.prepare(corpus=corpus | {"ignore": ["part"]})
    assert ["HO-G010"] == [finding.code for finding in told.findings]


def test_a_group_in_two_parts_is_refused(parts: Any) -> None:
    """HO-G001: rows of one person would train, and others of his be tested."""
    frame = pl.read_csv(parts.table)
    first = pl.int_range(pl.len()) == int((frame["person"] == "bob").arg_max() or 0)
    frame.with_columns(part=pl.when(first).then(pl.lit("train")).otherwise(pl.col("part"))).write_csv(parts.table)
    with pytest.raises(CorpusError) as caught:
        parts.prepare(split=SPLITS["declared"])
    assert ("HO-G001", 2) == (caught.value.code, caught.value.exit_code)
    assert (caught.value.where or "").endswith("(split.column)")
    assert ["HO-G001"] == [finding.code for finding in parts.load(split=SPLITS["declared"]).check().blocking]


@pytest.fixture
def many(desk: Any) -> Any:
    """The desk with ten persons of their own targets; the answers of three are noise."""
    rng = np.random.default_rng(5)
    rows = []
    for number in range(10):
        x = rng.normal(size=12)
        y = rng.normal(size=12) if number < 3 else 3 * x + 0.1 * rng.normal(size=12)
        rows += [(f"q{number}", f"q{number}-{n}", a, b) for n, (a, b) in enumerate(zip(x, y, strict=True))]
    frame = pl.DataFrame(rows, schema=["person", "id", "x", "score"], orient="row")
    frame.with_columns(part=pl.lit("train")).write_csv(desk.table)
    return desk


MANY = {"path": "table.csv", "group": "person", "target": "score", "id": "id", "ignore": ["part"]}
FIT = {"estimator": "sklearn.linear_model.Ridge"}


def marked(desk: Any, names: list[int]) -> None:
    chosen = [f"q{number}" for number in names]
    part = pl.when(pl.col("person").is_in(chosen)).then(pl.lit("test")).otherwise(pl.lit("train"))
    pl.read_csv(desk.table).with_columns(part=part.alias("part")).write_csv(desk.table)


def judged(desk: Any, split: dict[str, Any], **more: Any) -> tuple[str, str]:
    gate = {"min_groups": 2, "rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}]}
    run = desk.run(corpus=MANY, split=split, gate=gate, fit=FIT, seeds=[0], baselines=[], **more)
    return run.verdict, " ".join(run.document["reasons"])


@pytest.mark.slow
def test_a_column_that_was_edited_after_a_look_is_another_split(many: Any) -> None:
    """Whoever may rewrite the column holds out the easy persons, under the words that were registered."""
    marked(many, [0, 1, 2, 3, 4])
    assert "HOLD" == judged(many, {"kind": "declared", "column": "part"})[0]
    marked(many, [4, 5, 6, 7, 8])
    verdict, reasons = judged(many, {"kind": "declared", "column": "part"})
    assert ("HOLD", True) == (verdict, "changed after the first look" in reasons), reasons


@pytest.mark.slow
def test_another_list_after_a_look_is_another_split(many: Any) -> None:
    """One could look at every test set there is, and be judged by the best."""
    assert "HOLD" == judged(many, {"kind": "fixed", "test": ["q0", "q1", "q2"]})[0]
    verdict, reasons = judged(many, {"kind": "fixed", "test": ["q5", "q6", "q7"]})
    assert ("HOLD", True) == (verdict, "changed after the first look" in reasons), reasons


@pytest.mark.slow
def test_two_lists_that_were_declared_together_are_two_variants(many: Any) -> None:
    """Whoever says before that he will look at two test sets may do so."""
    variants = [{"id": "other", "set": {"split.test": ["q5", "q6", "q7"]}}]
    split = {"kind": "fixed", "test": ["q0", "q1", "q2"]}
    assert "HOLD" == judged(many, split, variants=variants)[0]
    gate = {"min_groups": 2, "rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}]}
    study = many.load(corpus=MANY, split=split, gate=gate, fit=FIT, seeds=[0], baselines=[], variants=variants)
    assert "PROMOTE" == study.run("other", runs=many.runs, workers=1).verdict


@pytest.mark.slow
def test_new_names_draw_no_new_test_set(many: Any) -> None:
    """A draw goes by names: whoever renames the persons draws until the easy ones are held out."""
    split = {"kind": CLASS, "params": {"n_splits": 1, "test_size": 0.3, "random_state": 0}}
    verdict, _ = judged(many, split)
    table = pl.read_csv(many.table)
    for shift in range(1, 6):
        renamed = [f"q{(int(name[1:]) + shift) % 10}" for name in table["person"]]
        table.with_columns(
            person=pl.Series(renamed), id=pl.Series([f"{n}-{i}" for i, n in enumerate(renamed)])
        ).write_csv(many.table)
        again, reasons = judged(many, split, description=f"names {shift}")
        assert again == "HOLD" or verdict == "PROMOTE", reasons


class Moody:
    """Splits otherwise each time."""

    asked = itertools.count()

    def split(self, X: Any, y: Any, groups: Any) -> Any:
        order = np.roll(np.arange(len(X)), next(self.asked))
        yield order[2:], order[:2]


class Leaver:
    """Ends the process."""

    def split(self, X: Any, y: Any, groups: Any) -> Any:
        raise SystemExit(0)


@pytest.mark.parametrize(("name", "what"), [("Moody", "gives other folds each time"), ("Leaver", "SystemExit")])
def test_a_class_that_gives_no_steady_folds_is_refused(
    many: Any, name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folds would be drawn until they please, or the process end as if it had judged."""
    monkeypatch.setitem(sys.modules, "splitters_of_mine", sys.modules[__name__])
    with pytest.raises(CorpusError, match=what):
        many.prepare(corpus=MANY, split={"kind": f"splitters_of_mine:{name}"}, fit=FIT, seeds=[0], baselines=[])


def test_a_part_with_a_strange_name_beside_train_is_refused(many: Any) -> None:
    """The training rows would be held out as a fold of their own, and the development rows be judged by."""
    frame = pl.read_csv(many.table)
    words = {f"q{n}": "train" if n < 6 else "holdout" if n < 8 else "test" for n in range(10)}
    frame.with_columns(part=pl.col("person").replace_strict(words)).write_csv(many.table)
    with pytest.raises(CorpusError, match="names parts, and 'holdout' beside them"):
        many.prepare(corpus=MANY, split={"kind": "declared", "column": "part"}, fit=FIT, seeds=[0], baselines=[])
