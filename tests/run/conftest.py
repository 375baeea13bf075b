"""A small table, a study of it, and estimators that misbehave on request, for the tests of the road."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.ledger.policy import amend
from heldout.run import Prepared, Run, Study

pytest.importorskip("sklearn")

SIZES = {"ann": 12, "bob": 14, "cyd": 16, "dan": 18}
BASE: dict[str, Any] = {
    "study": "small",
    "corpus": {"path": "table.csv", "group": "person", "target": "score", "id": "id"},
    "backbone": "sklearn",
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
    "seeds": [0, 1],
    "baselines": [
        {
            "id": "mean",
            "description": "the mean of the training rows",
            "backbone": "sklearn",
            "fit": {"estimator": "sklearn.dummy.DummyRegressor"},
        }
    ],
    "gate": {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}]},
    "bootstrap": {"draws": 100},
}
# Fits as Ridge does, but fails on the fold with so many training rows while the flag is there, and naps.
ESTIMATORS = """
import time
from pathlib import Path
from sklearn.linear_model import Ridge

class Picky(Ridge):
    def __init__(self, alpha=1.0, *, flag="", refuse=0, nap=0.0):
        super().__init__(alpha=alpha)
        self.flag, self.refuse, self.nap = flag, refuse, nap

    def fit(self, X, y):
        time.sleep(self.nap)
        print(f"learning from {len(X)} rows")
        if len(X) == self.refuse and Path(self.flag).exists():
            raise ArithmeticError(f"cannot learn from {len(X)} rows")
        return super().fit(X, y)
"""


def make_table(path: Path, *, sizes: dict[str, int] = SIZES, seed: int = 0, noise: float = 0.2) -> Path:
    """Rows of all persons mixed, a target that a line explains, and a text column."""
    rng = np.random.default_rng(seed)
    person = rng.permutation(np.repeat(list(sizes), list(sizes.values())))
    weight, kind = rng.normal(size=len(person)), rng.integers(0, 2, len(person))
    frame = pl.DataFrame(
        {
            "id": [f"s{number:03d}" for number in range(len(person))],
            "person": person,
            "weight": weight,
            "kind": ["left" if value else "right" for value in kind],
            "score": 3.0 * weight + kind + noise * rng.normal(size=len(person)),
        }
    )
    frame.write_csv(path)
    return path


@dataclass(frozen=True)
class Desk:
    """A folder with a table and a study of it."""

    folder: Path

    @property
    def table(self) -> Path:
        return self.folder / "table.csv"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def write(self, **changes: Any) -> Path:
        """Write the study with blocks replaced."""
        path = self.folder / "study.yaml"
        path.write_text(json.dumps(BASE | changes, indent=1))  # JSON is YAML
        return path

    def load(self, sets: Sequence[str] = (), **changes: Any) -> Study:
        return Study.load(self.write(**changes), sets)

    def prepare(self, variant: str = "base", sets: Sequence[str] = (), **changes: Any) -> Prepared:
        return self.load(sets, **changes).prepare(variant, runs=self.runs)

    def run(self, sets: Sequence[str] = (), listener: Any = None, workers: int = 1, **changes: Any) -> Run:
        return self.load(sets, **changes).run(runs=self.runs, workers=workers, listener=listener)

    def amend(self, variant: str = "base", reason: str = "judged along another axis", **changes: Any) -> None:
        """Let rules decide over groups that were looked at under others."""
        prepared = self.prepare(variant, **changes)
        amend(prepared.study, prepared.declared, reason)

    def fitted(self, run: Path) -> dict[str, int]:
        """Every unit by the moment at which it was finished."""
        return {str(path.parent.relative_to(run)): path.stat().st_mtime_ns for path in run.rglob("unit.json")}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    make_table(tmp_path / "table.csv")
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Run]:
    """A desk with a run that was judged; only to be looked at."""
    desk = Desk(tmp_path_factory.mktemp("judged"))
    make_table(desk.table)
    return desk, desk.run()


@pytest.fixture
def again(judged: tuple[Desk, Run], tmp_path: Path) -> tuple[Desk, Path]:
    """A copy of the judged run, to be tampered with and gone on with."""
    source, run = judged
    folder = tmp_path / "copy"
    shutil.copytree(source.folder, folder)
    return Desk(folder), folder / run.folder.relative_to(source.folder)


@pytest.fixture
def awkward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The `fit:` block of an estimator that fails on the fold that holds out `dan`, while the flag is there."""
    (tmp_path / "awkward_estimators.py").write_text(ESTIMATORS)
    monkeypatch.syspath_prepend(tmp_path)
    flag = tmp_path / "flag"
    flag.touch()
    refused = sum(SIZES.values()) - SIZES["dan"]
    yield {"estimator": "awkward_estimators.Picky", "params": {"flag": str(flag), "refuse": refused}}
    sys.modules.pop("awkward_estimators", None)
