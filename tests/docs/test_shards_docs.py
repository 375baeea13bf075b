"""The page about shards is executed."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_kit import ROOT, links, run_commands

PAGE = (ROOT / "docs" / "shards.md").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    """A reader would follow a link of the page into nothing."""
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_written(tmp_path: Path) -> None:
    """Whoever has two machines would not find out how to use them."""
    done = run_commands(PAGE, tmp_path)
    assert 0 == done.returncode, done.stderr
    assert 2 == done.stdout.count("units are there, and nothing is judged"), done.stdout
    assert "VERIFIED" in done.stdout, done.stdout
