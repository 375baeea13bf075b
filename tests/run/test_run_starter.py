"""`heldout init`: the study that it writes is one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout import Study
from heldout.errors import CorpusError, HeldoutError, InputError
from heldout.run.starter import write_starter
from heldout.study import load_yaml

RIDGE = "sklearn.linear_model.Ridge"


def write_table(path: Path, groups: int = 4, *, labels: bool = False, names: tuple[str, ...] = ()) -> Path:
    rng = np.random.default_rng(0)
    group = np.repeat([f"g{number}" for number in range(groups)], 12)
    weight, size = rng.normal(size=len(group)), rng.normal(size=len(group))
    score: Any = weight + 0.5 * size + 0.1 * rng.normal(size=len(group))
    if labels:
        score = np.where(score > 0, "up", "down")
    frame = pl.DataFrame({"subject": group, "weight": weight, "size": size, "score": score})
    if names:
        frame = frame.rename(dict(zip(("subject", "weight", "size", "score"), names, strict=True)))
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


def test_study_that_init_writes_runs_to_a_verdict(tmp_path: Path) -> None:
    """The first thing that a newcomer does would fail."""
    table, out = write_table(tmp_path / "My table.csv"), tmp_path / "study.yaml"
    write_starter(table, out, group="subject", target="score", estimator=RIDGE)
    run = Study.load(out).run(runs=tmp_path / "runs", workers=1)
    assert "PROMOTE" == run.verdict, run.document["reasons"]
    assert "my-table" == run.document["study"]
    assert {"mean"} == set(run.metrics["baselines"])
    assert [0] == run.document["seeds"]


@pytest.mark.slow
def test_study_of_labels_runs_with_the_estimator_of_its_kind(tmp_path: Path) -> None:
    """A table with a text target would be given a regressor."""
    table, out = write_table(tmp_path / "t.csv", labels=True), tmp_path / "study.yaml"
    write_starter(table, out, group="subject", target="score")
    run = Study.load(out).run(runs=tmp_path / "runs", workers=1)
    assert "classification" == run.metrics["task"]
    assert {"majority"} == set(run.metrics["baselines"])
    assert run.metrics["ensemble"]["pooled"]["balanced_accuracy"] > 0.8
    assert "PROMOTE" == run.verdict, run.document["reasons"]


@pytest.mark.parametrize(
    "names",
    [
        ("no", "yes", "null", "true"),
        ("7", "1e5", "-5", ".5"),
        ("a: b", "c # d", "- e", "[f]"),
        ("größe", "重さ", "two words", 'quo"te'),
        ("*star", "&and", "!tag", "%percent"),
        ("{x}", "'y'", "@z", "w|v"),
    ],
)
def test_column_of_any_name_stays_what_it_is(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A column named `no` or `1e5` would be another one, or break the study."""
    table, out = write_table(tmp_path / "t.parquet", names=names), tmp_path / "study.yaml"
    write_starter(table, out, group=names[0], target=names[3], estimator=RIDGE)
    block = load_yaml(out).value["corpus"]
    assert (names[0], [names[1], names[2]], names[3]) == (block["group"], block["features"], block["target"])
    prepared = Study.load(out).prepare(runs=tmp_path / "runs")
    assert (names[1], names[2]) == prepared.corpus.manifest.features


def test_many_groups_are_held_out_in_parts(tmp_path: Path) -> None:
    """A thousand subjects would cost a thousand models a seed."""
    table = write_table(tmp_path / "t.csv", 31)
    write_starter(table, tmp_path / "study.yaml", group="subject", target="score")
    prepared = Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs")
    assert 10 == len(prepared.split.folds)
    write_starter(write_table(table, 30), tmp_path / "s30.yaml", group="subject", target="score")
    assert 30 == len(Study.load(tmp_path / "s30.yaml").prepare(runs=tmp_path / "runs").split.folds)


def test_table_elsewhere_is_found_from_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study would run from one folder only."""
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    table = write_table(tmp_path / "data" / "t.csv")
    monkeypatch.chdir(tmp_path)
    write_starter(Path("data/t.csv"), Path("study.yaml"), group="subject", target="score")
    assert "data/t.csv" == load_yaml(Path("study.yaml")).value["corpus"]["path"]
    write_starter(Path("data/t.csv"), Path("work/study.yaml"), group="subject", target="score")
    monkeypatch.chdir(tmp_path / "data")
    assert table == Study.load(tmp_path / "study.yaml").resolve().corpus_path
    assert 48 == Study.load(tmp_path / "work" / "study.yaml").prepare(runs=tmp_path).corpus.manifest.rows


def test_existing_study_is_not_replaced(tmp_path: Path) -> None:
    """A study that someone wrote by hand would be lost."""
    table, out = write_table(tmp_path / "t.csv"), tmp_path / "study.yaml"
    out.write_text("study: mine\n")
    with pytest.raises(InputError, match="exists already") as caught:
        write_starter(table, out, group="subject", target="score")
    assert (str(out), "study: mine\n") == (caught.value.where, out.read_text())
    write_starter(table, out, group="subject", target="score", force=True)
    assert "t" == load_yaml(out).value["study"]


def test_missing_column_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """A study of a column that is not there would be refused a step too late."""
    with pytest.raises(CorpusError, match="no column 'sujbect'") as caught:
        write_starter(write_table(tmp_path / "t.csv"), tmp_path / "study.yaml", group="sujbect", target="score")
    assert "subject" in str(caught.value.hint)
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize(
    ("estimator", "seeds", "rules"),
    [
        ("sklearn.linear_model.LinearRegression", [0], ["pearson"]),
        ("sklearn.neighbors.KNeighborsRegressor", [0], ["pearson"]),
        ("sklearn.linear_model.Ridge", [0], ["pearson"]),
        ("sklearn.svm.SVR", [0], ["pearson"]),
        ("sklearn.linear_model.Lasso", [0], ["pearson"]),
        ("sklearn.ensemble.ExtraTreesRegressor", [0, 1, 2], ["pearson", "worst-member"]),
        (None, [0, 1, 2], ["pearson", "worst-member"]),
    ],
)
def test_estimator_without_randomness_gets_one_seed(
    tmp_path: Path, estimator: str | None, seeds: list[int], rules: list[str]
) -> None:
    """Three copies of one model would be shown as three seeds, and the worst of them as a finding."""
    out = tmp_path / "study.yaml"
    write_starter(write_table(tmp_path / "t.csv"), out, group="subject", target="score", estimator=estimator)
    study = load_yaml(out).value
    assert (seeds, rules) == (study["seeds"], [rule["id"] for rule in study["gate"]["rules"]])
    assert (len(seeds) == 1) == ("every seed is one model" in out.read_text())
    assert len(seeds) == len(Study.load(out).resolve().main.seeds)


def test_misspelt_estimator_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """The study would be refused at its first run, a step too late."""
    with pytest.raises(HeldoutError, match="no estimator") as caught:
        write_starter(
            write_table(tmp_path / "t.csv"), tmp_path / "study.yaml", group="subject", target="score",
            estimator="sklearn.linear_model.Rigde",
        )  # fmt: skip
    assert ("--estimator", True) == (caught.value.where, "linear_model.Ridge" in str(caught.value.hint))
    assert not (tmp_path / "study.yaml").exists()
