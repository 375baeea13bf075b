"""The books of comparisons: what decides who serves, written down at the first comparison on an index's windows.

They lie in ``comparisons`` of the index. The champion is a yardstick, so it belongs to what was declared: another one
is a change, unless a counted comparison promoted it in the place of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.domains.embodied.evaluate.books import ASKS, COMPARISONS, IndexBooks
from heldout.domains.embodied.evaluate.plan import index_named
from heldout.domains.embodied.index.names import INDEX_FILE
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.rules import LEAST_EPISODES
from heldout.domains.embodied.score.score import INTERVALS
from heldout.gate.integrity import pre_registered
from heldout.gate.outcome import RuleOutcome
from heldout.ledger import targets
from heldout.ledger.books import Sitting
from heldout.ledger.history import Groups
from heldout.ledger.policy import Declared
from heldout.ledger.trials import OPENED, Ledger, Look

SCHEMA = "heldout.comparison-rules/1"
AMEND = "heldout eval compare ... --reason ..."
_NO_INDEX = "the index of these windows is not there: nobody can say which metric and margin were declared first"


@dataclass(frozen=True)
class Meeting:
    """Two evaluations, as their index's books name them.

    Attributes:
        name: Of the comparison.
        folders: Of challenger and champion.
        predictions: Digests of what they predicted.
        index_sha256: Digest of the index that both are of; None if they do not say.
        family: Name of the file of predictions.
        truths: Episode and digest of what is true, of every row.
    """

    name: str
    folders: tuple[Path, Path]
    predictions: tuple[str, str]
    index_sha256: str | None
    family: str
    truths: Sequence[tuple[str, str]]

    @property
    def index(self) -> Path | None:
        """Folder of the index, where it still lies."""
        for index in map(index_named, self.folders):
            if index is not None and (index / INDEX_FILE).is_file() and IndexSource(index).sha256 == self.index_sha256:
                return index
        return None

    @property
    def groups(self) -> Groups:
        """Its episodes, by what is true of them."""
        names = pl.Series([f"{ASKS[self.family]}/{episode}" for episode, _ in self.truths])
        texts = np.array([truth for _, truth in self.truths])
        return Groups(targets.targets_document(names, texts, set(names)), str(self.index_sha256), "")


@contextmanager
def sitting_of(
    meeting: Meeting, rules: Sequence[Mapping[str, Any]], gate_sha256: str, reason: str | None
) -> Iterator[Sitting | None]:
    """The sitting of a comparison, what decides registered, unless something else does already; None without an index.

    Args:
        meeting: Who is compared.
        rules: What the challenger must show.
        gate_sha256: The same by digest.
        reason: Why something else decides than in the first comparison.

    Raises:
        InputError: If a reason is given for nothing.
        TamperedError: If the books do not hold.
    """
    index = meeting.index
    if index is None:
        yield None
        return
    home, near = index.resolve(), meeting.folders[0].resolve().parent
    books = IndexBooks(home / COMPARISONS, home, str(meeting.index_sha256), near)
    books.folder.mkdir(exist_ok=True)
    if reason is not None:
        books.amend(_declared(books, rules, meeting), reason)
    with Ledger(books.folder) as held:
        look = _look(meeting, gate_sha256)
        yield Sitting.begin(held, books, _declared(books, rules, meeting), look)


def registered_rule(sitting: Sitting | None) -> RuleOutcome:
    """The rule ``pre-registered`` of a comparison."""
    if sitting is None:
        return RuleOutcome("pre-registered", "UNKNOWN", None, "registered before the first look", _NO_INDEX)
    return pre_registered(sitting.policy, AMEND)


def _look(meeting: Meeting, gate_sha256: str) -> Look:
    challenger, champion = meeting.predictions
    return Look(
        run=meeting.name,
        variant=meeting.name,
        variant_sha256=challenger,
        corpus_sha256=str(meeting.index_sha256),
        split_sha256=champion,
        gate_sha256=gate_sha256,
        seeds=(),
        smoke=None,
        outcome=OPENED,
        primary=None,
        metrics_sha256=None,
    )


def _declared(books: IndexBooks, rules: Sequence[Mapping[str, Any]], meeting: Meeting) -> Declared:
    return Declared(_document(rules, meeting, _root(books, meeting)), meeting.groups)


def _document(rules: Sequence[Mapping[str, Any]], meeting: Meeting, root: str) -> dict[str, object]:
    """What decides, in the form of a study's rules."""
    gate = {
        "gate": "replaces/2",
        "rules": [dict(rule) for rule in rules],
        "min_groups": LEAST_EPISODES,
        "min_seeds": 0,
        "requires": [],
        "slices": [],
        "max_attempts": None,
        "correct_for_attempts": "none",
    }
    split = {"kind": "declared", "held_out": "test", "asks": ASKS[meeting.family]}
    yardsticks = {"champion": {"run": root[:12], "predictions_sha256": root}}
    bootstrap = INTERVALS.model_dump(mode="json")
    return {"schema": SCHEMA, "gate": gate, "bootstrap": bootstrap, "split": split, "yardsticks": yardsticks}


def _root(books: IndexBooks, meeting: Meeting) -> str:
    """The first of the champions of which this one took the place, one after another, by counted comparisons."""
    before: dict[str, str] = {}
    for history in books.known():
        for link in history.looks:
            if link.record["outcome"] == "PROMOTE":
                named = targets.read(history.study, str(link.record["rules_sha256"]))["yardsticks"]["champion"]
                before.setdefault(str(link.record["variant_sha256"]), str(named["predictions_sha256"]))
    champion = meeting.predictions[1]
    return before.get(champion, champion)
