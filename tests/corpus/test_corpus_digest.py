"""A group's digest: its content, whatever the group is called and however its rows are ordered and stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from heldout.corpus import CorpusManifest, group_records
from heldout.evidence import dumps, loads

VALUES = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.tuples(VALUES, st.integers(-(2**53), 2**53), st.sampled_from(["", "u", "v", "ü", "u "]), VALUES)
Row = tuple[float, int, str, float]


def digests(rows: Sequence[Row], groups: Sequence[str] | None = None) -> list[str]:
    names = pl.Series("group", list(groups or ["g"] * len(rows)), dtype=pl.String)
    columns: dict[str, Any] = {
        "a": pl.Series([row[0] for row in rows], dtype=pl.Float64),
        "n": pl.Series([row[1] for row in rows], dtype=pl.Int64),
        "word": pl.Series([row[2] for row in rows], dtype=pl.String),
    }
    target = np.array([row[3] for row in rows])
    return [record.sha256 for record in group_records(names, pl.DataFrame(columns), target, "rows.csv")]


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=8).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_of_rows_does_not_matter(pair: tuple[list[Row], list[Row]]) -> None:
    """A copy of a group with its rows shuffled would pass for another group."""
    assert digests(pair[0]) == digests(pair[1])


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=6), st.data())
def test_every_value_matters(rows: list[Row], data: st.DataObject) -> None:
    """A corrected label would leave the digest as it was, and old fits would be reused."""
    index = data.draw(st.integers(0, len(rows) - 1))
    row = list(rows[index])
    column = data.draw(st.integers(0, 3))
    row[column] = data.draw(ROWS)[column]
    changed = [*rows[:index], tuple(row), *rows[index + 1 :]]
    assume(sorted(changed) != sorted(rows))
    assert digests(rows) != digests(changed)  # type: ignore[arg-type]


def test_the_number_of_copies_of_a_row_matters() -> None:
    """A group whose rows were appended twice would look unchanged."""
    row = (1.0, 2, "u", 3.0)
    assert digests([row]) != digests([row, row])


def test_the_name_of_the_group_does_not_matter() -> None:
    """A copy under a second name would not be found."""
    first, second = (1.0, 2, "u", 3.0), (4.0, 5, "v", 6.0)
    a, b = digests([first, second, second, first], ["x", "x", "y", "y"])
    assert a == b


def test_a_value_in_another_column_is_another_content() -> None:
    """Two columns exchanged by mistake would go unnoticed."""
    names = pl.Series("group", ["g", "g"])
    target = np.array([0.0, 1.0])
    one = group_records(names, pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}), target, "p")
    two = group_records(names, pl.DataFrame({"a": [3.0, 4.0], "b": [1.0, 2.0]}), target, "p")
    assert one[0].sha256 != two[0].sha256


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (pl.Series([1, 2], dtype=pl.Int8), pl.Series([1, 2], dtype=pl.Int64)),
        (pl.Series([1, 2], dtype=pl.Int64), pl.Series([1.0, 2.0], dtype=pl.Float64)),
        (pl.Series([0.5, 2.0], dtype=pl.Float32), pl.Series([0.5, 2.0], dtype=pl.Float64)),
        (pl.Series([0.0, 1.0]), pl.Series([-0.0, 1.0])),
        (pl.Series(["u", "v"]), pl.Series(["u", "v"], dtype=pl.Categorical)),
    ],
)
def test_how_a_value_is_stored_does_not_matter(one: pl.Series, two: pl.Series) -> None:
    """The same table as CSV and as Parquet would be two corpora, and a copy in the other not be found."""
    names, target = pl.Series("group", ["g", "g"]), np.array([0.0, 1.0])
    first, second = (group_records(names, pl.DataFrame({"a": column}), target, "p") for column in (one, two))
    assert first[0].sha256 == second[0].sha256


def test_the_order_of_feature_columns_does_not_matter_but_their_number_does() -> None:
    """A table with its columns sorted would be new content."""
    names, target = pl.Series("group", ["g", "g"]), np.array([0.0, 1.0])
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    kept, sorted_, fewer = (
        group_records(names, frame.select(c), target, "p")[0] for c in (["a", "b"], ["b", "a"], "a")
    )
    assert kept.sha256 == sorted_.sha256
    assert kept.sha256 != fewer.sha256


def test_the_manifest_is_strict_json_that_reads_back() -> None:
    """`corpus.json` would not say what was learnt from."""
    names = pl.Series("group", ["b", "a", "b"])
    records = group_records(names, pl.DataFrame({"x": [1, 2, 3]}), np.array([1.0, 2.0, 3.0]), "rows.csv")
    manifest = CorpusManifest("table", "rows.csv", "f" * 64, 3, "regression", "y", ("x",), records)
    document = loads(dumps(manifest.to_json()), where="corpus.json")
    assert "heldout.corpus/1" == document["schema"]
    assert [("a", 1), ("b", 2)] == [(group["id"], group["samples"]) for group in document["groups"]]
    assert dataclasses.asdict(records[0])["sha256"] == document["groups"][0]["sha256"]
