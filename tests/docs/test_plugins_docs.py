"""The page on plug-ins is executed: its package is installed, tested, run and verified; no file of heldout knows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from plugin_kit import install

from heldout import testing
from heldout.plugins import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
LONGEST = 25


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The package of the page, installed; its test, its study and a file of wells."""
    files = {block.split()[1].rstrip(":"): block for block in blocks("python")}
    (tmp_path / "test_mine.py").write_text(files.pop("test_mine.py"))
    (points,) = blocks("toml")
    declared = tomllib.loads(points)["project"]["entry-points"]
    install(tmp_path / "site-packages", "mine", {"mine/__init__.py": "", **files}, declared)
    (tmp_path / "study.yaml").write_text(blocks("yaml")[0])
    rng = np.random.default_rng(3)
    rows = [(well, rng.uniform(1, 9)) for well in "abcdef" for _ in range(12)]
    lines = [f"{well};{depth:.2f};{2 * depth + rng.normal(0, 0.1):.3f}".replace(".", ",") for well, depth in rows]
    (tmp_path / "wells.csv").write_text("\n".join(["well;depth;flow", *lines]) + "\n")
    return tmp_path


def called(desk: Path, *words: str, code: int = 0) -> str:
    environment = os.environ | {"PYTHONPATH": str(desk / "site-packages"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=desk, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_pass_the_conformance_tests(desk: Path) -> None:
    """Whoever copies an example would begin with a plug-in that heldout refuses."""
    told = called(desk, "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py")
    assert re.search(r"^\d\d passed", told, re.MULTILINE), told


@pytest.mark.slow
def test_the_study_runs_and_verifies_as_written(desk: Path) -> None:
    """What people copy from the page would not run."""
    assert 3 == len(called(desk, "heldout", "peek", "wells.csv").splitlines())
    assert "The first lines of a file." in called(desk, "heldout", "--help")
    assert called(desk, "heldout", "run", "study.yaml", "--workers", "1").startswith("PROMOTE mine / base")
    (run,) = desk.glob("runs/mine/base-*")
    assert "VERIFIED PROMOTE" in called(desk, "heldout", "verify", str(run))


def test_examples_are_short() -> None:
    """A whole plug-in would look like a day's work."""
    assert {} == {
        block.split()[1]: len(block.splitlines()) for block in blocks("python") if len(block.splitlines()) > LONGEST
    }


def test_the_page_names_what_there_is() -> None:
    """A reader would declare a group that nobody asks, or inherit from a class that is gone."""
    assert set(re.findall(r"^\| `heldout\.(\w+)` \|", PAGE, re.MULTILINE)) <= set(KINDS)
    classes = {name for name in testing.__all__ if name.endswith("Conformance")}
    assert classes == set(re.findall(r"^\| `(\w+Conformance)` \|", PAGE, re.MULTILINE))
    targets = re.findall(r"\]\(([^)#:]+)", PAGE)
    assert [] == [target for target in targets if not (ROOT / "docs" / target).exists()]
