"""Predictors that need no accelerator: the answers that a large model must beat, driven by the same engine.

A predictor is made by ``module:name`` with ``index`` and ``adapter``; it learns from train windows alone and gives the
text that a model would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.labels import LABEL_FIELDS
from heldout.domains.embodied.index.reader import kept_episode, streams, summary
from heldout.domains.embodied.index.shape import Record
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.train_labels import TrainLabels, collect
from heldout.errors import InputError
from heldout.evidence import canonical
from heldout.predict.session import Sample

BUILT_IN = {
    "majority": "heldout.domains.embodied.evaluate.predictors:Majority",
    "nearest": "heldout.domains.embodied.evaluate.predictors:Nearest",
    "cosmos_world_model": "heldout.domains.embodied.world.predictor:FuturePredictor",
    "policy_vla_branch": "heldout.domains.embodied.policy.predictor:PolicyPredictor",
    "qwen3_omni_lora": "heldout.domains.embodied.qwen.predictor:Omni",
    "smollm2_prefix_lora": "heldout.domains.embodied.qwen.predictor:Omni",
}


def train_labels(source: IndexSource) -> TrainLabels:
    """What the train windows of an index answer."""
    samples = source.samples("train")
    return collect(
        ((sample.id, record) for sample, record in zip(samples, source.records(samples), strict=True)), source.sha256
    )


class Majority:
    """The most common answer of train, whatever is seen."""

    batch = 256

    def __init__(self, index: str, adapter: str | None = None) -> None:
        """Count train answers."""
        train = train_labels(IndexSource(Path(index)))
        labels = {field: train.majority(field) for field in LABEL_FIELDS}
        self._answer = labels | {"objects": sorted(train.usual_objects())}
        self._source = IndexSource(Path(index))

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """The same answer for all."""
        return [_row(self._answer, record) for record in self._source.records(samples)]


class Nearest:
    """The answer of the train window whose measurements are most alike.

    Of every measured stream that no answer is computed from: mean, spread and change over the context, standardised on
    train windows; one neighbour, the earliest of equals.
    """

    batch = 16

    def __init__(self, index: str, adapter: str | None = None) -> None:
        """Measure the train windows."""
        self._source = IndexSource(Path(index))
        samples = self._source.samples("train")
        records = list(self._source.records(samples))
        self._names = sorted(set.intersection(*(set(streams(record)) for record in records)))
        if not self._names:
            raise InputError("the windows share no measured stream", where=index, hint="use --predictor majority")
        features = np.stack([self._features(record) for record in records])
        self._mean, spread = features.mean(axis=0), features.std(axis=0)
        self._scale = np.where(spread > 0, spread, np.inf)  # what never changes in train says nothing
        self._train = (features - self._mean) / self._scale
        self._answers = [record["supervision"] for record in records]

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """The answer of each one's neighbour."""
        found: list[Mapping[str, Any]] = []
        for record in self._source.records(samples):
            place = (self._features(record) - self._mean) / self._scale
            nearest = int(((self._train - place) ** 2).sum(axis=1).argmin())
            found.append(_row(self._answers[nearest], record))
        return found

    def _features(self, record: Record) -> FloatArray:
        episode = kept_episode(self._source.folder / record["provenance"]["episode_path"])
        spans = streams(record)
        missing = [name for name in self._names if name not in spans]
        if missing:
            raise InputError(f"the window lacks {', '.join(missing)}", where=str(record["id"]), hint="select again")
        return np.concatenate([[*summary(episode, name, *spans[name]).values()] for name in self._names])


def _row(answer: Mapping[str, Any], record: Record) -> dict[str, str]:
    window = {"start_frame": record["window"]["start_frame"], "end_frame": record["window"]["end_frame"]}
    return {"raw_prediction": canonical({**answer, "evidence_window": window}).decode()}
