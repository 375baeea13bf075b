"""A table in several files: a folder, or a pattern of names, is one corpus."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from attack_kit import heldout

from heldout.corpus import excel
from heldout.corpus.files import read_table
from heldout.corpus.parts import content_sha256, parts_of
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError, MachineError
from heldout.evidence import read_json


def rows(count: int = 240) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 2))
    return pl.DataFrame({
        "id": [f"{number:03d}" for number in range(count)],
        "site": [f"{number // 20:02d}" for number in range(count)],
        "a": x[:, 0],
        "b": x[:, 1],
        "y": x @ [1.0, 2.0] + rng.normal(0, 0.3, count),
    })  # fmt: skip


def cut(frame: pl.DataFrame, folder: Path, suffix: str = ".csv", parts: int = 4) -> Path:
    folder.mkdir()
    size = frame.height // parts
    for number in range(parts):
        part, path = frame[number * size : (number + 1) * size], folder / f"part{number}{suffix}"
        part.write_csv(path) if suffix == ".csv" else part.write_parquet(path)
    (folder / "_SUCCESS").touch()
    return folder


def reader(path: Path) -> TableReader:
    return TableReader(TableOptions(path=path, group="site", target="y", id="id"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_folder_is_the_table_of_its_files(suffix: str, tmp_path: Path) -> None:
    """Whoever has a folder would glue its files together, and nobody could tell which they were."""
    folder, frame = cut(rows(), tmp_path / "data", suffix), rows()
    found = reader(folder).read()
    assert found.ids.to_list() == frame["id"].to_list()
    assert found.features.equals(frame.select("a", "b"))
    pattern = reader(folder / f"*{suffix}")
    assert found.manifest.sha256 == pattern.read().manifest.sha256 == content_sha256(folder)
    assert [each.name for each in pattern.kept()] == [f"part{number}{suffix}" for number in range(4)]
    (folder / f"part0{suffix}").rename(folder / f"part9{suffix}")
    assert found.manifest.sha256 != content_sha256(folder)  # the rows stand in another order


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"b": None}, "part2.csv has no column 'b', unlike part0.csv"),
        ({"c": [1.0] * 60}, "part2.csv has a column 'c' of its own"),
        ({"a": ["much"] * 60}, "the column 'a' holds String, and Float64 in part0.csv"),
    ],
)
def test_a_file_that_is_unlike_the_others_is_named(change: Mapping[str, object], what: str, tmp_path: Path) -> None:
    """A column would be half empty, or a hundred files searched for the one."""
    folder = cut(rows(), tmp_path / "data")
    part = pl.read_csv(folder / "part2.csv", schema_overrides={"id": pl.String, "site": pl.String})
    for name, values in change.items():
        part = part.drop(name) if values is None else part.with_columns(pl.Series(name, values))
    part.write_csv(folder / "part2.csv")
    with pytest.raises(CorpusError, match=what) as told:
        reader(folder).read()
    assert "part2.csv" in str(told.value.where)
    assert told.value.hint


def test_a_gap_and_a_name_may_look_otherwise_in_another_file(tmp_path: Path) -> None:
    """A file in which a column is empty, or all groups are plain numbers, would be refused."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "1.csv").write_text("site,a,y\n007,1,2.5\n008,2,3\n")
    (folder / "2.csv").write_text("site,a,y\n9,,4\n10,,5\n")
    found = TableReader(TableOptions(path=folder, group="site", target="y")).read()
    assert ["007", "008", "9", "10"] == found.groups.to_list()
    assert [1, 2, None, None] == found.features["a"].to_list()


def test_what_is_no_table_in_parts_is_refused(tmp_path: Path) -> None:
    """Some of the files would be read, and nobody told which."""
    folder = cut(rows(), tmp_path / "data")
    (folder / "more").mkdir()
    with pytest.raises(CorpusError, match="a folder stands among the files of the table: more"):
        read_table(folder)
    (folder / "more").rmdir()
    (folder / "notes.parquet").touch()
    with pytest.raises(CorpusError, match="another form"):
        read_table(folder)
    with pytest.raises(CorpusError, match="there are no files"):
        read_table(folder / "*.tsv")
    with pytest.raises(CorpusError, match="does not exist"):
        read_table(folder / "none.csv")
    assert parts_of(folder / "part0.csv") is None
    (tmp_path / "t[1].csv").write_text("a\n1\n")
    assert parts_of(tmp_path / "t[1].csv") is None


@pytest.mark.slow
def test_a_folder_walks_the_whole_road(tmp_path: Path) -> None:
    """A corpus that can be fitted, and not tried, verified, promoted or handed over, is half a corpus."""
    cut(rows(), tmp_path / "data")
    words = ("--group", "site", "--target", "y", "--id", "id", "--estimator", "sklearn.linear_model.Ridge")
    assert 0 == heldout("init", "data/", *words, cwd=tmp_path).code
    assert 0 == heldout("try", "study.yaml", cwd=tmp_path).code
    assert 0 == heldout("run", "study.yaml", "--workers", "1", cwd=tmp_path).code
    (run,) = (path.parent for path in tmp_path.glob("runs/data/*/PROMOTE.json"))
    assert content_sha256(tmp_path / "data") == read_json(run / "corpus.json")["sha256"]
    for corpus in ("data", "data/*.csv"):
        assert 0 == heldout("verify", run, "--corpus", corpus, "--refit", cwd=tmp_path).code
    assert 0 == heldout("registry", "add", run, "--by", "ann", cwd=tmp_path).code
    bundled = heldout("kit", "bundle", run, "--out", "b.tar.gz", "--corpus", "data", cwd=tmp_path)
    assert 0 == bundled.code, bundled.err
    done = heldout("kit", "import", "b.tar.gz", "--deep", "--into", "elsewhere", cwd=tmp_path)
    assert 0 == done.code, done.err
    shutil.copy(tmp_path / "data" / "part0.csv", tmp_path / "data" / "part4.csv")
    assert 3 == heldout("verify", run, "--corpus", "data", cwd=tmp_path).code


# --- workbooks, and data sets that others saved --------------------------------------------------------------------

FIXTURES = Path(__file__).parent / "fixtures"


def test_the_sheet_of_a_workbook_is_a_table(tmp_path: Path) -> None:
    """Who has a spreadsheet would save it as CSV, and lose its zeros and dates on the way."""
    pytest.importorskip("fastexcel")
    options = TableOptions(path=FIXTURES / "one.xlsx", group="site", target="y", id="id", columns={"day": "date"})
    found = TableReader(options).read()
    assert [f"{number:03d}" for number in range(24)] == found.ids.to_list()
    assert [number / 8 for number in range(24)] == found.targets("guard").tolist()
    assert [None if number % 5 == 0 else number + 0.5 for number in range(24)] == found.features["gap"].to_list()
    assert 20484.0 == found.features["day"][0]  # days from 1970 to 2026-01-31
    changed = TableReader(options).write_changed(tmp_path / "one.xlsx", ["g1"], None)
    assert ("one.parquet", 24) == (changed.path.name, TableReader(changed).read().manifest.rows)


def test_workbooks_that_are_no_table_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of several sheets is not always the one that is meant."""
    pytest.importorskip("fastexcel")
    with pytest.raises(CorpusError, match="has 2 sheets: numbers, notes"):
        read_table(FIXTURES / "two.xlsx")
    (tmp_path / "text.xlsx").write_text("a,b\n1,2\n")
    torn = (FIXTURES / "one.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "empty.xlsx", "w") as archive:
        archive.writestr("a.xml", "<a/>")
    (tmp_path / "torn.xlsx").write_bytes(torn[: len(torn) // 2])
    for name in ("text", "torn", "empty"):
        with pytest.raises(CorpusError, match="no workbook") as told:
            read_table(tmp_path / f"{name}.xlsx")
        assert told.value.hint
    monkeypatch.setattr(excel, "room_to_unpack", lambda: 100)
    with pytest.raises(MachineError, match="out of memory"):
        read_table(FIXTURES / "one.xlsx")


def test_whole_numbers_beside_fractions_in_json_are_numbers(tmp_path: Path) -> None:
    """A program that writes 1.0 as 1 would make words of a column, and each number a level of its own."""
    table = {"columns": ["x", "n", "t"], "data": [[1, 1, 1], [0.5, 2, "a"], [None, 3, 0.5]]}
    (tmp_path / "t.json").write_text(json.dumps(table))
    found = read_table(tmp_path / "t.json")
    assert ([1.0, 0.5, None], [1, 2, 3], ["1", "a", "0.5"]) == tuple(found[name].to_list() for name in "xnt")


def test_two_columns_of_one_name_in_a_workbook_are_refused(tmp_path: Path) -> None:
    """The first would be the target, whichever was meant, and the second a feature under a new name."""
    pytest.importorskip("fastexcel")
    with zipfile.ZipFile(FIXTURES / "one.xlsx") as book, zipfile.ZipFile(tmp_path / "one.xlsx", "w") as changed:
        for name in book.namelist():
            changed.writestr(name, book.read(name).replace(b">gap<", b">y<"))
    with pytest.raises(CorpusError, match="two columns are named 'y'") as told:
        read_table(tmp_path / "one.xlsx")
    assert "column" in str(told.value.where)


def test_a_saved_dataset_is_a_table(tmp_path: Path) -> None:
    """What `datasets` keeps on disk would have to be written anew."""
    found = TableReader(TableOptions(path=FIXTURES / "saved", group="site", target="label", id="id")).read()
    assert [f"{number:03d}" for number in range(24)] == found.ids.to_list()
    assert [number / 8 for number in range(24)] == found.features["y"].to_list()
    with pytest.raises(CorpusError, match="several data sets: test, train"):
        read_table(FIXTURES / "splits")
    assert 2 == read_table(FIXTURES / "splits" / "train").height
    for names in (["../one.xlsx"], ["gone.arrow"], [3], []):
        folder = tmp_path / f"saved{len(list(tmp_path.iterdir()))}"
        shutil.copytree(FIXTURES / "saved", folder)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
        with pytest.raises(CorpusError, match="names no file beside it"):
            read_table(folder)
