"""Estimators of several libraries, and what is made of them: from `init` to a champion that predicts beside nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
import yaml

from heldout import Study
from heldout.registry import Registry, add, promote
from heldout.run.begin.choices import Asked
from heldout.run.begin.starter import write_starter
from heldout.shadow import ShadowStore, run_shadow
from heldout.study import load_yaml
from heldout.verify import verify_run

pytest.importorskip("sklearn")
pytest.importorskip("skops")

RIDGE = {"estimator": "sklearn.linear_model.Ridge"}
LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression"}
ENCODER = {"estimator": "sklearn.preprocessing.OneHotEncoder", "params": {"handle_unknown": "ignore"}}
TREES = {"n_estimators": 20, "min_child_samples": 5, "verbose": -1}
SEARCH = {"estimator": RIDGE, "param_grid": {"alpha": [0.1, 1.0, 10.0]}}
COLUMNS = {
    "estimator": "sklearn.compose.ColumnTransformer",
    "params": {
        "transformers": [
            ["n", {"estimator": "sklearn.impute.SimpleImputer"}, ["a", "b"]],
            ["w", ENCODER, ["kind"]],
        ]
    },
}  # fmt: skip


class Way(NamedTuple):
    """An estimator with its arguments, and the package that it is of."""

    estimator: str
    params: dict[str, Any]
    labels: bool = False
    package: str = "sklearn"


WAYS = {
    "xgboost": Way("xgboost.XGBClassifier", {"n_estimators": 20, "max_depth": 2}, True, "xgboost"),
    "lightgbm": Way("lightgbm.LGBMRegressor", TREES, package="lightgbm"),
    "catboost": Way("catboost.CatBoostClassifier", {"n_estimators": 20, "verbose": 0}, True, "catboost"),
    "columns": Way("sklearn.pipeline.Pipeline", {"steps": [["columns", COLUMNS], ["fit", RIDGE]]}),
    "search": Way("sklearn.model_selection.GridSearchCV", SEARCH),
    "imbalanced": Way(
        "imblearn.pipeline.Pipeline",
        {"steps": [["draw", {"estimator": "imblearn.over_sampling.RandomOverSampler"}], ["fit", LOGISTIC]]},
        True,
        "imblearn",
    ),
}  # fmt: skip


def table(folder: Path, *, labels: bool) -> Path:
    """Four groups; a number and a word of some rows are missing."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 180))
    kind = [None if row % 11 == 0 else "xyz"[row % 3] for row in range(180)]
    y: Any = (
        2 * a
        + np.array([{"x": 1.0, "y": -1.0, "z": 0.0, None: 0.0}[each] for each in kind])
        + 0.3 * rng.normal(size=180)
    )
    holes = [None if row % 13 == 0 else value for row, value in enumerate(b)]
    columns = {"row": [f"r{row:03d}" for row in range(180)], "g": [f"g{row % 4}" for row in range(180)]}
    frame = pl.DataFrame(
        columns | {"a": a, "b": holes, "kind": kind, "y": np.where(y > 0, "yes", "no") if labels else y}
    )
    frame.write_csv(folder / "t.csv")
    return folder / "t.csv"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WAYS))
def test_each_comes_to_a_verified_champion_in_shadow(name: str, tmp_path: Path) -> None:
    """A library's estimator would be fitted, and then not be stored, verified, registered or asked."""
    way = WAYS[name]
    pytest.importorskip(way.package)
    path = table(tmp_path, labels=way.labels)
    plain = (LOGISTIC if way.labels else RIDGE)["estimator"]
    named = way.estimator if way.package in ("xgboost", "lightgbm", "catboost") else plain
    write_starter(path, tmp_path / "study.yaml", Asked("g", "y", estimator=named, id="row"))
    study = load_yaml(tmp_path / "study.yaml").value
    study["fit"] |= {"estimator": way.estimator, "params": way.params}
    study |= {"seeds": [0], "study": "pets"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    run = Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "runs", workers=1)
    assert "PROMOTE" == run.verdict, run.document["reasons"]
    assert [] == run.document["findings"]
    verify_run(run.folder, corpus=path).raise_if_broken()
    with Registry(tmp_path / "registry", create=True) as registry:
        promote(registry, add(registry, run.folder).id)
        live = pl.read_csv(path)[:20].drop("y", "g").with_columns(row=pl.format("live{}", pl.int_range(20)))
        live.write_csv(tmp_path / "monday.csv")
        assert live["kind"].null_count() > 0
        found = run_shadow(registry, ShadowStore(tmp_path / "shadow", "pets"), tmp_path / "monday.csv")
    assert ["predicted"] == [each.state for each in found.results]


@pytest.mark.slow
def test_what_an_estimator_prints_is_no_part_of_a_document(tmp_path: Path) -> None:
    """A script that reads `--json` would read LightGBM's log instead."""
    pytest.importorskip("lightgbm")
    table(tmp_path, labels=False)
    command = [sys.executable, "-m", "heldout.cli.main"]
    asked = ["init", "t.csv", "--group", "g", "--target", "y", "--id", "row", "--estimator", "lightgbm.LGBMRegressor"]
    few = ["--set", "fit.params={n_estimators: 2}"]
    for arguments in ([*asked, "--json"], ["run", "study.yaml", "--json", "--workers", "1", *few]):
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        assert "[LightGBM]" not in done.stderr + done.stdout
        assert isinstance(json.loads(done.stdout), dict)
    logs = [path.read_text() for path in tmp_path.glob("runs/*/*/logs/base/seed0/*.log")]
    assert len(logs) > 1
    assert all("[LightGBM]" in each for each in logs)
