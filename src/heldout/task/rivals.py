"""What a contender gains over others: by groups, over all rows where a rule asks, and over whoever knows nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.study import NOTHING, BootstrapSpec, GateSpec
from heldout.task.cluster import Draws
from heldout.task.metric import Metric, Rows
from heldout.task.together import Drawn, drawn, gain_together
from heldout.task.uncertainty import paired_gain
from heldout.task.weighted import Segments

Block = dict[str, Any]
GroupScores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Wanted:
    """Gains that rules ask for, besides those over baselines group by group.

    Attributes:
        together: By contender (``trivial`` among them), names of the metrics whose gain over all rows is asked for.
        over_nothing: Names of those whose gain over whoever knows nothing is asked for, group by group.
    """

    together: Mapping[str, Sequence[str]] = field(default_factory=dict)
    over_nothing: Sequence[str] = ()

    @classmethod
    def of(cls, gate: GateSpec) -> Wanted:
        """Those of a gate's rules."""
        together: dict[str, list[str]] = {}
        for rule in gate.rules:
            if rule.against is not None and rule.over == "pooled":
                together.setdefault(rule.against, []).append(rule.metric)
        nothing = [rule.metric for rule in gate.rules if rule.against == NOTHING]
        return cls(together, nothing)


@dataclass(frozen=True)
class Scored:
    """The rows of a contender, by what they are segmented by, and the metrics that are computed of them."""

    all: Rows
    folds: NDArray[Any]
    groups: NDArray[Any]
    by_fold: Segments
    by_group: Segments
    cells: NDArray[Any] | None
    table: tuple[Metric, ...]
    knows_nothing: bool = False  # a contender whose correlations count as 0 at least

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty for numbers."""
        return self.all.classes

    def score(self, rows: Rows) -> dict[str, float]:
        """Every metric of some of the rows, by name; NaN where it is undefined."""
        return {each.name: each.score(rows, knows_nothing=self.knows_nothing) for each in self.table}

    def why(self, rows: Rows) -> Callable[[str], str]:
        """Why a metric of some of the rows is undefined, by its name."""
        by_name = {each.name: each for each in self.table}
        return lambda name: by_name[name].why(rows)

    def of(self, said: FloatArray) -> Scored:
        """The same rows with other predictions."""
        return replace(self, all=replace(self.all, said=said))


class Rivals:
    """Whoever others are compared with. What a rival scores, in draws too, is computed once."""

    def __init__(self, bootstrap: BootstrapSpec, wanted: Wanted) -> None:
        """Nobody yet."""
        self._bootstrap, self._wanted = bootstrap, wanted
        self._groups: dict[str, GroupScores] = {}
        self._nothing: dict[str, GroupScores] = {}
        self._drawn: dict[tuple[str, str], Drawn] = {}

    def add(self, name: str, rows: Scored, by_group: GroupScores) -> None:
        """A baseline, or the champion."""
        self._groups[name] = by_group
        self._draw(name, name, rows)

    def add_nothing(self, name: str, rows: Scored, by_group: GroupScores) -> None:
        """A contender that knows nothing."""
        self._nothing[name] = by_group
        self._draw(NOTHING, f"{NOTHING}: {name}", rows)

    def gains(self, rows: Scored, by_group: GroupScores) -> dict[str, Block]:
        """What a contender gains, by rival and metric."""
        level, table = self._bootstrap.level, rows.table
        found = {name: by_groups(table, by_group, theirs, level) for name, theirs in self._groups.items()}
        asked = [each for each in table if each.name in self._wanted.over_nothing]
        if self._nothing and asked and NOTHING not in found:
            each_one = [by_groups(asked, by_group, theirs, level) for theirs in self._nothing.values()]
            found[NOTHING] = {name: _least([each[name] for each in each_one]) for name in each_one[0]}
        for name in (name for name in self._wanted.together if name in found):
            for metric in self._together(name, table):
                if metric.name in found[name]:
                    found[name][metric.name]["pooled"] = self._pooled(name, metric, rows)
        return found

    def _pooled(self, rival: str, metric: Metric, rows: Scored) -> Block:
        draws = self._draws(rows)
        ours = drawn(metric, rows.all, draws, knows_nothing=rows.knows_nothing)
        names = [rival] if rival in self._groups else [f"{NOTHING}: {name}" for name in self._nothing]
        return _least([gain_together(metric, ours, self._drawn[name, metric.name], draws) for name in names])

    def _draw(self, rival: str, name: str, rows: Scored) -> None:
        for metric in self._together(rival, rows.table):
            self._drawn[name, metric.name] = drawn(
                metric, rows.all, self._draws(rows), knows_nothing=rows.knows_nothing
            )

    def _draws(self, rows: Scored) -> Draws:
        return Draws(rows.groups.tolist(), self._bootstrap)

    def _together(self, rival: str, table: Iterable[Metric]) -> list[Metric]:
        names = self._wanted.together.get(rival, ())
        return [each for each in table if each.name in names and each.better != "near zero"]


def _least(gains: Sequence[Block]) -> Block:
    """The gain that a rule must keep to be one over everybody: that with the lowest end, or one that nobody knows."""
    return min(gains, key=lambda gain: -np.inf if gain["low"] is None else gain["low"])


def by_groups(table: Iterable[Metric], mine: GroupScores, other: GroupScores, level: float) -> Block:
    """By metric: what is gained over another model, group by group; positive is better for the run that is judged."""
    found: Block = {}
    for metric in table:
        if metric.better == "near zero":
            continue  # a difference has no better direction there; that of the absolute value does
        sign = -1.0 if metric.better == "lower" else 1.0
        gains = [
            np.array([sign * part.get(group, {}).get(metric.name, np.nan) for group in sorted(mine)])
            for part in (mine, other)
        ]
        found[metric.name] = paired_gain(gains[0], gains[1], level)
    return found
