"""Pages of the docs: where their links lead, and their commands run as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def links(page: str) -> list[str]:
    """Files that a page of ``docs/`` links to; there is at least one."""
    found = re.findall(r"\]\(([^)#:]+)\)", page)
    assert found
    return found


def run_commands(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the blocks of commands of a page, one after the other, in a folder."""
    script = "set -e\n" + "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script.replace("examples/", f"{ROOT}/examples/")], cwd=folder,
        env=dict(os.environ, PATH=path), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
