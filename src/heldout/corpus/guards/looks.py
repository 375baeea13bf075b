"""HO-G016: columns of a table that are not what they are read as. Reported: it costs accuracy, and leaks nothing."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.looks import look_at
from heldout.corpus.model import Corpus

_TABLE = "table"  # the reader that takes columns as they come


def check_looks(corpus: Corpus) -> GuardResult:
    """Look at each feature, and at labels that may be numbers."""
    if corpus.manifest.reader != _TABLE:
        return GuardResult("HO-G016", not_applicable="the reader says what its columns are")
    columns = corpus.features.get_columns()
    if corpus.task == "classification":
        labels = pl.Series(corpus.manifest.target, corpus.targets("guard").astype(str))
        look = look_at(labels)
        columns = [*columns, *([labels] if look is not None and "comma" in look.what else [])]
    findings = [_idle(corpus.idle)] if corpus.idle else []
    for column in columns:
        look = look_at(column)
        if look is not None:
            what = f"the column {column.name!r} {look.what}"
            findings.append(Finding("HO-G016", False, what, f"column {column.name}", look.mend))
    return GuardResult("HO-G016", tuple(findings))


def _idle(words: Sequence[str]) -> Finding:
    """A gap that is spelt otherwise than declared would be learnt from, as a value like any other."""
    listed = ", ".join(map(repr, words))
    stand = f"the words {listed} stand for gaps" if len(words) > 1 else f"the word {listed} stands for a gap"
    what = f"{stand} as `missing` says, and nowhere among the features, times and weights"
    hint = "write what stands in the table, or leave it out of `corpus.missing`"
    return Finding("HO-G016", False, what, "corpus.missing", hint)
