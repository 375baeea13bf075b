"""The ridge backbone against scikit-learn's standardised Ridge, fitted fold by fold: every group of a table held out.

Both give the held-out predictions of every fold, which must agree to 1e-9 before anything is timed. The peer begins
with its matrix in memory; the backbone with the columns of the corpus. "Stored" is what a run does besides: each model
and its predictions written, hashed and made durable, against the same study with `backbone: sklearn` in one process.

    python benchmarks/ridge.py
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from _measure import report, take_turns, times_faster
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heldout.backbone import Backbone
from heldout.backbone.code import code_of
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.corpus import Corpus, Reader
from heldout.corpus.table import TableOptions, TableReader
from heldout.fit.ridge import RidgeBackbone, RidgeParams
from heldout.run.fitting import fit_units
from heldout.run.layout import RunFolder
from heldout.run.models import models
from heldout.run.units.contender import Contender
from heldout.run.units.unit import Unit, cached_corpus, make_unit, test_view
from heldout.split import load_splitter, split_corpus

SHAPES = ((33_840, 9), (33_840, 90), (338_400, 90))
ALPHA = 1.0
RIDGE = RidgeBackbone(RidgeParams(alpha=ALPHA))
PEER = SklearnBackbone(SklearnParams(estimator="sklearn.linear_model.Ridge", params={"alpha": ALPHA}))


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--features", type=int, default=20)
    options = parser.parse_args()
    ratio: dict[str, Any] = {}
    for rows, groups in SHAPES:
        with tempfile.TemporaryDirectory() as name:
            ratio |= compare(Path(name), rows, groups, options.features, options.turns)
    title = f"every group held out, {options.features} features, one core"
    report("ridge", title, ("numpy", "polars", "scikit-learn"), ratio, {})


def compare(folder: Path, rows: int, groups: int, features: int, turns: int) -> dict[str, Any]:
    """Times faster, in turns; after a look that both predict the same."""
    reader = table(folder, rows, groups, features)
    corpus = cached_corpus(reader)
    X, y, of = corpus.features.to_numpy(), corpus.targets("verify"), corpus.groups.to_numpy()
    units = units_of(RIDGE, corpus, folder)
    np.testing.assert_allclose(by_backbone(units, corpus), refit(X, y, of), rtol=1e-9, atol=1e-9)
    shape = f"{rows:,} rows, {groups} groups"
    ours, other = f"ridge, {shape}", "Ridge of scikit-learn fold by fold"
    work = {ours: lambda: by_backbone(units, corpus), other: lambda: refit(X, y, of)}
    found = times_faster(take_turns(work, turns).wall, [(ours, other)])
    if rows > min(each for each, _ in SHAPES):
        return found
    places = itertools.count()
    stored, usual = f"ridge stored, {shape}", "the sklearn backbone, stored"
    work = {
        stored: lambda: store(RIDGE, corpus, reader, folder / str(next(places))),
        usual: lambda: store(PEER, corpus, reader, folder / str(next(places))),
    }
    return found | times_faster(take_turns(work, turns).wall, [(stored, usual)])


def table(folder: Path, rows: int, groups: int, features: int) -> Reader:
    """A Parquet table with a linear target."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, features)) + np.arange(features)
    frame = pl.DataFrame({f"x{number}": X[:, number] for number in range(features)}).with_columns(
        y=pl.Series(X @ rng.normal(size=features) + rng.normal(size=rows)),
        site=pl.Series([f"site{number * groups // rows:04d}" for number in range(rows)]),
    )
    frame.write_parquet(folder / "table.parquet")
    return TableReader(TableOptions(path=folder / "table.parquet", group="site", target="y"))


def units_of(backbone: Backbone, corpus: Corpus, folder: Path) -> list[Unit]:
    """One unit a group."""
    contender, place = Contender("base", "", backbone, (0,)), RunFolder(folder)
    folds = split_corpus(load_splitter({}), corpus.manifest).folds
    code = code_of(backbone, TableReader)
    return [make_unit(contender, 0, fold, corpus, {}, place.unit(0, fold.id), code) for fold in folds]


def by_backbone(units: Sequence[Unit], corpus: Corpus) -> Any:
    """Held-out predictions of every fold, in the order of the groups."""
    found = models(RIDGE, units, corpus, Path())
    return np.concatenate([RIDGE.predict(each.model, test_view(corpus, each.unit.fold)) for each in found])


def refit(X: Any, y: Any, of: Any) -> Any:
    """The same by a fit on the rows of each fold."""
    parts = []
    for group in np.unique(of):
        train = of != group
        fitted = make_pipeline(StandardScaler(), Ridge(alpha=ALPHA)).fit(X[train], y[train])
        parts.append(fitted.predict(X[~train]))
    return np.concatenate(parts)


def store(backbone: Backbone, corpus: Corpus, reader: Reader, folder: Path) -> None:
    """Every unit as a run leaves it."""
    units = units_of(backbone, corpus, folder)
    contender = Contender("base", "", backbone, (0,))
    assert not fit_units(contender, units, corpus, reader, RunFolder(folder), 1, lambda *_: None)


if __name__ == "__main__":
    main()
