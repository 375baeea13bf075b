"""The sensor bridge: what the measured streams say of a window, in a few whole numbers that stand in the prompt.

Seven statistics of every column (the published ones), standardised and projected on the main directions of the train
windows, in tenths of a standard deviation. It is fitted on train windows alone and carries their episodes' names. A
stream that an answer is computed from is not among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.layouts import open_episode
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.index.shape import Record
from heldout.errors import InputError

SCHEMA = "heldout.sensor-bridge/1"
_OPEN = 32
_LIMIT = 3.0  # standard deviations
_DIGITS = 9  # of what is written down


def measured(record: Record) -> dict[str, tuple[int, int]]:
    """First and last sample of each measured stream that is the source of no answer."""
    streams = record["modalities"].get("sensor_streams") or []
    return {one["name"]: (one["first_sample"], one["last_sample"]) for one in streams if not one["not_for"]}


def features(record: Record, home: Path, streams: Sequence[str]) -> FloatArray:
    """Statistics of the context: mean, spread, least, most, change, mean and spread of the velocity of each column.

    Raises:
        InputError: If the window lacks a stream.
    """
    spans = measured(record)
    lacking = [name for name in streams if name not in spans]
    if lacking:
        raise InputError(f"the window lacks {', '.join(lacking)}", where=str(record["id"]), hint="select again")
    episode = _episode(home / record["provenance"]["episode_path"])
    return np.concatenate([_statistics(episode, name, *spans[name]) for name in streams] or [np.zeros(0)])


@dataclass(frozen=True)
class Bridge:
    """A fitted projection.

    Attributes:
        streams: In order.
        mean: Of each statistic over train windows.
        scale: Its standard deviation; infinite where nothing ever changes, so that it says nothing.
        axes: ``[numbers, statistics]``.
        spread: Standard deviation of each number over train windows.
        fitted_on: Episodes that it was fitted on.
    """

    streams: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    axes: FloatArray
    spread: FloatArray
    fitted_on: tuple[str, ...]

    @classmethod
    def fit(cls, values: FloatArray, streams: Sequence[str], numbers: int, episodes: Sequence[str]) -> Bridge:
        """Fit on the statistics of train windows, ``[windows, statistics]``."""
        mean, spread = values.mean(axis=0), values.std(axis=0)
        scale = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, np.inf)
        standard = (values - mean) / scale
        axes = np.linalg.svd(standard, full_matrices=False)[2][:numbers]
        largest = np.abs(axes).argmax(axis=1)
        axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
        width = (standard @ axes.T).std(axis=0)
        width = np.where(width > 0, width, 1.0)
        mean, scale, axes, width = (_rounded(array) for array in (mean, scale, axes, width))
        return cls(tuple(streams), mean, scale, axes, width, tuple(sorted(set(episodes))))

    def project(self, values: FloatArray) -> FloatArray:
        """Numbers of windows, standardised: ``[..., numbers]``."""
        found: FloatArray = ((values - self.mean) / self.scale) @ self.axes.T / self.spread
        return found

    def words(self, values: FloatArray) -> str:
        """The numbers of one window as they stand in the prompt."""
        clipped = np.clip(self.project(values), -_LIMIT, _LIMIT)
        return " ".join(str(int(number)) for number in np.round(clipped * 3))

    def to_json(self) -> dict[str, object]:
        """Plain JSON; what never changes has scale null."""
        return {
            "schema": SCHEMA,
            "streams": list(self.streams),
            "mean": self.mean.tolist(),
            "scale": [value if np.isfinite(value) else None for value in self.scale.tolist()],
            "axes": self.axes.tolist(),
            "spread": self.spread.tolist(),
            "fitted_on": list(self.fitted_on),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, where: str) -> Bridge:
        """Read back what ``to_json`` gave.

        Raises:
            InputError: If it is not of the schema.
        """
        try:
            if document["schema"] != SCHEMA:
                raise KeyError(document["schema"])
            scale = np.array([np.inf if value is None else value for value in document["scale"]], np.float64)
            mean, axes, spread = (np.array(document[key], np.float64) for key in ("mean", "axes", "spread"))
            return cls(tuple(document["streams"]), mean, scale, axes, spread, tuple(document["fitted_on"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the sensor bridge is wrong: {error!r}", where=where, hint="export again") from None


def _rounded(values: FloatArray) -> FloatArray:
    """As it will be read back from JSON, so that fitting and reading give the same numbers."""
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values.ravel()]).reshape(values.shape)


def _statistics(episode: Episode, name: str, first: int, last: int) -> FloatArray:
    values: NDArray[np.float64] = np.asarray(episode.array(name, first, last + 1), dtype=np.float64)
    values = values.reshape(len(values), -1)
    if not np.isfinite(values).all():
        raise InputError(f"stream {name!r} is not finite", where=str(episode.folder), hint="select again")
    speed = np.diff(values, axis=0) if len(values) > 1 else np.zeros((1, values.shape[1]))
    parts = [values.mean(0), values.std(0), values.min(0), values.max(0), values[-1] - values[0]]
    return np.concatenate([*parts, speed.mean(0), speed.std(0)])


@lru_cache(maxsize=_OPEN)
def _episode(folder: Path) -> Episode:
    return open_episode(folder)
