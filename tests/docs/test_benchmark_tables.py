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


def test_what_pretraining_gives_is_what_was_measured() -> None:
    """A gain could be edited by hand, or outlive its measurement."""
    script = runpy.run_path(str(BENCHMARKS / "smollm2_pretrained.py"))
    result = json.loads((BENCHMARKS / "results" / "smollm2_pretrained.json").read_text())
    assert script["table"](result) in script["PAGE"].read_text(encoding="utf-8")
    assert {"pretrained", "random"} == set(result["arms"])
    assert result["arms"]["pretrained"]["steps"] == result["arms"]["random"]["steps"]
