"""The predictor that ``heldout eval run`` drives: the future of each window as features, by a checkpoint's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.training.files import checkpoint_folder
from heldout.domains.embodied.training.scaling import require_train_only
from heldout.domains.embodied.world.export import episode_folder
from heldout.domains.embodied.world.load import load_model
from heldout.domains.embodied.world.model import NORMALISER_FILE
from heldout.domains.embodied.world.pairs import horizon_frames
from heldout.predict.session import Sample

_DIGITS = 7


class FuturePredictor:
    """Raw features of the future of each window, by the model of a checkpoint."""

    batch = 16

    def __init__(self, index: str, adapter: str | None = None) -> None:
        """Load the model.

        Raises:
            InputError: If there is no checkpoint.
            RefusedError: If it was standardised on anything but train episodes of this index.
        """
        self._source = IndexSource(Path(index))
        self._model = load_model(checkpoint_folder(Path(adapter) if adapter else None))
        train = {sample.group for sample in self._source.samples("train")}
        require_train_only(self._model.scaling.fitted_on, train, NORMALISER_FILE)

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """``future``: features in the order of the model's names, to seven digits."""
        found: list[Mapping[str, Any]] = []
        for record in self._source.records(samples):
            episode, window = opened(episode_folder(self._source, record)), record["window"]
            self._model.spec.check(episode)
            shift = horizon_frames(self._model.settings.horizon_seconds, float(record["provenance"]["clock_hz"]))
            values = self._model.future(episode, window["start_frame"], window["end_frame"], shift)
            found.append({"future": [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]})
        return found
