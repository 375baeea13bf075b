"""HO-G015: labels that are no classes: blanks, spelt gaps, and one class in two spellings."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.guards.names import drawn, folded
from heldout.corpus.model import Corpus

GAPS = frozenset(
    {"", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "-", "--", "?", ".", "<na>", "missing", "nat"}
)


def check_labels(corpus: Corpus) -> GuardResult:
    """Look at the labels of a classification: a blank blocks; a word for a gap, or two spellings, are reported."""
    if corpus.task != "classification":
        return GuardResult("HO-G015", not_applicable="the target is a number")
    labels, counts = np.unique(corpus.targets("guard").astype(str), return_counts=True)
    findings, spelt = [], defaultdict(list)
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        plain = drawn(label).strip()
        spelt[folded(label)].append(label)
        if plain.lower() in GAPS:
            findings.append(_gap(label, count, blank=not plain))
    findings += [_spellings(names) for names in spelt.values() if len(names) > 1]
    return GuardResult("HO-G015", tuple(findings))


def _gap(label: str, count: int, *, blank: bool) -> Finding:
    return Finding(
        "HO-G015",
        blocking=blank,
        what=f"the label {label!a} of {count} rows is {'blank' if blank else 'a word for a missing value'}",
        where=f"label {label!a}",
        hint="remove the rows whose label is not known; if it is a class, give it a name",
    )


def _spellings(names: list[str]) -> Finding:
    return Finding(
        "HO-G015",
        blocking=False,
        what=f"the labels {', '.join(ascii(name) for name in names)} differ only in what writers mix up",
        where=", ".join(ascii(name) for name in names),
        hint="if they are one class, spell it in one way: the other spelling counts as wrong",
    )
