"""The page of public packages names every finding, and nothing that is none."""

from __future__ import annotations

import re
from pathlib import Path

from heldout.package.content.findings import CODES

PAGE = Path(__file__).parents[2] / "docs" / "package.md"


def test_every_code_has_its_place_on_the_page() -> None:
    """A finding would send its reader to a page that does not know it."""
    text = PAGE.read_text()
    assert sorted(CODES) == sorted(set(re.findall(r"^\| (HO-P\d+) ", text, re.MULTILINE)))
    assert sorted(code.lower() for code in CODES) == sorted(re.findall(r'<a id="(ho-p\d+)">', text))
