"""The ridge backbone: each fold is the model that its training rows alone give, by scikit-learn's account too."""

from __future__ import annotations

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
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.errors import InputError, StudyError, TamperedError
from heldout.fit.ridge import FILE, RidgeBackbone, RidgeModel, RidgeParams

pytest.importorskip("sklearn")


def views(seed: int, sizes: list[int], features: int = 3, traps: tuple[str, ...] = ()) -> TrainView:
    """Rows of groups of these sizes, mixed; numbers, a truth value, a text, and what may trap a linear model."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat([f"g{number}" for number in range(len(sizes))], sizes))
    rows = len(groups)
    X = rng.normal(size=(rows, features)) * np.logspace(-2, 3, features) + 10.0
    frame = pl.DataFrame({f"x{number}": X[:, number] for number in range(features)})
    frame = frame.with_columns(
        flag=pl.Series(rng.integers(0, 2, rows).astype(bool)), kind=pl.Series(rng.choice(["a", "b", "c"], rows))
    )
    if "copy" in traps:
        frame = frame.with_columns(copy=pl.col("x0") * 2.0)
    if "sum" in traps:
        frame = frame.with_columns(total=pl.col("x0") + pl.col("x1") - 3.0)
    if "constant" in traps:
        frame = frame.with_columns(constant=pl.lit(0.1))
    if "constant in train" in traps:
        frame = frame.with_columns(nearly=pl.Series(np.where(groups == "g0", rng.normal(size=rows), 1e6 / 3)))
    if "own word" in traps:
        words = np.where(groups == "g1", "only here", rng.choice(["p", "q"], rows))
        frame = frame.with_columns(word=pl.Series(words))
    if "far" in traps:
        frame = frame.with_columns(far=pl.Series(1e8 + rng.normal(size=rows)))
    y = X @ rng.normal(size=features) / 100 + 0.1 * rng.normal(size=rows) + (frame["kind"] == "a").to_numpy()
    return TrainView(frame, y, groups, "regression")


def without(view: TrainView, group: str) -> TrainView:
    rows = np.flatnonzero(view.groups != group)
    return TrainView(view.features[rows], view.target[rows], view.groups[rows], view.task)


def every_fold(backbone: RidgeBackbone, view: TrainView) -> dict[str, RidgeModel]:
    """Each group held out, from one pass over the rows."""
    rows = rows_by_group(pl.Series(view.groups))

    def summarise(name: str) -> Any:
        part = rows[name]
        return backbone.summarise(TrainView(view.features[part], view.target[part], view.groups[part], view.task))

    pool = Pool(rows, summarise, backbone.join)
    return {out: backbone.fit_summary(pool.of(name for name in rows if name != out), 0) for out in rows}


TRAPS = ("copy", "sum", "constant", "constant in train", "own word", "far")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(1, 30), min_size=3, max_size=8),
    features=st.integers(2, 8),
    alpha=st.sampled_from([1e-3, 1.0, 30.0]),
    traps=st.lists(st.sampled_from(TRAPS), unique=True, max_size=6),
)
def test_every_fold_is_the_fit_of_its_training_rows(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    sizes: list[int],
    features: int,
    alpha: float,
    traps: list[str],
) -> None:
    """The table would show another model than the one that it names: collinear, constant, or of a group of one row."""
    view, backbone = views(seed, sizes, features, tuple(traps)), RidgeBackbone(RidgeParams(alpha=alpha))
    peer = SklearnBackbone(SklearnParams(estimator="sklearn.linear_model.Ridge", params={"alpha": alpha}))
    everything = FeaturesView(view.features)
    for held_out, model in every_fold(backbone, view).items():
        train = without(view, held_out)
        alone = backbone.fit(train, 7, Path())
        assert alone.columns == model.columns
        assert alone.linear.coef.tobytes() == model.linear.coef.tobytes()
        assert (alone.linear.center.tobytes(), alone.linear.level) == (
            model.linear.center.tobytes(),
            model.linear.level,
        )

        seen = FeaturesView(train.features)
        expected = peer.predict(peer.fit(train, 0, Path()), seen)
        scale = max(1.0, float(np.abs(train.target).max()))
        np.testing.assert_allclose(backbone.predict(model, seen), expected, rtol=0, atol=1e-7 * scale)
        if "far" not in traps:
            expected = peer.predict(peer.fit(train, 0, Path()), everything)
            size = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(backbone.predict(model, everything), expected, rtol=0, atol=1e-7 * size)


def test_held_out_rows_do_not_touch_a_bit_of_the_model() -> None:
    """Held-out rows would reach the model: through rounding, as when a group is subtracted, or through its words."""
    before = views(3, [9, 8, 7, 6])
    mine = pl.Series(before.groups) == "g2"
    changed = before.features.with_columns(
        pl.when(mine).then(pl.lit("unheard of")).otherwise("kind").alias("kind"),
        *(pl.when(mine).then(pl.col(f"x{i}") * 1e9).otherwise(f"x{i}").alias(f"x{i}") for i in range(3)),
    )
    after = TrainView(changed, np.where(mine.to_numpy(), -7.0, before.target), before.groups, before.task)
    backbone = RidgeBackbone(RidgeParams())
    expected, found = every_fold(backbone, before)["g2"], every_fold(backbone, after)["g2"]
    assert expected.columns == found.columns
    assert expected.linear.coef.tobytes() == found.linear.coef.tobytes()
    assert (expected.linear.center.tobytes(), expected.linear.level) == (
        found.linear.center.tobytes(),
        found.linear.level,
    )


def test_a_feature_that_is_constant_in_training_says_nothing() -> None:
    """A spread that is rounding alone would make an unseen value shift a prediction by millions."""
    view = views(1, [40, 500, 333, 77], traps=("constant in train",))
    model = every_fold(RidgeBackbone(RidgeParams()), view)["g0"]
    weights = dict(zip(model.columns, model.linear.coef.tolist(), strict=True))
    assert [0.0] == [weight for column, weight in weights.items() if column.feature == "nearly"]


def test_a_tiny_penalty_on_nearly_collinear_features_is_refused() -> None:
    """A fold would be answered with coefficients of noise."""
    view = views(1, [40, 50, 60])
    rng = np.random.default_rng(0)
    close = view.features.with_columns(close=pl.col("x0") + pl.Series(1e-8 * rng.normal(size=150)))
    view = TrainView(close, view.target, view.groups, view.task)
    RidgeBackbone(RidgeParams(alpha=1e-3)).fit(view, 0, Path())
    with pytest.raises(InputError, match="nearly collinear") as error:
        RidgeBackbone(RidgeParams(alpha=1e-12)).fit(view, 0, Path())
    assert "larger penalty" in str(error.value.hint)


@pytest.mark.parametrize("kind", ["cut", "other", "missing"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, kind: str) -> None:
    """A damaged model would answer."""
    from heldout.backbone.tensors import pack

    backbone = RidgeBackbone(RidgeParams())
    backbone.save(backbone.fit(views(5, [9, 8, 7]), 0, tmp_path), tmp_path)
    path = tmp_path / FILE
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif kind == "other":
        facts = {"schema": "heldout.ridge/1", "columns": [["x0", None], ["x1", None]]}
        path.write_bytes(pack({"coef": np.ones(1), "center": np.ones(2), "level": np.ones(1)}, facts))
    else:
        path.unlink()
    with pytest.raises(TamperedError, match="no ridge regression"):
        backbone.load(tmp_path)


def test_an_answer_depends_on_its_row_alone() -> None:
    """A row would be predicted otherwise in shadow, alone, than in the run, among others."""
    view, backbone = views(5, [90, 80, 70], features=8), RidgeBackbone(RidgeParams())
    model = backbone.fit(view, 0, Path())
    whole = backbone.predict(model, FeaturesView(view.features))
    apart = [backbone.predict(model, FeaturesView(view.features[row])) for row in range(view.features.height)]
    assert whole.tobytes() == np.concatenate(apart).tobytes()


def test_unseen_words_are_told_and_add_nothing() -> None:
    """Nobody would know that a site was predicted as none."""
    view, backbone = views(5, [9, 8, 7], traps=("own word",)), RidgeBackbone(RidgeParams())
    model = backbone.fit(without(view, "g1"), 0, Path())
    held_out = view.features.filter(pl.Series(view.groups == "g1"))
    assert ["word only here: not among the training rows of a fold, predicted without it"] == backbone.warnings(
        FeaturesView(held_out), model
    )
    assert [] == backbone.warnings(FeaturesView(without(view, "g1").features), model)
    assert np.isfinite(backbone.predict(model, FeaturesView(held_out))).all()


def test_declared_features_are_the_only_ones(tmp_path: Path) -> None:
    """A column that is not known at prediction time would be learnt from all the same."""
    backbone = RidgeBackbone(RidgeParams(features=["x1", "kind"]))
    model = backbone.fit(views(5, [9, 8, 7]), 0, tmp_path)
    assert {"x1", "kind"} == {column.feature for column in model.columns}
    with pytest.raises(StudyError, match="no feature 'x9'") as error:
        RidgeBackbone(RidgeParams(features=["x9"])).fit(views(5, [9, 8, 7]), 0, tmp_path)
    assert "x0" in str(error.value.hint)


def test_a_text_of_names_is_refused() -> None:
    """A table with an identifier among its features would take all memory."""
    frame = pl.DataFrame({"x": np.arange(1500.0), "patient": [f"p{number}" for number in range(1500)]})
    view = TrainView(frame, np.arange(1500.0), np.array(["a", "b", "c"] * 500), "regression")
    with pytest.raises(StudyError, match="'patient'"):
        RidgeBackbone(RidgeParams()).fit(view, 0, Path())


def test_what_is_not_finite_or_cannot_be_squared_is_refused() -> None:
    """One number would make every fold but its own a model of nothing."""
    for bad, message in ((float("nan"), "finite"), (float("inf"), "finite"), (1e200, "too large")):
        view = views(5, [9, 8, 7])
        frame = view.features.with_columns(x0=pl.Series([bad, *view.features["x0"][1:]]))
        with pytest.raises(InputError, match=message):
            RidgeBackbone(RidgeParams()).fit(TrainView(frame, view.target, view.groups, view.task), 0, Path())
