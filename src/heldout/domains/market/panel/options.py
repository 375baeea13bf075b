"""The ``corpus:`` block of a price panel: where it is, what is predicted, from which features.

A feature family that is ``null`` has no parameters, so none of them can be set in vain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from heldout.corpus import ReaderOptions

Days = Annotated[int, Field(ge=1, le=2000)]
Windows = Annotated[list[Days], Field(min_length=1)]


class Family(BaseModel):
    """Base of a family of features: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Momentum(Family):
    """Log return from ``window`` dates ago to ``skip`` dates ago."""

    windows: Windows = Field(default_factory=lambda: [63, 126, 252], description="dates that it looks back")
    skip: int = Field(21, ge=0, description="last dates that it leaves out")

    @model_validator(mode="after")
    def _windows_are_longer(self) -> Momentum:
        if min(self.windows) <= self.skip + 1:
            raise ValueError("each window must be longer than `skip` by two dates or more")
        return self


class ResidualMomentum(Momentum):
    """What the market does not explain: the mean residual return, over its standard error."""

    windows: Windows = Field(default_factory=lambda: [126, 252], description="dates that it looks back")
    beta: int = Field(60, ge=10, le=2000, description="dates of the market beta, which ends the date before")


class Volatility(Family):
    """Standard deviation of daily log returns."""

    windows: Windows = Field(default_factory=lambda: [21, 63], description="dates that it looks back")


class Reversal(Family):
    """Log return of the last dates."""

    windows: Windows = Field(default_factory=lambda: [5, 21], description="dates that it looks back")


class Features(Family):
    """Families of features; ``{}`` takes a family with its defaults, ``null`` leaves it out."""

    momentum: Momentum | None = Field(default_factory=Momentum)
    residual_momentum: ResidualMomentum | None = None
    volatility: Volatility | None = Field(default_factory=Volatility)
    reversal: Reversal | None = Field(default_factory=Reversal)

    @model_validator(mode="after")
    def _some(self) -> Features:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("every family is null: there is nothing to learn from")
        return self


class PanelOptions(ReaderOptions):
    """The `corpus:` block of a price panel."""

    # A volume is for the scorer of costs; no model learns from it.
    location: ClassVar[frozenset[str]] = ReaderOptions.location | {"volume"}

    path: Path = Field(description="a .parquet or .csv file, one row an asset and date, relative to the study")
    date: str = Field("date", description="column of dates")
    asset: str = Field("asset", description="column of asset names")
    close: str = Field("close", description="column of adjusted closing prices")
    volume: str | None = Field(None, description="column of volumes; read by the scorer of costs only")
    index: str | None = Field(
        None, description="column of an index level, one value a date; null: the market is the mean of the universe"
    )
    member: str | None = Field(
        None, description="boolean column: in the universe on that date, as known on it; null: every row is"
    )
    forward_days: Days = Field(21, description="dates from a row to the close that ends its label")
    block: int | None = Field(None, ge=1, description="dates of a group, at least `forward_days`; null: `forward_days`")
    label: Literal["log", "simple"] = Field("log", description="kind of forward return")
    demean: bool = Field(True, description="subtract the universe's mean of the date from the label")
    features: Features = Field(default_factory=Features)
    standardise: Literal["zscore", "rank", "none"] = Field(
        "zscore", description="features across the universe of each date: zscore; rank: evenly from -0.5 to 0.5; none"
    )
    winsorise: float | None = Field(None, gt=0, description="limit of a z-score, both ways (zscore only)")
    min_assets: int = Field(5, ge=3, description="a date with fewer usable assets is left out, and counted")

    @property
    def block_dates(self) -> int:
        """Dates of a group: outcomes of two groups that are not neighbours never overlap."""
        return self.block or self.forward_days

    @model_validator(mode="after")
    def _block_holds_a_label(self) -> PanelOptions:
        if self.block is not None and self.block < self.forward_days:
            raise ValueError(
                f"`block` ({self.block}) is shorter than `forward_days` ({self.forward_days}): groups would share "
                "outcomes far beyond their neighbours, and every interval over groups be too narrow"
            )
        if self.winsorise is not None and self.standardise != "zscore":
            raise ValueError(f"`winsorise` means nothing with `standardise: {self.standardise}`")
        return self
