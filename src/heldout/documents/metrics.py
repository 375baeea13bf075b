"""``metrics.json``: every number that a gate may judge and a report may show."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from heldout.documents.base import Document, Open, Part

Values = dict[str, float | None]


class MetricEntry(Part):
    """A metric of the document."""

    name: str
    label: str = Field(description="column head")
    unit: str | None = Field(description="null: that of the target; empty: none")
    better: Literal["higher", "lower", "near zero"]
    shown: bool = Field(description="whether tables show it")
    brought: bool | None = Field(None, description="true: the study or a plug-in brings it")


class UndefinedEntry(Part):
    """A number that is null, and why."""

    where: str
    why: str


class PooledGain(Part):
    """What is gained by the metric of all rows together, with an interval from draws of whole groups."""

    gain: float | None
    low: float | None
    high: float | None
    draws: int
    method: str


class GainEntry(Part):
    """What is gained over another contender; positive is better."""

    gain: float | None
    low: float | None
    high: float | None
    differences: list[float | None] | None = Field(None, description="group by group")
    pooled: PooledGain | None = Field(None, description="over all rows, where a rule asks for it")


class Block(Part):
    """The numbers of one contender, or of one seed of it."""

    folds: dict[str, dict[str, float | int | None]] = Field(description="by fold: rows, n_train and every metric")
    mean: Values = Field(description="over folds")
    std: Values
    min: Values
    max: Values
    pooled: Values = Field(description="over all rows together")
    cells: Values | None = Field(None, description="of the means of cells")
    within_cell: Open | None = Field(None, description="inside a cell, mean over cells")


class EnsembleBlock(Block):
    """The numbers of the mean over the seeds."""

    groups: dict[str, dict[str, float | int | None]] | None = Field(
        None, description="by group, if folds are not groups"
    )
    worst_group: Open
    intervals: Open
    sigma: Open | None = None
    conformal: Open | None = None
    slices: Open | None = None


class BaselineBlock(Block):
    """The numbers of another contender."""

    description: str
    seeds: int


class TrivialBlock(Part):
    """Contenders that know nothing, as the rules read them."""

    same_as: str | None = Field(description="which of them this run is; null: none")
    contenders: Open


class MetricsDocument(Document):
    """Every number, from predictions alone."""

    SCHEMA: ClassVar[str] = "heldout.metrics"
    WHERE: ClassVar[str] = "metrics.json"

    schema_: Literal["heldout.metrics/1", "heldout.metrics/2"] = Field("heldout.metrics/2", alias="schema")
    task: Literal["regression", "classification"]
    classes: list[str]
    outputs: list[str] | None = Field(None, description="names of the targets, where there are several")
    primary: str = Field(description="name of the metric that the report is ordered by")
    metrics: list[MetricEntry] | None = Field(None, description="what was computed; not in version 1")
    rows: int
    weighted: bool | None = Field(None, description="true: every number counts rows by their weights")
    groups: int
    seeds: list[int]
    folds: list[str]
    members: dict[str, Block] = Field(description="by seed")
    ensemble: EnsembleBlock
    baselines: dict[str, BaselineBlock]
    comparisons: dict[str, dict[str, GainEntry]] = Field(description="by contender and metric")
    undefined: list[UndefinedEntry]
    copies: dict[str, int] | None = Field(None, description="seeds that are another seed's model, by seed")
    trivial: TrivialBlock | None = None
