"""The compiled kernel on other processors than this one, by compiling for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, sys, tempfile
from pathlib import Path
import numpy as np
from heldout.fit import MLPConfig, TrainJob, train
from heldout.fit import simd

X = np.random.default_rng(0).normal(size=(130, 20)).astype(np.float32)
job = TrainJob("job", X, np.tanh(X[:, 0] + X[:, 1] * X[:, 2]), 3)
config = MLPConfig((20, 64, 40, 1), dropout=0.1, epochs=8, weight_decay=1e-5)
flat = {}
for engine in ("cached", "loop"):
    flat[engine] = dict(train(config, [job], Path(tempfile.mkdtemp()), engine=engine))["job"].to_flat()
gap = np.linalg.norm(flat["cached"] - flat["loop"]) / np.linalg.norm(flat["loop"])
print(simd.WIDE, gap, hashlib.sha256(flat["cached"].tobytes()).hexdigest())
"""
PROCESSORS = {
    "avx512": ("skylake-avx512", "+avx512f,+avx512dq,+avx512vl,+avx512bw,+avx2,+fma"),
    "avx2": ("haswell", "+avx2,+fma"),
    "sse2": ("generic", ""),
}


def trained_for(processor: str, cache: Path) -> tuple[int, float, str]:
    """Register columns, distance from the plain loop, and digest of the weights."""
    name, features = PROCESSORS[processor]
    chosen = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(cache)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **chosen}, capture_output=True, text=True, check=True
    )
    wide, gap, digest = run.stdout.split()
    return int(wide), float(gap), digest


def runs_here(feature: str) -> bool:
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get(feature))


@pytest.mark.slow
def test_older_processors_train_the_same_recipe(tmp_path: Path) -> None:
    """A laptop without AVX-512 would train something else, or crash."""
    pytest.importorskip("numba")
    pytest.importorskip("torch")
    if not runs_here("avx2"):
        pytest.skip("this processor has no AVX2")
    wide, gap, digest = trained_for("avx2", tmp_path)
    assert 1 == wide
    assert gap < 2e-6
    assert trained_for("sse2", tmp_path)[1] < 2e-6
    if runs_here("avx512f"):
        assert (4, digest) == trained_for("avx512", tmp_path)[::2]
