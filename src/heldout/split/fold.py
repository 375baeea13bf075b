"""Folds: which groups are held out, and by that which train. A group is on one side of a fold, never on both.

A fold names what does not train; all other groups of the corpus do. So a split is as large as its corpus has groups,
and not as their square.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from heldout.documents.names import SPLIT_FILE
from heldout.errors import CorpusError, InputError
from heldout.evidence import canonical, digest

SCHEMA = "heldout.split/2"
OLDER = "heldout.split/1"  # named the training groups of every fold, and neither validation nor exceptions
Reads = Literal["targets", "column"]


@dataclass(frozen=True)
class Fold:
    """One fold. Every group that it does not name trains.

    Attributes:
        id: Unique in its split.
        test: Groups that are held out, sorted.
        val: Groups that the trainer may validate on and no verdict sees, sorted.
        exceptions: Groups that are left out altogether, such as purged ones, sorted.
    """

    id: str
    test: tuple[str, ...]
    val: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    @property
    def apart(self) -> tuple[str, ...]:
        """Every group that does not train."""
        return (*self.test, *self.val, *self.exceptions)

    def train(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Those of the groups that train: a list as long as the corpus, so not for every fold of many."""
        apart = set(self.apart)
        return tuple(name for name in groups if name not in apart)

    def to_json(self) -> dict[str, object]:
        """The fold in a document; what it has none of is left out."""
        parts = {"test": self.test, "val": self.val, "exceptions": self.exceptions}
        return {"id": self.id} | {name: list(part) for name, part in parts.items() if part}


@dataclass(frozen=True)
class Split:
    """All folds of a study.

    Attributes:
        kind: Of the splitter.
        folds: In the splitter's order.
        groups: Every group of the corpus, sorted.
        repeats: Whether a group may be held out by several folds.
        ordered: Whether each fold knows more than those before it, so that the last alone predicts what is new.
        reads: What the splitter read besides names, sizes and times.
    """

    kind: str
    folds: tuple[Fold, ...]
    groups: tuple[str, ...]
    repeats: bool = False
    ordered: bool = False
    reads: Reads | None = None

    def __post_init__(self) -> None:
        known, seen, names = set(self.groups), set[str](), set[str]()
        for fold in self.folds:
            apart = set(fold.apart)
            twice = set() if self.repeats else seen & set(fold.test)
            if len(apart) < len(fold.apart):
                twice |= {name for name in apart if fold.apart.count(name) > 1}
            if twice:
                raise CorpusError(
                    "a group stands in two parts of the split",
                    where=f"fold {fold.id}, group {min(twice)}",
                    hint="hold each group out once, and never train on it in that fold",
                    code="HO-G001",
                )
            wrong = (
                "holds nothing out" if not fold.test
                else "has the name of another" if fold.id in names
                else f"names {min(apart - known)!r}, which is no group of the corpus" if apart - known
                else "leaves no group to learn from" if len(apart) == len(known)
                else None
            )  # fmt: skip
            if wrong is not None:
                hint = "a fold has a name of its own, holds groups of the corpus out, and leaves some to learn from"
                raise CorpusError(f"the fold {fold.id!r} {wrong}", where="split", hint=hint)
            names.add(fold.id)
            seen.update(fold.test)

    def to_json(self) -> dict[str, object]:
        """The split as a document."""
        facts = {"repeats": self.repeats, "ordered": self.ordered, "reads": self.reads}
        folds = [fold.to_json() for fold in self.folds]
        return {"schema": SCHEMA, "kind": self.kind, "folds": folds} | {k: value for k, value in facts.items() if value}

    def to_older_json(self) -> dict[str, object]:
        """The split as a document of the first schema, as large as the square of its groups."""
        return {"schema": OLDER, "kind": self.kind, "folds": [self._older(fold) for fold in self.folds]}

    @property
    def held_out(self) -> frozenset[str]:
        """Every group that some fold tests: the evidence that there is."""
        return frozenset(group for fold in self.folds for group in fold.test)

    @cached_property
    def sha256(self) -> str:
        """Digest of the split."""
        return digest(self.to_json())

    @cached_property
    def older_sha256(self) -> str:
        """Digest of the document of the first schema, which is never held in memory as a whole."""
        found, comma = hashlib.sha256(b'{"folds":['), b""
        for fold in self.folds:
            found.update(comma + canonical(self._older(fold)))
            comma = b","
        found.update(b'],"kind":' + canonical(self.kind) + b',"schema":' + canonical(OLDER) + b"}")
        return found.hexdigest()

    def is_named(self, sha256: object) -> bool:
        """Whether a digest is that of this split, in whichever schema it was written down."""
        return sha256 == self.sha256 or sha256 == self.older_sha256

    def _older(self, fold: Fold) -> dict[str, object]:
        return {"id": fold.id, "train": list(fold.train(self.groups)), "test": list(fold.test)}


def read_split(document: Mapping[str, Any], groups: Iterable[str]) -> Split:
    """The split that a document states.

    Args:
        document: ``split.json``, of any schema.
        groups: Those of the corpus.

    Raises:
        InputError: If the schema is of a version that is not known here.
        CorpusError: If a group stands in two parts of it.
    """
    names = tuple(sorted(groups))
    if document["schema"] == OLDER:
        kind = str(document["kind"])
        folds = tuple(_of_older(each, names) for each in document["folds"])
        return Split(kind, folds, names, repeats=kind == "combinatorial-purged", ordered=kind == "walk-forward")
    if document["schema"] != SCHEMA:
        raise InputError(f"the schema is {document['schema']!r}", where=SPLIT_FILE, hint="upgrade heldout")
    facts = {name: document[name] for name in ("repeats", "ordered", "reads") if name in document}
    return Split(document["kind"], tuple(_of_json(each) for each in document["folds"]), names, **facts)


def _of_json(document: Mapping[str, Any]) -> Fold:
    parts = (tuple(document.get(name, ())) for name in ("test", "val", "exceptions"))
    return Fold(str(document["id"]), *parts)


def _of_older(document: Mapping[str, Any], groups: Sequence[str]) -> Fold:
    """A fold of the first schema; a group that it both trains on and tests stands in two parts."""
    train, test = set(document["train"]), tuple(document["test"])
    both = tuple(sorted(train & set(test)))
    rest = tuple(name for name in groups if name not in train and name not in set(test))
    return Fold(str(document["id"]), test, exceptions=(*rest, *both))
