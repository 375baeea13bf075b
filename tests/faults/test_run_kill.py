"""A run killed at random moments and started again ends in the bytes of an undisturbed run, and fits nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from nightly import times

from heldout.evidence import read_json, read_json_lines, sha256_file

HELDOUT = "from heldout.cli.main import main; main()"
# Keeps the state of a training often, so that a kill in the midst of it costs little.
OFTEN = (
    "import time; from heldout.fit.progress import Checkpoints; "
    "Checkpoints.due = lambda self: time.monotonic() - self._last > 0.05"
)
# Ends like a power cut when so many files have landed, of units that were computed.
IN_LANDING = """
import itertools, os, signal
from heldout.run.units import landing
written, real = itertools.count(), landing._write

def write(content, path):
    if next(written) == {written}:
        os.kill(os.getpid(), signal.SIGKILL)
    real(content, path)

landing._write = write
from heldout.cli.main import main
main()
"""
KILLS = times(2, 5)
SAME = ("predictions.jsonl", "predictions.csv", "metrics.json", "corpus.json", "split.json", "study.lock.yaml")


def write_table_study(folder: Path) -> Path:
    """Six groups, three seeds, and a baseline: 24 units of some tenths of a second."""
    rng = np.random.default_rng(5)
    size, weight = rng.normal(size=(2, 240))
    frame = pl.DataFrame({"site": [f"site{row % 6}" for row in range(240)], "size": size, "weight": weight})
    frame.with_columns(score=np.sin(2 * size) + weight + 0.1 * rng.normal(size=240)).write_csv(folder / "table.csv")
    study = {
        "study": "table",
        "corpus": {"path": "table.csv", "group": "site", "target": "score"},
        "backbone": "sklearn",
        "fit": {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "params": {"n_estimators": 150}},
        "seeds": [0, 1, 2],
        "baselines": [
            {"id": "linear", "backbone": "sklearn", "fit": {"estimator": "sklearn.linear_model.LinearRegression"}}
        ],
        "gate": {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.5}]},
    }
    return write(folder, study)


def write_video_study(folder: Path) -> Path:
    """Four sources, two encoders: 12 networks that are trained together, and 4 of a baseline."""
    rng = np.random.default_rng(6)
    with (folder / "frames.jsonl").open("w") as stream:
        for source in range(4):
            content = 0.3 + 0.15 * source + 0.1 * np.cumsum(rng.normal(size=25)) / 5
            for encoder, strength in (("libx264", 1.0), ("libx265", 0.8)):
                for cq in (20, 28, 36):
                    loss = strength * content * np.exp((cq - 31) / 9)
                    for frame, value in enumerate(loss.tolist()):
                        six = {f"vif_scale{scale}": float(np.exp(-value / (scale + 1))) for scale in range(4)}
                        six |= {"adm2": 1 - 0.07 * value, "motion2": 2.0 + source}
                        row = {"src": f"source{source}", "encoder": encoder, "cq": cq, "frame_index": frame}
                        row |= {"vmaf": float(np.clip(100 / (1 + np.exp(1.8 * value - 4.5)), 0, 100)), **six}
                        stream.write(json.dumps(row) + "\n")
    fit = {"epochs": 250, "hidden": 32, "engine": "cached"}
    study = {
        "study": "video",
        "corpus": {"reader": "video_frames", "path": "frames.jsonl"},
        "backbone": "fr_regressor",
        "fit": fit,
        "seeds": [0, 1, 2],
        "baselines": [{"id": "blind", "backbone": "fr_regressor", "fit": fit | {"codec": "blind"}}],
    }
    return write(folder, study)


def write_small_study(folder: Path) -> Path:
    """Five units of an instant."""
    rows = "".join(f"site{row % 5},{row % 7},{row % 7 + row % 3 / 8 + 0.5}\n" for row in range(60))
    (folder / "table.csv").write_text("site,size,score\n" + rows)
    study = {
        "study": "landing",
        "corpus": {"path": "table.csv", "group": "site", "target": "score"},
        "backbone": "sklearn",
        "fit": {"estimator": "sklearn.linear_model.Ridge"},
        "seeds": [0],
        "gate": {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.5}]},
    }
    return write(folder, study)


def write(folder: Path, study: dict[str, Any]) -> Path:
    path = folder / "study.yaml"
    path.write_text(json.dumps(study, indent=1))  # JSON is YAML
    return path


def start(study: Path, runs: Path, program: str) -> subprocess.Popen[bytes]:
    arguments = ["run", str(study), "--runs", str(runs), "--workers", "2", "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, env=environment)


def finished(runs: Path) -> dict[str, int]:
    """Units whose card vouches for their files, with the moment at which the card was written."""
    found = {}
    for card in runs.rglob("unit.json"):
        files = read_json(card)["files"]
        if all((card.parent / name).is_file() and sha256_file(card.parent / name) == files[name] for name in files):
            found[str(card.parent.relative_to(runs))] = card.stat().st_mtime_ns
    return found


def signs_of_work(runs: Path) -> set[tuple[str, int]]:
    """Finished units and saved states of training: what a kill shortly after would hit."""
    paths = [*runs.rglob("unit.json"), *runs.glob("*/*/scratch/**/*.safetensors")]
    found = set()
    for path in paths:
        try:
            found.add((str(path), path.stat().st_mtime_ns))
        except OSError:
            continue
    return found


def run_folder(runs: Path) -> Path:
    (folder,) = (card.parent for card in runs.glob("*/*/run.json"))
    return folder


def models(folder: Path) -> dict[str, str]:
    names = ("model.safetensors", "model.skops", "predictions.safetensors")
    return {str(path.relative_to(folder)): sha256_file(path) for name in names for path in folder.rglob(name)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write_study", "program", "seed", "units"),
    [
        pytest.param(write_table_study, HELDOUT, 3, 24, id="table"),
        pytest.param(write_video_study, f"{OFTEN}; {HELDOUT}", 4, 16, id="video"),
    ],
)
def test_kill_at_random_moments_then_run_again_gives_the_same_bytes(
    tmp_path: Path, write_study: Callable[[Path], Path], program: str, seed: int, units: int
) -> None:
    """A power cut would change a verdict, cost the whole training, or leave half a file that is believed."""
    pytest.importorskip("numba" if "Checkpoints" in program else "sklearn")
    study, calm, wild = write_study(tmp_path), tmp_path / "calm", tmp_path / "wild"
    code = start(study, calm, program).wait(timeout=300)
    assert code in (0, 1)

    moments, killed, before = random.Random(seed), 0, dict[str, int]()
    while killed < KILLS:
        seen = signs_of_work(wild)
        process = start(study, wild, program)
        deadline = time.monotonic() + 120
        while process.poll() is None and signs_of_work(wild) <= seen and time.monotonic() < deadline:
            time.sleep(0.005)  # until it has done something new
        time.sleep(moments.uniform(0.0, 0.4))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        time.sleep(0.2)  # its workers end with it
        now = finished(wild)
        assert before == {name: now.get(name) for name in before}, "a finished unit was fitted again"
        assert not [*wild.rglob("PROMOTE.json"), *wild.rglob("HOLD.json")]
        before, killed = now, killed + 1
    assert killed >= min(KILLS, 3)
    assert before
    assert code == start(study, wild, program).wait(timeout=300)

    assert before == {name: finished(wild).get(name) for name in before}, "a finished unit was fitted again"
    assert units == len(finished(wild)) == len(finished(calm))
    told = [each["unit"] for each in read_json_lines(run_folder(wild) / "progress.jsonl") if each["event"] == "fitted"]
    assert len(told) == len(set(told))
    for name in SAME:
        assert (run_folder(calm) / name).read_bytes() == (run_folder(wild) / name).read_bytes(), name
    assert models(run_folder(calm)) == models(run_folder(wild))
    assert [] == [str(path) for path in wild.rglob("*.partial")]
    assert not (run_folder(wild) / "scratch").exists() or not [*(run_folder(wild) / "scratch").rglob("*.safetensors")]
    print(f"{killed} kills; {len(before)} of {units} units were finished at the last")


@pytest.mark.slow
def test_kill_between_compute_and_land(tmp_path: Path) -> None:
    """Half a unit would be judged; or a unit that was whole would be fitted again."""
    pytest.importorskip("sklearn")
    study, wild, calm = write_small_study(tmp_path), tmp_path / "wild", tmp_path / "calm"
    before = dict[str, int]()
    for written, whole in ((6, 2), (1, 2), (2, 2), (3, 3)):
        assert -signal.SIGKILL == start(study, wild, IN_LANDING.format(written=written)).wait(timeout=120)
        assert whole == len(finished(wild)) == len([*wild.rglob("unit.json")])
        assert before == {name: finished(wild)[name] for name in before}
        assert not [*wild.rglob("PROMOTE.json"), *wild.rglob("HOLD.json")]
        before = finished(wild)
    for runs in (wild, calm):
        assert start(study, runs, HELDOUT).wait(timeout=120) in (0, 1)
    assert before == {name: finished(wild)[name] for name in before}
    told = [each["unit"] for each in read_json_lines(run_folder(wild) / "progress.jsonl") if each["event"] == "fitted"]
    assert 5 == len(finished(wild)) == len(set(told)) == len(told)
    for name in SAME:
        assert (run_folder(calm) / name).read_bytes() == (run_folder(wild) / name).read_bytes(), name
    assert models(run_folder(calm)) == models(run_folder(wild))
    assert not (run_folder(wild) / "scratch").exists()
    assert [] == [str(path) for path in wild.rglob("*.partial")]
