"""What a judged run gives to whoever goes on in Python: tables of polars, plots, and what a notebook shows."""

from __future__ import annotations

import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import root_mean_squared_error

from heldout import Run, Study
from heldout.errors import InputError, TamperedError

STUDY = """
study: result
corpus: {{path: table.csv, group: group, target: y}}
split: {{kind: group-k-fold, folds: 3}}
backbone: sklearn
fit: {{estimator: {estimator}}}
seeds: [0]
bootstrap: {{draws: 100}}
baselines: [{{id: flat, description: the mean, backbone: sklearn, fit: {{estimator: {flat}}}}}]
gate: {{min_groups: 3, rules: [{rule}]}}
"""


def _judged(folder: Path, columns: dict[str, object], estimator: str, flat: str, rule: str) -> Run:
    pl.DataFrame(columns).write_csv(folder / "table.csv")
    (folder / "study.yaml").write_text(STUDY.format(estimator=estimator, flat=flat, rule=rule))
    return Study.load(folder / "study.yaml").run(runs=folder / "runs", workers=1)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A judged regression."""
    data = load_diabetes()
    columns = {"group": [f"g{row % 6}" for row in range(180)], "x": data.data[:180, 2], "y": data.target[:180]}
    rule = "{id: r, metric: rmse, at_most: 90}"
    folder = tmp_path_factory.mktemp("numbers")
    return _judged(folder, columns, "sklearn.linear_model.Ridge", "sklearn.dummy.DummyRegressor", rule)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A judged classification."""
    data = load_iris()
    labels = [str(data.target_names[code]) for code in data.target]
    columns = {"group": [f"g{row % 6}" for row in range(150)], "x": data.data[:, 2], "y": labels}
    rule = "{id: r, metric: accuracy, at_least: 0.5}"
    folder = tmp_path_factory.mktemp("classes")
    known = "sklearn.linear_model.LogisticRegression", "sklearn.dummy.DummyClassifier"
    return _judged(folder, columns, *known, rule)


def test_predictions_are_a_table_whose_metric_is_that_of_the_run(numbers: Run) -> None:
    """Whoever plots his own would begin with another number than the verdict's."""
    found = numbers.predictions
    assert {"sample_id", "group", "fold", "target", "prediction", "seed0"} == set(found.columns)
    by_hand = root_mean_squared_error(found["target"].to_numpy(), found["prediction"].to_numpy())
    (row,) = numbers.metrics.filter(contender="base", metric="rmse").to_dicts()
    assert by_hand == pytest.approx(row["pooled"], rel=1e-12)
    assert ("lower", None) == (row["better"], row["gain"])
    assert row["low"] < row["high"]


def test_two_runs_are_compared_as_a_rule_compares(numbers: Run, tmp_path: Path) -> None:
    """Somebody would subtract two means, without the groups that both runs share, or with the sign turned."""
    study = numbers.folder.parents[2] / "study.yaml"
    shutil.copy(study.with_name("table.csv"), tmp_path)
    plain = study.read_text()
    (tmp_path / "study.yaml").write_text(plain.replace("sklearn.linear_model.Ridge", "sklearn.dummy.DummyRegressor"))
    other = Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "runs", workers=1)
    found = numbers.compare(other)
    assert "rmse" == found.metrics["metric"][0], "what the rule judges"
    known = numbers.metrics.filter(pl.col("contender") == "flat", pl.col("better") != "near zero").sort("metric")
    same = found.metrics.sort("metric")
    names = {"metric": "metric", "gain": "gain", "gain_low": "low", "gain_high": "high", "mean": "other"}
    for theirs, ours in names.items():
        assert known[theirs].to_list() == same[ours].to_list()
    joined = numbers.groups.join(other.groups, on="group", suffix="_other").sort("group")
    assert joined["group"].to_list() == found.groups["group"].to_list()
    by_hand = (joined["rmse_other"] - joined["rmse"]).to_list()
    assert by_hand == pytest.approx(found.groups["rmse"].to_list(), rel=1e-12)
    back = other.compare(numbers.folder)
    assert [-each for each in by_hand] == pytest.approx(back.groups["rmse"].to_list(), rel=1e-12)
    gain, low, high = found.metrics.select("gain", "low", "high").row(0)
    assert f"the gain in rmse is {gain:.4g} ({low:.4g} to {high:.4g} at 0.95, paired over 6 groups)" == str(found)

    (tmp_path / "study.yaml").write_text(plain.replace("folds: 3", "folds: 2"))
    split = Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "split", workers=1)
    with pytest.raises(InputError, match="the other run was scored on another split") as caught:
        numbers.compare(split)
    assert str(split.folder) == caught.value.where
    assert caught.value.hint
    (other.folder / "predictions.csv").write_text("sample_id\n")
    with pytest.raises(TamperedError):
        numbers.compare(other)
    with pytest.raises(InputError, match="no computed verdict"):
        numbers.compare(tmp_path)


def test_folds_and_groups_are_those_of_the_predictions(numbers: Run) -> None:
    """A fold's number would stand beside the name of another."""
    found, folds, groups = numbers.predictions, numbers.folds, numbers.groups
    for key, table in (("fold", folds.filter(contender="base")), ("group", groups)):
        assert table.height == found[key].n_unique()
        for row in table.iter_rows(named=True):
            held = found.filter(pl.col(key) == row[key])
            assert (held.height, pytest.approx(row["rmse"], rel=1e-12)) == (
                row["rows"], root_mean_squared_error(held["target"].to_numpy(), held["prediction"].to_numpy()),
            )  # fmt: skip
    assert {120} == set(folds["n_train"])
    assert ["base", "flat"] == folds["contender"].unique(maintain_order=True).to_list()


def test_gains_over_others_stand_in_the_table(numbers: Run) -> None:
    """The one number that a decision is about would have to be dug out of nested documents."""
    (row,) = numbers.metrics.filter(contender="flat", metric="rmse").to_dicts()
    told = numbers.numbers["comparisons"]["flat"]["rmse"]
    assert (told["gain"], told["low"], told["high"]) == (row["gain"], row["gain_low"], row["gain_high"])
    assert np.mean(told["differences"]) == pytest.approx(row["gain"])


def test_rules_are_a_table_in_the_order_of_the_verdict(numbers: Run) -> None:
    """A notebook would print nested dicts."""
    assert [rule["id"] for rule in numbers.document["rules"]] == numbers.rules["rule"].to_list()
    assert numbers.rules.filter(rule="r")["sentence"].item().startswith("the ensemble's rmse")


def test_classes_have_labels_and_probabilities(classes: Run) -> None:
    """A classification would be read as numbers."""
    found = classes.predictions
    names = ["setosa", "versicolor", "virginica"]
    assert names == sorted(set(found["prediction"]) | set(found["target"]))
    shares = found.select(f"p_{name}" for name in names)
    assert np.allclose(1.0, shares.sum_horizontal().to_numpy())
    accuracy = (found["prediction"] == found["target"]).mean()
    assert accuracy == classes.metrics.filter(contender="base", metric="accuracy")["pooled"].item()
    assert "confusion" == classes.plot().id


def test_a_plot_is_that_of_the_report_and_a_misspelt_one_is_named(numbers: Run) -> None:
    """A notebook would draw another picture than the page that was sealed."""
    assert "scatter" == numbers.plot().id
    assert numbers.plot("errors")._repr_html_().startswith('<figure id="errors"')
    with pytest.raises(InputError, match="no plot 'scater'") as caught:
        numbers.plot("scater")
    assert "did you mean 'scatter'" in str(caught.value.hint)


class Checked(HTMLParser):
    """Complains about a tag that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("br", "path", "use", "rect", "stop"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("path", "use", "rect", "stop"):
            return
        assert tag == self.open.pop()


@pytest.mark.parametrize("which", ["numbers", "classes"])
def test_a_notebook_shows_verdict_rules_contenders_and_a_plot(which: str, request: pytest.FixtureRequest) -> None:
    """The last line of a cell would be a path."""
    run: Run = request.getfixturevalue(which)
    html = run._repr_html_()
    parser = Checked()
    parser.feed(html)
    assert [] == parser.open
    assert run.verdict in html
    assert all(rule in html for rule in run.rules["rule"])
    assert "flat" in html
    assert "<svg" in html


def test_two_runs_in_one_notebook_keep_their_own_ids(numbers: Run, classes: Run) -> None:
    """A plot would be clipped by the frame of another run's."""
    found = [set(_ids(run._repr_html_())) for run in (numbers, classes)]
    assert not found[0] & found[1] - {"scatter", "confusion"}
    for run in (numbers, classes):
        html = run._repr_html_()
        assert set(_links(html)) <= set(_ids(html))


def _ids(html: str) -> list[str]:
    return [part.partition('"')[0] for part in html.split('id="')[1:]]


def _links(html: str) -> list[str]:
    return [part.partition(")")[0] for part in html.split("url(#")[1:]]


def test_names_of_groups_are_text_in_a_notebook(tmp_path: Path) -> None:
    """A group called `<script>` would run in the notebook of whoever shows the run."""
    columns = {
        "group": [f"<script>alert({row % 4})</script>" for row in range(40)],
        "x": list(range(40)), "y": [float(row) for row in range(40)],
    }  # fmt: skip
    rule = "{id: r, metric: rmse, over: worst_group, at_most: 9}"
    run = _judged(tmp_path, columns, "sklearn.linear_model.Ridge", "sklearn.dummy.DummyRegressor", rule)
    assert "<script>" not in run._repr_html_()


def test_the_documents_are_there_as_they_lie(numbers: Run) -> None:
    """Tables leave out what few ask for; it would be lost."""
    assert json.loads((numbers.folder / "metrics.json").read_text()) == numbers.numbers


def test_a_notebook_shows_the_fits_in_one_line_that_ends_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell of minutes would say nothing, or a hundred lines that stay."""
    columns = {"group": np.repeat(["a", "b", "c"], 20), "x": np.arange(60.0), "y": np.arange(60.0) % 7}
    _judged(
        tmp_path,
        columns,
        "sklearn.linear_model.Ridge",
        "sklearn.dummy.DummyRegressor",
        "{id: r, metric: rmse, at_most: 9}",
    )
    assert "" == capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "again", workers=1)
    out, err = capsys.readouterr()
    assert "" == out
    assert "\n" not in err
    told = [each.strip().partition(":")[0] for each in err.split("\r")]
    contender = ["0 of 3 fits", "1 of 3 fits", "2 of 3 fits", "", ""]
    assert ["", *contender, *contender, "", ""] == told  # of the verdict nothing is left either
