"""From finished units to one table of out-of-fold predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from units_kit import land

from heldout.corpus import Corpus
from heldout.errors import CorpusError
from heldout.run.collect import collect
from heldout.task import Predictions

LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression"}
RULE = {"rules": [{"id": "accuracy", "metric": "accuracy", "over": "pooled", "at_least": 0.5}]}


def collected(desk: Any, **changes: Any) -> tuple[Predictions, Corpus]:
    prepared = desk.prepare(**changes)
    units = prepared.main.units
    for unit in units:
        land(prepared, unit)
    return collect(units, prepared.corpus)[0], prepared.corpus


def test_every_row_has_the_prediction_of_the_fold_that_held_it_out(desk: Any) -> None:
    """Metrics would be of rows that the model was trained on, or of other rows than they say."""
    predictions, corpus = collected(desk)
    samples = predictions.samples
    assert corpus.ids.to_list() == samples["sample_id"].to_list()
    assert corpus.groups.to_list() == samples["group"].to_list() == samples["fold"].to_list()
    assert corpus.targets("verify").tolist() == samples["target"].to_list()
    assert [0, 1] == sorted(predictions.members)
    for member in predictions.members.values():
        assert np.isfinite(member).all()
        assert np.corrcoef(member, corpus.targets("verify"))[0, 1] > 0.9  # shuffled rows would not correlate


def test_fixed_split_predicts_its_test_groups_only(desk: Any) -> None:
    """Training rows would count as held out."""
    predictions, _ = collected(desk, split={"kind": "fixed", "test": ["bob", "dan"]})
    assert {"bob", "dan"} == set(predictions.samples["group"])
    assert 14 + 18 == predictions.samples.height
    assert {"test"} == set(predictions.samples["fold"])


def test_class_that_a_fold_never_saw_has_probability_zero(desk: Any) -> None:
    """Columns of a model with fewer classes would stand under the wrong labels."""
    frame = pl.read_csv(desk.table).with_columns(
        score=pl.when(pl.col("person") == "dan").then(pl.lit("a rare one")).otherwise(pl.format("is {}", "kind"))
    )
    frame.write_csv(desk.table)
    predictions, corpus = collected(desk, fit=LOGISTIC, gate=RULE, baselines=[])
    assert ("a rare one", "is left", "is right") == predictions.classes
    dan = (corpus.groups == "dan").to_numpy()
    member = predictions.members[0]
    assert (60, 3) == member.shape
    np.testing.assert_allclose(1.0, member.sum(axis=1))
    assert (member[dan, 0] == 0.0).all()
    assert (member[~dan, 0] > 0.0).all()
    kinds = corpus.features["kind"].to_numpy() == "right"
    assert (kinds[~dan] == (member[~dan, 2] > member[~dan, 1])).mean() > 0.95


def test_unit_of_other_rows_is_refused(desk: Any) -> None:
    """A unit that was copied from another run would be cut or stretched to fit."""
    prepared = desk.prepare()
    units = prepared.main.units
    for unit in units:
        land(prepared, unit)
    (units[0].folder / "predictions.safetensors").write_bytes(
        (units[1].folder / "predictions.safetensors").read_bytes()
    )
    with pytest.raises(CorpusError, match="14 predictions for 12 rows") as caught:
        collect(units, prepared.corpus)
    assert str(units[0].folder) == caught.value.where
