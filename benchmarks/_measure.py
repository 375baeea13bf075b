"""What the benchmarks share: turns, medians with their range, ratios within a turn, and the file of the results."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from heldout.evidence import write_json

Turn = dict[str, float]


class Taken(NamedTuple):
    """Seconds of every contender in every turn: of the clock on the wall, and of all cores together."""

    wall: list[Turn]
    cpu: list[Turn]


def take_turns(contenders: Mapping[str, Callable[[], object]], turns: int, *, warm_up: bool = True) -> Taken:
    """Time each contender, one after the other, so often; the first time of each is not counted."""
    taken = Taken([], [])
    for turn in range(-1 if warm_up else 0, turns):
        wall, cpu = {}, {}
        for name, work in contenders.items():
            wall[name], cpu[name] = clock(work)
        if turn >= 0:
            taken.wall.append(wall)
            taken.cpu.append(cpu)
    return taken


def clock(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call, and seconds of this process's cores."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used


def clock_children(command: Sequence[str], folder: Path | None = None) -> tuple[float, float]:
    """Seconds of one command by the clock, and of the processor for it and its own children."""
    import resource  # not on Windows

    def run() -> None:
        nothing = subprocess.DEVNULL
        subprocess.run(command, cwd=folder, stdin=nothing, stdout=nothing, stderr=nothing, check=True)

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall, _ = clock(run)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(values: Sequence[float], unit: str | None = None) -> dict[str, Any]:
    """Median and range."""
    found: dict[str, Any] = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return found | ({"unit": unit} if unit else {})


def times_faster(turns: Sequence[Turn], pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """By "ours over peer": how many times the peer's seconds ours would take, within each turn."""
    return {f"{ours} over {peer}": spread([turn[peer] / turn[ours] for turn in turns]) for ours, peer in pairs}


def rates(turns: Sequence[Turn], amount: float, unit: str) -> dict[str, dict[str, Any]]:
    """Amount a second of each contender."""
    return {name: spread([amount / turn[name] for turn in turns], unit) for name in turns[0]}


def machine() -> dict[str, object]:
    """What it ran on, by kind, and how busy that was with other work."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    busy = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    processor = (names or [platform.machine()])[0]
    return {"cores": os.cpu_count(), "processor": processor, "system": platform.platform(), "load_at_end": busy}


def report(
    name: str, title: str, packages: Iterable[str], ratio: Mapping[str, Any], figures: Mapping[str, Any], **more: Any
) -> None:
    """Print the results, and write them into ``results/`` beside the scripts."""
    for label, each in {**figures, **ratio}.items():
        unit = each.get("unit", "times")
        print(f"{label:<62} {each['median']:12,.4g}  ({each['low']:,.4g} to {each['high']:,.4g}) {unit}")
    document = {"schema": "heldout.benchmark/1", "benchmark": name, "title": title, "machine": machine()}
    document |= {"packages": {package: version(package) for package in packages}, "ratio": ratio, "figures": figures}
    path = Path(__file__).parent / "results" / f"{name}.json"
    write_json(path, document | more)
    print(f"written to {path}")
