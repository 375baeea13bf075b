"""Folds by group. A group is on one side of a fold or on the other, never on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Any

from heldout.corpus import CorpusManifest, GroupRecord
from heldout.errors import CorpusError
from heldout.evidence import digest
from heldout.split.time import combinatorial_purged, walk_forward
from heldout.study import SplitSpec

SCHEMA = "heldout.split/1"


@dataclass(frozen=True)
class Fold:
    """One fold: the groups that train and the groups that are held out, each sorted."""

    id: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """All folds of a study; every held-out group is in one fold's test set, or in several of a combinatorial split."""

    kind: str
    folds: tuple[Fold, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for fold in self.folds:
            repeated = set() if self.kind == "combinatorial-purged" else seen & set(fold.test)
            straddling = set(fold.train) & set(fold.test) or repeated
            if straddling:
                raise CorpusError(
                    "a group stands in two parts of the split",
                    where=f"fold {fold.id}, group {min(straddling)}",
                    hint="hold each group out once, and never train on it in that fold",
                    code="HO-G001",
                )
            seen |= set(fold.test)

    def to_json(self) -> dict[str, Any]:
        """The split as a document."""
        folds = [{"id": fold.id, "train": list(fold.train), "test": list(fold.test)} for fold in self.folds]
        return {"schema": SCHEMA, "kind": self.kind, "folds": folds}

    @property
    def held_out(self) -> frozenset[str]:
        """Every group that some fold tests: the evidence that there is."""
        return frozenset(group for fold in self.folds for group in fold.test)

    @property
    def sha256(self) -> str:
        """Digest of the split."""
        return digest(self.to_json())


def split_corpus(spec: SplitSpec, manifest: CorpusManifest) -> Split:
    """The folds of a corpus: a function of the names, sizes and times of its groups only.

    Raises:
        CorpusError: If there are too few groups, or a named one does not exist.
    """
    groups = sorted(group.id for group in manifest.groups)
    parts: list[tuple[str, tuple[str, ...]]]
    match spec.kind:
        case "walk-forward":
            return Split(spec.kind, tuple(Fold(*each) for each in walk_forward(spec, manifest.groups)))
        case "combinatorial-purged":
            return Split(spec.kind, tuple(Fold(*each) for each in combinatorial_purged(spec, manifest.groups)))
        case "leave-one-group-out":
            parts = [(name, (name,)) for name in groups]
        case "group-k-fold":
            parts = _balanced_parts(manifest.groups, spec.folds or 2)
        case "fixed":
            parts = [("test", _named(spec.test or [], groups))]
    if len(groups) < 2 or any(len(test) == len(groups) for _, test in parts):
        raise CorpusError(
            f"{len(groups)} groups cannot be split into training and test",
            where="split",
            hint="add groups, or name a finer group column",
        )
    return Split(spec.kind, tuple(Fold(name, _without(groups, test), test) for name, test in parts))


def _without(groups: Sequence[str], test: Sequence[str]) -> tuple[str, ...]:
    held_out = set(test)
    return tuple(group for group in groups if group not in held_out)


def _named(test: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    unknown = sorted(set(test) - set(groups))
    if unknown:
        raise CorpusError(
            f"the corpus has no group {unknown[0]!r}", where="split.test", hint=f"its groups: {', '.join(groups)}"
        )
    return tuple(sorted(set(test)))


def _balanced_parts(records: Sequence[GroupRecord], folds: int) -> list[tuple[str, tuple[str, ...]]]:
    """Largest group first into the smallest part so far; ties by name, so that the order of rows is irrelevant."""
    if folds > len(records):
        raise CorpusError(
            f"{len(records)} groups cannot fill {folds} folds", where="split.folds", hint=f"use at most {len(records)}"
        )
    parts: list[list[str]] = [[] for _ in range(folds)]
    smallest_first = [(0, 0, index) for index in range(folds)]  # samples, groups, number of the part
    for record in sorted(records, key=lambda record: (-record.samples, record.id)):
        samples, count, index = smallest_first[0]
        heapreplace(smallest_first, (samples + record.samples, count + 1, index))
        parts[index].append(record.id)
    width = len(str(folds - 1))
    return [(f"part{index:0{width}d}", tuple(sorted(part))) for index, part in enumerate(parts)]
