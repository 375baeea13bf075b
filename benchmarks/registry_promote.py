"""What does a promotion cost? Against the least that a durable record can cost here: one bare full-sync commit.

All are measured in turn, on the same disk, so that a busy machine is busy for all. A promotion recomputes the chain
of the run, whose time is taken apart; what is left of it is the move: every file of the run is read and hashed,
the pointer moved by compare-and-swap, the history appended to, and champion.json replaced durably.

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
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from registry_kit import write_study

from heldout import Study
from heldout.evidence import write_bytes, write_json
from heldout.registry import Registry, add, moves, promote, verify

BOUND_MS = 10.0
WARM_UP = 5  # the first promotions put the statements together


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary folder by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "registry_promote.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        times = measure(Path(name), options.rounds)
    figures = {f"{name}_ms": summary(values) for name, values in times.items()}
    ratios = {
        "the move over a bare full-sync commit": over(times["move"], times["commit"]),
        "the move over a commit and a durable file": over(
            times["move"], [a + b for a, b in zip(times["commit"], times["file"], strict=True)]
        ),
        "verification over the move": over(times["verification"], times["move"]),
    }
    for name, figure in (figures | ratios).items():
        print(f"{name:<42} {figure['median']:8.2f}   {figure['low']:.2f} to {figure['high']:.2f}")
    print(f"bound: move_ms <= {BOUND_MS:g}: {'kept' if figures['move_ms']['median'] <= BOUND_MS else 'BROKEN'}")
    title = f"{options.rounds} promotions, SQLite, synchronous=FULL"
    packages = {"SQLAlchemy": version("SQLAlchemy"), "SQLite": sqlite3.sqlite_version}
    document = {"schema": "heldout.benchmark/1", "benchmark": "registry_promote", "title": title}
    document |= {"machine": machine(), "packages": packages, "ratio": ratios, **figures}
    write_json(options.out, document)
    print(f"written to {options.out}")


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round: the promotion, its two parts, the bare commit, and a small file written durably."""
    study = Study.load(write_study(folder))
    runs = [study.run(variant, runs=folder / "runs", workers=1).folder for variant in ("base", "alpha2")]
    times: dict[str, list[float]] = {"promote": [], "verification": [], "commit": [], "file": []}
    with Registry(folder / "registry", create=True) as registry, contextlib.closing(bare(folder)) as connection:
        names = itertools.cycle([add(registry, run).id for run in runs])
        spent = timed_verification()
        work: dict[str, Callable[[], object]] = {
            "promote": lambda: promote(registry, next(names)),
            "commit": lambda: connection.execute("INSERT INTO event (body) VALUES (?)", ("x" * 500,)),
            "file": lambda: write_bytes(folder / "file.json", b"x" * 3000),
        }
        for number in range(rounds + WARM_UP):
            for name, part in work.items():
                took = clock(part)
                if number >= WARM_UP:
                    times[name].append(took)
            times["verification"] = spent[WARM_UP:]
        assert verify(registry).events == rounds + WARM_UP + len(runs)
    times["move"] = [a - b for a, b in zip(times["promote"], times["verification"], strict=True)]
    return times


def timed_verification() -> list[float]:
    """Milliseconds that each promotion from now on spends on the run's chain."""
    spent: list[float] = []
    look = moves.look

    def timed(*given: Any) -> Any:
        start = time.perf_counter()
        try:
            return look(*given)
        finally:
            spent.append((time.perf_counter() - start) * 1e3)

    moves.look = timed  # type: ignore[assignment]
    return spent


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


def over(a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """Ratios within each round."""
    return summary([x / y for x, y in zip(a, b, strict=True)])


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, 5th and 95th percentile."""
    cuts = statistics.quantiles(values, n=20)
    return {"median": statistics.median(values), "low": cuts[0], "high": cuts[-1]}


def machine() -> dict[str, object]:
    """What it ran on, by kind."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = (names or [platform.machine()])[0]
    load = round(os.getloadavg()[0], 1)
    return {"cores": os.cpu_count(), "processor": processor, "system": platform.platform(), "load_at_end": load}


if __name__ == "__main__":
    main()
