"""The ridge by weights: sums over groups give what scikit-learn fits by `sample_weight`, to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.backbone import FeaturesView, TrainView
from heldout.backbone.grouped import rows_by_group
from heldout.backbone.pool import Pool
from heldout.errors import InputError
from heldout.fit.ridge import RidgeBackbone, RidgeModel, RidgeParams

pytest.importorskip("sklearn")
GROUPS = ("g0", "g1", "g2", "g3")


def rows(seed: int, *, silent: Sequence[str] = (), word: str = "") -> TrainView:
    """Mixed rows of four groups with weights, 0 among them; groups that weigh nothing, and a text."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(GROUPS, rng.integers(6, 15, len(GROUPS))))
    count = len(groups)
    X = rng.normal(size=(count, 3)) * [0.1, 1.0, 100.0] + 10.0
    weight = rng.integers(0, 5, count).astype(np.float64)
    weight[np.isin(groups, silent)] = 0.0
    frame = pl.DataFrame({f"x{n}": X[:, n] for n in range(3)}).with_columns(
        kind=pl.Series(rng.choice(["a", "b"], count))
    )
    if word:
        frame = frame.with_columns(kind=pl.when(pl.Series(weight == 0)).then(pl.lit(word)).otherwise("kind"))
    y = X @ [3.0, 1.0, 0.02] + rng.normal(size=count) + 5.0 * (weight == 1.0)
    return TrainView(frame, y, groups, "regression", weight=weight)


def part(view: TrainView, chosen: Any) -> TrainView:
    weight = None if view.weight is None else view.weight[chosen]
    return TrainView(view.features[chosen], view.target[chosen], view.groups[chosen], view.task, weight=weight)


def every_fold(view: TrainView, **params: Any) -> dict[str, RidgeModel]:
    """Each group held out, from one pass over the rows."""
    backbone, by_group = RidgeBackbone(RidgeParams(**params)), rows_by_group(pl.Series(view.groups))
    pool = Pool(by_group, lambda name: backbone.summarise(part(view, by_group[name])), backbone.join)
    return {out: backbone.fit_summary(pool.but([out]), 0) for out in by_group}


def answers(model: RidgeModel, view: TrainView) -> Any:
    return RidgeBackbone(RidgeParams()).predict(model, FeaturesView(view.features))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 30.0]))
def test_every_fold_is_what_scikit_learn_fits_by_weight(seed: int, alpha: float) -> None:
    """A weighted model would be one that nobody else can fit."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    view = rows(seed)
    assert view.weight is not None
    for out, model in every_fold(view, alpha=alpha, features=["x0", "x1", "x2"]).items():
        trains = (view.groups != out) & (view.weight > 0)
        X, weight = view.features.select("x0", "x1", "x2").to_numpy(), view.weight[trains]
        scaler = StandardScaler().fit(X[trains], sample_weight=weight)
        theirs = Ridge(alpha=alpha).fit(scaler.transform(X[trains]), view.target[trains], sample_weight=weight)
        assert theirs.predict(scaler.transform(X)) == pytest.approx(answers(model, view), rel=1e-9, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_whole_weight_is_so_many_rows(seed: int) -> None:
    """Whoever writes a row three times and whoever writes a 3 beside it would get two models."""
    view = rows(seed, word="only where nothing counts")
    assert view.weight is not None
    often = np.repeat(np.arange(len(view.target)), view.weight.astype(np.int64))
    plain = part(TrainView(view.features, view.target, view.groups, view.task), often)
    ours, theirs = every_fold(view), every_fold(plain)
    for out in GROUPS:
        assert theirs[out].columns == ours[out].columns
        assert answers(theirs[out], view) == pytest.approx(answers(ours[out], view), rel=1e-9)


def test_a_group_that_weighs_nothing_adds_nothing() -> None:
    """A group that was to be left out would still draw the line to itself, or end the fit in a division by zero."""
    view = rows(5, silent=["g1", "g3"], word="silent")
    without = part(view, np.flatnonzero(~np.isin(view.groups, ["g1", "g3"])))
    ours, theirs = every_fold(view)["g0"], every_fold(without)["g0"]
    assert answers(theirs, without) == pytest.approx(answers(ours, without), rel=1e-12)


def test_texts_alone_of_a_group_that_weighs_nothing_add_nothing() -> None:
    """A table without numbers would fail in the first such group."""
    view = rows(6, silent=["g2"])
    texts = TrainView(view.features.select("kind"), view.target, view.groups, view.task, weight=view.weight)
    assert np.isfinite(answers(every_fold(texts)["g0"], texts)).all()


def test_training_rows_that_all_weigh_nothing_are_refused() -> None:
    """A model of nothing would answer numbers."""
    view = rows(7, silent=["g1", "g2", "g3"])
    with pytest.raises(InputError, match="every training row weighs nothing"):
        every_fold(view)


def test_weights_change_the_fit_unless_the_study_ignores_them(tmp_path: Path) -> None:
    """Weights would be read, registered and reported, and change nothing."""
    view = rows(8)
    alike = TrainView(view.features, view.target, view.groups, view.task)
    fitted = {
        name: answers(RidgeBackbone(RidgeParams.model_validate({"weight": name})).fit(view, 0, tmp_path), view)
        for name in ("use", "ignore")
    }
    plain = answers(RidgeBackbone(RidgeParams()).fit(alike, 0, tmp_path), view)
    assert plain.tolist() == fitted["ignore"].tolist()
    assert not np.allclose(plain, fitted["use"], rtol=1e-3)
