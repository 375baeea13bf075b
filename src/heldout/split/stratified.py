"""Parts that are alike: in each about the same share of every class, or of every bin of a numeric target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from heldout.corpus import GroupRecord
from heldout.split.fold import Fold, Reads
from heldout.split.groups import PartsParams, check_count, named
from heldout.split.splitter import Splitter


class StratifiedParams(PartsParams):
    """The `split:` block of parts that are alike."""

    bins: int = Field(5, ge=2, le=100, description="bins of a numeric target, by quantiles; classes are taken as such")


class StratifiedGroupKFold(Splitter):
    """Every group is held out once; the parts have about equally many rows of every class or bin.

    Targets are read for that, which the split says; no prediction is scored.
    """

    kind: ClassVar[str] = "stratified-group-k-fold"
    Params = StratifiedParams
    params: StratifiedParams
    reads: ClassVar[Reads | None] = "targets"

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """As many as there are parts."""
        check_count(self.params.folds, groups)
        ordered = sorted(groups, key=lambda group: group.id)
        parts = _alike(_shares(ordered, self.params.bins), self.params.folds)
        return named("part", [[ordered[place].id for place in part] for part in parts])


def _shares(groups: Sequence[GroupRecord], bins: int) -> NDArray[np.float64]:
    """Of each class or bin, the share of its rows that each group has: ``[groups, classes]``."""
    owner = np.repeat(np.arange(len(groups)), [len(group.targets) for group in groups])
    values = np.concatenate([group.targets for group in groups])
    if values.dtype.kind == "f":
        edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
        codes = np.searchsorted(edges, values, side="right")
    else:
        codes = np.unique(values.astype(str), return_inverse=True)[1]
    counts = np.zeros((len(groups), int(codes.max()) + 1))
    np.add.at(counts, (owner, codes), 1.0)
    counts = counts[:, counts.sum(axis=0) > 0]
    shares: NDArray[np.float64] = counts / counts.sum(axis=0)
    return shares


def _alike(shares: NDArray[np.float64], folds: int) -> list[list[int]]:
    """The groups of each part: those that weigh most go first, each to the part that has least of what it brings.

    That part is the one where the sum of squared shares grows least. An empty part has nothing of anything, so none
    stays empty while there are groups.
    """
    held = np.zeros((folds, shares.shape[1]))
    rows = np.zeros(folds)
    parts: list[list[int]] = [[] for _ in range(folds)]
    for place in np.argsort(-np.square(shares).sum(axis=1), kind="stable").tolist():
        overlap = held @ shares[place]
        chosen = int(np.lexsort((np.arange(folds), rows, overlap))[0])
        held[chosen] += shares[place]
        rows[chosen] += shares[place].sum()
        parts[chosen].append(place)
    return parts
