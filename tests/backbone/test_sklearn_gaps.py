"""Missing values: kept, or filled in each fold from its training rows, as scikit-learn does it by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.backbone import FeaturesView, TrainView
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.corpus import Corpus
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import StudyError

pytest.importorskip("sklearn")
pytest.importorskip("skops")

RIDGE = "sklearn.linear_model.Ridge"
BOOSTING = "sklearn.ensemble.HistGradientBoostingRegressor"


def backbone(estimator: str, params: dict[str, Any] | None = None, **more: Any) -> SklearnBackbone:
    return SklearnBackbone(SklearnParams(estimator=estimator, params=params or {}, **more))


def features(seed: int, rows: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    holes = rng.random(rows) < 0.2
    return pl.DataFrame(
        {
            "a": pl.Series(a).set(pl.Series(holes), None),
            "b": b,
            "word": [None if index % 7 == 0 else "xyz"[index % 3] for index in range(rows)],
            "yes": [None if index % 5 == 0 else index % 2 == 0 for index in range(rows)],
        }
    )


def view(rows: int = 60) -> TrainView:
    frame = features(1, rows)
    target = frame["b"].to_numpy() + frame["a"].fill_null(2.0).to_numpy()
    return TrainView(frame, target, np.array([f"g{index % 6}" for index in range(rows)]), "regression")


def corpus(folder: Path, frame: pl.DataFrame) -> Corpus:
    rows = view()
    frame.with_columns(y=pl.Series(rows.target), g=pl.Series(rows.groups)).write_parquet(folder / "t.parquet")
    return TableReader(TableOptions(path=folder / "t.parquet", group="g", target="y")).read().sealed()


def asked(found: SklearnBackbone, rows: TrainView, unseen: pl.DataFrame, folder: Path) -> Any:
    """What the stored model answers."""
    found.save(found.fit(rows, 0, folder), folder)
    return found.predict(found.load(folder), FeaturesView(unseen))


def test_gaps_are_filled_with_the_median_of_the_training_rows(tmp_path: Path) -> None:
    """They would be filled by what held-out rows say, or by another number in the stored model than in the judged."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows, unseen = view(), features(2, 40)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    hand = make_pipeline(make_column_transformer((numbers, ["a", "b", "yes"]), (words, ["word"])), Ridge())
    plain = [frame.with_columns(pl.col("yes").cast(pl.Float64)) for frame in (rows.features, unseen)]
    expected = hand.fit(plain[0], rows.target).predict(plain[1])
    found = asked(backbone(RIDGE, missing="impute"), rows, unseen, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_missing_word_is_a_level_of_its_own(tmp_path: Path) -> None:
    """Rows without a word would be refused, or predicted as if they had the first one."""
    rows, found = view(), backbone(RIDGE, features=["b", "word"])
    spelt = [frame.with_columns(pl.col("word").fill_null("none")) for frame in (rows.features, features(2, 40))]
    expected = asked(found, replace(rows, features=spelt[0]), spelt[1], tmp_path)
    np.testing.assert_allclose(asked(found, rows, features(2, 40), tmp_path), expected, rtol=1e-12)


def test_gaps_are_kept_for_an_estimator_that_takes_them(tmp_path: Path) -> None:
    """A tree that can send gaps its own way would be given medians, or nothing would run at all."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows, unseen = view(200), features(2, 40)
    table, other = (frame.select("a", "b").to_numpy() for frame in (rows.features, unseen))
    hand = HistGradientBoostingRegressor(max_iter=5, random_state=0).fit(table, rows.target)
    found = backbone(BOOSTING, {"max_iter": 5}, features=["a", "b"], scale=False)
    np.testing.assert_allclose(asked(found, rows, unseen, tmp_path), hand.predict(other), rtol=1e-12)
    filled = asked(backbone(BOOSTING, {"max_iter": 5}, features=["a", "b"], missing="impute"), rows, unseen, tmp_path)
    assert not np.allclose(filled, hand.predict(other))


def test_a_row_of_weight_two_is_two_rows_where_gaps_are_filled(tmp_path: Path) -> None:
    """The median would be that of rows counted once, and a row of weight 0 have its part in it."""
    rows, unseen = view(), features(2, 40)
    weight = np.array([0.0, 1.0, 2.0, 1.0] * 15)
    copies = np.repeat(np.arange(60), weight.astype(int))
    doubled = TrainView(rows.features[copies], rows.target[copies], rows.groups[copies], "regression")
    found = backbone(RIDGE, missing="impute")
    heavy = asked(found, replace(rows, weight=weight), unseen, tmp_path)
    np.testing.assert_allclose(heavy, asked(found, doubled, unseen, tmp_path), rtol=1e-9)


def test_what_takes_no_gaps_is_refused_with_a_mend_that_leaks_nothing(tmp_path: Path) -> None:
    """People would fill the whole table, held-out rows included, as they were told to."""
    with pytest.raises(StudyError, match=r"of 'a'.*does not say that it takes gaps") as caught:
        backbone(RIDGE, features=["a", "b"]).check(corpus(tmp_path, features(1)))
    assert "fit.missing" == caught.value.where
    assert "`fit: {missing: impute}`" in str(caught.value.hint)
    for fine in (
        backbone(RIDGE, missing="impute"),
        backbone(RIDGE, features=["b", "word"]),
        backbone(BOOSTING, features=["a"]),
    ):
        fine.check(corpus(tmp_path, features(1)))


IMPUTER = {"estimator": "sklearn.impute.SimpleImputer"}
SCALER = {"estimator": "sklearn.preprocessing.StandardScaler"}
LINEAR = {"estimator": RIDGE}
TREES = {"estimator": BOOSTING}
FILLED = {"steps": [["scale", SCALER], ["fill", IMPUTER], ["fit", LINEAR]]}
PIPELINE = "sklearn.pipeline.Pipeline"
VOTE = "sklearn.ensemble.VotingRegressor"


def columns(numbers: dict[str, Any], **more: Any) -> dict[str, Any]:
    words = {"estimator": "sklearn.preprocessing.OneHotEncoder", "params": {"handle_unknown": "ignore"}}
    chosen = [["numbers", numbers, ["a", "yes"]], ["words", words, ["word"]]]
    return {"estimator": "sklearn.compose.ColumnTransformer", "params": {"transformers": chosen, **more}}


@pytest.mark.parametrize(
    ("estimator", "params", "takes"),
    [
        (PIPELINE, FILLED, True),
        (PIPELINE, {"steps": [["scale", SCALER], ["fit", LINEAR]]}, False),
        (PIPELINE, {"steps": [["scale", SCALER], ["fit", TREES]]}, True),
        (PIPELINE, {"steps": [["none", "passthrough"], ["fit", LINEAR]]}, False),
        (
            "sklearn.model_selection.GridSearchCV",
            {"estimator": {"estimator": PIPELINE, "params": FILLED}, "param_grid": {"fit__alpha": [1.0, 2.0]}},
            True,
        ),
        ("sklearn.model_selection.GridSearchCV", {"estimator": LINEAR, "param_grid": {"alpha": [1.0]}}, False),
        (VOTE, {"estimators": [["a", TREES], ["b", {"estimator": PIPELINE, "params": FILLED}]]}, True),
        (VOTE, {"estimators": [["a", TREES], ["b", LINEAR]]}, False),
        (PIPELINE, {"steps": [["columns", columns(IMPUTER)], ["fit", LINEAR]]}, True),
        (PIPELINE, {"steps": [["columns", columns(SCALER)], ["fit", LINEAR]]}, False),
        (PIPELINE, {"steps": [["columns", columns(SCALER)], ["fill", IMPUTER], ["fit", LINEAR]]}, True),
        (PIPELINE, {"steps": [["columns", columns(SCALER)], ["fit", TREES]]}, True),
    ],
)
def test_gaps_go_as_far_as_a_step_that_fills_them(
    estimator: str, params: dict[str, Any], takes: bool, tmp_path: Path
) -> None:
    """A pipeline with an imputer would be refused, or one without fail unit by unit."""
    found = backbone(estimator, params)
    if takes:
        found.check(corpus(tmp_path, features(1)))
        assert np.isfinite(asked(found, view(), features(2, 40), tmp_path)).all()
        return
    with pytest.raises(StudyError, match="does not say that it takes gaps"):
        found.check(corpus(tmp_path, features(1)))
    with pytest.raises(ValueError, match="NaN"):
        found.fit(view(), 0, tmp_path)


def test_gaps_go_to_the_part_whose_columns_have_some(tmp_path: Path) -> None:
    """A part that is given none would be refused for gaps that it never sees."""
    steps = [["columns", columns(SCALER)], ["fit", LINEAR]]
    whole = features(1).with_columns(pl.col("a").fill_null(0.0), pl.col("yes").fill_null(value=False))
    gap = whole.with_columns(b=pl.when(pl.col("b") > 0).then("b"))  # is left out by the columns that are chosen
    backbone(PIPELINE, {"steps": steps}).check(corpus(tmp_path, gap))
    rest = [["columns", columns(SCALER, remainder="passthrough")], ["fit", LINEAR]]
    with pytest.raises(StudyError, match="of 'b'") as caught:
        backbone(PIPELINE, {"steps": rest}, missing="impute").check(corpus(tmp_path, gap))
    assert "SimpleImputer" in str(caught.value.hint)


def test_a_truth_value_with_gaps_is_a_number_with_gaps(tmp_path: Path) -> None:
    """Every unit would fail, after the check let it pass."""
    with pytest.raises(StudyError, match="of 'yes'"):
        backbone(RIDGE, features=["b", "yes"]).check(corpus(tmp_path, features(1)))
    found = backbone(RIDGE, features=["b", "yes"], missing="impute")
    found.check(corpus(tmp_path, features(1)))
    assert np.isfinite(asked(found, view(), features(2, 40), tmp_path)).all()


def test_a_column_without_a_value_in_training_rows_is_no_end(tmp_path: Path) -> None:
    """One site that measured nothing would end every fold that trains without the others."""
    rows = view()
    nothing = rows.features.with_columns(a=pl.lit(None, dtype=pl.Float64))
    values = asked(backbone(RIDGE, missing="impute"), replace(rows, features=nothing), features(2, 40), tmp_path)
    assert np.isfinite(values).all()


def test_many_words_take_no_square_of_the_rows(tmp_path: Path) -> None:
    """4,000 rows with a text each would take 4,000 x 4,000 numbers."""
    import tracemalloc

    from scipy.sparse import issparse
    from sklearn.preprocessing import OneHotEncoder

    rows = 4000
    frame = pl.DataFrame({"b": np.arange(rows, dtype=float), "word": [f"word {index}" for index in range(rows)]})
    train = TrainView(frame, np.arange(rows) % 7 * 1.0, np.array(["g", "h"] * (rows // 2)), "regression")
    models = []
    boosting = backbone(BOOSTING, params={"max_iter": 1})
    for each in (backbone(RIDGE), boosting):
        tracemalloc.start()
        models.append(each.fit(train, 0, tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 40e6
        tracemalloc.stop()
    sparse, dense = (model.steps[0][1].transform(frame) for model in models)
    assert issparse(sparse)
    assert (4000, 2) == dense.shape, "what stands once shares a column"
    twice = frame.with_columns(word=pl.format("word {}", pl.col("b").cast(pl.Int64).clip(upper_bound=1300) // 2))
    model = boosting.fit(replace(train, features=twice), 0, tmp_path)
    assert (4000, 1 + 651) == model.steps[0][1].transform(twice).shape
    odd = frame.with_columns(word=pl.format("word {}", pl.col("b").cast(pl.Int64).clip(lower_bound=1990)))
    hand = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist", sparse_output=False)
    found = boosting.fit(replace(train, features=odd), 0, tmp_path).steps[0][1]
    unknown = pl.DataFrame({"b": [0.0] * 2, "word": ["never seen", "word 1990"]})
    assert (hand.fit(odd[["word"]]).transform(unknown[["word"]]) == found.transform(unknown)[:, 1:]).all()
    assert 2 == found.transform(unknown)[:, 1:].sum()
    wide = pl.DataFrame({"word": [f"word {index // 2}" for index in range(12_000)]})
    big = TrainView(wide, np.arange(12_000) % 7 * 1.0, np.array(["g", "h"] * 6000), "regression")
    with pytest.raises(StudyError, match="the text 'word' has 6,000 values that repeat") as caught:
        backbone(BOOSTING).fit(big, 0, tmp_path)
    assert "corpus.ignore" in str(caught.value.hint)
