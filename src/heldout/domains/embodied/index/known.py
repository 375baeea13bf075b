"""Episodes as the ledger beside an index knows them: by the answers of all of their windows, whatever is scored."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.corpus.reader import KnownAs
from heldout.documents.names import LEDGER_FILE
from heldout.domains.embodied.episodes.labels import LABEL_FIELDS, objects_of
from heldout.domains.embodied.index.names import OPENINGS_FILE
from heldout.domains.embodied.index.sealed import read_openings
from heldout.domains.embodied.index.source import IndexSource
from heldout.errors import InputError
from heldout.evidence import START, canonical, digest
from heldout.ledger import targets
from heldout.ledger.history import History

Truth = Mapping[str, Mapping[str, Any]]


def known_episodes(source: IndexSource, split: str, truth: Truth, scored: Iterable[str] | None = None) -> KnownAs:
    """Episodes of a split.

    Args:
        source: The index.
        split: Which windows.
        truth: Answers by window.
        scored: Episodes that are scored; all by default.
    """
    samples = source.samples(split)
    said = [(sample.group, answer_of(truth, sample.id)) for sample in samples]
    return KnownAs(named_groups(said, scored), source.sha256, digest([split, [sample.id for sample in samples]]))


def whole_ledger(index: Path) -> History:
    """The ledgers beside an index; none of the looks that openings of its answers name may be missing.

    Raises:
        TamperedError: If a chain does not hold, is missing or shortened.
    """
    found = History.read(index)
    heads = (str(one.get("ledger_head", START)) for one in read_openings(index))
    found.refuse_missing([(LEDGER_FILE, each) for each in heads if each != START], OPENINGS_FILE)
    return found


def beside(index: Path) -> list[Path]:
    """Other folders beside an index: whoever looked at a copy of the windows looked at the windows."""
    home = index.resolve()
    return sorted(path for path in home.parent.iterdir() if path.is_dir() and path.resolve() != home)


def named_groups(
    said: Iterable[tuple[str, Mapping[str, Any]]], scored: Iterable[str] | None = None
) -> targets.TargetsDocument:
    """The document of some episodes, of the answers of their windows in order of time.

    Args:
        said: Episode and answer of every window.
        scored: Episodes that the document is of; all by default.
    """
    answers = defaultdict[str, list[list[Any]]](list)
    for episode, one in said:
        fields = [unicodedata.normalize("NFC", str(one.get(field))) for field in LABEL_FIELDS]
        answers[episode].append([*fields, sorted(objects_of(one))])
    names = [name for name, found in answers.items() for _ in found]
    texts = np.array([canonical(answer).decode() for found in answers.values() for answer in found])
    contents = {name: digest(found) for name, found in answers.items()}
    return targets.targets_document(
        pl.Series(names), texts, answers if scored is None else set(scored), contents=contents
    )


def answer_of(truth: Truth, name: str) -> Mapping[str, Any]:
    """The answer of a window.

    Raises:
        InputError: If it has none.
    """
    if name not in truth:
        raise InputError("the window has no answer", where=name, hint="build the index again")
    return truth[name]
