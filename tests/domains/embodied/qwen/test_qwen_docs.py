"""``docs/qwen.md``: its commands exist with the options that it gives them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heldout.cli.main import build

PAGE = Path(__file__).parents[4] / "docs/qwen.md"
COMMANDS = [
    line.partition("-m heldout.cli.main")[2] or line.removeprefix("heldout")
    for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("heldout ") or "-m heldout.cli.main" in line
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_page_exist_with_their_options(line: str) -> None:
    """A reader's first command would be refused."""
    words = shlex.split(line, comments=True)
    deep = 3 if words[:2] == ["embodied", "qwen"] else 2
    shown = CliRunner().invoke(build(words), [*words[:deep], "--help"], env={"COLUMNS": "300"})
    assert 0 == shown.exit_code, shown.output
    assert [] == [word for word in words if word.startswith("--") and word not in shown.stdout]
