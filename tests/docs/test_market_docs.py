"""The page on markets says what was measured, and its commands exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.market.demo.demo import STUDY
from heldout.evidence import read_json

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "market.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_results() -> None:
    """A figure could be edited by hand, or stay after its measurement changed."""
    assert PAGE == runpy.run_path(str(ROOT / "benchmarks" / "market_replay.py"))["page"](PAGE)


def test_problem_14_the_rule_of_this_product_served_noise_in_no_year() -> None:
    """The claim of the page would be contradicted by its own results."""
    found = {rule["id"]: rule for rule in read_json(ROOT / "benchmarks" / "results" / "market_replay.json")["rules"]}
    assert (0, 25) == (found["supported-lead"]["null_periods"], found["supported-lead"]["periods"])
    assert found["fresh-best"]["null_periods"] > 0


def test_problem_23_the_demonstration_runs_the_example() -> None:
    """The file that people copy, and the one that is shown to work, would drift apart."""
    assert (ROOT / "examples" / "market" / "study.yaml").read_bytes() == STUDY.read_bytes()


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^\$ heldout (.+?)(?:\s+#.*)?$", PAGE, re.MULTILINE))))
def test_every_option_of_a_command_exists(line: str) -> None:
    """Whoever copies a command would be told that it is none."""
    words = line.split()
    path = words[: 1 if words[0] == "leaderboard" else 2]
    shown = CliRunner().invoke(build(words), [*path, "--help"], env={"COLUMNS": "200"}).output
    for option in (word for word in words if word.startswith("--")):
        assert option in shown, f"{option} of heldout {' '.join(path)}"
