"""Price panels with a known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.domains.market.panel.options import PanelOptions
from heldout.domains.market.panel.reader import MarketPanelReader


def days(count: int) -> pl.Series:
    """Weekdays from 2000 on."""
    found = pl.date_range(pl.date(2000, 1, 3), pl.date(2040, 1, 1), "1d", eager=True)
    return found.filter(found.dt.weekday() <= 5)[:count].alias("date")


def prices(dates: int, assets: int, *, seed: int = 0, drift: float = 0.0) -> np.ndarray[Any, Any]:
    """Closes ``[dates, assets]``: a market, and an own part whose mean return persists for 120 dates by ``drift``."""
    rng = np.random.default_rng(seed)
    states = rng.choice([-1.0, 1.0], size=(dates // 120 + 1, assets))
    own = drift * np.repeat(states, 120, axis=0)[:dates]
    returns = own + rng.normal(scale=0.01, size=(dates, assets)) + rng.normal(scale=0.01, size=(dates, 1))
    return 100 * np.exp(np.cumsum(returns, axis=0))


def frame(closes: np.ndarray[Any, Any]) -> pl.DataFrame:
    """One row an asset and date."""
    dates, assets = closes.shape
    names = [f"A{number:02d}" for number in range(assets)]
    table = pl.DataFrame(closes, schema=names).with_columns(days(dates))
    return table.unpivot(index="date", variable_name="asset", value_name="close").sort("date", "asset")


def reader(path: Path, table: pl.DataFrame, **options: Any) -> MarketPanelReader:
    """A reader of the table, with windows that a short panel can fill."""
    table.write_parquet(path / "panel.parquet")
    return bound(path / "panel.parquet", **options)


def bound(path: Path, **options: Any) -> MarketPanelReader:
    """A reader with windows that a short panel can fill."""
    short = {
        "momentum": {"windows": [10, 20], "skip": 2},
        "volatility": {"windows": [10]},
        "reversal": {"windows": [5]},
    }
    features = short | options.pop("features", {})
    block = {"path": path, "forward_days": 5, "features": features} | options
    return MarketPanelReader(PanelOptions.model_validate(block))
