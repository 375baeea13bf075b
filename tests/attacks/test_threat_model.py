"""The threat model promises what the attack suite shows, and nothing beyond it."""

from __future__ import annotations

import threat_table


def test_the_page_lists_every_route_of_the_suite() -> None:
    """A reader would rely on a protection that no test shows, or miss a hole that one knows of."""
    page = threat_table.PAGE.read_text(encoding="utf-8")
    assert threat_table.written(page) == page, "run: python tests/support/threat_table.py"


def test_the_suite_knows_a_hundred_ways() -> None:
    """A threat model of a dozen routes would be a list of what came to mind first."""
    rows = threat_table.routes()
    assert len(rows) >= 100
    assert len({kind for kind, *_ in rows}) >= 6
