"""Two judged runs side by side: what one gains over the other, on the groups that both held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from heldout.errors import InputError
from heldout.run.champion import Champion
from heldout.task import summarise
from heldout.verify.evidence import RunEvidence
from heldout.verify.results import table_of

_OTHER = "other"
_METRICS: dict[str, type[pl.DataType]] = dict.fromkeys(("metric", "better"), pl.String)
_METRICS |= dict.fromkeys(("mean", "other", "gain", "low", "high"), pl.Float64)


@dataclass(frozen=True)
class Comparison:
    """What a run gains over another one, paired by group; positive is better for the run that was asked.

    It is no verdict, and no look: both runs had seen the groups. A rule over a gain says ``against: champion``.

    Attributes:
        metrics: One row a metric, those that rules judge first: ``metric``, ``better``, the ``mean`` over folds, that
            of the ``other`` run, and what is gained by the mean over groups (``gain``) with its interval (``low``,
            ``high``). What is undefined is null.
        groups: One row a group: ``group``, and a column a metric with what is gained there.
        level: Of the intervals.
    """

    metrics: pl.DataFrame
    groups: pl.DataFrame
    level: float

    def __str__(self) -> str:
        """The first metric in a sentence."""
        row = self.metrics.row(0, named=True)
        if row["low"] is None:
            return f"the gain in {row['metric']} is undefined: it does not exist in every group of both runs"
        interval = f"{row['low']:.4g} to {row['high']:.4g} at {self.level:g}, paired over {self.groups.height} groups"
        return f"the gain in {row['metric']} is {row['gain']:.4g} ({interval})"


def compare_runs(folder: Path, other: Path) -> Comparison:
    """What a run gains over another, by the computation that rules over a champion are judged by.

    Raises:
        InputError: If one of them has no computed verdict, or they were scored on other rows: the difference of such
            scores would say nothing.
        TamperedError: If a file of one of them is not the one that was judged.
    """
    Champion.open(folder)  # its files are those that were judged
    evidence, theirs = RunEvidence.open(folder), Champion.open(other)
    differs = theirs.differs(evidence.corpus, evidence.split)
    if differs is not None:
        raise InputError(
            f"the other run was scored on {differs}, so the difference would say nothing",
            where=str(other),
            hint=f"run both on the corpus, target, weights and split of {folder}",
        )
    contender = {_OTHER: (theirs.description, theirs.predictions(evidence.classes))}
    table = table_of(evidence)[0]
    found = summarise(evidence.predictions, evidence.n_train, evidence.bootstrap, contender, table=table)
    judged = [rule.metric for rule in evidence.gate.rules]
    better = {each.name: each.better for each in sorted(table, key=lambda each: (*judged, each.name).index(each.name))}
    return _comparison(found, better, evidence.bootstrap.level)


def _comparison(found: Mapping[str, Any], better: Mapping[str, str], level: float) -> Comparison:
    gains, mine, other = found["comparisons"][_OTHER], found["ensemble"], found["baselines"][_OTHER]
    rows = [
        {"metric": name, "better": said, "mean": mine["mean"][name], "other": other["mean"][name]}
        | {key: gain[key] for key in ("gain", "low", "high")}
        for name, said in better.items()
        if (gain := gains.get(name)) is not None  # without a direction there is no gain
    ]
    groups = mine["groups"] if mine.get("groups") is not None else mine["folds"]  # a fold is a group then
    columns = {row["metric"]: pl.Series(gains[row["metric"]]["differences"], dtype=pl.Float64) for row in rows}
    return Comparison(pl.DataFrame(rows, schema=_METRICS), pl.DataFrame({"group": sorted(groups)} | columns), level)
