"""The page about gates is executed, and says what the verdicts say."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_kit import ROOT, links, run_commands

PAGE = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    """A reader would follow a link of the page into nothing."""
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_written(tmp_path: Path) -> None:
    """Whoever has to change a rule would not find out how."""
    done = run_commands(PAGE, tmp_path)
    assert 0 == done.returncode, done.stderr
    for words in (
        "the first run that is no smoke run registers these rules",
        "were changed after the first look at these groups",
        "with reasons: rmse was the starter's",
        "VERIFIED",
    ):
        assert words in done.stdout, done.stdout
