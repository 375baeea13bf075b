"""What does a promotion cost? Against the least that a durable record can cost here: one bare full-sync commit.

Both are measured in turn, on the same disk, so that a busy machine is busy for both. A promotion reads and hashes every
file of the run, moves the pointer by compare-and-swap, appends to the history, and replaces champion.json durably.

    python benchmarks/registry_promote.py
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import contextlib
import itertools
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from registry_kit import write_study

from heldout import Study
from heldout.evidence import write_json
from heldout.registry import Registry, add, promote, verify

BOUND_MS = 10.0


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary folder by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/registry_promote.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        figures = measure(Path(name), options.rounds)
    promoted = f"{figures['promote_ms']:.2f} ms, 95th {figures['promote_p95_ms']:.2f} (bound {BOUND_MS:g})"
    print(f"promote               {promoted}")
    print(f"bare full-sync commit {figures['commit_ms']:.2f} ms")
    print(f"ratio                 {figures['ratio']:.1f}")
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "sqlite": sqlite3.sqlite_version}
    packages = {name: version(name) for name in ("SQLAlchemy",)}
    document = {"schema": "heldout.benchmark/1", "benchmark": "registry_promote", "machine": machine}
    write_json(options.out, document | {"packages": packages, "rounds": options.rounds, **figures})
    print(f"written to {options.out}")


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Medians over rounds, and the median of the ratios within a round."""
    study = Study.load(write_study(folder))
    runs = [study.run(variant, runs=folder / "runs", workers=1).folder for variant in ("base", "alpha2")]
    with Registry(folder / "registry", create=True) as registry, contextlib.closing(bare(folder)) as connection:
        names = itertools.cycle([add(registry, run).id for run in runs])
        promotions, commits = [], []
        for number in range(rounds + 5):
            took = clock(lambda: promote(registry, next(names)))
            least = clock(lambda: connection.execute("INSERT INTO event (body) VALUES (?)", ("x" * 500,)))
            if number >= 5:  # the first ones compile statements
                promotions.append(took)
                commits.append(least)
        assert verify(registry).events == rounds + 7
    return {
        "promote_ms": statistics.median(promotions),
        "promote_p95_ms": statistics.quantiles(promotions, n=20)[-1],
        "commit_ms": statistics.median(commits),
        "ratio": statistics.median(p / c for p, c in zip(promotions, commits, strict=True)),
    }


def bare(folder: Path) -> sqlite3.Connection:
    """SQLite as the registry sets it, with nothing in between; every statement is a transaction."""
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, body TEXT)")
    return connection


def clock(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
