"""The conformance class of models from elsewhere, run against `saved` and against plug-ins that break what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from onnx_kit import linear_classifier, linear_regressor

from heldout.backbone import AskedBackbone, AskedParams, FeaturesView
from heldout.backbone.saved import SavedBackbone, SavedParams
from heldout.corpus.guards import Finding
from heldout.testing import AskedBackboneConformance, small_classification, small_table

pytest.importorskip("skops")


class TestSkops(AskedBackboneConformance):
    backbone = SavedBackbone(SavedParams(model=Path("model.skops"), features=["length", "count"]))

    def write_model(self, folder: Path) -> None:
        from sklearn.linear_model import Ridge

        from heldout.backbone.skops_archive import archive

        rows = small_table()
        model = Ridge().fit(rows.select("length", "count").to_numpy(), rows["y"].to_numpy())
        (folder / "model.skops").write_bytes(archive(model))


class TestPipeline(AskedBackboneConformance):
    """Text and numbers by name, and labels."""

    backbone = SavedBackbone(SavedParams(model=Path("model.skops")))
    corpus = staticmethod(small_classification)

    def write_model(self, folder: Path) -> None:
        from sklearn.compose import make_column_transformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        from heldout.backbone.skops_archive import archive

        rows = small_table()
        words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        before = make_column_transformer((words, ["kind"]), ("passthrough", ["length", "count"]))
        model = make_pipeline(before, LogisticRegression()).fit(
            rows.drop("id", "site", "y", "label"), rows["label"].to_numpy()
        )
        (folder / "model.skops").write_bytes(archive(model))


class TestGraph(AskedBackboneConformance):
    backbone = SavedBackbone(SavedParams(model=Path("model.onnx"), features=["length", "count"]))

    def write_model(self, folder: Path) -> None:
        (folder / "model.onnx").write_bytes(linear_regressor([0.5, -2.0], 3.0))


class TestGraphOfClasses(AskedBackboneConformance):
    backbone = SavedBackbone(SavedParams(model=Path("model.onnx"), features=["length", "count"]))
    corpus = staticmethod(small_classification)

    def write_model(self, folder: Path) -> None:
        (folder / "model.onnx").write_bytes(linear_classifier([0.5, -2.0], 3.0, ["no", "yes"]))


class Slope(AskedBackbone):
    """A plug-in whose model is a number in a file; each subclass breaks something."""

    name = "slope"
    Params = AskedParams

    def load(self, path: Path) -> Any:
        return {"slope": json.loads(path.read_text())["slope"], "asked": 0}

    def predict(self, model: Any, view: FeaturesView) -> Any:
        return model["slope"] * view.features["length"].to_numpy()

    def check_model(self, path: Path, rows: FeaturesView) -> list[Finding]:
        try:
            self.load(path)
        except ValueError as error:
            return [Finding("HO-M001", blocking=True, what=str(error), where="", hint="")]
        return []


class Counting(Slope):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        model["asked"] += 1
        return super().predict(model, view) + model["asked"]


class ByNeighbours(Slope):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        found = super().predict(model, view)
        return found - found.mean()


class Writing(Slope):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        Path("cache").write_text("rows")
        return super().predict(model, view)


class Careless(Slope):
    def check_model(self, path: Path, rows: FeaturesView) -> list[Finding]:
        return []


class Ungated(Slope):
    check_model = AskedBackbone.check_model


class Silent(Slope):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        return np.full(view.features.height, np.nan)


class Conformance(AskedBackboneConformance):
    def write_model(self, folder: Path) -> None:
        (folder / "slope.json").write_text('{"slope": 2.0}')


Test = Callable[[Any, Path], None]
BREAKS: list[tuple[type[Slope], Test]] = [
    (Counting, AskedBackboneConformance.test_the_size_of_a_batch_changes_no_answer),
    (ByNeighbours, AskedBackboneConformance.test_the_size_of_a_batch_changes_no_answer),
    (Writing, AskedBackboneConformance.test_nothing_is_fitted_saved_or_written),
    (Careless, AskedBackboneConformance.test_the_gate_finds_a_truncated_file),
    (Ungated, AskedBackboneConformance.test_the_gate_finds_a_truncated_file),
    (Silent, AskedBackboneConformance.test_every_row_is_answered),
]


@pytest.mark.parametrize(("broken", "test"), BREAKS, ids=lambda each: getattr(each, "__name__", "test"))
def test_what_is_broken_is_found(broken: type[Slope], test: Test, tmp_path: Path) -> None:
    """A plug-in that answers by its neighbours, or gates nothing, would pass the tests that it inherits."""
    mine = Conformance()
    for cls in (Slope, broken):
        mine.backbone = cls(AskedParams(model=Path("slope.json")))  # type: ignore[misc]
        (tmp_path / cls.__name__).mkdir()
        if cls is Slope:
            test(mine, tmp_path / cls.__name__)
            continue
        with pytest.raises(AssertionError):
            test(mine, tmp_path / cls.__name__)


def test_the_small_table_is_what_it_was() -> None:
    """The models above would be fitted on other columns than they are asked for."""
    assert {"length", "count", "kind"} <= set(small_table().columns)
    assert pl.Float64 == small_table()["length"].dtype
