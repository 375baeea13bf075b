"""The page about the registry is executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_of_the_registry_page_run_as_written(tmp_path: Path) -> None:
    """A reader would stop at the first command that does not work."""
    script = "set -e\n" + "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script.replace("examples/", f"{ROOT}/examples/")], cwd=tmp_path,
        env=dict(os.environ, PATH=path), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    assert "VERIFIED" in done.stdout
    assert "2 events taken over" in done.stdout
