"""`heldout init`: the study that it writes is one that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout import Study
from heldout.errors import CorpusError, HeldoutError, InputError
from heldout.run.begin.choices import Asked
from heldout.run.begin.starter import Starter, write_starter
from heldout.study import load_yaml

RIDGE = "sklearn.linear_model.Ridge"


def init(table: Path, out: Path, *, force: bool = False, **asked: Any) -> Starter:
    return write_starter(table, out, Asked(**asked), force=force)


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
    init(table, out, group="subject", target="score", estimator=RIDGE)
    run = Study.load(out).run(runs=tmp_path / "runs", workers=1)
    assert "PROMOTE" == run.verdict, run.document["reasons"]
    assert "my-table" == run.document["study"]
    assert "gain" == run.document["rules"][-1]["id"]
    assert [0] == run.document["seeds"]


@pytest.mark.slow
def test_study_of_labels_runs_with_the_estimator_of_its_kind(tmp_path: Path) -> None:
    """A table with a text target would be given a regressor."""
    table, out = write_table(tmp_path / "t.csv", labels=True), tmp_path / "study.yaml"
    init(table, out, group="subject", target="score")
    run = Study.load(out).run(runs=tmp_path / "runs", workers=1)
    assert "classification" == run.numbers["task"]
    assert run.numbers["ensemble"]["pooled"]["balanced_accuracy"] > 0.8
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
    init(table, out, group=names[0], target=names[3], estimator=RIDGE)
    block = load_yaml(out).value["corpus"]
    assert (names[0], [names[1], names[2]], names[3]) == (block["group"], block["features"], block["target"])
    prepared = Study.load(out).prepare(runs=tmp_path / "runs")
    assert (names[1], names[2]) == prepared.corpus.manifest.features


def test_many_groups_are_held_out_in_parts(tmp_path: Path) -> None:
    """A thousand subjects would cost a thousand models a seed."""
    table = write_table(tmp_path / "t.csv", 31)
    init(table, tmp_path / "study.yaml", group="subject", target="score")
    prepared = Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs")
    assert 10 == len(prepared.split.folds)
    init(write_table(table, 30), tmp_path / "s30.yaml", group="subject", target="score")
    assert 30 == len(Study.load(tmp_path / "s30.yaml").prepare(runs=tmp_path / "runs").split.folds)


def test_table_elsewhere_is_found_from_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study would run from one folder only."""
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    table = write_table(tmp_path / "data" / "t.csv")
    monkeypatch.chdir(tmp_path)
    init(Path("data/t.csv"), Path("study.yaml"), group="subject", target="score")
    assert "data/t.csv" == load_yaml(Path("study.yaml")).value["corpus"]["path"]
    init(Path("data/t.csv"), Path("work/study.yaml"), group="subject", target="score")
    monkeypatch.chdir(tmp_path / "data")
    assert table == Study.load(tmp_path / "study.yaml").resolve().corpus_path
    assert 48 == Study.load(tmp_path / "work" / "study.yaml").prepare(runs=tmp_path).corpus.manifest.rows


def test_existing_study_is_not_replaced(tmp_path: Path) -> None:
    """A study that someone wrote by hand would be lost."""
    table, out = write_table(tmp_path / "t.csv"), tmp_path / "study.yaml"
    out.write_text("study: mine\n")
    with pytest.raises(InputError, match="exists already") as caught:
        init(table, out, group="subject", target="score")
    assert (str(out), "study: mine\n") == (caught.value.where, out.read_text())
    init(table, out, group="subject", target="score", force=True)
    assert "t" == load_yaml(out).value["study"]


def test_missing_column_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """A study of a column that is not there would be refused a step too late."""
    with pytest.raises(CorpusError, match="no column 'sujbect'") as caught:
        init(write_table(tmp_path / "t.csv"), tmp_path / "study.yaml", group="sujbect", target="score")
    assert "subject" in str(caught.value.hint)
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize(
    ("estimator", "seeds"),
    [
        ("sklearn.linear_model.LinearRegression", [0]),
        ("sklearn.neighbors.KNeighborsRegressor", [0]),
        ("sklearn.linear_model.Ridge", [0]),
        ("sklearn.svm.SVR", [0]),
        ("sklearn.linear_model.Lasso", [0]),
        ("sklearn.ensemble.ExtraTreesRegressor", [0, 1, 2]),
        (None, [0, 1, 2]),
    ],
)
def test_estimator_without_randomness_gets_one_seed(tmp_path: Path, estimator: str | None, seeds: list[int]) -> None:
    """Three copies of one model would be shown as three seeds, and the worst of them as a finding."""
    out = tmp_path / "study.yaml"
    init(write_table(tmp_path / "t.csv"), out, group="subject", target="score", estimator=estimator)
    study = load_yaml(out).value
    assert seeds == study["seeds"]
    assert (len(seeds) == 1) == ("every seed is one model" in out.read_text())
    assert len(seeds) == len(Study.load(out).resolve().main.seeds)


def test_misspelt_estimator_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """The study would be refused at its first run, a step too late."""
    with pytest.raises(HeldoutError, match="no estimator") as caught:
        init(write_table(tmp_path / "t.csv"), tmp_path / "study.yaml", group="subject", target="score",
            estimator="sklearn.linear_model.Rigde",
        )  # fmt: skip
    assert ("--estimator", True) == (caught.value.where, "linear_model.Ridge" in str(caught.value.hint))
    assert not (tmp_path / "study.yaml").exists()


def written(folder: Path, frame: pl.DataFrame, name: str = "t.csv", **asked: Any) -> dict[str, Any]:
    """The study that is written for a table; it resolves, and its guards can be asked."""
    table = folder / name
    frame.write_parquet(table) if name.endswith(".parquet") else frame.write_csv(table)
    init(table, folder / "study.yaml", force=True, **asked)
    Study.load(folder / "study.yaml").prepare(runs=folder / "runs")
    found: dict[str, Any] = load_yaml(folder / "study.yaml").value
    return found


def rows(**more: Any) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    return pl.DataFrame(
        {"g": [f"g{row // 10}" for row in range(40)], "a": a, "b": b, **more, "y": a + rng.normal(size=40)}
    )


def test_the_task_follows_the_estimator(tmp_path: Path) -> None:
    """A target of few whole numbers would be taken for labels, and the regressor be refused by the first run."""
    frame = rows().with_columns(y=pl.Series([row % 5 for row in range(40)]))
    asked = {"group": "g", "target": "y"}
    assert "regression" == written(tmp_path, frame, **asked, estimator=RIDGE)["corpus"]["task"]
    labels = written(tmp_path, frame, **asked, estimator="sklearn.linear_model.LogisticRegression")
    assert "classification" == labels["corpus"]["task"]
    assert "regression" == written(tmp_path, frame, **asked, task="regression")["corpus"]["task"]


def test_what_is_said_on_the_command_line_stands_in_the_study(tmp_path: Path) -> None:
    """A key would be learnt from, or a date, because `init` was not told what they are."""
    frame = rows(
        key=[f"{row:03d}" for row in range(40)],
        day=[f"2026-01-{row % 28 + 1:02d}" for row in range(40)],
        note=["x"] * 40,
    )
    asked = {"id": "key", "time": "day", "ignore": ("note",), "estimator": RIDGE}
    corpus = written(tmp_path, frame, group="g", target="y", **asked)["corpus"]
    assert ("key", "day", ["note"], ["a", "b"]) == tuple(corpus[key] for key in ("id", "time", "ignore", "features"))


def test_groups_that_follow_each_other_are_predicted_from_what_was_before(tmp_path: Path) -> None:
    """A model would be judged on days before those that it was trained on."""
    frame = rows(day=[f"2026-{row // 10 + 1:02d}-{row % 10 + 1:02d}" for row in range(40)])
    study = written(tmp_path, frame, group="g", target="y", time="day", estimator=RIDGE)
    assert {"kind": "walk-forward", "warmup": 2, "window": 1} == study["split"]
    overlapping = rows(day=[f"2026-01-{row % 10 + 1:02d}" for row in range(40)])
    study = written(tmp_path, overlapping, group="g", target="y", time="day", estimator=RIDGE)
    assert "leave-one-group-out" == study["split"]["kind"]


@pytest.mark.parametrize(
    ("estimator", "missing"),
    [(RIDGE, "impute"), ("sklearn.ensemble.HistGradientBoostingRegressor", "keep"), (None, "keep")],
)
def test_gaps_are_declared_with_how_they_are_treated(tmp_path: Path, estimator: str | None, missing: str) -> None:
    """The study would be refused, or nobody would know what became of the gaps."""
    frame = rows(
        c=[None if row % 7 == 0 else row / 3 for row in range(40)],
        w=[None if row % 5 == 0 else "uv"[row % 2] for row in range(40)],
    )
    study = written(tmp_path, frame, group="g", target="y", estimator=estimator)
    assert missing == study["fit"]["missing"]
    text = (tmp_path / "study.yaml").read_text()
    assert "- c   # 6 values are missing" in text
    assert "- w   # one column a level, 8 values are missing, a level of its own" in text


def test_what_columns_look_like_is_written_down(tmp_path: Path) -> None:
    """Dates, spelt gaps and an index would be levels, each of its own."""
    more = {
        "": range(40),
        "day": [f"2026-01-{row % 28 + 1:02d}" for row in range(40)],
        "dose": ["?" if row % 9 == 0 else f"{row / 4}" for row in range(40)],
        "remark": [f"seen by number {row}" for row in range(40)],
    }
    study = written(tmp_path, rows(**more), group="g", target="y", estimator=RIDGE)
    corpus = study["corpus"]
    assert (["", "remark"], {"day": "date"}, ["?"]) == (corpus["ignore"], corpus["columns"], corpus["missing"])
    assert ["a", "b", "day", "dose"] == corpus["features"]
    prepared = Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs")
    assert [] == [finding for finding in prepared.findings if finding.code == "HO-G016"]
    assert {"dose": 5} == prepared.corpus.missing


def test_a_table_of_a_spreadsheet_in_europe_is_read_as_it_is(tmp_path: Path) -> None:
    """Semicolons and decimal commas would make one column of the table, and a target of classes."""
    (tmp_path / "t.csv").write_text(rows().write_csv(separator=";", decimal_comma=True))
    init(tmp_path / "t.csv", tmp_path / "study.yaml", group="g", target="y", estimator=RIDGE)
    corpus = Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs").corpus
    assert (["a", "b"], "regression") == (corpus.features.columns, corpus.task)
    np.testing.assert_allclose(rows()["y"].to_numpy(), corpus.targets("verify"))


def test_commas_in_one_column_are_said_of_that_column(tmp_path: Path) -> None:
    """The numbers of all other columns would be words as soon as one column had commas."""
    frame = rows().with_columns(pl.col("y").round(2).cast(pl.String).str.replace(".", ",", literal=True))
    study = written(tmp_path, frame, group="g", target="y", estimator=RIDGE)
    assert {"y": {"kind": "number", "decimal": ","}} == study["corpus"]["columns"]
    corpus = Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs").corpus
    assert ("regression", [True, True]) == (corpus.task, [each.is_float() for each in corpus.features.dtypes])
    np.testing.assert_allclose(rows()["y"].round(2).to_numpy(), corpus.targets("verify"))


def test_names_that_may_be_one_group_are_said(tmp_path: Path) -> None:
    """A subject in two spellings would train and be held out, and nobody be told before the first run."""
    frame = rows().with_columns(g=pl.Series(["A", "a", "b", "c"] * 10))
    frame.write_csv(tmp_path / "t.csv")
    said = init(tmp_path / "t.csv", tmp_path / "study.yaml", group="g", target="y", estimator=RIDGE).said
    assert "the groups 'A', 'a' differ only in blanks, case" in said[-1]


def test_editors_find_the_schema_that_the_first_line_names(tmp_path: Path) -> None:
    """Every key would be underlined, or none."""
    written(tmp_path, rows(), group="g", target="y", estimator=RIDGE)
    first = (tmp_path / "study.yaml").read_text().splitlines()[0]
    assert "# yaml-language-server: $schema=study.schema.json" == first
    assert "heldout study" == json.loads((tmp_path / "study.schema.json").read_text())["title"]


def test_an_estimator_that_could_not_be_judged_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """The study would be refused by the first run."""
    with pytest.raises(HeldoutError, match="learns several targets at once") as caught:
        written(tmp_path, rows(), group="g", target="y", estimator="sklearn.linear_model.MultiTaskLasso")
    assert ("--estimator", False) == (caught.value.where, (tmp_path / "study.yaml").exists())


def test_a_quote_in_the_name_of_the_group_is_part_of_it(tmp_path: Path) -> None:
    """Whoever has such a table would be told to repair it."""
    names = ('g"q', 'a"', "b", "y")
    write_table(tmp_path / "t.csv", names=names)
    init(tmp_path / "t.csv", tmp_path / "study.yaml", group='g"q', target="y", estimator=RIDGE)
    block = load_yaml(tmp_path / "study.yaml").value["corpus"]
    assert ('g"q', ['a"', "b"]) == (block["group"], block["features"])
    lines = (tmp_path / "t.csv").read_text().replace(",", ";").replace(".", ",")
    (tmp_path / "t.csv").write_text(lines)
    init(tmp_path / "t.csv", tmp_path / "study.yaml", group='g"q', target="y", estimator=RIDGE, force=True)
    assert 48 == Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs").corpus.manifest.rows


def test_fractions_of_three_digits_are_fractions_where_semicolons_separate(tmp_path: Path) -> None:
    """A target of numbers would be called one of classes, and nothing be said of its commas."""
    frame = rows().select("g", *(pl.col(name).round(3) + 3 for name in ("a", "b", "y")))
    text = frame.write_csv(separator=";", decimal_comma=True, float_precision=3)
    (tmp_path / "t.csv").write_text(text)
    said = init(tmp_path / "t.csv", tmp_path / "study.yaml", group="g", target="y", task="regression").said
    assert any("fractions are written with a comma" in each for each in said)
    corpus = Study.load(tmp_path / "study.yaml").prepare(runs=tmp_path / "runs").corpus
    np.testing.assert_allclose(frame["y"].to_numpy(), corpus.targets("verify"), atol=1e-3)


def test_a_target_with_commas_that_may_be_thousands_is_refused_with_the_line_that_says_so(tmp_path: Path) -> None:
    """`set task: classification` would make classes of numbers."""
    frame = rows().with_columns(y=pl.Series([f"1,{200 + row}" for row in range(39)] + ["999"]))
    with pytest.raises(CorpusError, match="not a number") as caught:
        written(tmp_path, frame, group="g", target="y", task="regression")
    assert '`decimal: ","`' in str(caught.value.hint)


def test_a_table_of_one_group_is_refused(tmp_path: Path) -> None:
    """The study would be one that cannot run."""
    with pytest.raises(CorpusError, match="column 'g' holds one group, 'a', in all 40 rows") as caught:
        written(tmp_path, rows().with_columns(g=pl.lit("a")), group="g", target="y", estimator=RIDGE)
    assert "--group" in str(caught.value.hint)
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize(("text", "what"), [("g;y;x\ra;1;2\r", "carriage returns"), ("g\0,y\na,1\n", "no column")])
def test_a_file_that_is_no_csv_is_refused_in_words(text: str, what: str, tmp_path: Path) -> None:
    """Looking for a separator would end as an error of ours."""
    (tmp_path / "t.csv").write_bytes(text.encode())
    with pytest.raises(CorpusError, match=what) as caught:
        init(tmp_path / "t.csv", tmp_path / "study.yaml", group="g", target="y")
    assert caught.value.hint
