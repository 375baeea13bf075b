"""Tables as packages ship them, with their blanks, dates and words: `init` to a verdict, without an edit."""

from __future__ import annotations

import csv
import datetime as dt
import json
import shutil
from collections.abc import Callable
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

pytest.importorskip("sklearn")
pytest.importorskip("skops")

RIDGE = "sklearn.linear_model.Ridge"
LOGISTIC = "sklearn.linear_model.LogisticRegression"


class Known(NamedTuple):
    """A file of a package, what somebody would ask of it, and the columns that are learnt from, by kind."""

    package: str
    file: str
    group: str
    target: str
    numbers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    estimator: str = RIDGE
    said: str = ""


KNOWN = (
    Known(
        "vega_datasets", "_data/cars.json", "Origin", "Weight_in_lbs",
        ("Miles_per_Gallon", "Cylinders", "Displacement", "Horsepower", "Acceleration"), ("Name",), ("Year",),
        said="'Year' holds dates",
    ),
    Known(
        "vega_datasets", "_data/seattle-weather.csv", "weather", "temp_max", ("precipitation", "temp_min", "wind"),
        said="'date' has 1,461 texts",
    ),
    Known("vega_datasets", "_data/stocks.csv", "symbol", "price", words=("date",)),
    Known(
        "vega_datasets", "_data/iowa-electricity.csv", "source", "net_generation", dates=("year",),
        said="'year' holds dates",
    ),
    Known(
        "vega_datasets", "_data/la-riots.csv", "neighborhood", "gender", ("age", "longitude", "latitude"),
        ("race", "type"), ("death_date",), LOGISTIC, "'first_name' has 63 texts",
    ),
    Known("vega_datasets", "_data/driving.json", "side", "gas", ("year", "miles")),
    Known("statsmodels", "datasets/grunfeld/grunfeld.csv", "firm", "invest", ("value", "capital", "year")),
    Known(
        "statsmodels", "datasets/statecrime/statecrime.csv", "state", "murder",
        ("violent", "hs_grad", "poverty", "single", "white", "urban"),
    ),
    Known(
        "statsmodels", "datasets/modechoice/modechoice.csv", "individual", "choice",
        ("mode", "ttme", "invc", "invt", "gc", "hinc", "psize"), estimator=LOGISTIC, said="separated by ';'",
    ),
    Known("sklearn", "datasets/data/iris.csv", "setosa", "150", ("4", "versicolor", "virginica")),
)  # fmt: skip


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


def read_by_hand(known: Known, path: Path) -> dict[str, list[Any]]:
    """The columns of a file as Python's own modules read them; a gap is None, a date its number of days since 1970."""
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
    else:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.partition("\n")[0] else ","))
    read: dict[str, Callable[[Any], Any]] = dict.fromkeys(known.numbers, float) | dict.fromkeys(known.dates, _days)
    wanted = {known.group, known.target, *known.numbers, *known.dates, *known.words}
    return {
        name: [None if row[name] in (None, "") else read.get(name, str)(row[name]) for row in rows]
        for name in rows[0]  # an optimiser ends elsewhere, in the last digits, where columns stand in another order
        if name in wanted
    }


def _days(text: str) -> float:
    return float(dt.date.fromisoformat(text).toordinal() - dt.date(1970, 1, 1).toordinal())


def fitted_by_hand(known: Known, columns: dict[str, list[Any]], folds: list[list[str]]) -> np.ndarray:
    """What scikit-learn's own objects predict of every row by the model that held it out: numbers or probabilities."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    order = [name for name in columns if name in {*known.numbers, *known.dates}]
    kinds = dict.fromkeys(order, pl.Float64) | dict.fromkeys(known.words, pl.String)
    frame = pl.DataFrame({name: pl.Series(columns[name], dtype=kind) for name, kind in kinds.items()})
    groups = np.array([str(each) for each in columns[known.group]])
    classes = known.estimator == LOGISTIC
    target = np.array(columns[known.target], dtype=str if classes else float)
    said: np.ndarray = np.full((len(target), len(np.unique(target))) if classes else len(target), np.nan)
    for test in folds:
        held = np.isin(groups, test)
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), order
        words = OneHotEncoder(handle_unknown="ignore"), list(known.words)
        parts = [each for each in (numbers, words) if each[1]]
        model = make_pipeline(
            make_column_transformer(*parts, sparse_threshold=0), LogisticRegression() if classes else Ridge()
        )
        model.fit(frame.filter(pl.Series(~held)), target[~held])
        asked = frame.filter(pl.Series(held))
        said[held] = model.predict_proba(asked) if classes else model.predict(asked)
    return said


def scores_by_hand(labels: np.ndarray | None) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Metrics of truth and predictions by the names that heldout has for them; of numbers, or of these labels."""
    from scipy.stats import pearsonr, spearmanr
    from sklearn import metrics as of

    if labels is None:
        return {
            "rmse": of.root_mean_squared_error,
            "mae": of.mean_absolute_error,
            "bias": lambda truth, said: float(np.mean(said - truth)),
            "plcc": lambda truth, said: float(pearsonr(truth, said).statistic),
            "srocc": lambda truth, said: float(spearmanr(truth, said).statistic),
        }
    return {
        "accuracy": lambda truth, said: of.accuracy_score(truth, labels[said.argmax(axis=1)]),
        "balanced_accuracy": lambda truth, said: of.balanced_accuracy_score(truth, labels[said.argmax(axis=1)]),
        "macro_f1": lambda truth, said: of.f1_score(truth, labels[said.argmax(axis=1)], average="macro"),
        "log_loss": lambda truth, said: of.log_loss(truth, said, labels=labels),
    }


@pytest.mark.slow
@pytest.mark.parametrize("known", KNOWN, ids=[each.file.rpartition("/")[2] for each in KNOWN])
def test_a_table_that_nobody_prepared_comes_to_the_verdict_and_numbers_of_scikit_learn(
    known: Known, tmp_path: Path
) -> None:
    """The first thing that a newcomer tries would be refused for a blank, a date or a word, or judged by other numbers.

    What is expected is read by Python's own modules, prepared and fitted by scikit-learn's objects on the folds that
    ``split.json`` names, and scored by scikit-learn and SciPy.
    """
    run, told = started(known, tmp_path)
    assert run.verdict in ("PROMOTE", "HOLD")
    assert known.said in "\n".join(told)
    assert [] == [finding["what"] for finding in run.document["findings"] if finding["blocking"]]
    assert "HO-G016" not in [finding["code"] for finding in run.document["findings"]] or known.file.endswith(
        "stocks.csv"
    )

    columns = read_by_hand(known, tmp_path / Path(known.file).name)
    folds = {fold["id"]: fold["test"] for fold in json.loads((run.folder / "split.json").read_text())["folds"]}
    expected, table = fitted_by_hand(known, columns, list(folds.values())), run.predictions
    names = ["prediction"] if expected.ndim == 1 else [f"p_{label}" for label in np.unique(columns[known.target])]
    found = table.select(names).to_numpy().reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())

    truth = np.array(columns[known.target], dtype=float if expected.ndim == 1 else str)
    scores = scores_by_hand(None if expected.ndim == 1 else np.unique(truth))
    for name, score in scores.items():
        found_here = run.numbers["ensemble"]["pooled"][name]
        assert score(truth, expected) == pytest.approx(found_here, rel=1e-9, abs=1e-9), name
    groups = np.array([str(each) for each in columns[known.group]])
    parts = [np.isin(groups, test) for test in folds.values()]
    for name in ("rmse", "mae") if expected.ndim == 1 else ("accuracy", "log_loss"):  # which every fold has
        mean = np.mean([scores[name](truth[part], expected[part]) for part in parts])
        assert mean == pytest.approx(run.numbers["ensemble"]["mean"][name], rel=1e-9), name
