"""``docs/qwen.md`` and ``docs/smollm2.md``: their commands exist with the options that they give them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heldout.cli.main import build

DOCS = Path(__file__).parents[4] / "docs"
PAGES = (DOCS / "qwen.md", DOCS / "smollm2.md")
COMMANDS = [
    line.partition("-m heldout.cli.main")[2] or line.removeprefix("heldout")
    for page in PAGES
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("heldout ") or "-m heldout.cli.main" in line
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_page_exist_with_their_options(line: str) -> None:
    """A reader's first command would be refused."""
    words = shlex.split(line, comments=True)
    deep = 3 if words[:1] == ["embodied"] else 2
    shown = CliRunner().invoke(build(words), [*words[:deep], "--help"], env={"COLUMNS": "300"})
    assert 0 == shown.exit_code, shown.output
    assert [] == [word for word in words if word.startswith("--") and word not in shown.stdout]
