"""A verdict where continuous integration looks for it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from heldout.gate import RuleOutcome
from heldout.report.ci import append_summary, write_junit
from heldout.run.verdict import build_verdict

OUTCOMES = [
    RuleOutcome("good", "PASS", 1.0, "at_least 0", "fine ≥ 0"),
    RuleOutcome("bad", "FAIL", -1.0, "at_least 0", "a <b>|\x07 < 0"),
    RuleOutcome("unclear", "UNKNOWN", None, "at_least 0", "cannot be judged"),
]


def _verdict() -> dict[str, object]:
    return build_verdict(
        study="s", variant="v", seeds=[0], outcomes=OUTCOMES, findings=[], smoke=None, judged={}, provenance={}
    )


def test_every_rule_is_a_test_case(tmp_path: Path) -> None:
    """A HOLD would show as green in the pipeline."""
    write_junit(tmp_path / "out.xml", _verdict())
    suite = ET.parse(tmp_path / "out.xml").getroot()
    assert ("3", "1", "1") == (suite.get("tests"), suite.get("failures"), suite.get("errors"))
    assert ["good", "bad", "unclear"] == [case.get("name") for case in suite]
    assert ["system-out", "failure", "error"] == [case[0].tag for case in suite]


def test_the_summary_keeps_what_other_steps_wrote(tmp_path: Path) -> None:
    """A step would erase another's summary, or a group's name would break the table."""
    path = tmp_path / "summary.md"
    path.write_text("# earlier\n")
    append_summary(path, _verdict())
    lines = path.read_text().splitlines()
    assert "# earlier" == lines[0]
    assert "## HOLD: s / v" == lines[1]
    assert 1 == sum("a \\<b>\\|" in line for line in lines if line.startswith("| FAIL"))
