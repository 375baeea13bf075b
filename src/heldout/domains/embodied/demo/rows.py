"""The table at the end of ``heldout demo embodied``: verdict, reasons, a metric beside what costs nothing, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from heldout.errors import InputError
from heldout.evidence import read_json, sha256_file
from heldout.gate.verdict_files import read_verdict


class Headline(TypedDict):
    """One metric beside what costs nothing."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    baselines: dict[str, float | None]


class Row(TypedDict):
    """A variant; one without an evaluation has neither counts nor files."""

    backbone: str
    variant: str
    verdict: str | None
    reasons: list[str]
    headline: Headline | None
    report: str | None
    package: str | None
    held_out_episodes: NotRequired[int]
    rules_passed: NotRequired[int]
    rules: NotRequired[int]
    package_sha256: NotRequired[str]


class Demonstration(TypedDict):
    """``demo.json``."""

    schema: str
    study: str
    out: str
    rows: list[Row]
    promote: bool


def row_of(
    facts: Mapping[str, Any], evaluation: Path | None, package: Path | None, *, reason: str | None = None
) -> Row:
    """One row of the document.

    Args:
        facts: ``backbone``, ``variant`` and ``headline``, the name of a metric.
        evaluation: Folder of the finished evaluation; None where there is none.
        package: The public package.
        reason: Why there is no evaluation.

    Raises:
        InputError: If the evaluation has no verdict.
    """
    row: Row = {
        "backbone": facts["backbone"],
        "variant": facts["variant"],
        "verdict": None,
        "reasons": [reason] if reason else [],
        "headline": None,
        "report": None,
        "package": None,
    }
    if evaluation is None:
        return row
    verdict, metrics = read_verdict(evaluation), read_json(evaluation / "metrics.json")
    if verdict is None:
        raise InputError("the evaluation has no verdict", where=str(evaluation), hint="start it again")
    row["verdict"], row["held_out_episodes"] = verdict["verdict"], metrics["held_out_episode_count"]
    row["reasons"] = [rule["sentence"] for rule in verdict["rules"] if rule["outcome"] != "PASS"]
    row["rules_passed"] = sum(rule["outcome"] == "PASS" for rule in verdict["rules"])
    row["rules"] = len(verdict["rules"])
    row["headline"] = _headline(str(facts["headline"]), metrics["evidence"])
    row["report"] = str(evaluation / "report.html")
    if package is not None:
        row["package"], row["package_sha256"] = str(package), sha256_file(package)
    return row


def _headline(name: str, evidence: Mapping[str, Any]) -> Headline | None:
    found = evidence.get(name)
    if found is None:
        return None
    interval = found.get("interval") or {}
    return {
        "metric": name,
        "value": found["value"],
        "low": interval.get("low"),
        "high": interval.get("high"),
        "baselines": {key: one["value"] for key, one in sorted(found["baselines"].items())},
    }


def lines(document: Demonstration) -> Iterator[str]:
    """The table, a line at a time."""
    rows = document["rows"]
    name = max(len(row["backbone"]) for row in rows)
    variant = max(len(row["variant"]) for row in rows)
    for row in rows:
        said = row["verdict"] or "FAILED"
        yield f"{row['backbone']:<{name}}  {row['variant']:<{variant}}  {said:<7}  {_figures(row)}"
        for reason in row["reasons"]:
            yield f"  why      {reason}"
        for key, path in (("report", row["report"]), ("package", row["package"])):
            if path:
                yield f"  {key:<8} {path}"
    held = [row["variant"] for row in rows if row["verdict"] == "HOLD"]
    failed = [row["variant"] for row in rows if row["verdict"] is None]
    yield ""
    if held:
        yield f"{', '.join(held)}: HOLD. Not proven on these episodes; to say so is what a verdict is for."
    if failed:
        yield f"{', '.join(failed)}: not judged."
    if document["promote"]:
        yield "Every rule of every variant passed on held-out episodes."


def _figures(row: Row) -> str:
    one = row["headline"]
    if one is None:
        return ""
    span = f" ({_number(one['low'])} to {_number(one['high'])})" if one["low"] is not None else ""
    others = ", ".join(f"{key} {_number(value)}" for key, value in one["baselines"].items())
    return f"{one['metric']} {_number(one['value'])}{span}" + (f"; {others}" if others else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
