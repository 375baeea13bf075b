"""The table reader: what it reads, and what it refuses by file, row and column instead of repairing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.corpus import Corpus
from heldout.corpus.files import read_table
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError
from heldout.evidence import sha256_file

FRAME = pl.DataFrame(
    {
        "site": ["north", "south", "north", "west"],
        "count": [3, 1, 2, 2],
        "shape": ["round", "square", "round", "round"],
        "y": [0.1, 2.5, -3.25, 1e-7],
    }
)
Read = Callable[..., Corpus]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def from_file(name: str, data: str | bytes | None = None, **options: Any) -> Corpus:
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return TableReader(TableOptions(path=path, **({"group": "g", "target": "y"} | options))).read()

    return from_file


def write(path: Path) -> Path:
    writers = {".csv": FRAME.write_csv, ".jsonl": FRAME.write_ndjson, ".parquet": FRAME.write_parquet}
    writers[path.suffix](path)
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_the_same_table_is_the_same_corpus_in_every_format(tmp_path: Path, read: Read, name: str) -> None:
    """Converting a file would change what is learnt."""
    path = write(tmp_path / name)
    corpus = read(name, group="site", target="y")
    assert FRAME["y"].to_list() == corpus.targets("verify").tolist()
    assert FRAME["site"].to_list() == corpus.groups.to_list()
    assert ["row1", "row2", "row3", "row4"] == corpus.ids.to_list()
    assert FRAME.select("count", "shape").equals(corpus.features)
    assert ("table", name, sha256_file(path), 4) == (
        corpus.manifest.reader,
        corpus.manifest.path,
        corpus.manifest.sha256,
        corpus.manifest.rows,
    )
    assert [("north", 2), ("south", 1), ("west", 1)] == [(g.id, g.samples) for g in corpus.manifest.groups]
    other = TableReader(TableOptions(path=write(tmp_path / "other.parquet"), group="site", target="y")).read()
    assert [g.sha256 for g in other.manifest.groups] == [g.sha256 for g in corpus.manifest.groups]


def test_the_target_the_group_and_the_id_are_no_features(read: Read) -> None:
    """The model would be shown the answer."""
    corpus = read("rows.csv", "g,y,x,key,note\na,1.5,1,p,u\nb,2.5,2,q,v\n", id="key", ignore=["note"])
    assert (["x"], ["p", "q"]) == (corpus.features.columns, corpus.ids.to_list())


def test_features_are_taken_as_listed(read: Read) -> None:
    """A column that was left out on purpose would come back."""
    assert ["z", "x"] == read("rows.csv", "g,y,x,w,z\na,1.5,1,2,3\nb,2.5,2,3,4\n", features=["z", "x"]).features.columns


@pytest.mark.parametrize(
    ("values", "task", "expected"),
    [
        (["1.5", "2.5"], None, [1.5, 2.5]),
        (["1", "0"], None, ["1", "0"]),
        (["1", "0"], "regression", [1.0, 0.0]),
        (["true", "false"], None, ["true", "false"]),
        (["cat", "dog"], None, ["cat", "dog"]),
        (["1.5", "2.5"], "classification", ["1.5", "2.5"]),
    ],
)
def test_the_task_follows_from_the_target_unless_declared(
    read: Read, values: list[str], task: str | None, expected: list[Any]
) -> None:
    """Labels would be regressed on, or a measured number cut into classes."""
    corpus = read("rows.csv", f"g,y,x\na,{values[0]},1\nb,{values[1]},2\n", task=task)
    assert expected == corpus.targets("verify").tolist()
    assert ("regression" if isinstance(expected[0], float) else "classification") == corpus.task


def test_many_integers_are_a_number_and_not_labels(read: Read) -> None:
    """Ages would be taken for 21 classes."""
    lines = "".join(f"{'ab'[number % 2]},{number},{number * 2}\n" for number in range(21))
    assert "regression" == read("rows.csv", "g,y,x\n" + lines).task
    assert "classification" == read("fewer.csv", "g,y,x\n" + "".join(lines.splitlines(keepends=True)[:20])).task


def test_a_text_target_cannot_be_regressed_on(read: Read) -> None:
    """Words would be cast to null."""
    with pytest.raises(CorpusError, match="'y' is String, not a number"):
        read("rows.csv", "g,y,x\na,cat,1\nb,dog,2\n", task="regression")


def test_a_byte_order_mark_of_a_csv_is_not_part_of_a_name(read: Read) -> None:
    """A table saved by a spreadsheet would have no group column."""
    assert ["a", "b"] == read("rows.csv", "\ufeffg,y,x\na,1.5,1\nb,2.5,2\n").groups.to_list()


ROWS = "g,y,x\na,1.5,1.25\nb,2.5,2.25\nc,3.5,3.25\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("NaN", "nan"), ("inf", "inf"), ("-inf", "-inf"), ("", "None"), ("nan", "nan"), ("NA", "NA"), ("N/A", "N/A")],
)
def test_defect_12_a_target_that_is_missing_or_not_finite_is_refused(read: Read, value: str, shown: str) -> None:
    """A gap would vanish from a mean, or turn a column of numbers into one label a value."""
    with pytest.raises(CorpusError, match=f"1 missing or non-finite values, the first is {shown}") as caught:
        read("rows.csv", ROWS.replace("2.5,", f"{value},"))
    assert (caught.value.where or "").endswith("rows.csv: row 2, column y")


@pytest.mark.parametrize(
    ("value", "what", "hint"),
    [
        ("inf", "1 values are not finite, the first is inf", "leave the field empty"),
        ("-inf", "1 values are not finite, the first is -inf", "leave the field empty"),
        ("NA", "1 values are spelt gaps among numbers, the first is 'NA'", "`missing: [NA]`"),
        ("?", "1 values are spelt gaps among numbers", "`columns: {x: category}`"),
    ],
)
def test_defect_12_a_feature_that_is_not_finite_or_spells_its_gaps_is_refused(
    read: Read, value: str, what: str, hint: str
) -> None:
    """Each number of the column would become a category of its own, or a model be fitted on infinity."""
    with pytest.raises(CorpusError) as caught:
        read("rows.csv", ROWS.replace("3.25", value))
    assert what in caught.value.what
    assert hint in str(caught.value.hint)
    assert (caught.value.where or "").endswith("rows.csv: row 3, column x")


@pytest.mark.parametrize(("value", "options"), [("", {}), ("NaN", {}), ("NA", {"missing": ["NA"]})])
def test_a_missing_feature_is_a_gap_and_no_row_is_lost(read: Read, value: str, options: dict[str, Any]) -> None:
    """People would fill the table beforehand, with what held-out rows say."""
    corpus = read("rows.csv", ROWS.replace("3.25", value), **options)
    assert ([1.25, 2.25, None], {"x": 1}) == (corpus.features["x"].to_list(), corpus.missing)
    assert ["a", "b", "c"] == corpus.groups.to_list()


def test_gaps_of_all_kinds_are_one_content(read: Read, tmp_path: Path) -> None:
    """A copy of a group would not be found once its gaps were written otherwise."""
    texts = [ROWS.replace("3.25", value) for value in ("", "NaN")]
    pl.DataFrame({"g": ["a", "b", "c"], "y": [1.5, 2.5, 3.5], "x": [1.25, 2.25, -np.nan]}).write_parquet(
        tmp_path / "rows.parquet"
    )
    corpora = [*(read(f"{number}.csv", text) for number, text in enumerate(texts)), read("rows.parquet")]
    assert 1 == len({tuple(group.sha256 for group in corpus.manifest.groups) for corpus in corpora})


def test_a_blank_line_is_called_one(read: Read) -> None:
    """Somebody would look for a group that a row has lost."""
    with pytest.raises(CorpusError, match="in a row without any value") as caught:
        read("rows.csv", ROWS.replace("\nb", "\n\nb"))
    assert ("remove the blank lines", True) == (
        caught.value.hint,
        (caught.value.where or "").endswith("row 2, column g"),
    )


def test_commas_at_the_end_of_each_line_are_no_column(read: Read) -> None:
    """A spreadsheet's empty last column would be a feature without a name, all of it missing."""
    assert ["x"] == read("rows.csv", ROWS.replace("\n", ",\n")).features.columns


def test_words_among_words_stay_words(read: Read) -> None:
    """A category that happens to be named `none` or `na` would be refused in a column of text."""
    corpus = read("rows.csv", "g,y,x\na,1.5,none\nb,2.5,some\nc,3.5,na\n")
    assert ["none", "some", "na"] == corpus.features["x"].to_list()


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('{"g": "b", "y": null, "x": 2}', "row 2, column y"),
        ('{"g": "b", "x": 2}', "row 2, column y"),
        ('{"g": null, "y": 2.5, "x": 2}', "row 2, column g"),
        ('{"g": "  ", "y": 2.5, "x": 2}', "row 2, column g"),
        ('{"g": "b", "y": 2.5, "x": [2]}', "column x"),
    ],
)
def test_a_row_with_a_gap_is_refused(read: Read, line: str, place: str) -> None:
    """A row without a group would stand on both sides of the split, or a row be dropped unseen."""
    first = '{"g": "a", "y": 1.5, "x": %s}' % ("[1]" if "[" in line else "1")
    with pytest.raises(CorpusError) as caught:
        read("rows.jsonl", f"{first}\n{line}\n")
    assert (caught.value.where or "").endswith(f"rows.jsonl: {place}")


@pytest.mark.parametrize(
    ("lines", "place", "what"),
    [
        (b'{"g":"a","y":1.5,"x":1}\n{"g":"b","y":2.', ":2:15", "line 2 cannot be read: the last line is torn"),
        (b'{"g":"a","y":1.5,"x":1}\n{"g":"b"', ":2:9", "the last line is torn"),
        (b'{"g":"a","y":1.5,"x":1}\n{"g":"b",\n{"g":"c","y":2.5,"x":1}\n', ":2:10", "line 2 cannot be read: not JSON"),
        (b'{"g":"a","y":1.5,"x":1}\r\n{"g"\r\n{"g":"c"}\r\n', ":2:5", "line 2 cannot be read: not JSON"),
        (b'{"g":"a","y":1.5,"x":1}\n{"g":"b","y":NaN,"x":1}\n', ":2", "NaN is not a JSON number"),
        (b'\xef\xbb\xbf{"g":"a","y":1.5,"x":1}\n', ":1:1", "byte-order mark"),
        (b'{"g":"a","y":1.5,"x":1}\n\n[1, 2]\n', ":3", "line 3 is not an object"),
    ],
)
def test_defect_31_a_torn_or_broken_line_is_named(read: Read, lines: bytes, place: str, what: str) -> None:
    """A crash while the file was written would leave rows that nobody misses, or that nobody can find."""
    with pytest.raises(CorpusError, match=what) as caught:
        read("rows.jsonl", lines)
    assert (caught.value.where or "").endswith(f"rows.jsonl{place}")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("g,y,x\na,1.5,1\nb,2.5,3,4\n", "line 3 has 4 fields"),
        ('g,y,x\na,1.5,1\nb,2.5,"3', "cannot be read"),
        ("g,y,x,x\na,1.5,1,2\nb,2.5,3,4\n", "two columns are named 'x'"),
        ("g,y,x\n", "no rows"),
        ("", "cannot be read"),
        (b"g,y,x\n\xe9,1,2\n", "is not UTF-8"),
        ("g;y;x\na;1;2\n", "no column 'g'"),
    ],
)
def test_a_malformed_csv_is_refused(read: Read, data: str | bytes, what: str) -> None:
    """Columns would shift by one, or a copy of a column become a feature."""
    with pytest.raises(CorpusError) as caught:
        read("rows.csv", data)
    assert what in str(caught.value)
    assert "rows.csv" in (caught.value.where or "")


def test_defect_31_a_row_that_was_appended_twice_is_refused(read: Read) -> None:
    """A producer that runs again would count its rows twice."""
    with pytest.raises(CorpusError, match="'p' appears 2 times") as caught:
        read("rows.csv", "g,y,x,id\na,1.5,1,p\nb,2.5,2,q\nb,2.5,2,p\n", id="id")
    assert ("HO-G004", 2) == (caught.value.code, caught.value.exit_code)
    assert (caught.value.where or "").endswith("rows.csv: column id")


def test_a_sample_without_an_id_is_refused(read: Read) -> None:
    """A prediction could not be traced to its sample."""
    with pytest.raises(CorpusError, match="missing") as caught:
        read("rows.csv", "g,y,x,id\na,1.5,1,p\nb,2.5,2,\n", id="id")
    assert (caught.value.where or "").endswith("row 2, column id")


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"features": ["x", "y"]}, "y"),
        ({"features": ["g"]}, "g"),
        ({"features": ["x", "x"]}, "x"),
        ({"features": ["x"], "ignore": ["x"]}, "x"),
        ({"features": ["x"], "id": "x"}, "x"),
        ({"group": "y"}, "y"),
        ({"id": "g"}, "g"),
    ],
)
def test_a_column_is_one_thing_only(read: Read, options: dict[str, Any], column: str) -> None:
    """The target could be a feature, or the group the answer."""
    with pytest.raises(CorpusError, match=f"column '{column}' is two things at once"):
        read("rows.csv", "g,y,x\na,1.5,1\nb,2.5,2\n", **options)


@pytest.mark.parametrize("role", [{"group": "G"}, {"target": "Y"}, {"id": "I"}, {"features": ["X"]}, {"ignore": ["Z"]}])
def test_a_column_that_is_not_there_is_named_with_those_that_are(read: Read, role: dict[str, Any]) -> None:
    """People would look at the wrong file; a misspelt `ignore` would let its column through as a feature."""
    with pytest.raises(CorpusError, match=r"no column '[GYIXZ]'") as caught:
        read("rows.csv", "g,y,x\na,1.5,1\nb,2.5,2\n", **role)
    assert "its columns: g, x, y" == caught.value.hint


def test_a_table_without_features_is_refused(read: Read) -> None:
    """A model would be trained on nothing."""
    with pytest.raises(CorpusError, match="no feature column is left"):
        read("rows.csv", "g,y\na,1.5\nb,2.5\n")


@pytest.mark.parametrize("name", ["rows.xls", "rows", "rows.pkl"])
def test_another_kind_of_file_is_refused(read: Read, name: str) -> None:
    """A pickle would be loaded, or a file guessed at."""
    with pytest.raises(CorpusError, match="is not supported"):
        read(name, "g,y,x\n")


def test_a_file_that_is_not_there_or_no_parquet_is_refused(tmp_path: Path) -> None:
    """A traceback of the reading library would stand where a sentence should."""
    with pytest.raises(CorpusError, match="does not exist"):
        read_table(tmp_path / "nowhere.csv")
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_table(tmp_path / "rows.parquet")


def test_a_parquet_column_of_lists_is_refused_unless_ignored(tmp_path: Path, read: Read) -> None:
    """A list would reach the model as a text such as `[1, 2]`."""
    frame = pl.DataFrame({"g": ["a", "b"], "y": [1.5, 2.5], "x": [1, 2], "list": [[1], [2, 3]]})
    frame.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(CorpusError, match="not one value a row"):
        read("rows.parquet")
    assert ["x"] == read("rows.parquet", ignore=["list"]).features.columns


def test_rows_of_groups_come_in_the_order_of_the_file(read: Read) -> None:
    """Predictions would be put beside other samples than they were made for."""
    corpus = read("rows.csv", "g,y,x\nb,1.5,1\na,2.5,2\nb,3.5,3\nc,4.5,4\n")
    np.testing.assert_array_equal([0, 1, 2], corpus.rows_of(["a", "b"]))
    np.testing.assert_array_equal([], corpus.rows_of(["nobody"]))
    np.testing.assert_array_equal([1, 3], corpus.rows_but(["b"]))
    np.testing.assert_array_equal([0, 1, 2, 3], corpus.rows_but([]))


@pytest.mark.parametrize(
    ("content", "what", "place", "hint"),
    [
        (b"g,y,x\na,1.5,1\nb,2.5,2,9\n", "line 3 has 4 fields, the header has 3", ":3", "quotes"),
        (b'g,y,x\n"a\nb",1.5,1\nb,2.5,2,9\n', "line 4 has 4 fields, the header has 3", ":4", "quotes"),
        (b"g,y,x\na,1.5,1\n\xe9,2.5,2\n", "line 3 is not UTF-8 text", ":3:1", "UTF-8"),
        (b"\xff\xfeg\x00,\x00y\x00", "line 1 is not UTF-8 text", ":1:1", "UTF-8"),
    ],
)
def test_the_line_that_breaks_a_csv_is_named(tmp_path: Path, content: bytes, what: str, place: str, hint: str) -> None:
    """Somebody would look for one broken line among a million."""
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        read_table(path)
    assert (what, f"{path}{place}") == (caught.value.what, caught.value.where)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(("separator", "shown", "written"), [(";", "';'", '";"'), ("\t", r"'\t'", r'"\t"')])
def test_a_table_with_other_separators_is_told_so(read: Read, separator: str, shown: str, written: str) -> None:
    """Excel writes semicolons in half of Europe; the message would list one column with a strange name."""
    with pytest.raises(CorpusError, match="no column 'g'") as caught:
        read("rows.csv", "g,y,x\na,1.5,1\nb,2.5,2\n".replace(",", separator))
    assert f"its header is separated by {shown}: write `separator: {written}` in `corpus:`" == caught.value.hint


def test_a_misspelt_column_is_told_its_likeliest_name(read: Read) -> None:
    """Among two hundred columns nobody sees the one letter."""
    with pytest.raises(CorpusError) as caught:
        read("rows.csv", "site,target,weight\na,1.5,1\nb,2.5,2\n", group="site", target="targt")
    assert "did you mean 'target'? its columns: site, target, weight" == caught.value.hint


def test_an_empty_folder_is_no_table(tmp_path: Path) -> None:
    """The message would say that what stands there does not exist."""
    with pytest.raises(CorpusError, match="there are no files"):
        read_table(tmp_path)


def test_ids_keep_their_leading_zeros_in_a_csv(tmp_path: Path, read: Read) -> None:
    """Samples 07 and 7 would be refused as one, and never meet the outcomes of the same names elsewhere."""
    corpus = read("rows.csv", "g,id,a,y\n001,07,1,0.5\n1,7,2,1.5\n2,8,3,2.5\n", id="id")
    assert ["07", "7", "8"] == corpus.ids.to_list()
    assert pl.Int64 == corpus.features["a"].dtype
    assert ["001", "1", "2"] == [group.id for group in corpus.manifest.groups], "HO-G001 says that two may be one"
    plain = read("rows.csv", "g,id,a,y\n1,07,1,0.5\n1.0,7,2,1.5\n2,8,3,2.5\n", id="id")
    assert ["1.0", "2.0"] == [group.id for group in plain.manifest.groups], "one subject, written in two ways"
