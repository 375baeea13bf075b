"""Panels to try things out on: one from data that ship with skfolio, and one that is generated, whose truth is known.

skfolio's own note on its data says that they are for tests and examples: stale, and of 20 survivors. They are read from
the installed package and never copied. Only its data files are needed: ``pip install --no-deps skfolio`` is enough.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from heldout.errors import PrerequisiteError

Kind = Literal["skfolio", "generated"]
_PERSISTS = 0.995  # a day: half of it is gone after 138


def demo_panel(kind: Kind) -> pl.DataFrame:
    """Columns ``date``, ``asset``, ``close`` and ``index``; the generated one has ``volume`` too.

    Raises:
        PrerequisiteError: If skfolio is asked for and not installed.
    """
    return skfolio_panel() if kind == "skfolio" else generated_panel()


def skfolio_panel() -> pl.DataFrame:
    """Daily closes of 20 US stocks and the S&P 500 index, 1990 to 2022.

    Raises:
        PrerequisiteError: If skfolio is not installed.
    """
    package = find_spec("skfolio")  # found, not imported: importing it needs its optimisers
    if package is None or not package.submodule_search_locations:
        raise PrerequisiteError(
            "this panel ships with skfolio, which is not installed",
            where="--panel skfolio",
            hint="pip install --no-deps skfolio; or use --panel generated",
        )
    data = Path(package.submodule_search_locations[0], "datasets", "data")
    closes = pl.read_csv(data / "sp500_dataset.csv.gz", try_parse_dates=True)
    index = pl.read_csv(data / "sp500_index.csv.gz", try_parse_dates=True).rename({"SP500": "index"})
    panel = closes.unpivot(index="Date", variable_name="asset", value_name="close").join(index, on="Date")
    return panel.rename({"Date": "date"}).sort("date", "asset")


def generated_panel(*, dates: int = 5200, assets: int = 20, drift: float = 0.0009, seed: int = 2) -> pl.DataFrame:
    """A market in which each name's own return has a mean that wanders slowly, so that winners go on winning a while.

    Args:
        dates: Weekdays from 2000 on.
        assets: Names.
        drift: Standard deviation of that mean, a day; without it nothing can be known.
        seed: Of the one random stream.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    steps = rng.normal(scale=drift * np.sqrt(1 - _PERSISTS**2), size=(dates, assets))
    own = np.empty((dates, assets))
    state = rng.normal(scale=drift, size=assets)
    for date in range(dates):
        own[date] = state = _PERSISTS * state + steps[date]
    market = rng.normal(0.0003, 0.009, size=(dates, 1))
    beta = rng.uniform(0.6, 1.4, size=(1, assets))
    noise = rng.normal(scale=rng.uniform(0.008, 0.016, size=(1, assets)), size=(dates, assets))
    close = 50 * np.exp((own + beta * market + noise).cumsum(axis=0))
    index = 1000 * np.exp(market.cumsum(axis=0)).ravel()
    volume = np.round(np.exp(rng.normal(13.0, 0.4, size=(dates, assets))))
    days = np.busday_offset(np.datetime64("2000-01-03", "D"), np.arange(dates), roll="forward")
    return pl.DataFrame(
        {
            "date": pl.Series(np.repeat(days, assets)),
            "asset": [f"A{number:02d}" for number in range(assets)] * dates,
            "close": close.ravel(),
            "index": np.repeat(index, assets),
            "volume": volume.ravel(),
        }
    )
