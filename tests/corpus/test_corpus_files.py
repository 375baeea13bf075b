"""Tables in many forms, with kinds that are declared: each is the same corpus, and each mistake has its row."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.corpus import Corpus
from heldout.corpus.files import read_table
from heldout.corpus.guards import check_corpus
from heldout.corpus.looks import look_at
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError, MachineError

FRAME = pl.DataFrame({"g": ["a", "b", "c"], "y": [1.5, 2.5, 3.25], "x": [1.25, None, 3.5], "w": ["u", None, "ü"]})
Write = Callable[[pl.DataFrame, Path], object]


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    packed: bytes = zstandard.ZstdCompressor().compress(data)
    return packed


FORMS: dict[str, Write] = {
    "t.csv": lambda frame, path: frame.write_csv(path),
    "t.TSV": lambda frame, path: frame.write_csv(path, separator="\t"),
    "t.csv.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_csv().encode())),
    "t.tsv.zst": lambda frame, path: path.write_bytes(zstd(frame.write_csv(separator="\t").encode())),
    "t.jsonl": lambda frame, path: frame.write_ndjson(path),
    "t.jsonl.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_ndjson().encode())),
    "t.json": lambda frame, path: path.write_text(json.dumps(frame.to_dicts())),
    "t.parquet": lambda frame, path: frame.write_parquet(path),
    "t.arrow": lambda frame, path: frame.write_ipc(path),
    "t.feather": lambda frame, path: frame.write_ipc(path, compression="zstd"),
}


def read(path: Path, **options: Any) -> Corpus:
    return TableReader(TableOptions.model_validate({"path": path, "group": "g", "target": "y"} | options)).read()


def written(folder: Path, text: str, **options: Any) -> Corpus:
    (folder / "t.csv").write_text(text)
    return read(folder / "t.csv", **options)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_every_form_is_the_same_corpus_and_is_written_again_as_one(name: str, tmp_path: Path) -> None:
    """A table would be another corpus in another form, or its copy for HO-G008 not be read back."""
    FORMS[name](FRAME, tmp_path / name)
    corpus = read(tmp_path / name)
    assert FRAME.select("x", "w").to_dict(as_series=False) == corpus.features.to_dict(as_series=False)
    FRAME.write_parquet(tmp_path / "plain.parquet")
    digests = [[group.sha256 for group in each.manifest.groups] for each in (corpus, read(tmp_path / "plain.parquet"))]
    assert digests[0] == digests[1]
    (tmp_path / "copy").mkdir()
    reader = TableReader(TableOptions(path=tmp_path / name, group="g", target="y"))
    changed = TableReader(reader.write_changed(tmp_path / "copy" / name, ["b"], None)).read()
    assert corpus.features.schema == changed.features.schema
    assert [True, False, True] == (changed.features["x"] == corpus.features["x"]).fill_null(value=False).to_list()
    assert 0 == changed.features["x"].null_count(), "a gap that is held out is changed too"


def test_a_table_of_a_spreadsheet_in_europe_is_the_same_corpus(tmp_path: Path) -> None:
    """Its numbers would be words, and its letters question marks."""
    text = FRAME.write_csv(separator=";", decimal_comma=True)
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    how: dict[str, Any] = {"separator": ";", "decimal": ",", "encoding": "latin-1"}
    corpus = read(tmp_path / "t.csv", **how)
    assert FRAME.select("x", "w").to_dict(as_series=False) == corpus.features.to_dict(as_series=False)
    np.testing.assert_array_equal(FRAME["y"].to_numpy(), corpus.targets("verify"))
    (tmp_path / "copy").mkdir()
    reader = TableReader(TableOptions.model_validate({"path": tmp_path / "t.csv", "group": "g", "target": "y"} | how))
    assert (
        corpus.features.schema
        == TableReader(reader.write_changed(tmp_path / "copy/t.csv", ["b"], None)).read().features.schema
    )


def test_a_few_bytes_that_promise_a_thousand_million_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packed table of a stranger would end the process without a word."""
    monkeypatch.setattr("heldout.corpus.packed.room_to_unpack", lambda: 1 << 20)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"g,y,x\n" + b"a,1,2\n" * 1_000_000))
    with pytest.raises(MachineError, match="unpacked, the table has more than"):
        read_table(tmp_path / "t.csv.gz")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"g,y,x\na,1,2\n")[:-6])
    with pytest.raises(CorpusError, match="cannot be read"):
        read_table(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("kind", "values", "numbers"),
    [
        ("date", ["1970-01-02", "2026-03-01", ""], [1.0, 20513.0, None]),
        ({"kind": "date", "format": "%d.%m.%Y"}, ["02.01.1970", "01.03.2026", ""], [1.0, 20513.0, None]),
        ("datetime", ["1970-01-01T00:01:00", "1970-01-02T00:00:00.5", ""], [60.0, 86400.5, None]),
        ("datetime", ["1970-01-01T01:01:00+01:00", "1970-01-02T00:00:00+00:00", ""], [60.0, 86400.0, None]),
        ("time", ["00:01:00", "23:59:59", ""], [60.0, 86399.0, None]),
        ("duration", ["0:01", "26:00:00", "1 day, 0:00:01"], [60.0, 93600.0, 86401.0]),
        ("number", ["1", "2.5", "?"], [1.0, 2.5, None]),
    ],
)
def test_a_declared_kind_is_a_number(kind: Any, values: list[str], numbers: list[float | None], tmp_path: Path) -> None:
    """Each moment would be a level of its own, or a day be taken for a month."""
    lines = "".join(
        f'{group},{row}.5,"{value}"\n' for row, (group, value) in enumerate(zip("abc", values, strict=True))
    )
    corpus = written(tmp_path, "g,y,x\n" + lines.replace('""', ""), columns={"x": kind}, missing=["?"])
    assert numbers == corpus.features["x"].to_list()


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        ("date", "31.01.2026", "'31.01.2026' is no date"),
        ({"kind": "date", "format": "%d.%m.%Y"}, "01/31/2026", "is no date of the form %d.%m.%Y"),
        ("number", "abc", "'abc' is no number"),
        ("time", "25:00:00", "is no time"),
        ("duration", "long", "is no duration"),
    ],
)
def test_a_value_of_no_such_kind_has_its_row(kind: Any, value: str, what: str, tmp_path: Path) -> None:
    """It would become a gap in silence."""
    with pytest.raises(CorpusError, match=what) as caught:
        written(tmp_path, f"g,y,x\na,1.5,\nb,2.5,{value}\n", columns={"x": kind})
    assert (caught.value.where or "").endswith("t.csv: row 2, column x")


def test_moments_of_a_typed_table_are_numbers_where_they_are_declared(tmp_path: Path) -> None:
    """A Parquet's dates and durations would be words, one column each."""
    frame = FRAME.select("g", "y").with_columns(
        day=pl.Series(["1970-01-02", None, "1970-01-03"]).str.to_date(),
        at=pl.Series(["1970-01-01 00:00:01", None, "1970-01-01 00:00:02"]).str.to_datetime(),
        long=pl.duration(seconds=pl.Series([1, 2, 3])),
    )
    frame.write_parquet(tmp_path / "t.parquet")
    kinds = {"day": "date", "at": "datetime", "long": "duration"}
    found = read(tmp_path / "t.parquet", columns=kinds).features
    assert ([1.0, None, 2.0], [1.0, None, 2.0], [1.0, 2.0, 3.0]) == tuple(found[name].to_list() for name in kinds)


def test_words_keep_their_zeros_where_they_are_declared(tmp_path: Path) -> None:
    """A postcode would be a quantity."""
    text = "g,y,x\na,1.5,007\nb,2.5,10\n"
    assert ["007", "10"] == written(tmp_path, text, columns={"x": "category"}).features["x"].to_list()
    assert [7, 10] == written(tmp_path, text).features["x"].to_list()


def test_a_word_for_a_gap_is_a_word_among_names_and_labels(tmp_path: Path) -> None:
    """Namibia would have no group, and the class `none` no label."""
    corpus = written(tmp_path, "g,y,x\nNA,none,1\nDE,some,NA\n", missing=["NA", "none"])
    assert (["NA", "DE"], ["none", "some"]) == (corpus.groups.to_list(), corpus.targets("verify").tolist())
    assert [1, None] == corpus.features["x"].to_list()


def test_groups_keep_their_zeros(tmp_path: Path) -> None:
    """Subjects 007 and 7 would be one, and `split.test: ["003"]` name nobody."""
    text = "g,y,x\n" + "".join(f"{name},{row}.5,{row}\n" for row, name in enumerate(("007", "7", "08", "8")))
    assert ["007", "08", "7", "8"] == [group.id for group in written(tmp_path, text).manifest.groups]
    assert ["HO-G001", "HO-G001"] == [
        found.code for found in check_corpus(written(tmp_path, text)) if "G001" in found.code
    ]
    assert ["7", "8"] == [group.id for group in written(tmp_path, text, zeros="drop").manifest.groups]


@pytest.mark.parametrize(
    ("values", "what", "mend"),
    [
        (["1,994", "2,001.5", "3"], "holds numbers with commas, such as '1,994'", "`decimal: \",\"`"),
        (["3,14", "2,5", "10"], "holds numbers with a comma before the fraction", "`decimal: \",\"`"),
        ([*map(str, range(9)), "abc"], "words in 1 of 10 rows (abc)", "`missing: [abc]`"),
        ([*map(str, range(9)), "missing"], "words in 1 of 10 rows (missing)", "category}`"),
        (["2026-01-31", "2026-02-28", None], "holds dates", "`columns: {x: date}`"),
        (["2026-01-31T08:00", "2026-02-28 09:30:01"], "holds moments", "`columns: {x: datetime}`"),
        (["08:00:00", "09:30:00"], "holds times", "`columns: {x: time}`"),
        (["26:00:00", "1:30"], "holds durations", "`columns: {x: duration}`"),
        ([f"text {row}" for row in range(20)], "has 20 texts in 20 rows", "`corpus.ignore`"),
    ],
)  # fmt: skip
def test_what_a_column_looks_like_is_said_with_the_mend(values: list[Any], what: str, mend: str) -> None:
    """Each value would be a level of its own, and nobody would know why the model learns nothing."""
    look = look_at(pl.Series("x", values))
    assert look is not None
    assert what in look.what
    assert mend in look.mend


@pytest.mark.parametrize(
    "values",
    [
        ["u", "v", "w"],
        ["1 mg", "2 mg"],
        ["31.01.2026", "01.02.2026"],
        ["no 1", "2"],
        ["small", "1", "2"],
        [None, None],
        [1, 2],
        ["a"] * 30,
    ],
)
def test_what_is_a_word_is_left_alone(values: list[Any]) -> None:
    """An honest category would be reported, and findings no longer be read."""
    assert look_at(pl.Series("x", values)) is None


GAPPED = pl.DataFrame(
    {"g": ["a", "b", "c", "d"], "y": [-999.0, 2.5, 3.25, 4.0], "x": [-999.0, 1.0, 2.5, None], "n": [1, -999, 3, 4]}
)


@pytest.mark.parametrize("name", sorted(FORMS))
@pytest.mark.parametrize("word", ["-999", "-999.0", "-9.99e2"])
def test_a_number_that_stands_for_a_gap_is_one_in_every_form(name: str, word: str, tmp_path: Path) -> None:
    """A Parquet's -999 would be learnt from as a measurement, where the same table as a CSV has a gap."""
    FORMS[name](GAPPED, tmp_path / name)
    corpus = read(tmp_path / name, missing=[word])
    assert [None, 1.0, 2.5, None] == corpus.features["x"].to_list()
    assert [1, None, 3, 4] == corpus.features["n"].to_list()
    assert (-999.0, ()) == (corpus.targets("verify")[0], corpus.idle)


def test_among_numbers_a_word_is_a_number(tmp_path: Path) -> None:
    """`-9` would be a gap and `-9.0` a measurement, in one column; and a level `-9.0` be lost."""
    text = "g,y,x,w,v\na,1.5,-9,-9.0,?\nb,2.5,-9.0,-9,1\nc,3.5,1e0,-9.00,-9.00\n"
    found = written(tmp_path, text, missing=["-9", "?"], columns={"w": "category", "v": "number"}).features
    assert ([None, None, 1.0], [None, 1.0, None]) == (found["x"].to_list(), found["v"].to_list())
    assert ["-9.0", None, "-9.00"] == found["w"].to_list()
    comma = "g;y;x\na;1,5;-9,50\nb;2,5;1,0\n"
    assert [None, 1.0] == written(tmp_path, comma, missing=["-9,5"], separator=";", decimal=",").features["x"].to_list()


def test_a_word_is_compared_as_exactly_as_the_column_holds_it(tmp_path: Path) -> None:
    """A neighbour of a large number, or 255 of a byte, would become a gap; and a category's word stay one."""
    big = 9_007_199_254_740_993
    frame = FRAME.select("g", "y").with_columns(
        big=pl.Series([big, big - 1, 0]),
        byte=pl.Series([255, 1, 0], dtype=pl.UInt8),
        short=pl.Series([-0.1, 1, 2], dtype=pl.Float32),
        level=pl.Series(["?", "u", "v"], dtype=pl.Categorical),
        day=pl.Series(["1900-01-01", "2026-01-01", "2026-01-02"]).str.to_date(),
    )
    frame.write_parquet(tmp_path / "t.parquet")
    words = [str(big), "-1", "-0.1", "?", "1900-01-01", "1.5", str(1 << 64)]
    corpus = read(tmp_path / "t.parquet", missing=words, columns={"day": "date"})
    gaps = {name: corpus.features[name].is_null().arg_true().to_list() for name in corpus.features.columns}
    assert {"big": [0], "byte": [], "short": [0], "level": [0], "day": [0]} == gaps
    assert ("-1", "1.5", str(1 << 64)) == corpus.idle


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl"])
def test_a_word_that_stands_nowhere_is_named(name: str, tmp_path: Path) -> None:
    """A gap that is spelt otherwise than declared would be learnt from, and nobody be told."""
    FORMS[name](GAPPED, tmp_path / name)
    found = [each for each in check_corpus(read(tmp_path / name, missing=["-99", "-999"])) if each.code == "HO-G016"]
    assert ["corpus.missing"] == [each.where for each in found]
    assert "'-99' stands for a gap" in found[0].what
    assert not [each for each in check_corpus(read(tmp_path / name, missing=["-999"])) if each.code == "HO-G016"]


@pytest.mark.parametrize("encoding", ["utf8x", "hex", "rot13", "base64", "undefined", "", "\0"])
def test_an_encoding_that_is_none_is_refused_where_it_is_written(encoding: str, tmp_path: Path) -> None:
    """It would end as an error of ours, after the table was opened."""
    (tmp_path / "t.csv").write_text("g,y,x\na,1.5,1\n")
    with pytest.raises(ValueError, match="must be an encoding of texts"):
        read(tmp_path / "t.csv", encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf8", "UTF-16", "cp1252", "idna"])
def test_a_text_that_is_not_of_its_encoding_has_three_parts(encoding: str, tmp_path: Path) -> None:
    """A codec's own complaint would end as an error of ours."""
    (tmp_path / "t.csv").write_bytes(b"g,y,x\na,1.5,\x81\xff\n")
    with pytest.raises(CorpusError) as caught:
        read(tmp_path / "t.csv", encoding=encoding)
    assert caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize("packed", [False, True])
def test_lines_that_end_with_carriage_returns_are_named_as_such(packed: bool, tmp_path: Path) -> None:
    """The whole table would be a header, and two of its numbers columns of one name."""
    data = b"g,y,x\ra,2.5,2.5\rb,2.5,1\r"
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(CorpusError, match="carriage returns") as caught:
        read(path)
    assert "CRLF" in str(caught.value.hint)
    path.write_bytes(gzip.compress(data.replace(b"\r", b"\r\n")) if packed else data.replace(b"\r", b"\r\n"))
    assert 2 == read(path).manifest.rows


def test_a_quote_in_a_name_is_one_in_a_csv_too(tmp_path: Path) -> None:
    """A CSV's column would be named with two, and not be found by the name that it has."""
    frame = FRAME.rename({"g": 'g"q', "x": '"x'})
    frame.write_csv(tmp_path / "t.csv")
    corpus = read(tmp_path / "t.csv", group='g"q', missing=["u"], columns={'"x': "number"})
    assert (('"x', "w"), ["a", "b", "c"]) == (corpus.manifest.features, corpus.groups.to_list())


@pytest.mark.parametrize("name", sorted(FORMS))
def test_a_name_that_is_a_pattern_names_one_file(name: str, tmp_path: Path) -> None:
    """The rows would be those of another file, whose digest nobody took; or of all files in a folder."""
    suffix = name.removeprefix("t")
    FORMS[name](FRAME.with_columns(y=pl.lit(9.5)), tmp_path / f"t1{suffix}")
    for stem in ("t[1]", "t?", "t*"):
        FORMS[name](FRAME, tmp_path / f"{stem}{suffix}")
        np.testing.assert_array_equal(FRAME["y"].to_numpy(), read(tmp_path / f"{stem}{suffix}").targets("verify"))


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.json"])
def test_columns_of_json_keep_their_order(name: str, tmp_path: Path) -> None:
    """Of more than 32 polars shuffles them: a run of many classes would be called tampered with, by its own columns."""
    rows = [{f"c{number:02d}": number for number in range(60)} | more for more in ({}, {"b": 1, "a": 2})]
    text = json.dumps(rows) if name == "t.json" else "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert [*rows[0], "a", "b"] == read_table(tmp_path / name).columns
