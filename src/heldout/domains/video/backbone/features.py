"""What a regressor sees of a frame: six standardised features and a block of fourteen numbers about the encode.

All of it is fitted on training rows: mean and deviation of the features, the range of the quality axis, which encoders
were there and how often. The block is published: twelve slots of a one-hot, ``preset_norm``, ``crf_norm``.

The published recipe feeds the block raw, and the network learns part of the bias in the slots that are always 1. An
encoder that was not there then loses that part: its predictions are off by ten to twenty points. The standardised
recipe codes the block so that it can say nothing but a *difference* between encoders that were there: each slot minus
its share of the training rows, the quality axis standardised, constant columns zero. An encoder that was not there has
the block zero, and so have some of the training rows, so that the network learns what to answer without the block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.domains.video.corpus.rows import FEATURES

Recipe = Literal["standardised", "published"]
Unseen = Literal["fallback", "flag", "refuse"]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

ENCODER_VOCAB_VERSION = 2
ENCODER_VOCAB = (
    "libx264",
    "libx265",
    "libsvtav1",
    "libvvenc",
    "libvpx-vp9",
    "h264_nvenc",
    "hevc_nvenc",
    "av1_nvenc",
    "h264_qsv",
    "hevc_qsv",
    "av1_qsv",
    "unknown",
)
UNKNOWN = ENCODER_VOCAB.index("unknown")
CODEC_BLOCK = (*(f"encoder_onehot[{name}]" for name in ENCODER_VOCAB), "preset_norm", "crf_norm")
_PRESET, _CRF = CODEC_BLOCK.index("preset_norm"), CODEC_BLOCK.index("crf_norm")
# The corpus of the published models has no preset; the quality axis has no spread if it has one point.
_MIDDLE = 0.5
_NO_SPREAD, _NO_RANGE = 1e-8, 1e-6
# One Philox key a purpose; the training engines use 1 and 2 of the same seed.
_WITHOUT_BLOCK = 0x21


class Affine(NamedTuple):
    """``(value - mean) / std``; the deviation of a constant column is 1."""

    mean: Float64
    std: Float64

    def apply(self, values: Float64) -> Float64:
        """Standardise, in float64."""
        return (values - self.mean) / self.std


class Coding(NamedTuple):
    """How the raw block becomes input: ``(clip(raw, 0, 1) * scale + offset) * (raw @ gate)``.

    Attributes:
        scale: float64 ``[14]``: 0 for a column that is not used.
        offset: float64 ``[14]``.
        gate: float64 ``[14]``: 1 for the slots that the block is taken from, 0 for the others.
    """

    scale: Float64
    offset: Float64
    gate: Float64

    def apply(self, raw: Float64) -> Float64:
        """The coded block, in float64."""
        coded: Float64 = (np.clip(raw, 0.0, 1.0) * self.scale + self.offset) * (raw @ self.gate)[:, None]
        return coded


@dataclass(frozen=True)
class Inputs:
    """Everything about the inputs that is fitted.

    Attributes:
        features: Mean and deviation (ddof 0) of the six features.
        cq_min: Smallest quality point of the training rows.
        cq_max: Largest one.
        encoders: Training rows of each encoder, by its name in the corpus.
        coding: How the block is coded; None feeds it raw.
    """

    features: Affine
    cq_min: float
    cq_max: float
    encoders: Mapping[str, int]
    coding: Coding | None

    @property
    def seen(self) -> tuple[str, ...]:
        """Encoders of the vocabulary that had training rows, in the order of the slots."""
        return tuple(name for name in ENCODER_VOCAB[:UNKNOWN] if self.encoders.get(name))

    @property
    def unseen_slots(self) -> tuple[str, ...]:
        """Slots without training rows."""
        outside = any(name not in ENCODER_VOCAB[:UNKNOWN] for name in self.encoders)
        return tuple(name for name in ENCODER_VOCAB if name not in self.seen and not (outside and name == "unknown"))

    def standardised(self, frame: pl.DataFrame) -> Float32:
        """The six features, float32 ``[rows, 6]``; standardised in float64, then rounded."""
        return self.features.apply(feature_matrix(frame)).astype(np.float32)

    def raw_block(self, frame: pl.DataFrame) -> Float64:
        """The published block, float64 ``[rows, 14]``. The quality axis is not clipped here."""
        block = np.zeros((frame.height, len(CODEC_BLOCK)))
        block[np.arange(frame.height), slots_of(frame["encoder"])] = 1.0
        block[:, _PRESET] = _MIDDLE
        span = self.cq_max - self.cq_min
        cq = frame["cq"].cast(pl.Float64).to_numpy()
        block[:, _CRF] = (cq - self.cq_min) / span if span >= _NO_RANGE else _MIDDLE
        return block

    def block(self, frame: pl.DataFrame) -> Float32:
        """The block as the network takes it, float32 ``[rows, 14]``."""
        raw = self.raw_block(frame)
        return (raw if self.coding is None else self.coding.apply(raw)).astype(np.float32)


def fit_inputs(frame: pl.DataFrame, recipe: Recipe, unseen: Unseen) -> Inputs:
    """Fit on training rows."""
    values = feature_matrix(frame)
    std = values.std(axis=0)
    cq = frame["cq"].cast(pl.Float64).to_numpy()
    counts = frame["encoder"].value_counts(sort=True).sort("encoder")
    plain = Inputs(
        features=Affine(values.mean(axis=0), np.where(std < _NO_SPREAD, 1.0, std)),
        cq_min=float(cq.min()),
        cq_max=float(cq.max()),
        encoders={name: int(count) for name, count in counts.iter_rows()},
        coding=None,
    )
    if recipe == "published":
        return plain
    return Inputs(plain.features, plain.cq_min, plain.cq_max, plain.encoders, _fit_coding(plain, frame, unseen))


def _fit_coding(inputs: Inputs, frame: pl.DataFrame, unseen: Unseen) -> Coding:
    """Centre the slots that were there, standardise the quality axis over their rows, and drop what is constant."""
    width = len(CODEC_BLOCK)
    scale, offset, gate = np.zeros(width), np.zeros(width), np.zeros(width)
    gate[: UNKNOWN + 1] = 1.0 if unseen == "flag" else 0.0
    raw = inputs.raw_block(frame)
    known = raw[raw[:, UNKNOWN] == 0.0]
    if not len(known):
        return Coding(scale, offset, np.zeros(width))
    for slot in np.flatnonzero(known[:, :UNKNOWN].any(axis=0)):
        scale[slot], offset[slot], gate[slot] = 1.0, -known[:, slot].mean(), 1.0
    mean, std = known[:, _CRF].mean(), known[:, _CRF].std()
    if std >= _NO_SPREAD:
        scale[_CRF], offset[_CRF] = 1.0 / std, -mean / std
    return Coding(scale, offset, gate)


def feature_matrix(frame: pl.DataFrame) -> Float64:
    """The six features as they are, float64 ``[rows, 6]``."""
    return frame.select(pl.col(FEATURES).cast(pl.Float64)).to_numpy().astype(np.float64)


def slots_of(encoders: pl.Series) -> NDArray[np.int64]:
    """Slot of each row's encoder; those outside the vocabulary have the slot ``unknown``."""
    slots = {name: index for index, name in enumerate(ENCODER_VOCAB)}
    found: NDArray[np.int64] = encoders.replace_strict(slots, default=UNKNOWN, return_dtype=pl.Int64).to_numpy()
    return found


def rows_without_block(seed: int, rows: int, share: float) -> NDArray[np.bool_]:
    """Training rows whose block is hidden, a pure function of the seed: bool ``[rows]``."""
    words = np.random.Philox(key=np.array([seed, _WITHOUT_BLOCK], dtype=np.uint64)).random_raw(rows)
    return np.asarray(words >> np.uint64(11), dtype=np.float64) * 2.0**-53 < share
