"""What heldout asks of every plug-in, and what this one does besides."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from heldout_example.command import units
from heldout_example.largest import LargestGroups, LargestParams
from heldout_example.metrics import WITHIN_TENTH
from heldout_example.neighbours import MedianNeighbours, NeighboursParams
from heldout_example.priced import Priced, PricedParams
from heldout_example.tolerance import TOLERANCE
from heldout_example.units import UnitOptions, UnitReader

from heldout.backbone import FeaturesView, TrainView
from heldout.errors import CorpusError
from heldout.evidence import write_json
from heldout.split import split_groups
from heldout.testing import (
    AskedBackboneConformance,
    BackboneConformance,
    MetricConformance,
    ReaderConformance,
    SplitterConformance,
    TaskConformance,
)

SPRINGS = Path(__file__).parents[1] / "springs.tsv"


class TestBackbone(BackboneConformance):
    backbone = MedianNeighbours(NeighboursParams(neighbours=3))


class TestPriced(AskedBackboneConformance):
    backbone = Priced(PricedParams(model=Path("prices.json")))

    def write_model(self, folder: Path) -> None:
        write_json(folder / "prices.json", {"base": 3.0, "per": {"length": 0.5, "count": -0.25}})


class TestReader(ReaderConformance):
    reader = UnitReader
    options: ClassVar = {"group": "maker", "target": "force"}
    group, target, file = "maker", "force [N]", "springs.tsv"

    def samples(self) -> pl.DataFrame:
        return pl.read_csv(SPRINGS, separator="\t")

    def write(self, samples: pl.DataFrame, path: Path) -> None:
        samples.write_csv(path, separator="\t")


class TestMetric(MetricConformance):
    metric = WITHIN_TENTH


class TestTask(TaskConformance):
    task = TOLERANCE


class TestSplitter(SplitterConformance):
    splitter = LargestGroups(LargestParams(kind="largest-groups", count=3))


def test_the_small_groups_only_train() -> None:
    """A maker of three springs would count as much as one of a hundred."""
    groups = TestSplitter().groups()
    split = split_groups(TestSplitter.splitter, groups)
    assert {"g11", "g10", "g09"} == split.held_out


def test_one_wild_row_moves_nothing() -> None:
    """The mean of the neighbours would follow it."""
    features, target = pl.DataFrame({"x": np.arange(9.0)}), np.array([1.0, 1, 1, 1, 1e9, 1, 1, 1, 1])
    backbone = MedianNeighbours(NeighboursParams())
    model = backbone.fit(TrainView(features, target, np.array(["a"] * 9), "regression"), 0, Path())
    assert {1.0} == set(backbone.predict(model, FeaturesView(features)).tolist())


def test_a_list_of_other_features_does_not_pass_the_gate(tmp_path: Path) -> None:
    """A price of something that nobody measured would be left out of every answer."""
    write_json(tmp_path / "prices.json", {"base": 3.0, "per": {"colour": 1.0}})
    backbone = Priced(PricedParams(model=Path("prices.json"))).bound(tmp_path)
    rows = FeaturesView(pl.DataFrame({"length": [1.0]}))
    assert ["PRICED-2"] == [each.code for each in backbone.check_model(tmp_path / "prices.json", rows)]


def test_lengths_are_metres_whatever_the_header_says(tmp_path: Path) -> None:
    """Millimetres and metres would be learnt as one column."""
    for unit, value in (("mm", "1500"), ("cm", "150"), ("m", "1.5")):
        (tmp_path / "a.tsv").write_text(f"maker\tlength [{unit}]\tforce [N]\nx\t{value}\t2\n")
        corpus = UnitReader(UnitOptions(path=tmp_path / "a.tsv", group="maker", target="force")).read()
        assert 1.5 == pytest.approx(corpus.features["length"][0])
    (tmp_path / "a.tsv").write_text("maker\tlength [furlong]\tforce [N]\nx\t1\t2\n")
    with pytest.raises(CorpusError, match="furlong"):
        UnitReader(UnitOptions(path=tmp_path / "a.tsv", group="maker", target="force")).read()


def test_the_command_shows_units(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody would know what a column is."""
    units(SPRINGS)
    assert "force                    N" in capsys.readouterr().out
