"""A study on a part of its groups, to try things out: no verdict comes of it, and the other groups stay unseen.

The part is drawn by what the groups hold and by nothing else, so that it is the same one whatever they are called and
however often it is drawn; in a split in time it is the early part. It is written as a table of its own, and the study
is run on it as a smoke run: a look at these groups stands in the ledger, and no look at any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

from heldout.corpus import Corpus
from heldout.corpus.files import read_table, write_like
from heldout.corpus.parts import name_written
from heldout.corpus.table import TableReader
from heldout.errors import CorpusError, InputError
from heldout.run.resolve import Resolved
from heldout.run.units.unit import cached_corpus
from heldout.split import Splitter, split_corpus

_FEWEST = 2
_FOLDER = "tried"


class Part(NamedTuple):
    """The groups that are tried, and the table of their rows."""

    groups: tuple[str, ...]
    of: int
    table: Path


def part_of(resolved: Resolved, share: float, runs: Path) -> Part:
    """Some groups of a study, and a table of them beside its runs.

    Args:
        resolved: The study.
        share: Of the groups, above 0 and below 1.
        runs: Folder of run directories.

    Raises:
        InputError: If the share is none, leaves fewer than two groups or such that the study's split does not fit
            them, or the table of the part would replace the study's own.
        CorpusError: If the corpus is no table.
    """
    reader = resolved.reader
    if not isinstance(reader, TableReader):
        hint = "declare a corpus of fewer groups in a study of its own"
        raise CorpusError(f"a part of a corpus of {reader.name!r} cannot be written", where="corpus.reader", hint=hint)
    if not 0 < share < 1:
        raise InputError(f"{share:g} is no share of the groups", where="--share", hint="such as 0.5, below 1")
    options, table = reader.options, runs / resolved.name / _FOLDER / name_written(reader.options.path)
    if table.exists() and options.path.exists() and table.samefile(options.path):
        what = "the study's own table lies where the tried part would be written, and would be lost"
        raise InputError(what, where=str(table), hint="move the table and mend `corpus.path`, or try with other --runs")
    corpus = cached_corpus(reader)
    named = _drawn(corpus, share, early=resolved.splitter.ordered)
    if len(named) < _FEWEST:
        what = f"{len(named)} of {len(corpus.manifest.groups)} groups are too few to hold one out"
        raise InputError(what, where="--share", hint="try a larger share")
    # Words for gaps are written as words: the study that reads the part again says what they are.
    frame = read_table(options.path, dialect=replace(options.dialect(), missing=()))
    rows = frame.filter(corpus.groups.is_in(named))
    table.parent.mkdir(parents=True, exist_ok=True)
    write_like(rows.with_columns(pl.col(options.group).cast(pl.String)), table, options.dialect())
    _check_split(resolved.splitter, corpus, cached_corpus(TableReader(options.model_copy(update={"path": table}))))
    return Part(tuple(named), len(corpus.manifest.groups), table)


def _check_split(splitter: Splitter, corpus: Corpus, part: Corpus) -> None:
    """Split the study's groups and those that were drawn: whose fault it is that these cannot be must be said.

    Raises:
        CorpusError: If the study's split does not fit its own groups.
        InputError: If it fits them, and not the drawn ones.
    """
    try:
        split_corpus(splitter, part)
    except CorpusError as error:
        if splitter.reads != "targets":  # those of the other groups stay unseen
            split_corpus(splitter, corpus)
        drawn, where = len(part.manifest.groups), error.where or "split"
        raise InputError(
            f"the study's split does not fit the {drawn} groups that are tried, of {len(corpus.manifest.groups)}: "
            f"{error.what.replace('the corpus has', 'they have')}",
            where="--share",
            hint=f"give a larger --share, or for this trial another split: --set {where}=... ({error.hint})",
        ) from None


def _drawn(corpus: Corpus, share: float, *, early: bool) -> Sequence[str]:
    groups = corpus.manifest.groups
    if early:
        order = sorted(groups, key=lambda group: (group.span.ticks if group.span else (0.0,), group.content))
    else:
        order = sorted(groups, key=lambda group: (group.content, group.id))
    return sorted(group.id for group in order[: math.ceil(share * len(groups))])
