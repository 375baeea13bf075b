"""Models from elsewhere for tests: trained by scikit-learn on some groups, saved, and judged here on the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.corpus.table import TableOptions, TableReader
from heldout.evidence import write_json
from heldout.run import Prepared, Run, Study

pytest.importorskip("skops")

TRAINED, JUDGED = tuple("abcd"), tuple("efghi")
ROWS = 40
# Asks a straight line that lies in a folder; misbehaves as its parameters say. Foreign code: no installed package's.
MODULE = """
import os
import time
from pathlib import Path

import numpy as np

from heldout.backbone import AskedBackbone, AskedParams, ClassScores
from heldout.evidence import read_json

CALLS = []

class LineParams(AskedParams):
    nap: float = 0.0
    way: str = "honest"
    file: str = ""

class Line(AskedBackbone):
    name = "asked_line"
    Params = LineParams
    batch, block = 8, 2

    def load(self, path):
        return read_json(path / "line.json")

    def predict(self, model, view):
        time.sleep(self.params.nap)
        way, rows = self.params.way, view.features
        if way == "opens":
            Path(self.params.file).read_text()
        found = model["a"] * rows["a"].to_numpy() + model["b"] * rows["b"].to_numpy()
        if way == "remembers":
            CALLS.extend(found.tolist())
            return found + 0.05 * np.arange(len(CALLS) - len(found), len(CALLS))
        if way == "nan" and len(found) < 16:  # the gate asks for 16 rows
            found[0] = float("nan")
        if way == "three":
            return ClassScores(("no", "yes"), np.full((len(found), 2), 3.0))
        return found

class GatedLine(Line):
    name = "gated_line"

    def check_model(self, path, rows):
        return []
"""
POINTS = {"asked_line": "asked_line:Line", "gated_line": "asked_line:GatedLine"}


def table(seed: int = 0, *, groups: tuple[str, ...] = TRAINED + JUDGED) -> pl.DataFrame:
    """``ROWS`` rows a group: ``y = 2 a - b + noise``, and its sign as ``label``."""
    rng = np.random.default_rng(seed)
    n = ROWS * len(groups)
    a, b = rng.normal(size=(2, n))
    y = 2 * a - b + 0.1 * rng.normal(size=n)
    site = [groups[number % len(groups)] for number in range(n)]
    return pl.DataFrame({"site": site, "a": a, "b": b, "y": y, "label": np.where(y > 0, "yes", "no")})


@dataclass(frozen=True)
class Desk:
    """A folder with the tables, a saved model and a study that judges it."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.skops"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def train(self, estimator: Any, target: str = "y", *, named: bool = False, path: Path | None = None) -> Any:
        """Fit on the training groups and save; the estimator comes back."""
        from skops.io import dump

        rows = self.rows("train")
        inputs = rows.select("a", "b")
        estimator.fit(inputs if named else inputs.to_numpy(), rows[target].to_numpy())
        dump(estimator, path or self.model)
        return estimator

    def rows(self, part: str) -> pl.DataFrame:
        return pl.read_csv(self.folder / f"{part}.csv")

    def manifest(self, source: str = "train", target: str = "y", ignore: list[str] | None = None) -> Path:
        """``trained.json``: the manifest of the training corpus, as a run over it has it."""
        ignored = ["label" if target == "y" else "y"] if ignore is None else ignore
        options = TableOptions(path=self.folder / f"{source}.csv", group="site", target=target, ignore=ignored)
        path = self.folder / "trained.json"
        write_json(path, TableReader(options).read().manifest.to_json())
        return path

    def study(self, fit: Mapping[str, Any] | None = None, *, target: str = "y", **changes: Any) -> Study:
        """The study, whose fit block gets these keys besides."""
        rule = {"id": "good", "metric": "pearson", "over": "pooled", "at_least": 0.9}
        if target == "label":
            rule = {"id": "good", "metric": "accuracy", "over": "pooled", "at_least": 0.8}
        document = {
            "study": "elsewhere",
            "corpus": {
                "path": "judged.csv", "group": "site", "target": target, "ignore": ["label" if target == "y" else "y"]
            },
            "backbone": "saved",
            "fit": {"model": self.model.name, "held_out": {"trained_on": "trained.json"}} | dict(fit or {}),
            "gate": {"rules": [rule]},
            "bootstrap": {"draws": 100},
        }  # fmt: skip
        path = self.folder / "study.yaml"
        path.write_text(json.dumps(document | changes))  # JSON is YAML
        return Study.load(path)

    def prepare(self, fit: Mapping[str, Any] | None = None, **changes: Any) -> Prepared:
        return self.study(fit, **changes).prepare(runs=self.runs)

    def run(self, fit: Mapping[str, Any] | None = None, *, workers: int = 1, **changes: Any) -> Run:
        return self.study(fit, **changes).run(runs=self.runs, workers=workers)


def desk_at(folder: Path) -> Desk:
    """Tables and a Ridge that was trained on ``TRAINED``, in a folder."""
    from sklearn.linear_model import Ridge

    rows = table()
    rows.filter(pl.col("site").is_in(TRAINED)).write_csv(folder / "train.csv")
    rows.filter(pl.col("site").is_in(JUDGED)).write_csv(folder / "judged.csv")
    desk = Desk(folder)
    desk.train(Ridge(alpha=0.5))
    desk.manifest()
    return desk


def rule(verdict: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Outcome and sentence of a rule."""
    return next((each["outcome"], each["sentence"]) for each in verdict["rules"] if each["id"] == name)
