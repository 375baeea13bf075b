"""The page on the leaderboard says what the code does."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_shows() -> None:
    """A reader would plan with a wait that the code does not say."""
    code, shown = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[0] for kind in ("python", "text"))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert shown == printed.getvalue()


def test_the_table_is_that_of_the_results() -> None:
    """A figure could be edited by hand, or stay after its measurement changed."""
    assert PAGE == runpy.run_path(str(ROOT / "benchmarks" / "leads.py"))["page"](PAGE)
