"""Tables and reports of an evaluation, made again from rows, train counts, metrics and rules."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from heldout.domains.embodied.score.files import TRAIN_FILE, table_makers
from heldout.domains.embodied.score.report import OLDER_HEADS, remade_parts
from heldout.domains.embodied.score.score import FAMILIES, Scored, read_rows
from heldout.domains.embodied.score.score import INTERVALS as SPEC
from heldout.domains.embodied.score.train_labels import read_train_labels
from heldout.domains.embodied.verify.rules import contract_of
from heldout.evidence import loads, read_plain
from heldout.gate.outcome import RuleOutcome
from heldout.printable import printable_lines
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.differences import ROUNDING, difference
from heldout.verify.evaluations import EvaluationEvidence

_REPORTS = ("RUN_REPORT.md", "report.html")


def check_tables(evidence: EvaluationEvidence) -> str:
    """Every table is the one that rows and train counts give."""
    scored, count = _scored(evidence), 0
    for name, make in table_makers().items():
        if evidence.has(name) and not evidence.changed(name):
            _compare(name, make(scored), read_plain(evidence.folder / name))
            count += 1
    changed = [name for name in table_makers() if evidence.changed(name)]
    if not count and not changed:
        raise NotCheckedError("no tables are published" if evidence.published else "there are no tables")
    told = f"{count} tables made again: the same"
    return told + (f"; not compared, since private names were taken out: {', '.join(changed)}" if changed else "")


def check_report(evidence: EvaluationEvidence) -> str:
    """Verdict, rules, metrics and fields stand in the reports as they were judged."""
    there = [name for name in _REPORTS if evidence.has(name) and not evidence.changed(name)]
    if not there:
        raise NotCheckedError("no report is here as it was written")
    scored = _scored(evidence)
    for name in there:
        text = read_plain(evidence.folder / name).decode("utf-8")
        for part, older in zip(remade_parts(scored), remade_parts(scored, OLDER_HEADS), strict=True):
            made = [one.markdown if name.endswith(".md") else one.page for one in (part, older)]
            if not any(one in text or printable_lines(one) in text for one in made):
                raise BrokenError("the part is not the one that metrics and rules give", f"{name}: {part.title}")
    return f"{', '.join(there)}: verdict and tables match the metrics; free text and images were not checked"


def _scored(evidence: EvaluationEvidence) -> Scored:
    """The evaluation as it was scored: metrics and rules as stated, since other links made them again."""
    family = next((name for name in FAMILIES if evidence.has(name)), None)
    if family is None:
        raise NotCheckedError("there are no predictions")
    contract = contract_of(evidence)
    train, rows = read_train_labels(evidence.path(TRAIN_FILE)), read_rows(evidence.folder / family)
    rules = [RuleOutcome(**rule) for rule in evidence.verdict["rules"]]
    return Scored(contract, family, rows, evidence.metrics, rules, train, SPEC)


def _compare(name: str, expected: bytes, found: bytes) -> None:
    if expected == found:
        return
    if name.endswith(".json"):
        different = difference(loads(expected, where=name), loads(found, where=name))
        if different is not None:
            what = f"stated {different.found!r}; the rows give {different.expected!r}"
            raise BrokenError(what, f"{name}: {different.place}")
        return
    mine, theirs = _cells(expected), _cells(found)
    for number, (ours, other) in enumerate(zip(mine, theirs, strict=False), start=1):
        wrong = next((place for place in range(max(len(ours), len(other))) if not _same(ours, other, place)), None)
        if wrong is not None:
            what = f"stated {_cell(other, wrong)!r}; the rows give {_cell(ours, wrong)!r}"
            raise BrokenError(what, f"{name}: line {number}, column {wrong + 1}")
    if len(mine) != len(theirs):
        raise BrokenError(f"stated {len(theirs)} lines; the rows give {len(mine)}", name)


def _cells(data: bytes) -> list[list[str]]:
    csv.field_size_limit(1 << 24)
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))


def _cell(row: Sequence[str], place: int) -> str | None:
    return row[place] if place < len(row) else None


def _same(ours: Sequence[str], other: Sequence[str], place: int) -> bool:
    a, b = _cell(ours, place), _cell(other, place)
    if a is None or b is None or a == b:
        return a == b
    try:
        return abs(float(a) - float(b)) <= ROUNDING * max(1.0, abs(float(a)))
    except ValueError:
        return False
