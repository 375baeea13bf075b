"""A panel of prices as matrices, dates by assets: what was known on each date, and nothing that came later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.files import read_table
from heldout.domains.market.panel.options import PanelOptions
from heldout.errors import CorpusError

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """Prices by date and asset; NaN where an asset has no row on a date.

    Attributes:
        dates: Ascending; ``[dates]``, datetime64[D].
        assets: Sorted names.
        close: ``[dates, assets]``.
        member: Whether an asset has a row and is in the universe on that date; bool ``[dates, assets]``.
        index: Level of the index, ``[dates]``; None without one.
        volume: ``[dates, assets]``; None without one.
    """

    dates: NDArray[np.datetime64]
    assets: tuple[str, ...]
    close: Matrix
    member: NDArray[np.bool_]
    index: Matrix | None = None
    volume: Matrix | None = None

    @property
    def names(self) -> list[str]:
        """Dates as ISO 8601."""
        return [str(date) for date in self.dates]

    @property
    def survivors(self) -> bool:
        """Whether every asset is in the universe on every date, as only those are that somebody chose afterwards."""
        return bool(self.member.all())

    def until(self, count: int) -> Panel:
        """The first ``count`` dates: the panel as it was then."""
        return replace(
            self,
            dates=self.dates[:count],
            close=self.close[:count],
            member=self.member[:count],
            index=None if self.index is None else self.index[:count],
            volume=None if self.volume is None else self.volume[:count],
        )


def read_panel(options: PanelOptions) -> Panel:
    """Read and check a panel.

    Raises:
        CorpusError: With file, row and column of the first bad value.
    """
    path = options.path
    frame = read_table(path)
    numbers = [name for name in (options.close, options.index, options.volume) if name]
    wanted = [options.date, options.asset, *numbers, *([options.member] if options.member else [])]
    for name in wanted:
        if name not in frame.columns:
            raise CorpusError(
                f"the panel has no column {name!r}", where=str(path), hint=f"its columns: {', '.join(frame.columns)}"
            )
    dates, assets = _dates(frame[options.date], path), _assets(frame[options.asset], path)
    for name in numbers:
        _check_numbers(frame[name], path, positive=name != options.volume)
    rows = pl.DataFrame({"date": dates, "asset": assets}).with_row_index("row")
    _check_pairs(rows, path)
    days, day = np.unique(dates.to_numpy().astype("datetime64[D]"), return_inverse=True)
    names, number = np.unique(assets.to_numpy().astype(str), return_inverse=True)
    shape = (len(days), len(names))

    def matrix(name: str) -> Matrix:
        found = np.full(shape, np.nan)
        found[day, number] = frame[name].cast(pl.Float64).to_numpy()
        return found

    member = np.zeros(shape, dtype=bool)
    member[day, number] = _members(frame[options.member], path) if options.member else True
    return Panel(
        dates=days,
        assets=tuple(str(name) for name in names),
        close=matrix(options.close),
        member=member,
        index=_index(matrix(options.index), days, path, options.index) if options.index else None,
        volume=matrix(options.volume) if options.volume else None,
    )


def _dates(column: pl.Series, path: Path) -> pl.Series:
    try:
        found = column.str.to_date() if column.dtype == pl.String else column.cast(pl.Date)
    except pl.exceptions.PolarsError:
        found = pl.Series([None], dtype=pl.Date)
    if column.dtype.is_numeric() or found.has_nulls():
        bad = int(found.is_null().arg_max() or 0)
        raise CorpusError(
            f"{column[bad]!r} is no date",
            where=f"{path}: row {bad + 1}, column {column.name}",
            hint="write dates as 2026-01-31",
        )
    return found


def _assets(column: pl.Series, path: Path) -> pl.Series:
    found = column.cast(pl.String)
    bad = found.is_null() | (found.str.strip_chars() == "") | found.str.contains("/")
    if bad.fill_null(value=True).any():
        row = int(bad.fill_null(value=True).arg_max() or 0)
        raise CorpusError(
            f"{found[row]!r} is no name of an asset",
            where=f"{path}: row {row + 1}, column {column.name}",
            hint="a name is not blank and has no slash: names and dates make up sample ids",
        )
    return found


def _check_numbers(column: pl.Series, path: Path, *, positive: bool) -> None:
    words = "a positive number" if positive else "a number of at least 0"
    if not column.dtype.is_numeric():
        raise CorpusError(f"the column {column.name!r} is {column.dtype}, not numbers", where=f"{path}: {column.name}")
    values = column.cast(pl.Float64)
    good = values.is_finite() & ((values > 0) if positive else (values >= 0))
    bad = ~good.fill_null(value=False)
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise CorpusError(
            f"{int(bad.sum())} values are not {words}, the first is {column[row]}",
            where=f"{path}: row {row + 1}, column {column.name}",
            hint="leave out the rows of assets that did not trade; nothing is filled or dropped silently",
        )


def _members(column: pl.Series, path: Path) -> NDArray[np.bool_]:
    if column.dtype != pl.Boolean or column.has_nulls():
        raise CorpusError(
            f"the column {column.name!r} is {column.dtype}, not true or false in every row",
            where=f"{path}: column {column.name}",
            hint="write whether the asset was in the universe, as known on that date",
        )
    found: NDArray[np.bool_] = column.to_numpy()
    return found


def _check_pairs(rows: pl.DataFrame, path: Path) -> None:
    repeated = rows.filter(pl.struct("date", "asset").is_duplicated())
    if repeated.height:
        row, date, asset = repeated.row(1)
        raise CorpusError(
            f"{asset} has two prices on {date}",
            where=f"{path}: row {row + 1}",
            hint="an asset has one closing price a date; remove the copies",
            code="HO-G004",
        )


def _index(levels: Matrix, days: NDArray[np.datetime64], path: Path, name: str) -> Matrix:
    low: Matrix = np.nanmin(levels, axis=1)
    high: Matrix = np.nanmax(levels, axis=1)
    if not np.array_equal(low, high):
        bad = int(np.argmax(low != high))
        raise CorpusError(
            f"the index has two levels on {days[bad]}: {low[bad]:g} and {high[bad]:g}",
            where=f"{path}: column {name}",
            hint="repeat the one level of a date in each of its rows",
        )
    return low
