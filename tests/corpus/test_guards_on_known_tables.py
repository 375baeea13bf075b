"""Tables that everybody knows, with groups that somebody would choose: no guard may block an honest one."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from heldout.corpus.guards import check_corpus
from heldout.corpus.table import TableOptions, TableReader

datasets = pytest.importorskip("sklearn.datasets")


class Known(NamedTuple):
    """A table, the column that groups it, what is predicted, and columns that are ignored."""

    frame: Callable[[], pl.DataFrame]
    group: str
    target: str
    ignore: tuple[str, ...] = ()


def installed(package: str) -> Path:
    """Where a package lies, without importing it: only its data files are wanted."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the table ships with {package}")
    return Path(next(iter(found.submodule_search_locations)))


def learn(name: str) -> Callable[[], pl.DataFrame]:
    """A table of scikit-learn's, every seventh row in one group."""

    def frame() -> pl.DataFrame:
        whole = getattr(datasets, f"load_{name}")(as_frame=False)
        names = getattr(whole, "feature_names", [f"pixel{number}" for number in range(whole.data.shape[1])])
        target = whole.target if name in ("diabetes", "linnerud") else whole.target_names[whole.target].astype(str)
        columns = {str(each): whole.data[:, number] for number, each in enumerate(names)}
        columns["y"] = target[:, 0] if target.ndim > 1 else target
        return pl.DataFrame(columns).with_columns(part=pl.int_range(pl.len()) % 7)

    return frame


def models(name: str, **options: Any) -> Callable[[], pl.DataFrame]:
    """A table of statsmodels', without rows that have gaps."""

    def frame() -> pl.DataFrame:
        path = installed("statsmodels") / "datasets" / name / f"{name}.csv"
        table = pl.read_csv(path, infer_schema_length=None, null_values=["", "."], **options).drop_nulls()
        return table.with_columns(part=pl.int_range(pl.len()) % 5, block=pl.int_range(pl.len()) * 5 // pl.len())

    return frame


def vega(name: str) -> Callable[[], pl.DataFrame]:
    """A table of vega's, without rows that have gaps."""

    def frame() -> pl.DataFrame:
        path = installed("vega_datasets") / "_data" / name
        rows = json.loads(path.read_text()) if path.suffix == ".json" else None
        table = pl.read_csv(path) if rows is None else pl.DataFrame(rows, infer_schema_length=None)
        return table.drop_nulls().with_columns(part=pl.int_range(pl.len()) % 5)

    return frame


def weather() -> pl.DataFrame:
    table = vega("seattle-weather.csv")()
    return table.with_columns(year=pl.col("date").str.slice(0, 4), month=pl.col("date").str.slice(5, 2))


KNOWN = {
    "iris": Known(learn("iris"), "part", "y"),
    "wine": Known(learn("wine"), "part", "y"),
    "diabetes": Known(learn("diabetes"), "part", "y"),
    "breast_cancer": Known(learn("breast_cancer"), "part", "y"),
    "linnerud": Known(learn("linnerud"), "part", "y"),
    "digits": Known(learn("digits"), "part", "y"),
    "grunfeld by firm": Known(models("grunfeld"), "firm", "invest", ("part", "block")),
    "grunfeld by year": Known(models("grunfeld"), "year", "invest", ("part", "block")),
    "fair by occupation": Known(models("fair"), "occupation", "affairs", ("part", "block")),
    "randhie by plan": Known(models("randhie"), "lncoins", "mdvis", ("part", "block")),
    "anes96 by schooling": Known(models("anes96", separator="\t", quote_char="'"), "educ", "vote", ("part", "block")),
    "star98": Known(models("star98"), "part", "PR50M", ("block",)),
    "engel": Known(models("engel"), "part", "foodexp", ("block",)),
    "modechoice by traveller": Known(models("modechoice", separator=";"), "individual", "choice", ("part", "block")),
    "macrodata by quarter's block": Known(models("macrodata"), "block", "infl", ("part",)),
    "statecrime": Known(models("statecrime"), "part", "murder", ("block",)),
    "sunspots by block": Known(models("sunspots"), "block", "SUNACTIVITY", ("part",)),
    "heart": Known(models("heart"), "part", "survival", ("block",)),
    "cars by origin": Known(vega("cars.json"), "Origin", "Miles_per_Gallon", ("part",)),
    "cars by year": Known(vega("cars.json"), "Year", "Miles_per_Gallon", ("part",)),
    "barley by site": Known(vega("barley.json"), "site", "yield", ("part",)),
    "barley by year": Known(vega("barley.json"), "year", "yield", ("part",)),
    "stocks by symbol": Known(vega("stocks.csv"), "symbol", "price", ("part",)),
    "weather by year": Known(weather, "year", "temp_max", ("part",)),
    "weather by month": Known(weather, "month", "weather", ("part", "date")),
    "electricity by source": Known(vega("iowa-electricity.csv"), "source", "net_generation", ("part",)),
}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_no_guard_blocks_a_table_that_everybody_knows(name: str, tmp_path: Path) -> None:
    """The first thing that a newcomer tries would end in HOLD, and nobody would believe a finding again."""
    known = KNOWN[name]
    frame = known.frame()
    assert frame.height >= 20
    frame.write_parquet(tmp_path / "known.parquet")
    options = TableOptions(
        path=tmp_path / "known.parquet", group=known.group, target=known.target, ignore=list(known.ignore)
    )
    found = check_corpus(TableReader(options).read())
    assert [] == [each.what for each in found if each.blocking]
    assert len(found) <= 3
