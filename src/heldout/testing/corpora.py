"""Small corpora: a table of six sites with numbers, words and truth values, and a number or a label to predict."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from heldout.corpus import Corpus
from heldout.corpus.table import TableOptions, TableReader

_SITES, _ROWS = "abcdef", 20


def small_table() -> pl.DataFrame:
    """120 rows: ``id``, ``site`` (the group), four features, ``y`` and ``label`` (targets)."""
    rng = np.random.default_rng(20)
    rows = len(_SITES) * _ROWS
    length, count, flag = rng.normal(size=rows), rng.integers(0, 9, rows), rng.integers(0, 2, rows).astype(bool)
    kind = rng.choice(["small", "large", "other"], rows)
    y = 20 + 2 * length + 0.1 * count + flag + (kind == "large") + 0.3 * rng.normal(size=rows)
    return pl.DataFrame(
        {
            "id": [f"s{number:03d}" for number in range(rows)],
            "site": np.repeat(list(_SITES), _ROWS),
            "length": length.round(3),
            "count": count,
            "kind": kind,
            "flag": flag,
            "y": y.round(3),
            "label": np.where(y > np.median(y), "yes", "no"),
        }
    )


def small_table_file(folder: Path, name: str = "table.csv") -> Path:
    """``small_table`` as a file in a folder: ``.csv``, ``.parquet`` or ``.jsonl``."""
    path, table = folder / name, small_table()
    if path.suffix == ".parquet":
        table.write_parquet(path)
    elif path.suffix == ".jsonl":
        table.write_ndjson(path)
    else:
        table.write_csv(path)
    return path


def small_regression() -> Corpus:
    """``small_table`` with ``y`` as the target: 120 samples of 6 groups."""
    return _read("y", "label")


def small_classification() -> Corpus:
    """``small_table`` with ``label`` as the target, ``yes`` or ``no``: 120 samples of 6 groups."""
    return _read("label", "y")


def _read(target: str, ignored: str) -> Corpus:
    with tempfile.TemporaryDirectory(prefix="heldout-small-") as folder:
        path = small_table_file(Path(folder))
        return TableReader(TableOptions(path=path, id="id", group="site", target=target, ignore=[ignored])).read()
