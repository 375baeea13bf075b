"""Tables without a leak, of many kinds: what the guards say of them is false."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus import Corpus, CorpusManifest, Known, group_records

Columns = dict[str, NDArray[Any]]


class Clean(NamedTuple):
    """A kind of table, its corpus, and whether something in it carries so much that a report is no mistake."""

    kind: str
    corpus: Corpus
    strong: bool


def corpus_of(frame: pl.DataFrame, group: str = "group", target: str = "y") -> Corpus:
    """A frame as a corpus: a text target is a classification."""
    y = frame[target]
    task: Any = "regression" if y.dtype.is_numeric() else "classification"
    truth = y.cast(pl.Float64).to_numpy() if task == "regression" else y.to_numpy().astype(str)
    groups, features = frame[group].cast(pl.String), frame.drop(group, target)
    records = group_records(groups, features, truth, "rows.csv")
    manifest = CorpusManifest(
        "table", "rows.csv", "0" * 64, frame.height, task, target, tuple(features.columns), records
    )
    ids = pl.Series("sample_id", [f"row{number}" for number in range(frame.height)])
    return Corpus(ids, groups, None, features, Known(truth), manifest)


class _Draw:
    """One draw: sizes, groups in blocks, in turn or at random, and what tables are made of."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([14, seed])
        self.groups, self.size = int(rng.integers(3, 25)), int(rng.integers(6, 50))
        self.rows = self.groups * self.size
        ways = (np.repeat(np.arange(self.groups), self.size), np.arange(self.rows) % self.groups)
        self.group = [*ways, rng.integers(0, self.groups, self.rows)][int(rng.integers(3))]
        self.x, self.noise = rng.normal(size=(self.rows, int(rng.integers(2, 7)))), rng.normal(size=self.rows)
        self.spread, self.labels = float(rng.choice([0.3, 1.0, 3.0])), bool(rng.random() < 0.4)

    def of_groups(self) -> NDArray[np.float64]:
        """A number for each group, on its rows."""
        return np.asarray(self.rng.normal(size=self.groups)[self.group])

    def table(self, kind: str, columns: Columns, y: Any, group: Any = None, *, strong: bool = False) -> Clean:
        """A table of these columns; of some draws, with labels instead of numbers."""
        truth = np.where(y > np.median(y), "yes", "no") if self.labels and kind != "stimuli" else y
        names = [f"g{number}" for number in (self.group if group is None else group)]
        return Clean(kind, corpus_of(pl.DataFrame({**columns, "group": names, "y": truth})), strong)


def clean_tables(seed: int) -> Iterator[Clean]:
    """One table of each kind."""
    draw = _Draw(seed)
    rng, x, noise, spread = draw.rng, draw.x, draw.noise, draw.spread
    plain: Columns = {f"x{number}": column for number, column in enumerate(x.T)}
    y = x.sum(axis=1) + spread * noise
    yield draw.table("numbers", plain, y + draw.of_groups())
    yield draw.table("groups that lie apart", {name: each + 5 * draw.of_groups() for name, each in plain.items()}, y)
    coarse = rng.integers(1, 6, (draw.rows, 6))
    yield draw.table("answers", {f"q{n}": each for n, each in enumerate(coarse.T)}, coarse.sum(axis=1) + spread * noise)
    counts = {f"n{number}": rng.integers(1, int(rng.integers(3, 40)), draw.rows) for number in range(5)}
    yield draw.table("counts", counts, noise + x[:, 0])
    height = draw.of_groups()
    yield draw.table("property of groups", plain | {"height": height, "slope": draw.of_groups()}, 2 * height + y)
    yield draw.table("heavy tails", {name: np.exp(2 * each) for name, each in plain.items()}, np.exp(x[:, 0] + noise))
    yield draw.table("rounded", {name: np.round(each, 1) for name, each in plain.items()}, np.round(y, 1))
    yield draw.table("wide", {f"w{number}": rng.normal(size=draw.rows) for number in range(40)}, y)
    yield from _of_levels(draw, plain, y)
    yield from _of_time(draw, plain)


def _of_levels(draw: _Draw, plain: Columns, y: Any) -> Iterator[Clean]:
    """Kinds, countries, doses and stimuli: levels that stand in several groups by right."""
    rng, number = draw.rng, int(draw.rng.integers(3, 40))
    kind = rng.integers(0, number, draw.rows)
    yield draw.table("a kind", plain | {"kind": np.array([f"k{each}" for each in kind])}, y)
    told = y + rng.choice([0.3, 1.0]) * rng.normal(size=number)[kind]
    yield draw.table("a kind that tells", plain | {"kind": np.array([f"k{each}" for each in kind])}, told, strong=True)
    patients, number = int(rng.integers(30, 120)), int(rng.integers(3, 25))
    patient = np.repeat(np.arange(patients), 5)
    country = rng.integers(0, number, patients)[patient]
    a, b, error = rng.normal(size=(3, len(patient)))
    columns = {"a": a, "b": b, "country": np.array([f"c{each}" for each in country])}
    columns |= {"age": np.round(rng.normal(50, 10, patients))[patient], "sex": rng.integers(0, 2, patients)[patient]}
    told = a + b + error + rng.choice([0.5, 1.0, 2.0]) * rng.normal(size=number)[country]
    told = told + rng.normal(size=patients)[patient]
    yield draw.table("country of patients", columns, told, patient, strong=True)
    shown, seen = rng.normal(size=(draw.size, 3)), np.tile(np.arange(draw.size), draw.groups)
    rated = shown[seen].sum(axis=1) + rng.choice([0.5, 1.0]) * rng.normal(size=draw.rows)
    rater = np.repeat(np.arange(draw.groups), draw.size)
    columns = {f"s{each}": shown[seen, each] for each in range(3)}
    yield draw.table("stimuli", columns, rated, rater, strong=True)


def _of_time(draw: _Draw, plain: Columns) -> Iterator[Clean]:
    """Walks inside each group, with the time since its begin; doses that each group got in turn."""
    walk, since = np.zeros(draw.rows), np.zeros(draw.rows, np.int64)
    for each in range(draw.groups):
        rows = np.flatnonzero(draw.group == each)
        walk[rows], since[rows] = np.cumsum(draw.rng.normal(size=len(rows))), np.arange(len(rows))
    yield draw.table("walks", plain | {"since": since}, walk)
    yield draw.table("lags", {"lag": walk + draw.rng.normal(size=draw.rows), "since": since}, walk, strong=True)
    dose = since % 12
    yield draw.table("doses", plain | {"dose": dose}, np.sin(dose / 4) * 3 + draw.spread * draw.noise, strong=True)
