"""Training killed at random moments and started again ends in the bits of an undisturbed training."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nightly import times

KILLS = times(2, 5)
# Trains as a run does: a finished model is stored at once, and stored models are left out of the next batch.
PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from heldout.evidence import JsonLines, atomic_path
from heldout.fit import MLPConfig, TrainJob, train
from heldout.fit.progress import Checkpoints

engine, folder, epochs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
Checkpoints.due = lambda self: time.monotonic() - self._last >= 0.02
rng = np.random.default_rng(0)
jobs = []
for index, n in enumerate((700, 900, 500, 701)):
    X = rng.normal(size=(n, 20)).astype(np.float32)
    jobs.append(TrainJob(f"seed{index}", X, np.tanh(X[:, 0] + X[:, 1] * X[:, 2]), index))
jobs = [job for job in jobs if not (folder / f"{job.name}.safetensors").exists()]
config = MLPConfig((20, 32, 32, 1), dropout=0.1, epochs=epochs, weight_decay=1e-5)
log = JsonLines(folder / "progress.jsonl")
note = lambda name, done, total: log.append({"name": name, "done": done})
for name, weights in train(config, jobs, folder / "work", engine=engine, workers=2, on_progress=note):
    with atomic_path(folder / f"{name}.safetensors") as partial:
        save_file(weights.to_arrays(), partial)
print("done")
"""


def start(engine: str, folder: Path, epochs: int) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    arguments = [sys.executable, "-c", PROGRAM, engine, str(folder), str(epochs)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("seed*.safetensors")}


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "epochs"), [("cached", 1500), ("stacked", 150)])
def test_kill_at_random_moments_then_resume_gives_the_same_bits(tmp_path: Path, engine: str, epochs: int) -> None:
    """A power cut would change a verdict, or cost the whole training."""
    pytest.importorskip("numba" if engine == "cached" else "torch")
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    assert b"done\n" == start(engine, calm, epochs).communicate(timeout=300)[0]
    moments, killed = random.Random(7), 0
    while killed < KILLS:
        progress, size = wild / "progress.jsonl", 0
        if progress.exists():
            size = progress.stat().st_size
        process = start(engine, wild, epochs)
        while process.poll() is None and (not progress.exists() or progress.stat().st_size == size):
            time.sleep(0.005)  # training has begun when it tells of progress
        time.sleep(moments.uniform(0.0, 0.3))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += 1
    assert killed >= min(KILLS, 3)
    assert b"done\n" == start(engine, wild, epochs).communicate(timeout=300)[0]
    assert 4 == len(digests(calm))
    assert digests(calm) == digests(wild)
    told = (wild / "progress.jsonl").read_bytes().count(b"\n"), (calm / "progress.jsonl").read_bytes().count(b"\n")
    assert told[0] < 2.0 * told[1]  # training from the start after each kill would tell far more
