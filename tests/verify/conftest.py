"""Real runs of a small study, made once: one that promotes, one that holds, a smoke run and one over a leaky table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from heldout import Study
from heldout.ledger.policy import amend

STUDY = """
study: tiny
corpus: {{path: {table}, group: site, target: y}}
backbone: sklearn
fit: {{estimator: sklearn.ensemble.ExtraTreesRegressor, params: {{n_estimators: 3, max_depth: 4}}}}
seeds: [0, 1]
baselines:
- {{id: mean, description: the mean, backbone: sklearn, fit: {{estimator: sklearn.dummy.DummyRegressor}}}}
bootstrap: {{draws: 100}}
gate:
  rules:
  - {{id: plcc, metric: plcc, over: pooled, at_least: {bound}}}
  - {{id: worst, metric: plcc, scope: members, over: pooled, statistic: min, at_least: 0.2}}
"""


class Honest(NamedTuple):
    """A run as it was written, and its corpus."""

    folder: Path
    corpus: Path


def write_table(path: Path, seed: int = 0, *, twin: bool = False) -> None:
    """Four sites of twelve rows; with ``twin`` the last site is a copy of the first."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(48, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=48) * 0.3
    if twin:
        X[36:], y[36:] = X[:12], y[:12]
    sites = np.repeat(["north", "south", "east", "west"], 12)
    pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "site": sites, "y": y}).write_csv(path)


def make_run(root: Path, name: str, *, bound: float = 0.3, sets: tuple[str, ...] = (), twin: bool = False) -> Honest:
    root.mkdir(parents=True, exist_ok=True)
    table = root / f"{name}.csv"
    write_table(table, twin=twin)
    study = root / f"{name}.yaml"
    study.write_text(STUDY.format(table=table.name, bound=bound))
    run = Study.load(study, sets).run(runs=root / f"runs-{name}", workers=1)
    return Honest(run.folder, table)


def second_run(root: Path, first: Honest) -> Honest:
    """Another variant of a study whose first one held; its verdict is the second attempt."""
    study = root / "second.yaml"
    study.write_text(STUDY.format(table=first.corpus.name, bound=0.3).replace("max_depth: 4", "max_depth: 5"))
    runs = first.folder.parents[1]
    prepared = Study.load(study).prepare(runs=runs)
    amend(first.folder.parent, prepared.declared, "the first bound was above the noise")
    return Honest(Study.load(study).run(runs=runs, workers=1).folder, first.corpus)


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Honest]:
    """Runs that must not be written to; ``victim`` gives a copy."""
    root = tmp_path_factory.mktemp("honest")
    found = {
        "promote": make_run(root, "promote"),
        "hold": make_run(root, "hold", bound=0.9999),
        "smoke": make_run(root, "smoke", sets=("fit.params.n_estimators=4",)),
        "second": second_run(root, make_run(root, "second", bound=0.9999)),
        "twin": make_run(root, "twin", twin=True),
    }
    verdicts = {name: next(run.folder.glob("[HP][OR]*.json")).stem for name, run in found.items()}
    expected = {"promote": "PROMOTE", "hold": "HOLD", "smoke": "HOLD", "second": "PROMOTE", "twin": "HOLD"}
    assert expected == verdicts
    return found


@pytest.fixture
def victim(honest: dict[str, Honest], tmp_path: Path) -> Callable[[str], Path]:
    """Copies a run to a new place, where it may be tampered with."""

    def copy(name: str) -> Path:
        target = tmp_path / f"elsewhere-{name}" / honest[name].folder.name
        shutil.copytree(honest[name].folder.parent, target.parent)
        return target

    return copy
