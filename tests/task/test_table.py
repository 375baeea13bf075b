"""The table of predictions on disk: one form by its length, the same bytes each time, and nothing strange is read."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from heldout.errors import HeldoutError
from heldout.task import Predictions, read_predictions
from heldout.task.table import parquet_bytes, read_table, table_in

ROWS = 5_001
DIGEST = """
import hashlib, sys
import numpy as np, polars as pl
from heldout.task.table import parquet_bytes
rng = np.random.default_rng(0)
frame = pl.DataFrame({"sample_id": [f"s{n}" for n in range(200_000)], "seed0": rng.normal(size=200_000)})
parts = pl.concat([frame[:70_001], frame[70_001:]], rechunk=False)
assert parquet_bytes(frame) == parquet_bytes(parts)
print(hashlib.sha256(parquet_bytes(frame)).hexdigest())
"""


def predictions(rows: int = ROWS, **columns: pl.Series) -> Predictions:
    rng = np.random.default_rng(3)
    group = [f"g{number % 7}" for number in range(rows)]
    samples = pl.DataFrame({"sample_id": [f"row{n}" for n in range(rows)], "group": group, "fold": group})
    samples = samples.with_columns(target=pl.Series(rng.normal(size=rows)), **columns)
    return Predictions(samples, {0: rng.normal(size=rows), 4: rng.normal(size=rows)})


def test_a_long_table_is_parquet_alone_and_a_short_one_is_not(tmp_path: Path) -> None:
    """A million rows would be 200 MB of text twice over; or a table of ten rows nothing that a person can read."""
    for rows, there in (
        (ROWS - 1, ["predictions.csv", "predictions.jsonl"]),
        (ROWS, ["predictions.parquet"]),
        (ROWS - 1, ["predictions.csv", "predictions.jsonl"]),
    ):
        predictions(rows).write(tmp_path)  # over what was there before
        assert there == sorted(path.name for path in tmp_path.iterdir())
        assert rows == read_predictions(table_in(tmp_path), [0, 4]).samples.height


def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path: Path) -> None:
    """Metrics that someone recomputes from the file would not be those of the run."""
    written = predictions(**{"slice:kind": pl.Series(["left", "=1+1", ""] * (ROWS // 3))})
    written.members[4][:4] = [np.nan, np.inf, -np.inf, -0.0]
    written.write(tmp_path)
    found = read_predictions(table_in(tmp_path), [0, 4])
    assert written.samples.equals(found.samples)
    for seed in (0, 4):
        assert written.members[seed].tobytes() == found.members[seed].tobytes()


def test_classes_come_back_with_their_names(tmp_path: Path) -> None:
    """The probability of one class would be read as another's."""
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1.0, 1.0], ROWS)
    samples = predictions().samples.with_columns(target=pl.Series(rng.choice(["10", "ü"], ROWS)))
    Predictions(samples, {2: scores}, ("10", "ü")).write(tmp_path)
    found = read_predictions(table_in(tmp_path), [2], ("10", "ü"))
    assert samples["target"].to_list() == found.target.tolist()
    assert scores.tobytes() == found.members[2].tobytes()


@pytest.mark.slow
def test_equal_tables_are_equal_bytes_on_any_number_of_threads() -> None:
    """A run that is made again would have another digest, and no champion could be compared with."""
    digests = set()
    for threads in ("1", "3"):
        environment = os.environ | {"POLARS_MAX_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True, env=environment
        )
        digests.add(done.stdout)
    assert 1 == len(digests)


def a_bomb(frame: pl.DataFrame, path: Path) -> None:
    pl.select(sample_id=pl.repeat("a", 3_000_000), seed0=pl.repeat(0.0, 3_000_000)).write_parquet(path)
    assert path.stat().st_size < 40_000


HOSTILE: dict[str, tuple[str, Callable[[pl.DataFrame, Path], object]]] = {
    "torn": ("cannot be read", lambda frame, path: path.write_bytes(parquet_bytes(frame)[:-100])),
    "empty": ("cannot be read", lambda frame, path: path.write_bytes(b"")),
    "text": ("cannot be read", lambda frame, path: frame.write_ndjson(path)),
    "a bomb": ("bytes cannot be 3,000,000 rows", a_bomb),
    "a null": ("'seed0' has values that are missing", lambda frame, path: frame.with_columns(
        seed0=pl.when(pl.col("seed0") > 0).then("seed0")).write_parquet(path)),
    "whole numbers": ("'seed0' holds Int64", lambda frame, path: frame.with_columns(
        pl.col("seed0").cast(pl.Int64)).write_parquet(path)),
    "coarse numbers": ("'target' holds Float32", lambda frame, path: frame.with_columns(
        pl.col("target").cast(pl.Float32)).write_parquet(path)),
    "lists": (r"'seed4' holds List\(Float64\)", lambda frame, path: frame.with_columns(
        pl.concat_list("seed4")).write_parquet(path)),
    "ids twice": ("a sample id repeats", lambda frame, path: frame.with_columns(
        sample_id=pl.lit("row")).write_parquet(path)),
    "no seed": ("column 'seed4' is missing", lambda frame, path: frame.drop("seed4").write_parquet(path)),
    "a text for a seed": ("'seed0' holds no numbers", lambda frame, path: frame.with_columns(
        seed0=pl.lit("x")).write_parquet(path)),
    "a folder": ("stands where a plain file", lambda frame, path: path.mkdir()),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_no_run_writes_is_refused(tmp_path: Path, name: str) -> None:
    """A traceback of the reading library would stand where a sentence should, or all memory be taken."""
    what, make = HOSTILE[name]
    path = tmp_path / "predictions.parquet"
    make(predictions().to_frame(), path)
    with pytest.raises(HeldoutError, match=what) as caught:
        read_predictions(path, [0, 4])
    assert 2 == caught.value.exit_code
    assert caught.value.where
    assert caught.value.hint


def test_a_file_with_flipped_bytes_is_read_or_refused(tmp_path: Path) -> None:
    """A panic of the reading library would end the process that verifies."""
    draw, path = random.Random(1), tmp_path / "predictions.parquet"
    whole = parquet_bytes(predictions(300).to_frame())
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 8])):
            data[draw.randrange(len(data)) if draw.random() < 0.4 else -draw.randrange(1, 1200)] = draw.randrange(256)
        path.write_bytes(data)
        try:
            read_table(path)
        except HeldoutError:
            refused += 1
    assert 100 < refused < 300
