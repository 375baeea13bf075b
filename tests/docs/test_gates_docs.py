"""The page about gates is executed, and says what the verdicts say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    """A reader would follow a link of the page into nothing."""
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert [] == [target for target in targets if not (ROOT / "docs" / target).exists()]
    assert targets


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_written(tmp_path: Path) -> None:
    """Whoever has to change a rule would not find out how."""
    script = "set -e\n" + "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script.replace("examples/", f"{ROOT}/examples/")], cwd=tmp_path,
        env=dict(os.environ, PATH=path), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    for words in (
        "the first run that is no smoke run registers these rules",
        "were changed after the first look at these groups",
        "with reasons: 0.5 was copied from another study",
        "VERIFIED",
    ):
        assert words in done.stdout, done.stdout
