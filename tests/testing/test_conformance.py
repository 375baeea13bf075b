"""The conformance classes, run against what is built in, and against plug-ins that break what each test holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from beside_kit import command_of, python, python_of, shell

from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.corpus.table import TableReader
from heldout.fit.ridge import RidgeBackbone, RidgeParams
from heldout.split import load_splitter
from heldout.task.metric import Metric
from heldout.task.metrics import BUILT_IN, FAMILIES, named
from heldout.task.task import BUILT_IN as TASKS
from heldout.testing import (
    BackboneConformance,
    MetricConformance,
    ReaderConformance,
    SplitterConformance,
    TaskConformance,
    small_classification,
)

REGRESSORS: dict[str, dict[str, Any]] = {
    "sklearn.linear_model.Ridge": {"alpha": 0.5},
    "sklearn.ensemble.RandomForestRegressor": {"n_estimators": 5},
    "sklearn.ensemble.GradientBoostingRegressor": {"n_estimators": 5},
    "sklearn.neural_network.MLPRegressor": {"hidden_layer_sizes": [4], "max_iter": 300, "solver": "lbfgs"},
    "sklearn.svm.SVR": {},
    "sklearn.neighbors.KNeighborsRegressor": {},
    "sklearn.dummy.DummyRegressor": {},
    "lightgbm.LGBMRegressor": {"n_estimators": 5, "verbose": -1},
}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "sklearn.linear_model.LogisticRegression": {},
    "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 5},
    "sklearn.tree.DecisionTreeClassifier": {},
    "sklearn.dummy.DummyClassifier": {},
    "lightgbm.LGBMClassifier": {"n_estimators": 5, "verbose": -1},
}
SLOW = pytest.mark.slow


def estimators(table: dict[str, dict[str, Any]]) -> list[Any]:
    """The first one is fast, the others are slow."""
    return [pytest.param(item, marks=[SLOW] if index else [], id=item[0]) for index, item in enumerate(table.items())]


SPLITTERS: dict[str, dict[str, Any]] = {
    "leave-one-group-out": {},
    "group-k-fold": {"folds": 3},
    "fixed": {"test": ["g01"]},
    "walk-forward": {"warmup": 2, "window": 1},
    "combinatorial-purged": {"folds": 3, "held_out": 1},
    "stratified-group-k-fold": {"folds": 3},
    "repeated": {"folds": 3, "times": 4},
    "declared": {"column": "part"},
}


@pytest.mark.parametrize("kind", SPLITTERS)
class TestSplitters(SplitterConformance):
    @pytest.fixture(autouse=True)
    def _kind(self, kind: str) -> None:
        self.splitter = load_splitter({"kind": kind} | SPLITTERS[kind])  # type: ignore[misc]


@pytest.mark.parametrize("task", TASKS)
class TestTasks(TaskConformance):
    @pytest.fixture(autouse=True)
    def _task(self, task: str) -> None:
        self.task = TASKS[task]  # type: ignore[misc]


class Sklearn(BackboneConformance):
    @pytest.fixture(autouse=True)
    def _estimator(self, estimator: tuple[str, dict[str, Any]]) -> None:
        name, params = estimator
        pytest.importorskip(name.partition(".")[0])
        self.backbone = SklearnBackbone(SklearnParams(estimator=name, params=params))  # type: ignore[misc]


@pytest.mark.parametrize("estimator", estimators(REGRESSORS))
class TestRegressors(Sklearn):
    pass


@pytest.mark.parametrize("estimator", estimators(CLASSIFIERS))
class TestClassifiers(Sklearn):
    corpus = staticmethod(small_classification)


@pytest.mark.slow
class TestPython(BackboneConformance):
    @pytest.fixture(autouse=True)
    def _beside(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.backbone = python_of(python(tmp_path_factory.mktemp("study")), features=["length", "count"])  # type: ignore[misc]


@pytest.mark.slow
class TestCommand(BackboneConformance):
    @pytest.fixture(autouse=True)
    def _beside(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.backbone = command_of(shell(tmp_path_factory.mktemp("study")))  # type: ignore[misc]


class TestRidge(BackboneConformance):
    backbone = RidgeBackbone(RidgeParams(alpha=0.3))


class TestCsv(ReaderConformance):
    reader = TableReader
    options: ClassVar = {"id": "id", "group": "site", "target": "y", "ignore": ["label"]}
    id = "id"


class TestParquet(TestCsv):
    file = "samples.parquet"

    def write(self, samples: pl.DataFrame, path: Path) -> None:
        samples.write_parquet(path)


class TestJsonLines(ReaderConformance):
    reader = TableReader
    options: ClassVar = {"group": "site", "target": "label", "features": ["kind", "count"]}
    target, file = "label", "samples.jsonl"

    def write(self, samples: pl.DataFrame, path: Path) -> None:
        samples.write_ndjson(path)


def metrics() -> list[Metric]:
    """Every built-in metric of predictions, and one of each family."""
    found = [each for each in BUILT_IN.values() if each.needs != "model" and each.name != "coverage"]
    examples = [named(family.example.replace("CLASS", "bee")) for family in FAMILIES.values()]
    return [*found, *(each for each in examples if each is not None)]


@pytest.mark.parametrize("each", metrics(), ids=lambda each: each.name)
class TestMetrics(MetricConformance):
    @pytest.fixture(autouse=True)
    def _metric(self, each: Metric) -> None:
        self.metric = each  # type: ignore[misc]


def test_the_classes_need_no_pytest() -> None:
    """Whoever makes a small corpus in a notebook would have to install a test runner."""
    program = "import sys; sys.modules['pytest'] = None; import heldout.testing as t; print(t.small_table().height)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ("120\n", 0) == (done.stdout, done.returncode), done.stderr
