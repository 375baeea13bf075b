"""Figures in the docs come from the files that the benchmarks wrote."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_tables_are_those_of_the_results() -> None:
    """A figure could be edited by hand, or stay after its measurement changed."""
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(BENCHMARKS / "tables.py"))["page"](text) == text


def test_coverage_is_that_of_its_measurement_and_within_its_tolerance() -> None:
    """The page could promise more than was measured."""
    script = runpy.run_path(str(BENCHMARKS / "interval_coverage.py"))
    result = json.loads((BENCHMARKS / "results" / "coverage.json").read_text())
    text = script["PAGE"].read_text(encoding="utf-8")
    assert script["page"](text, result) == text
    for name, found in result["generated"].items():
        kind, level = name.split()
        if kind != "seeds":
            above = found["coverage"] - float(level)
            assert -0.01 <= above <= 1 / (script["GROUPS"] + 1) + 0.01, name
