"""When a group's samples were taken, and when their labels were known: what a split in time must keep apart."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from heldout.errors import CorpusError

Moment = float | str


@dataclass(frozen=True)
class TimeSpan:
    """The time that a group takes: numbers, or ISO 8601 dates in UTC.

    Attributes:
        first: Of its first sample.
        last: Of its last sample.
        matures: When the last of its labels was known; a label that looks ahead is known after its sample.
    """

    first: Moment
    last: Moment
    matures: Moment

    @property
    def dated(self) -> bool:
        """Whether these are dates."""
        return isinstance(self.first, str)

    @property
    def ticks(self) -> tuple[float, float, float]:
        """First, last and matures as numbers: microseconds since 1970 for dates, exact until the year 2255."""
        return ticks(self.first), ticks(self.last), ticks(self.matures)


def ticks(moment: Moment) -> float:
    """A moment as a number."""
    if not isinstance(moment, str):
        return moment
    return float((dt.datetime.fromisoformat(moment) - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1))  # noqa: DTZ001


def group_spans(groups: pl.Series, time: pl.Series, matures: pl.Series | None = None) -> dict[str, TimeSpan]:
    """The span of each group.

    Args:
        groups: Group of each sample.
        time: When it was taken: Float64, or Datetime without a zone, in UTC.
        matures: When its label was known, of the same kind; None: at once.

    Raises:
        CorpusError: If a label was known before its sample was taken.
    """
    known = time if matures is None else matures
    early = (known < time).arg_max() if (known < time).any() else None
    if early is not None:
        raise CorpusError(
            f"a label is known at {known[early]}, before its sample is taken at {time[early]}",
            where=f"row {early + 1}",
            hint="the label's time is when its last ingredient was known, such as the close that ends a return",
        )
    columns = pl.DataFrame({"group": groups, "time": time, "known": known})
    table = columns.group_by("group").agg(
        pl.col("time").min(), pl.col("time").max().alias("last"), pl.col("known").max()
    )
    return {name: TimeSpan(_moment(first), _moment(last), _moment(end)) for name, first, last, end in table.iter_rows()}


def _moment(value: float | dt.datetime) -> Moment:
    return value.isoformat() if isinstance(value, dt.datetime) else value
