"""What is fitted on the inputs, and from which rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from heldout.corpus import Corpus, Known
from heldout.domains.video.backbone.features import (
    CODEC_BLOCK,
    ENCODER_VOCAB,
    UNKNOWN,
    Inputs,
    fit_inputs,
    rows_without_block,
)
from heldout.domains.video.corpus.rows import FEATURES
from heldout.run.units.unit import train_view
from heldout.split import Fold


def frame_of(encoders: list[str], cqs: list[int], adm2: float = 0.5) -> pl.DataFrame:
    """One row an encoder and quality point; the features are constant."""
    rows = [(encoder, cq) for encoder in encoders for cq in cqs]
    columns = {name: [adm2] * len(rows) for name in FEATURES}
    return pl.DataFrame({**columns, "encoder": [e for e, _ in rows], "cq": [c for _, c in rows], "preset": ""})


def fitted_numbers(inputs: Inputs) -> list[object]:
    coding = [] if inputs.coding is None else [values.tolist() for values in inputs.coding]
    scaler = [values.tolist() for values in inputs.features]
    return [scaler, coding, inputs.cq_min, inputs.cq_max, dict(inputs.encoders)]


def test_defect_22_the_order_of_the_vocabulary_is_the_published_one() -> None:
    """If this failed, every model and consumer would disagree on which encoder a slot means."""
    assert (
        *("libx264", "libx265", "libsvtav1", "libvvenc", "libvpx-vp9"),
        *("h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "av1_qsv", "unknown"),
    ) == ENCODER_VOCAB
    assert len(CODEC_BLOCK) == 14
    assert CODEC_BLOCK[10:] == ("encoder_onehot[av1_qsv]", "encoder_onehot[unknown]", "preset_norm", "crf_norm")


def test_the_published_recipe_feeds_the_published_block() -> None:
    """If this failed, a comparison with the published recipe would compare with something else."""
    frame = frame_of(["libx264", "h264_vaapi"], [19, 25, 37])

    block = fit_inputs(frame, "published", "fallback").block(frame)

    assert block[:, :12].argmax(axis=1).tolist() == [0, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN]
    np.testing.assert_array_equal(block[:, :12].sum(axis=1), 1.0)
    np.testing.assert_array_equal(block[:, 12], 0.5)
    np.testing.assert_allclose(block[:3, 13], [0.0, 1 / 3, 1.0], rtol=1e-6)


def test_one_quality_point_is_the_middle_of_the_axis() -> None:
    """If this failed, a corpus with one quality point would divide by zero."""
    frame = frame_of(["libx264"], [23])
    assert fit_inputs(frame, "published", "fallback").block(frame)[0, 13] == 0.5


@pytest.mark.parametrize("recipe", ["standardised", "published"])
def test_defect_19_scaler_and_crf_range_are_fitted_on_the_train_view_only(corpus: Corpus, recipe: str) -> None:
    """If this failed, the held-out source would have a say in how the models that are tested on it see the world."""
    fold = Fold("source0", ("source0",))
    held_out = pl.Series(corpus.groups == "source0")
    far = corpus.features.with_columns(
        pl.when(held_out).then(pl.lit(99.0)).otherwise(pl.col("adm2")).alias("adm2"),
        pl.when(held_out).then(pl.lit(63, dtype=pl.Int64)).otherwise(pl.col("cq")).alias("cq"),
        pl.when(held_out).then(pl.lit("av1_qsv")).otherwise(pl.col("encoder")).alias("encoder"),
    )
    disturbed = replace(corpus, features=far, truth=Known(corpus.targets("verify") + 1.0))

    inputs = fit_inputs(train_view(corpus, fold).features, recipe, "fallback")  # type: ignore[arg-type]
    other = fit_inputs(train_view(disturbed, fold).features, recipe, "fallback")  # type: ignore[arg-type]

    assert fitted_numbers(inputs) == fitted_numbers(other)
    rows = train_view(corpus, fold).features.select(FEATURES).to_numpy()
    np.testing.assert_array_equal(rows.mean(axis=0), inputs.features.mean)
    np.testing.assert_array_equal(rows.std(axis=0, ddof=0), inputs.features.std)
    assert (inputs.cq_min, inputs.cq_max) == (19.0, 37.0)


def test_defect_19_a_quality_point_out_of_range_is_clipped_not_extrapolated() -> None:
    """If this failed, a quality point that no training row had would push the network where it never was."""
    inputs = fit_inputs(frame_of(["libx264"], [19, 25, 31, 37]), "standardised", "fallback")

    block = inputs.block(frame_of(["libx264"], [5, 19, 37, 63]))

    assert (block[0, 13], block[3, 13]) == (block[1, 13], block[2, 13])


def test_a_constant_feature_is_not_divided_by_zero() -> None:
    """If this failed, a corpus of still pictures (motion 0) would give NaN."""
    frame = frame_of(["libx264"], [19, 25], adm2=0.7)
    np.testing.assert_array_equal(fit_inputs(frame, "standardised", "fallback").standardised(frame), 0.0)


def test_defect_21_columns_that_are_constant_in_training_say_nothing() -> None:
    """If this failed, a slot that is always 1 would learn part of the bias, and take it away from other encoders."""
    frame = frame_of(["libx264"], [19, 25, 37])

    block = fit_inputs(frame, "standardised", "fallback").block(frame)

    np.testing.assert_array_equal(block[:, :13], 0.0)
    assert block[:, 13].std() > 0.9


def test_defect_21_the_block_says_differences_between_seen_encoders_only() -> None:
    """If this failed, the block's mean would not be that of an unseen encoder, whose block is zero."""
    frame = pl.concat([frame_of(["libx264"], [19, 25, 37]), frame_of(["libx265"], [19])])

    block = fit_inputs(frame, "standardised", "fallback").block(frame)

    np.testing.assert_allclose(block.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_array_equal(block[:, 2:13], 0.0)


@pytest.mark.parametrize("encoder", ["hevc_nvenc", "h264_vaapi", "libaom-av1", "unknown"])
def test_defect_21_the_whole_block_of_an_unseen_encoder_is_zero(encoder: str) -> None:
    """If this failed, the quality knob of another encoder would be read as if it were one that was trained on."""
    inputs = fit_inputs(frame_of(["libx264", "libx265"], [19, 25, 37]), "standardised", "fallback")
    np.testing.assert_array_equal(inputs.block(frame_of([encoder], [19, 31, 37])), 0.0)


def test_encoders_outside_the_vocabulary_train_the_answer_without_the_block() -> None:
    """If this failed, encoders that have nothing in common would be pooled as one encoder named unknown."""
    frame = frame_of(["libx264", "h264_vaapi", "h264_amf"], [19, 37])

    inputs = fit_inputs(frame, "standardised", "fallback")

    np.testing.assert_array_equal(inputs.block(frame)[2:], 0.0)
    assert inputs.encoders == {"libx264": 2, "h264_vaapi": 2, "h264_amf": 2}
    assert inputs.seen == ("libx264",)
    assert set(inputs.unseen_slots) == set(ENCODER_VOCAB) - {"libx264", "unknown"}


def test_rows_without_the_block_are_a_function_of_the_seed() -> None:
    """If this failed, the same unit would give another model when it is fitted again."""
    rows = rows_without_block(7, 10_000, 0.25)

    np.testing.assert_array_equal(rows[:500], rows_without_block(7, 500, 0.25))
    assert (rows != rows_without_block(8, 10_000, 0.25)).any()
    assert abs(rows.mean() - 0.25) < 0.02
    assert not rows_without_block(7, 100, 0.0).any()
