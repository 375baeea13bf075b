"""Tables as packages ship them, with their blanks, dates and words: `init` to a verdict, without an edit."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from heldout import Study
from heldout.run import Run
from heldout.run.begin.choices import Asked
from heldout.run.begin.starter import write_starter
from heldout.task.table import read_table, table_in

pytest.importorskip("sklearn")
pytest.importorskip("skops")

RIDGE = "sklearn.linear_model.Ridge"
LOGISTIC = "sklearn.linear_model.LogisticRegression"


class Known(NamedTuple):
    """A file of a package, and what somebody would ask of it."""

    package: str
    file: str
    group: str
    target: str
    estimator: str = RIDGE
    said: str = ""


KNOWN = (
    Known("vega_datasets", "_data/cars.json", "Origin", "Weight_in_lbs", said="'Year' holds dates"),
    Known("vega_datasets", "_data/seattle-weather.csv", "weather", "temp_max", said="'date' has 1,461 texts"),
    Known("vega_datasets", "_data/stocks.csv", "symbol", "price"),
    Known("vega_datasets", "_data/iowa-electricity.csv", "source", "net_generation", said="'year' holds dates"),
    Known("vega_datasets", "_data/la-riots.csv", "neighborhood", "gender", LOGISTIC, "'first_name' has 63 texts"),
    Known("vega_datasets", "_data/driving.json", "side", "gas"),
    Known("statsmodels", "datasets/grunfeld/grunfeld.csv", "firm", "invest"),
    Known("statsmodels", "datasets/statecrime/statecrime.csv", "state", "murder"),
    Known("statsmodels", "datasets/modechoice/modechoice.csv", "individual", "choice", LOGISTIC, "separated by ';'"),
    Known("sklearn", "datasets/data/iris.csv", "setosa", "150"),
)


def started(known: Known, folder: Path) -> tuple[Run, tuple[str, ...]]:
    """The run of the study that `init` writes, and what was said of it."""
    found = find_spec(known.package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the table ships with {known.package}")
    path = Path(next(iter(found.submodule_search_locations))) / known.file
    table = folder / path.name
    shutil.copy(path, table)
    asked = Asked(group=known.group, target=known.target, estimator=known.estimator)
    said = write_starter(table, folder / "study.yaml", asked).said
    return Study.load(folder / "study.yaml").run(runs=folder / "runs", workers=1), said


@pytest.mark.slow
@pytest.mark.parametrize("known", KNOWN, ids=[each.file.rpartition("/")[2] for each in KNOWN])
def test_a_table_that_nobody_prepared_comes_to_a_verdict(known: Known, tmp_path: Path) -> None:
    """The first thing that a newcomer tries would be refused, for a blank, a date or a word."""
    run, said = started(known, tmp_path)
    assert run.verdict in ("PROMOTE", "HOLD")
    assert known.said in "\n".join(said)
    assert [] == [finding["what"] for finding in run.document["findings"] if finding["blocking"]]
    assert "HO-G016" not in [finding["code"] for finding in run.document["findings"]] or known.file.endswith(
        "stocks.csv"
    )


@pytest.mark.slow
def test_predictions_are_those_of_scikit_learn_by_hand(tmp_path: Path) -> None:
    """Gaps, dates and words would be made into something that nobody can make again."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.metrics import root_mean_squared_error
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    run, _ = started(KNOWN[0], tmp_path)
    frame = pl.read_json(tmp_path / "cars.json", infer_schema_length=None)
    frame = frame.with_columns(Year=pl.col("Year").str.to_date().to_physical().cast(pl.Float64))
    assert frame["Horsepower"].null_count() > 0
    numbers = ["Miles_per_Gallon", "Cylinders", "Displacement", "Horsepower", "Acceleration", "Year"]
    filled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    expected: dict[str, Any] = {}
    for group in frame["Origin"].unique():
        held = frame["Origin"] == group
        train, test = frame.filter(~held), frame.filter(held)
        words = (OneHotEncoder(handle_unknown="ignore"), ["Name"])
        model = make_pipeline(make_column_transformer((filled, numbers), words, sparse_threshold=0), Ridge())
        rows = np.flatnonzero(held.to_numpy())
        predicted = model.fit(train, train["Weight_in_lbs"].to_numpy()).predict(test)
        expected |= {f"row{row + 1:03d}": value for row, value in zip(rows, predicted, strict=True)}
    table = read_table(table_in(run.folder))
    found = dict(table.select("sample_id", "prediction").iter_rows())
    assert expected.keys() == found.keys()
    ids = sorted(expected)
    np.testing.assert_allclose([found[each] for each in ids], [expected[each] for each in ids], rtol=1e-9)
    truth = dict(table.select("sample_id", "target").iter_rows())
    score = root_mean_squared_error([truth[each] for each in ids], [expected[each] for each in ids])
    assert score == pytest.approx(run.numbers["ensemble"]["pooled"]["rmse"], rel=1e-9)
