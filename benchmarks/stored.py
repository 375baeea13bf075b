"""What a run stores: 200,000 predictions as Parquet against the JSON Lines and CSV of a short run, and 200 small units.

Units land as a run lands them, against the same files made durable one by one. All tables hold the same numbers.

    python benchmarks/stored.py
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from _measure import rates, report, spread, take_turns, times_faster

from heldout.evidence import dumps, write_bytes
from heldout.run.units.landing import Landing
from heldout.run.units.unit import Unit
from heldout.split import Fold
from heldout.task.table import csv_bytes, lines_bytes, parquet_bytes, read_table

ROWS, UNITS = 200_000, 200
PARQUET, LINES = "predictions as Parquet", "the same as JSON Lines and CSV"
READ, READ_LINES = "reading Parquet", "reading JSON Lines"
LANDED, ONE_BY_ONE = "units landed", "the same files made durable one by one"
FILES = {
    "model.safetensors": os.urandom(1200),
    "predictions.safetensors": os.urandom(240),
    "unit.json": dumps({"wall_time_s": 0.002, "padding": "-" * 800}),
}


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    frame = table()
    with tempfile.TemporaryDirectory() as name:
        folder, places = Path(name), itertools.count()
        parquet, lines = folder / "predictions.parquet", folder / "predictions.jsonl"
        work = {
            PARQUET: lambda: write_bytes(parquet, parquet_bytes(frame)),
            LINES: lambda: [write_bytes(lines, lines_bytes(frame)), write_bytes(folder / "p.csv", csv_bytes(frame))],
            READ: lambda: read_table(parquet),
            READ_LINES: lambda: read_table(lines),
            LANDED: lambda: land(folder / str(next(places))),
            ONE_BY_ONE: lambda: one_by_one(folder / str(next(places))),
        }
        taken = take_turns(work, turns).wall
        assert read_table(parquet).equals(read_table(lines))
        sizes = {PARQUET: parquet.stat().st_size, LINES: lines.stat().st_size + (folder / "p.csv").stat().st_size}
    pairs = ((PARQUET, LINES), (READ, READ_LINES), (LANDED, ONE_BY_ONE))
    figures = {f"{name}, size": spread([size / ROWS], "bytes a row") for name, size in sizes.items()}
    figures |= {name: each for name, each in rates(taken, UNITS, "units a second").items() if name in pairs[2]}
    title = "200,000 predictions of three seeds; 200 units of three small files"
    report("stored", title, ("numpy", "polars"), times_faster(taken, pairs), figures)


def table() -> pl.DataFrame:
    """Predictions of three seeds, of rows in groups of 200."""
    rng = np.random.default_rng(0)
    group = [f"g{number // 200:04d}" for number in range(ROWS)]
    frame = pl.DataFrame({"sample_id": [f"s{number:07d}" for number in range(ROWS)], "group": group, "fold": group})
    names = ("target", "prediction", "sigma", "seed0", "seed1", "seed2")
    return frame.with_columns(pl.Series(name, rng.normal(size=ROWS)) for name in names)


def land(folder: Path) -> None:
    """As a run does."""
    with Landing() as landing:
        for number in range(UNITS):
            landing.land(Unit("base", 0, Fold("f", ("f",)), "", folder=folder / str(number)), dict(FILES))


def one_by_one(folder: Path) -> None:
    """Each file flushed, and its name, before the next."""
    for number in range(UNITS):
        for name, data in FILES.items():
            write_bytes(folder / str(number) / name, data)


if __name__ == "__main__":
    main()
