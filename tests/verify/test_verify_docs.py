"""The page about verification is executed, and names the links that there are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from heldout.verify.asked import LINKS
from heldout.verify.evaluations import EvaluationEvidence, checks_of
from heldout.verify.verify import CHAIN

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")


def test_the_table_names_every_link() -> None:
    """A link that breaks would not be found in the docs."""
    named = re.findall(r"^\| ([^|]+?) \|", PAGE.split("## Exports")[0], re.MULTILINE)
    assert [check.title for check in CHAIN] == named[1 : 1 + len(CHAIN)]
    after = ["key → verdict and files", *(check.title for check in LINKS), "corpus → the same fits"]
    assert after == named[1 + len(CHAIN) :]


def test_the_table_of_exports_names_every_link_of_the_video_domain() -> None:
    """A link of an export that breaks would not be found in the docs."""
    (checks,) = (point.load() for point in entry_points(group="heldout.verifiers", name="heldout.video.ensemble"))
    named = re.findall(r"^\| ([^|]+?) \|", PAGE.split("## Exports")[1].split("## Evaluations")[0], re.MULTILINE)
    assert ["export → manifest", *(check.title for check in checks)] == named[1:]


def test_the_table_of_evaluations_names_every_link_in_its_order(tmp_path: Path) -> None:
    """A link of an evaluation that breaks would not be found in the docs."""
    (tmp_path / "metrics.json").write_text('{"schema": "heldout.embodied-metrics/1"}')
    checks = checks_of(EvaluationEvidence(tmp_path))
    named = re.findall(r"^\| ([^|]+?) \|", PAGE.split("## Evaluations")[1].split("## What is bound")[0], re.MULTILINE)
    assert [check.title for check in checks] == named[1:]


@pytest.mark.slow
def test_the_commands_run_as_written(tmp_path: Path) -> None:
    """A reader would stop at the first command that does not work."""
    pytest.importorskip("securesystemslib")
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if not line.startswith("pip install")]
    script = "set -e\n" + "\n".join(lines).replace("examples/", f"{ROOT}/examples/")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=dict(os.environ, PATH=path),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    assert 4 == len(re.findall(r"^VERIFIED (PROMOTE|HOLD)", done.stdout, re.MULTILINE))
