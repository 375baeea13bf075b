"""What a policy can do: every dimension of an action by name, with its unit and bounds, and how actions are scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.training.scaling import Scaling
from heldout.errors import CorpusError, InputError

SPACE_FILE, STATS_FILE = "action_space.json", "normalization_stats.json"
SPACE_SCHEMA, STATS_SCHEMA = "heldout.action-space/1", "heldout.normalization-stats/1"
CONVERSION = {
    "source": "the command that was recorded, of the end effector",
    "target": "the same command",
    "method": "identity; scaled by mean and spread of train, and cut at the bounds of the action space",
}


@dataclass(frozen=True)
class ActionSpace:
    """Names, units and bounds.

    Attributes:
        stream: That actions were recorded in.
        names: Of the dimensions.
        unit: Of all of them.
        low: Least value.
        high: Greatest value.
        rate_hz: Actions a second.
    """

    stream: str
    names: tuple[str, ...]
    unit: str
    low: float
    high: float
    rate_hz: float

    @classmethod
    def of(cls, episodes: Sequence[Episode], stream: str, low: float, high: float) -> Self:
        """The space that all train episodes share.

        Raises:
            CorpusError: If they do not share one, or an action leaves it.
        """
        spaces = set()
        for episode in episodes:
            found = episode.stream(stream)
            count = int(np.prod(found.shape[1:], dtype=int))
            names = found.names or tuple(f"a{number}" for number in range(count))
            spaces.add((names, found.units, float(found.rate_hz or 0)))
            values = np.asarray(episode.array(stream))
            if values.size and not (low <= float(values.min()) and float(values.max()) <= high):
                raise CorpusError(
                    f"an action leaves {low:g} .. {high:g}", where=str(episode.folder), hint="declare --low and --high"
                )
        if len(spaces) != 1:
            raise CorpusError("the train episodes have different actions", where=stream, hint="select again")
        names, unit, rate = spaces.pop()
        return cls(stream, tuple(names), unit, low, high, rate)

    def cut(self, actions: FloatArray) -> FloatArray:
        """Actions inside the bounds."""
        found: FloatArray = np.clip(actions, self.low, self.high)
        return found

    def to_json(self) -> dict[str, object]:
        """``action_space.json``."""
        dims = [{"name": name, "unit": self.unit, "low": self.low, "high": self.high} for name in self.names]
        return {"schema": SPACE_SCHEMA, "stream": self.stream, "rate_hz": self.rate_hz, "dims": dims}

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, where: str) -> Self:
        """Read back what ``to_json`` gave.

        Raises:
            InputError: If it is not of the schema.
        """
        try:
            dims = document["dims"]
            first = dims[0]
            names = tuple(str(dim["name"]) for dim in dims)
            bounds = float(first["low"]), float(first["high"])
            return cls(str(document["stream"]), names, str(first["unit"]), *bounds, float(document["rate_hz"]))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"the action space is wrong: {error!r}", where=where, hint="train again") from None


@dataclass(frozen=True)
class Normaliser:
    """Scales of actions, sensors and hand paths, all fitted on the same train episodes.

    Attributes:
        action: A number a dimension of the action space.
        sensors: Of the sensors' values.
        path: Of what is added to constant velocity, metres, a number a frame and axis.
    """

    action: Scaling
    sensors: Scaling
    path: Scaling

    @property
    def fitted_on(self) -> tuple[str, ...]:
        """Episodes, of all three."""
        parts = (self.action, self.sensors, self.path)
        return tuple(sorted({name for one in parts for name in one.fitted_on}))

    def to_json(self) -> dict[str, object]:
        """``normalization_stats.json``; ``mean`` and ``std`` at the top are those of actions."""
        return {
            "schema": STATS_SCHEMA,
            "mean": self.action.mean.tolist(),
            "std": self.action.std.tolist(),
            "fitted_on": list(self.fitted_on),
            "action": self.action.to_json(),
            "sensors": self.sensors.to_json(),
            "path": self.path.to_json(),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, where: str) -> Self:
        """Read back what ``to_json`` gave.

        Raises:
            InputError: If it is not of the schema.
        """
        try:
            return cls(*(Scaling.parse(document[name], where=where) for name in ("action", "sensors", "path")))
        except (KeyError, TypeError) as error:
            raise InputError(f"the normaliser is wrong: {error!r}", where=where, hint="train again") from None
