"""The whole road on the command line, small: simulated episodes to a public package that verifies elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

needs_the_simulator = pytest.mark.skipif(importlib.util.find_spec("metaworld") is None, reason="metaworld is missing")


def heldout(folder: Path, *words: str, exits: int = 0) -> Any:
    """Run a command in a folder; its JSON document."""
    command = [str(Path(sys.executable).with_name("heldout")), *words, "--json"]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert exits == done.returncode, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@needs_the_simulator
def test_simulated_episodes_become_a_package_that_verifies_elsewhere(tmp_path: Path) -> None:
    """Each step would work, and the road from the first to the last would have a gap."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    made = heldout(
        work, "embodied", "simulate", "--tasks", "3", "--seeds", "2", "--out", "store", "--size", "32", "--workers", "1"
    )
    assert (6, []) == (made["episodes"], made["failed"])
    selected = heldout(work, "embodied", "select", "store", "--out", "data")
    assert ({"train": 4, "val": 1, "test": 1}, []) == (selected["counts"]["usable"], selected["findings"])
    assert [] == heldout(work, "embodied", "check", "data", "--expect", "4/1/1")["findings"]
    index = heldout(work, "index", "build", "data", "--out", "index", "--scale", "20/10", "--scale", "40/20")
    assert [] == index["findings"] == heldout(work, "index", "check", "index", "--manifest", "data")["findings"]
    pairs = heldout(work, "embodied", "world", "export", "index", "--out", "pairs")
    assert (work / "pairs").is_dir(), pairs
    # One test episode decides nothing, and the verdict says so.
    evaluate = ("eval", "run", "index", "--backbone", "qwen3_omni_lora", "--predictor", "nearest", "--out", "eval")
    run = heldout(work, *evaluate, exits=1)
    outcomes = {rule["id"]: rule["outcome"] for rule in run["verdict"]["rules"]}
    assert ("HOLD", "FAIL", "PASS") == (run["verdict"]["verdict"], outcomes["episodes"], outcomes["required_files"])
    assert run["metrics"]["num_samples"] == index["sample_split_counts"]["test"]
    again = heldout(work, *evaluate, exits=1)
    assert (0, run["files"]) == (again["predicted"], again["files"])
    contract = ("--contract", "qwen3_omni_lora")
    package = heldout(work, "package", "public", "eval", *contract, "--out", "public.tar.gz")
    assert {"run/HOLD.json", "run/metrics.json", "run/predictions.jsonl", "run/report.html"} <= set(package["files"])
    assert [] == heldout(work, "package", "audit", "public.tar.gz", *contract)["findings"]
    elsewhere.mkdir()
    shutil.move(work / "public.tar.gz", elsewhere)
    shutil.rmtree(work)
    links = heldout(elsewhere, "verify", "public.tar.gz")["links"]
    assert {"OK", "NOT CHECKED"} == {link["state"] for link in links}
    assert [] == heldout(elsewhere, "package", "audit", "public.tar.gz", *contract)["findings"]
