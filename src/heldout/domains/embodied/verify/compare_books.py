"""The books of comparisons: what decides who serves, written down at the first comparison on an index's windows.

They lie in ``comparisons`` of the index. The champion is a yardstick, so it belongs to what was declared: another one
is a change, unless a counted comparison promoted it in the place of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.domains.embodied.evaluate.books import ASKS, COMPARISONS, Books
from heldout.domains.embodied.evaluate.plan import index_named
from heldout.domains.embodied.index.names import INDEX_FILE
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.rules import LEAST_EPISODES
from heldout.domains.embodied.score.score import INTERVALS
from heldout.evidence import dumps, sha256_bytes
from heldout.gate import Policy
from heldout.gate.integrity import pre_registered
from heldout.gate.outcome import RuleOutcome
from heldout.ledger import targets
from heldout.ledger.history import Groups
from heldout.ledger.policy import Declared
from heldout.ledger.trials import Ledger, Look

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


def register(meeting: Meeting, rules: Sequence[Mapping[str, Any]], reason: str | None) -> Registered:
    """Register what decides, unless something else does already.

    Args:
        meeting: Who is compared.
        rules: What the challenger must show.
        reason: Why something else decides than in the first comparison.

    Raises:
        InputError: If a reason is given for nothing.
        TamperedError: If the books do not hold.
    """
    index = meeting.index
    if index is None:
        return Registered(meeting)
    books = Books(index.resolve(), str(meeting.index_sha256), meeting.folders[0].resolve().parent, COMPARISONS)
    books.folder.mkdir(exist_ok=True)
    with Ledger(books.folder) as held:
        declared = Declared(_document(rules, meeting, _root(books, meeting)), meeting.groups)
        if reason is None:
            return Registered(meeting, books, declared, books.register(held, declared, smoke=False))
    return Registered(meeting, books, declared, books.amend(declared, reason))


@dataclass(frozen=True)
class Registered:
    """What the books say of a comparison, before its verdict.

    Attributes:
        meeting: Who is compared.
        books: Of the index; None where it is not there.
        declared: What decides.
        policy: What the books say of it.
    """

    meeting: Meeting
    books: Books | None = None
    declared: Declared | None = None
    policy: Policy | None = None

    @property
    def rule(self) -> RuleOutcome:
        """The rule ``pre-registered``."""
        if self.policy is None:
            return RuleOutcome("pre-registered", "UNKNOWN", None, "registered before the first look", _NO_INDEX)
        return pre_registered(self.policy, AMEND)

    def count(self, document: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, Any]:
        """Count the look; the blocks ``trial`` and ``policy`` of the verdict."""
        if self.books is None or self.declared is None or self.policy is None:
            return {}
        challenger, champion = self.meeting.predictions
        headline = str(document["gain"])
        look = Look(
            run=self.meeting.name,
            variant=self.meeting.name,
            variant_sha256=challenger,
            corpus_sha256=str(self.meeting.index_sha256),
            split_sha256=champion,
            gate_sha256=str(verdict["judged"]["gate_sha256"]),
            seeds=(),
            smoke=None,
            outcome=verdict["verdict"],
            primary={"name": headline, "value": document["metrics"][headline]["gain"]},
            metrics_sha256=sha256_bytes(dumps(dict(document))),
        )
        with Ledger(self.books.folder) as held:
            trial = self.books.record(held, look, self.declared, self.policy)
        return {"trial": trial.to_json(), "policy": self.policy.to_json()}


def _document(rules: Sequence[Mapping[str, Any]], meeting: Meeting, root: str) -> dict[str, Any]:
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


def _root(books: Books, meeting: Meeting) -> str:
    """The first of the champions of which this one took the place, one after another, by counted comparisons."""
    before: dict[str, str] = {}
    for history in books.known():
        for link in history.looks:
            if link.record["outcome"] == "PROMOTE":
                named = targets.read(history.study, str(link.record["rules_sha256"]))["yardsticks"]["champion"]
                before.setdefault(str(link.record["variant_sha256"]), str(named["predictions_sha256"]))
    champion = meeting.predictions[1]
    return before.get(champion, champion)
