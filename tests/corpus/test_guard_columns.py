"""HO-G005: what is a code of the target is found, and what is merely good, rare or private to a group is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.corpus import Corpus, CorpusManifest, Known, group_records
from heldout.corpus.guards import Finding, check_corpus

ROWS = 60
GROUPS = ["north", "south", "west"] * (ROWS // 3)
RNG = np.random.default_rng(3)
Y = RNG.normal(size=ROWS)


def guard(columns: dict[str, Any], y: Any, names: Any = None) -> list[Finding]:
    features = pl.DataFrame({"noise": np.random.default_rng([9, 9]).normal(size=len(y))} | columns)
    groups = pl.Series("group", GROUPS if names is None else names)
    task = "regression" if np.asarray(y).dtype.kind == "f" else "classification"
    records = group_records(groups, features, y, "rows.csv")
    names_of = tuple(features.columns)
    manifest = CorpusManifest("table", "rows.csv", "0" * 64, len(y), task, "y", names_of, records)  # type: ignore[arg-type]
    ids = pl.Series("sample_id", [str(number) for number in range(len(y))])
    corpus = Corpus(ids, groups, None, features, Known(y), manifest)
    return [each for each in check_corpus(corpus) if each.code == "HO-G005"]


@pytest.mark.parametrize("code", [np.exp, lambda y: -(y**3), lambda y: np.argsort(np.argsort(y)), np.arctan])
def test_a_monotone_code_of_the_target_blocks(code: Any) -> None:
    """A rank, a logarithm or a percentile of the answer would pass as a feature."""
    (finding,) = guard({"code": code(Y)}, Y)
    assert ("column code", True) == (finding.where, finding.blocking)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_one_row_out_of_order_is_no_code(seed: int) -> None:
    """A feature that is only very good would be thrown out."""
    y = np.random.default_rng(seed).normal(size=ROWS)
    feature = np.argsort(np.argsort(y)).astype(float)
    low, high = np.argsort(y)[[10, 50]]
    feature[[low, high]] = feature[[high, low]]
    assert [] == guard({"good": np.exp(feature / 10)}, y)


@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("kind", [str, int])
def test_a_code_for_the_label_blocks(labels: int, kind: type) -> None:
    """A diagnosis would be predicted from the code under which it was billed."""
    truth = RNG.integers(0, labels, ROWS)
    y = np.array([f"label{number}" for number in truth])
    codes = [kind(number * 7 % 11) for number in truth]
    (finding,) = guard({"code": codes}, y)
    assert ("column code", True) == (finding.where, finding.blocking)
    codes[0] = next(code for code in codes if code != codes[0])
    assert [] == guard({"code": codes}, y)


def test_a_code_for_a_number_blocks() -> None:
    """A target of few values would hide behind an arbitrary numbering of them."""
    y = RNG.choice([1.5, 2.25, 7.0, 9.0], ROWS)
    code = [{1.5: 3, 2.25: 1, 7.0: 4, 9.0: 2}[value] for value in y.tolist()]
    (finding,) = guard({"code": code}, y)
    assert ("column code", True) == (finding.where, finding.blocking)


def test_what_belongs_to_one_group_is_no_code() -> None:
    """A site's name goes with the site's own answer, and says nothing of a site that is held out."""
    y = np.repeat([1.0, 2.0, 3.0], 20)
    sites = np.repeat(["a", "b", "c"], 20)
    assert [] == guard({"site": sites.tolist()}, y, sites)


def test_a_target_without_its_groups_mean_blocks() -> None:
    """The answer inside every group would pass because groups lie high or low."""
    groups = np.repeat([0, 1, 2], ROWS // 3)
    y = Y + 5 * groups
    means = np.array([y[groups == number].mean() for number in range(3)])
    (finding,) = guard({"code": y - means[groups]}, y, [f"g{number}" for number in groups])
    assert ("column code", True) == (finding.where, finding.blocking)


def test_one_group_of_two_labels_is_no_code() -> None:
    """Any feature fits the one row that differs: a table of clear groups would be HOLD."""
    names = [f"g{number // 2}" for number in range(ROWS)]
    y = np.array(["no"] * (ROWS - 1) + ["yes"])
    assert [] == guard({"good": np.random.default_rng(4).normal(size=ROWS)}, y, names)


def test_a_level_of_its_own_in_each_row_is_no_code() -> None:
    """Any column of different texts would count as a code of any column of different numbers."""
    assert [] == guard({"name": [f"row{number}" for number in range(ROWS)]}, Y)


def test_copied_rows_are_no_code() -> None:
    """Where a group was copied, each measured column would count as a code of the target, beside the copy itself."""
    half, groups = RNG.normal(size=ROWS // 2), np.repeat(["north", "south"], ROWS // 2)
    assert [] == guard({"measured": np.tile(half, 2)}, np.tile(Y[: ROWS // 2], 2), groups)


def test_a_coincidence_of_few_rows_is_no_code() -> None:
    """One case in a small table, and a column that marks it: a table with many columns has such by chance."""
    y = np.array(["no"] * 11 + ["yes"])
    assert [] == guard({"mark": [False] * 11 + [True]}, y, ["a", "b", "c"] * 4)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_shuffled_answers_have_no_code(seed: int, levels: int) -> None:
    """Chance would be taken for a leak."""
    rng = np.random.default_rng(seed)
    columns = {f"c{number}": rng.integers(0, levels, ROWS) for number in range(20)}
    assert [] == guard(columns, rng.integers(0, levels, ROWS).astype(str))
    assert [] == guard(columns, rng.integers(0, levels, ROWS).astype(float))
