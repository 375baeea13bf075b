"""A verdict where continuous integration looks for it: a JUnit file, and a step's Markdown summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from heldout.evidence import write_bytes
from heldout.evidence.overwriting import refuse_overwriting
from heldout.printable import printable_lines
from heldout.report.content import cell


def write_junit(path: Path, verdict: Mapping[str, Any]) -> None:
    """Every rule as a test case: FAIL is a failure, UNKNOWN an error. Atomic.

    Raises:
        InputError: If a file that is no JUnit file lies there.
    """
    refuse_overwriting(path, "JUnit file", b"<?xml", b"<testsuite", start=True)
    rules = verdict["rules"]
    count = {name: str(sum(rule["outcome"] == name for rule in rules)) for name in ("FAIL", "UNKNOWN")}
    suite = ET.Element(
        "testsuite",
        name=_legal(f"heldout.{verdict['study']}.{verdict['variant']}"),
        tests=str(len(rules)),
        failures=count["FAIL"],
        errors=count["UNKNOWN"],
        timestamp=verdict["generated_at_utc"],
    )
    for rule in rules:
        case = ET.SubElement(suite, "testcase", classname=suite.attrib["name"], name=_legal(rule["id"]))
        if rule["outcome"] == "PASS":
            ET.SubElement(case, "system-out").text = _legal(rule["sentence"])
        else:
            kind = "failure" if rule["outcome"] == "FAIL" else "error"
            ET.SubElement(case, kind, message=_legal(rule["sentence"]), type=rule["outcome"])
    write_bytes(path, ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def append_summary(path: Path, verdict: Mapping[str, Any]) -> None:
    """Append the verdict and its rules as Markdown: other steps write to the same file."""
    lines = [f"## {verdict['verdict']}: {cell(verdict['study'])} / {cell(verdict['variant'])}", ""]
    lines += [cell(verdict["recommendation"]), "", "| outcome | rule | in words |", "|---|---|---|"]
    lines += [f"| {rule['outcome']} | {cell(rule['id'])} | {cell(rule['sentence'])} |" for rule in verdict["rules"]]
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")


def _legal(text: str) -> str:
    """Without the characters that XML cannot hold, or that steer a terminal."""
    return printable_lines(text)
