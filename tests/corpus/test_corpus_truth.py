"""Targets behind one door: who reads them is written down, and who may not read them cannot."""

from __future__ import annotations

import pickle

import numpy as np
import polars as pl
import pytest

from heldout.corpus import Corpus, CorpusManifest, Known, group_records
from heldout.errors import RefusedError


def corpus() -> Corpus:
    groups = pl.Series("group", ["ann", "bob", "ann", "cyd", "bob", "cyd"])
    features, y = pl.DataFrame({"a": np.arange(6.0)}), np.arange(6.0) * 10
    records = group_records(groups, features, y, "rows.csv")
    manifest = CorpusManifest("table", "rows.csv", "0" * 64, 6, "regression", "y", ("a",), records)
    return Corpus(pl.Series("sample_id", list("abcdef")), groups, None, features, Known(y), manifest)


def test_every_opening_names_its_groups() -> None:
    """A look at held-out truth would stand nowhere."""
    whole = corpus()
    assert {} == whole.opened
    np.testing.assert_array_equal([0.0, 20.0], whole.targets("score", whole.rows_of(["ann"])))
    whole.targets("score", whole.rows_of(["cyd"]))
    whole.targets("guard")
    assert {"score": {"ann", "cyd"}, "guard": {"ann", "bob", "cyd"}} == whole.opened


def test_training_rows_are_handed_out_and_validation_rows_are_an_opening() -> None:
    """Groups that a trainer stops by would count as never seen."""
    whole = corpus()
    view = whole.train_view(whole.rows_but(["cyd"]), whole.validation_view(["bob"]))
    assert view.validation is not None
    np.testing.assert_array_equal([10.0, 40.0], view.validation.target)
    assert {"validation": {"bob"}} == whole.opened


def test_a_sealed_corpus_has_everything_but_targets() -> None:
    """Code that complains about a corpus could keep what is true of its held-out rows."""
    whole = corpus()
    sealed = pickle.loads(pickle.dumps(whole.sealed()))
    assert whole.features.equals(sealed.features_view(np.arange(6)).features)
    for ask in (lambda: sealed.targets("guard"), lambda: sealed.train_view(sealed.rows_of(["ann"]))):
        with pytest.raises(RefusedError, match="sealed"):
            ask()
    assert b"Known" not in pickle.dumps(whole.sealed())


def test_two_runs_of_one_corpus_do_not_share_what_they_opened() -> None:
    """A run would stand for what another one read."""
    whole = corpus()
    whole.targets("guard")
    other = whole.unopened()
    assert {} == other.opened
    other.targets("split")
    assert ["guard"] == list(whole.opened)
