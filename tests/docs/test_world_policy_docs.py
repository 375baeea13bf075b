"""``docs/world_model.md`` and ``docs/policy.md``: their commands exist with the options that they give them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heldout.cli.main import build

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("world_model.md", "policy.md")]
COMMANDS = [
    line
    for page in PAGES
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("heldout ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_pages_exist_with_their_options(line: str) -> None:
    """A reader's first command would be refused."""
    words = shlex.split(line, comments=True)[1:]
    named = words[: 3 if words[0] == "embodied" else 2]
    shown = CliRunner().invoke(build(words), [*named, "--help"], env={"COLUMNS": "300"})
    assert 0 == shown.exit_code, shown.output
    assert [] == [word for word in words if word.startswith("--") and word not in shown.stdout]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_links_of_the_pages_lead_somewhere(page: Path) -> None:
    """A reader would be sent to a page that is not there."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert links
    assert [] == [link for link in links if not (page.parent / link).is_file()]
