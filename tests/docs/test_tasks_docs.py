"""The page on tasks is executed: its domain is installed, tested, run and verified; no file of heldout knows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from page_kit import ROOT, links, run_commands
from plugin_kit import install

PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
LONGEST = 25


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The domain of the page, installed, its test and study, and six rigs of which each runs bearings its own way."""
    home = tmp_path_factory.mktemp("bearings")
    files = {block.split()[1].rstrip(":"): block for block in blocks("python")}
    (home / "test_bearings.py").write_text(files.pop("test_bearings.py"))
    declared = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]
    install(home / "site-packages", "bearings", {"bearings/__init__.py": "", **files}, declared)
    (home / "study.yaml").write_text(blocks("yaml")[0])
    (home / "rigs").mkdir()
    rng = np.random.default_rng(5)
    for rig in "abcdef":
        load, speed = rng.uniform(1, 3, 40), rng.uniform(500, 3000, 40)
        hours = 2e6 / speed / load**3 * np.exp(rng.normal(0, 0.05, 40))  # the cube of the load, by ISO 281
        lines = [f"{x:.3f},{y:.0f},{z:.2f}" for x, y, z in zip(load, speed, hours, strict=True)]
        (home / "rigs" / f"rig-{rig}.csv").write_text("\n".join(["load,speed,hours", *lines]) + "\n")
    return home


@pytest.mark.slow
def test_the_domain_passes_the_conformance_tests(desk: Path) -> None:
    """Whoever copies it would begin with a task that heldout refuses."""
    environment = os.environ | {"PYTHONPATH": str(desk / "site-packages"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_bearings.py"],
        cwd=desk, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert re.search(r"^\d\d passed", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.slow
def test_the_study_runs_and_verifies_as_written(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people copy from the page would not run."""
    monkeypatch.setenv("PYTHONPATH", str(desk / "site-packages"))
    done = run_commands(PAGE, desk)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "rig-a        40" in done.stdout
    assert "PROMOTE bearings / base" in done.stdout
    assert "VERIFIED PROMOTE" in done.stdout


def test_examples_are_short_and_links_lead_somewhere() -> None:
    """A whole domain would look like a week's work."""
    assert {} == {
        block.split()[1]: len(block.splitlines()) for block in blocks("python") if len(block.splitlines()) > LONGEST
    }
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]
