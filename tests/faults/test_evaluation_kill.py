"""A sharded evaluation, killed at random and resumed with other worker counts, ends in the bytes of a calm one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evaluation_kit import make_index
from nightly import times

from heldout.domains.embodied.index.sealed import read_openings
from heldout.domains.embodied.index.windows import Scale
from heldout.evidence import read_json
from heldout.ledger.trials import read_ledger
from heldout.predict.partial import PARTIAL_FILE, read_partial

SUPPORT = Path(__file__).parents[1] / "support"
PROGRAM = "import sys; from heldout.cli.main import build; sys.exit(build(['eval'])(['eval', *sys.argv[1:]]))"
SHARDS, KILLS = 3, times(6, 40)


def start(*words: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}
    nothing = subprocess.DEVNULL
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.Popen(command, stdout=nothing, stderr=nothing, env=environment, start_new_session=True)


def shard(index: Path, folder: Path, offset: int, workers: int) -> subprocess.Popen[bytes]:
    words = ["run", str(index), "--backbone", "qwen3_omni_lora", "--predictor", "evaluation_kit:Slow"]
    words += ["--out", str(folder), "--sample-offset", str(offset), "--sample-stride", str(SHARDS)]
    return start(*words, "--workers", str(workers))


def lines(folder: Path) -> int:
    path = folder / PARTIAL_FILE
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_after(process: subprocess.Popen[bytes], folder: Path, more: int, pause: float) -> bool:
    """Wait until so many lines came, then kill; whether it was still at work."""
    before, deadline = lines(folder), time.monotonic() + 60
    while process.poll() is None and lines(folder) < before + more and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(pause)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)  # its workers live on as orphans, for a moment
    process.wait(timeout=60)
    return alive


@pytest.mark.slow
def test_kills_of_a_sharded_evaluation_leave_the_bytes_of_a_calm_one(tmp_path: Path) -> None:
    """A power cut would change the evidence, lose windows, or count some of them twice."""
    index = make_index(tmp_path / "data", 40, Scale(4, 2))
    calm = tmp_path / "calm/run"
    words = ["--backbone", "qwen3_omni_lora", "--predictor", "evaluation_kit:Slow", "--out", str(calm)]
    assert start("run", str(index), *words, "--workers", "2").wait(timeout=600) in (0, 1)
    expected = read_json(calm / "evaluation.json")
    assert expected["samples"] > 200

    folders = [tmp_path / f"shard{offset}" for offset in range(SHARDS)]
    moments, killed = random.Random(17), 0
    while killed < KILLS:
        offset = moments.randrange(SHARDS)
        process = shard(index, folders[offset], offset, moments.randint(1, 3))
        before = read_partial(folders[offset] / PARTIAL_FILE).rows
        alive = kill_after(process, folders[offset], moments.randint(0, 3), moments.uniform(0, 0.05))
        now = read_partial(folders[offset] / PARTIAL_FILE).rows
        assert before == {name: now[name] for name in before}, "a finished sample was lost or predicted anew"
        killed += alive
        if not alive:  # all of its samples are there: it starts again from a part of them, and a torn line
            path = folders[offset] / PARTIAL_FILE
            data = path.read_bytes()
            path.write_bytes(data[: moments.randint(1, len(data))])
    for offset, folder in enumerate(folders):
        assert 0 == shard(index, folder, offset, 1 + offset).wait(timeout=600)

    wild = tmp_path / "wild/run"
    for _ in range(5):
        process = start("merge", *map(str, folders), "--out", str(wild))
        time.sleep(moments.uniform(0.3, 2.5))
        process.kill()
        process.wait(timeout=60)
    assert start("merge", *map(str, folders), "--out", str(wild)).wait(timeout=600) in (0, 1)
    assert expected == read_json(wild / "evaluation.json")
    for name in expected["outputs"]:
        assert (calm / name).read_bytes() == (wild / name).read_bytes(), name
    assert [] == [path.name for path in wild.iterdir() if path.name.endswith(".partial")]
    assert len(read_openings(index)) >= len(read_ledger(index)) >= 1
