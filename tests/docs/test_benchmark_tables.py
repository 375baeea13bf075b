"""Figures in the docs come from the files that the benchmarks wrote."""

from __future__ import annotations

import runpy
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_tables_are_those_of_the_results() -> None:
    """A figure could be edited by hand, or stay after its measurement changed."""
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(BENCHMARKS / "tables.py"))["page"](text) == text
