"""A fitted full-reference regressor: weights and everything that was fitted around them, in one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.backbone.tensors import Arrays, pack, unpack
from heldout.domains.video.backbone.features import (
    CODEC_BLOCK,
    ENCODER_VOCAB,
    ENCODER_VOCAB_VERSION,
    UNKNOWN,
    Affine,
    Coding,
    Float32,
    Float64,
    Inputs,
    Recipe,
)
from heldout.domains.video.corpus.rows import FEATURES
from heldout.evidence import write_bytes
from heldout.fit import MLPWeights, predict

FILE = "model.safetensors"
SCHEMA = "heldout.video.model/1"
Codec = Literal["aware", "blind"]


@dataclass(frozen=True)
class FRModel:
    """One trained member.

    Attributes:
        weights: The network: 20 inputs, or 6 if it is codec-blind.
        inputs: What was fitted on the inputs.
        target_mean: What the network's answer is shifted by; 0 for the published recipe.
        target_std: What it is multiplied by; 1 for the published recipe.
        recipe: How it was trained.
        codec: Whether it sees the codec block.
    """

    weights: MLPWeights
    inputs: Inputs
    target_mean: float
    target_std: float
    recipe: Recipe
    codec: Codec

    def answer(self, frame: pl.DataFrame) -> Float64:
        """Predictions in VMAF points, float64 ``[rows]``."""
        raw = predict(self.weights, network_input(self.inputs, frame, self.codec))
        return raw * self.target_std + self.target_mean

    def warnings(self, frame: pl.DataFrame) -> list[str]:
        """What a reader of predictions on these rows must know."""
        if self.codec == "blind":
            return []
        return [*self._about_encoders(frame), *self._about_quality(frame)]

    def _about_encoders(self, frame: pl.DataFrame) -> list[str]:
        vocabulary, present = ENCODER_VOCAB[:UNKNOWN], frame["encoder"].unique().sort().to_list()
        outside = sorted({name for name in (*present, *self.inputs.encoders) if name not in vocabulary})
        unseen = [name for name in present if name in vocabulary and name not in self.inputs.seen]
        answered = "without the codec block" if self.inputs.coding is not None else "from a slot that was never trained"
        shared = "the codec block says nothing of them" if self.inputs.coding is not None else "they share one slot"
        found = [f"{', '.join(outside)}: outside the encoder vocabulary, {shared}"] if outside else []
        if unseen:
            found.append(f"{', '.join(unseen)}: not among the training rows of a fold, predicted {answered}")
        return found

    def _about_quality(self, frame: pl.DataFrame) -> list[str]:
        low, high = self.inputs.cq_min, self.inputs.cq_max
        outside = frame["cq"].filter((frame["cq"] < low) | (frame["cq"] > high)).unique().sort().to_list()
        if not outside:
            return []
        done = "taken as its nearest end" if self.inputs.coding is not None else "extrapolated"
        points = ", ".join(str(cq) for cq in outside)
        return [f"quality points {points} lie outside the training range {low:g} to {high:g} of a fold, {done}"]

    def save(self, folder: Path) -> None:
        """Write the file; the same model gives the same bytes."""
        inputs, coding = self.inputs, self.inputs.coding
        tensors: dict[str, NDArray[Any]] = {
            **self.weights.to_arrays(),
            "features.mean": inputs.features.mean,
            "features.std": inputs.features.std,
            "target": np.array([self.target_mean, self.target_std]),
        }
        if coding is not None:
            tensors |= {f"codec.{name}": values for name, values in coding._asdict().items()}
        facts = {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "codec": self.codec,
            "activation": self.weights.activation,
            "feature_order": FEATURES,
            "codec_block_layout": CODEC_BLOCK,
            "encoder_vocab_version": ENCODER_VOCAB_VERSION,
            "encoders": dict(inputs.encoders),
            "cq_min": inputs.cq_min,
            "cq_max": inputs.cq_max,
        }
        write_bytes(folder / FILE, pack(tensors, facts))

    @classmethod
    def load(cls, folder: Path) -> FRModel:
        """Read the file.

        Raises:
            TamperedError: If it is not what ``save`` writes.
        """
        return unpack(folder / FILE, "model of a full-reference regressor", cls._rebuilt)

    @classmethod
    def _rebuilt(cls, tensors: Arrays, facts: Mapping[str, Any]) -> FRModel:
        if facts["schema"] != SCHEMA or tuple(facts["codec_block_layout"]) != CODEC_BLOCK:
            raise ValueError(f"its schema is {facts['schema']!r}, with another vocabulary or of another version")
        coding = Coding(*(tensors[f"codec.{name}"] for name in Coding._fields)) if "codec.scale" in tensors else None
        inputs = Inputs(
            features=Affine(tensors["features.mean"], tensors["features.std"]),
            cq_min=facts["cq_min"],
            cq_max=facts["cq_max"],
            encoders=facts["encoders"],
            coding=coding,
        )
        mean, std = (float(value) for value in tensors["target"])
        weights = MLPWeights.from_arrays(tensors, facts["activation"])
        return cls(weights, inputs, mean, std, facts["recipe"], facts["codec"])


def network_input(inputs: Inputs, frame: pl.DataFrame, codec: Codec) -> Float32:
    """What the network takes: the six features, then the block unless it is codec-blind; float32, C-contiguous."""
    features = inputs.standardised(frame)
    if codec == "blind":
        return np.ascontiguousarray(features)
    return np.ascontiguousarray(np.concatenate([features, inputs.block(frame)], axis=1))
