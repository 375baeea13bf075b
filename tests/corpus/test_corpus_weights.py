"""A column of weights: read strictly, a role of its own, part of what a corpus is, handed out with training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from heldout.backbone.sklearn import SklearnParams
from heldout.corpus import Corpus
from heldout.corpus.guards import examine_corpus
from heldout.corpus.perturb import changed_corpus
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError
from heldout.fit.ridge import RidgeParams

ROWS = {
    "site": ["north", "south", "north", "west"],
    "a": [3.0, 1.0, 2.0, 5.0],
    "y": [0.5, 2.5, -3.25, 1.5],
    "w": [1.0, 0.0, 2.5, 4.0],
}
Read = Callable[..., Corpus]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads rows of a CSV whose columns are replaced."""

    def from_rows(weight: str | None = "w", options: dict[str, Any] | None = None, **columns: Any) -> Corpus:
        path = tmp_path / "rows.csv"
        pl.DataFrame(ROWS | columns, strict=False).write_csv(path)
        named = {"path": path, "group": "site", "target": "y", "weight": weight} | (options or {})
        return TableReader(TableOptions.model_validate(named)).read()

    return from_rows


def test_weights_are_a_role_of_their_own(read: Read) -> None:
    """A model would learn from how much its rows count, which nobody knows of a new row."""
    corpus = read()
    assert ("a",) == corpus.manifest.features
    assert "w" == corpus.manifest.weight
    assert corpus.weight is not None
    assert [1.0, 0.0, 2.5, 4.0] == corpus.weight.tolist()
    assert [] == ([] if corpus.aside is None else corpus.aside.columns)


@pytest.mark.parametrize(
    ("weights", "where", "what"),
    [
        ([1.0, None, 2.0, 1.0], "row 2, column w", "1 missing or non-finite values"),
        ([1.0, 1.0, float("nan"), 1.0], "row 3, column w", "1 missing or non-finite values"),
        ([1.0, 1.0, 1.0, float("inf")], "row 4, column w", "1 missing or non-finite values"),
        ([1.0, -0.5, 2.0, -1.0], "row 2, column w", "2 weights are negative, the first is -0.5"),
        ([1, 2, -3, 4], "row 3, column w", "1 weights are negative, the first is -3"),
        (["heavy", "light", "light", "light"], "column w", "are String, not numbers"),
        ([True, False, True, True], "column w", "are Boolean, not numbers"),
        ([0.0, 0.0, 0.0, 0.0], "column w", "every weight is 0, so nothing counts"),
        ([1e308, 1e308, 1e308, 1.0], "column w", "the largest weight is 1e+308, outside of 1e-09 to 1e+12"),
        ([1.1e12, 1e12, 1e12, 0.0], "column w", "the largest weight is 1.1e+12, outside"),
        ([5e-324, 5e-324, 0.0, 5e-324], "column w", "the largest weight is 4.94066e-324, outside"),
        ([9e-10, 9e-10, 0.0, 9e-10], "column w", "the largest weight is 9e-10, outside"),
        ([1.0, 2e6, 1.5, 1.0], "column w", "more than 1,000,000 times the smallest above 0, 1: rows of that weight"),
    ],
)
def test_weights_that_count_nothing_are_refused(read: Read, weights: list[Any], where: str, what: str) -> None:
    """A gap would be filled with a guess, a negative row improve an error, and rounding decide whose errors count."""
    with pytest.raises(CorpusError) as caught:
        read(w=weights)
    assert what in caught.value.what
    assert where in str(caught.value.where)
    assert caught.value.hint


@pytest.mark.parametrize(
    "weights", [[1e-9, 0.0, 1e-9, 1e-15], [1e12, 1e6, 0.0, 1e12], [3.0, 3.0, 3.0, 3.0], [1e6, 1.0, 0.0, 1.0]]
)
def test_weights_of_any_unit_are_read(read: Read, weights: list[float]) -> None:
    """Who weighs by population or in grams would have no corpus."""
    corpus = read(w=weights)
    assert corpus.weight is not None
    assert weights == corpus.weight.tolist()


@pytest.mark.parametrize(
    "options", [{"weight": "y"}, {"weight": "site"}, {"features": ["a", "w"]}, {"ignore": ["w"]}, {"id": "w"}]
)
def test_a_weight_is_nothing_else(read: Read, options: dict[str, Any]) -> None:
    """A column that is two things would weigh rows by their target or their name."""
    with pytest.raises(CorpusError, match="is two things at once"):
        read(options=options)


def test_a_column_that_is_not_there_is_refused(read: Read) -> None:
    """Every row would count alike without a word."""
    with pytest.raises(CorpusError, match="no column 'weigth'"):
        read(weight="weigth")


def test_groups_are_other_groups_with_other_weights(read: Read) -> None:
    """Who moves weight to the rows where a model is good would have judged the very corpus that was registered."""
    plain, moved = read(), read(w=[2.5, 0.0, 1.0, 4.0])
    digests = [{each.id: each.sha256 for each in corpus.manifest.groups} for corpus in (plain, moved)]
    assert {"north"} == {name for name in digests[0] if digests[0][name] != digests[1][name]}
    assert plain.manifest.sha256 != moved.manifest.sha256
    content = [[each.content for each in corpus.manifest.groups] for corpus in (plain, moved, read(None))]
    assert content[0] == content[1], "the same rows, whatever they weigh"
    assert content[0] != content[2], "where the column is a feature, rows are other rows"


def test_the_order_of_rows_changes_no_group(read: Read) -> None:
    """A sorted table would be another corpus."""
    mixed = {name: [values[place] for place in (3, 2, 1, 0)] for name, values in ROWS.items()}
    assert [each.sha256 for each in read().manifest.groups] == [each.sha256 for each in read(**mixed).manifest.groups]


def test_a_corpus_without_weights_is_what_it_was(read: Read) -> None:
    """Every run of before would be of another corpus, variant and fit."""
    plain = read(None, {"ignore": ["w"]})
    assert "weight" not in plain.manifest.to_json()
    assert not [group for group in plain.manifest.to_json()["groups"] if "unweighted" in group]
    options = TableOptions(path=Path("t.csv"), group="site", target="y")
    assert "weight" not in options.identity()
    assert "weight" not in SklearnParams(estimator="sklearn.linear_model.Ridge").model_dump(mode="json")
    assert "weight" not in RidgeParams().model_dump(mode="json")
    assert "w" == options.model_copy(update={"weight": "w"}).identity()["weight"]


def test_another_word_than_use_and_ignore_is_refused() -> None:
    """A slip of the pen would decide whether a fit is weighted."""
    assert "ignore" == RidgeParams(weight="ignore").model_dump(mode="json")["weight"]
    with pytest.raises(ValidationError):
        RidgeParams.model_validate({"weight": "w"})


def test_a_copied_group_that_weighs_another_thing_is_a_copy(read: Read) -> None:
    """A group in training would show the answers of its copy, hidden behind one changed weight."""
    twins = read(site=["north", "north", "south", "south"], a=[1, 2, 1, 2], y=[1, 5, 1, 5], w=[1, 1, 1, 2])
    codes = [finding.code for result in examine_corpus(twins, 0.5) for finding in result.findings]
    assert "HO-G002" in codes


def test_views_hand_weights_out_with_their_rows(read: Read) -> None:
    """A row would be fitted with the weight of another one."""
    corpus = read()
    validation = corpus.validation_view(["west"])
    view = corpus.train_view(np.array([2, 0]), validation)
    assert view.weight is not None
    assert validation.weight is not None
    assert ([2.5, 1.0], [4.0]) == (view.weight.tolist(), validation.weight.tolist())
    assert read(None).train_view(np.array([0])).weight is None


def test_a_sealed_corpus_tells_no_weight(read: Read) -> None:
    """A weight that is the target would pass the door that targets do not."""
    sealed = read(options={"features": ["a"]}).sealed()
    assert sealed.weighted
    assert sealed.weights() is None


def test_held_out_weights_move_where_fits_are_tried_out(read: Read) -> None:
    """A fit that reaches for the weights of held-out rows would go unnoticed."""
    corpus = read()
    moved = changed_corpus(corpus, ["north"], None)
    assert moved.weight is not None
    assert [4.0, 0.0, 1.0, 4.0] == moved.weight.tolist()


@pytest.mark.parametrize(
    "weights",
    [
        [1, 0, 2, 4],
        [0.3, 0.3, 0.3, 0.3],
        [10**12] * 4,
        [1e12] * 4,
        [1e-9] * 4,
        [1, 1, 1, 0],
        [1e-9, 0.0, 1e-9, 1e-15],
        [1e6, 1e6, 1e12, 1e12],
    ],
)
def test_a_changed_copy_of_the_table_moves_them_too(read: Read, tmp_path: Path, weights: list[Any]) -> None:
    """As above, for what reads the table itself; a copy that cannot be read would end an honest run."""
    corpus = read(w=weights)
    options = TableOptions(path=tmp_path / "rows.csv", group="site", target="y", weight="w")
    copy = TableReader(options).write_changed(tmp_path / "copy.csv", ["west"], None)
    moved = TableReader(copy).read()
    assert moved.weight is not None
    assert corpus.weight is not None
    assert corpus.weight[:3].tolist() == moved.weight[:3].tolist()
    assert corpus.weight[3] != moved.weight[3]


def test_weights_follow_rows_of_any_order(read: Read) -> None:
    """Rows that are gathered would weigh what their neighbours do."""
    corpus = read()
    assert corpus.weights() is corpus.weight
    found = corpus.weights(np.array([3, 1]))
    assert found is not None
    assert [4.0, 0.0] == found.tolist()
    assert replace(corpus, weight=None).weights(np.array([1])) is None
