"""``docs/embodied.md``: its commands exist with the options that it gives them, and its lists are whole."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.episodes.labels import SkipCode

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/embodied.md"
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL) for line in block.splitlines()
]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("heldout ")])
def test_commands_of_the_page_exist_with_their_options(line: str) -> None:
    """A reader's first command would be refused."""
    words = shlex.split(line, comments=True)[1:]
    depth = 3 if words[:2] in (["embodied", "qwen"], ["embodied", "world"], ["embodied", "policy"]) else 2
    shown = CliRunner().invoke(build(words), [*words[:depth], "--help"], env={"COLUMNS": "300"})
    assert 0 == shown.exit_code, shown.output
    assert [] == [word for word in words if word.startswith("--") and word not in shown.stdout]


def test_the_page_names_every_skip_code_and_finding() -> None:
    """A reader would meet a code that nobody explains."""
    text = PAGE.read_text()
    assert [] == [code for code in get_args(SkipCode) if f"`{code}`" not in text]
    folder = ROOT / "src/heldout/domains/embodied"
    codes = {code for path in folder.rglob("*.py") for code in re.findall(r"HO-G\d+", path.read_text())}
    assert codes == set(re.findall(r"HO-G\d+", text))


def test_the_figures_of_the_road_are_those_that_were_measured() -> None:
    """A figure could be edited by hand, or stay after its measurement changed."""
    script = runpy.run_path(str(ROOT / "benchmarks/embodied_road.py"))
    text = PAGE.read_text(encoding="utf-8")
    assert script["page"](text, json.loads(script["RESULTS"].read_text())) == text
