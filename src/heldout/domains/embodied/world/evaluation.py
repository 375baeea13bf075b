"""A world model in the evaluation engine: what is predicted, and what is made of predicted futures.

A sample is a window that has a future in the index. The predictor sees the window; the true future's features are
measured when all predictions are on disk. Distances are on standardised features, and every future of the split is a
candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.evaluate.families import Plain
from heldout.domains.embodied.index.known import Truth, answer_of
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.metrics_future import future_rows
from heldout.domains.embodied.score.score import Scored
from heldout.domains.embodied.training.files import checkpoint_folder
from heldout.domains.embodied.world.export import episode_folder, require_causal
from heldout.domains.embodied.world.features import window_features
from heldout.domains.embodied.world.load import load_model
from heldout.domains.embodied.world.pairs import Pair, pair, require_pairs
from heldout.errors import InputError
from heldout.evidence import loads
from heldout.predict.session import Sample

_SHOWN = 5


class FutureFamily(Plain):
    """Futures of windows."""

    sources = ("heldout.domains.embodied.world.model", "heldout.domains.embodied.world.pairs")

    def __init__(self, source: IndexSource, adapter: Path | None) -> None:
        """Read what the checkpoint predicts."""
        super().__init__(source, adapter)
        self._model = load_model(checkpoint_folder(adapter))
        self._pairs: dict[str, Pair] = {}

    def samples(self, split: str, limit: int) -> list[Sample]:
        """Windows that have a future.

        Raises:
            CorpusError: If none has.
            RefusedError: If a window's context looks ahead.
        """
        windows = {sample.id: sample for sample in self.source.samples(split)}
        records = list(self.source.records(list(windows.values())))
        require_causal(records)
        seconds = self._model.settings.horizon_seconds
        pairs, skipped = pair(records, seconds)
        require_pairs(pairs, skipped, seconds, str(self.source.folder))
        self._pairs = {one.id: one for one in pairs[: limit or None]}
        return [
            Sample(one.id, str(one.context["episode_id"]), windows[str(one.context["id"])].ref)
            for one in self._pairs.values()
        ]

    def windows(self, split: str, samples: Sequence[Sample]) -> Sequence[Sample]:
        """All of the split: the future of a window is another one."""
        return self.source.samples(split)

    def rows(self, samples: Sequence[Sample], truth: Truth, said: Sequence[bytes]) -> list[dict[str, object]]:
        """Rows of ``future_predictions.jsonl``."""
        pairs = [self._pairs[sample.id] for sample in samples]
        read = [loads(row, where=one.id).get("future") for one, row in zip(pairs, said, strict=True)]
        if None in read:
            raise InputError("the predictor predicts no futures", where="--predictor", hint="cosmos_world_model")
        predicted = np.array(read, dtype=np.float64)
        present, future = (
            np.stack([self._features(part) for part in parts])
            for parts in ([one.context for one in pairs], [one.future for one in pairs])
        )
        if predicted.shape != future.shape:
            what = f"{predicted.shape[1:]} features were predicted of {future.shape[1:]}"
            raise InputError(what, where=str(self.adapter), hint="evaluate with the checkpoint that predicted")
        scaling = self._model.scaling
        spread = np.where(scaling.kept, scaling.std, 0.0)
        keys = [_key(one, answer_of(truth, str(one.future["id"]))) for one in pairs]
        found = future_rows(predicted, future, present, scaling.mean, spread, keys, _SHOWN)
        horizon = self._model.settings.horizon_seconds
        return [row | {"horizon_seconds": horizon} for row in found]

    def files(self, scored: Scored) -> dict[str, bytes]:
        """``retrieval_examples.html`` and ``retrieval_examples.png``: what was retrieved, in pictures."""
        from heldout.domains.embodied.world.pictures import examples

        return examples(scored.rows, self._pairs, self.source)

    def _features(self, record: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        episode, window = opened(episode_folder(self.source, record)), record["window"]
        return window_features(episode, self._model.spec, window["start_frame"], window["end_frame"])


def _key(one: Pair, future: Mapping[str, Any]) -> dict[str, object]:
    return {
        "id": one.id,
        "episode_id": str(one.context["episode_id"]),
        "split": str(one.context["split"]),
        "context_record_id": str(one.context["id"]),
        "future_record_id": str(one.future["id"]),
        "labels": future,
    }
