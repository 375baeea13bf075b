"""The page about the zoo is executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.longest
def test_the_commands_and_the_program_of_the_zoo_page_run_as_written(tmp_path: Path) -> None:
    """A reader would stop at the first command that does not work."""
    script = "set -e\n" + "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    program = "from pathlib import Path\n" + "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    (tmp_path / "program.py").write_text(program + "\nprint(frame.height, 'matured')\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script.replace("examples/", f"{ROOT}/examples/") + "\npython program.py\n"], cwd=tmp_path,
        env=dict(os.environ, PATH=path), capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "3 predictions matured, 9 wait, 0 were learnt from" in done.stdout
    assert done.stdout.endswith("3 matured\n")
