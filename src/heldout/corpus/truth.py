"""Targets, behind the one door of a corpus.

Where the targets of a corpus lie is its reader's business: in memory beside the features, or in a file of their own
that nobody opens before predictions are on disk. A corpus asks for rows, and writes down for what.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heldout.errors import RefusedError

# Why somebody reads targets. `score` is a look; the others are written down beside it. `verify` recomputes what is
# known: it opens nothing new.
Purpose = Literal["score", "guard", "split", "validation", "verify"]
# Training rows are handed out in views; the ledger takes digests of what it records.
Asked = Purpose | Literal["train", "ledger"]


class Truth(ABC):
    """The targets of a corpus."""

    @abstractmethod
    def at(self, rows: NDArray[np.int64] | None = None, purpose: Asked = "ledger") -> NDArray[Any]:
        """Targets of some rows, in their order; of all rows by default.

        Args:
            rows: Row numbers.
            purpose: Why they are read; what is sealed may be kept from some.

        Returns:
            float64 of shape ``[rows]`` for regression, ``[rows, outputs]`` of several targets, str for classification.
        """

    def unopened(self) -> Truth:
        """The same targets, of which nobody has opened any; itself where opening leaves nothing behind."""
        return self

    def locked(self) -> NDArray[np.bool_] | None:
        """Rows that nobody may train on, bool ``[rows]``; None where there is none."""
        return None


@dataclass(frozen=True)
class Known(Truth):
    """Targets in memory: a table on a disk cannot be sealed from its owner."""

    values: NDArray[Any]

    def at(self, rows: NDArray[np.int64] | None = None, purpose: Asked = "ledger") -> NDArray[Any]:
        """Targets of some rows."""
        return self.values if rows is None else self.values[rows]


@dataclass(frozen=True)
class Alone(Truth):
    """One of several targets."""

    whole: Truth
    place: int

    def at(self, rows: NDArray[np.int64] | None = None, purpose: Asked = "ledger") -> NDArray[Any]:
        """That target of some rows."""
        return self.whole.at(rows, purpose)[:, self.place]


class Sealed(Truth):
    """No targets: what code is given that has to see a corpus and not what is true of it."""

    def at(self, rows: NDArray[np.int64] | None = None, purpose: Asked = "ledger") -> NDArray[Any]:
        """Refuse.

        Raises:
            RefusedError: Always.
        """
        raise RefusedError(
            "the targets of the corpus are sealed",
            where="Corpus.targets",
            hint="`fit` is given the targets of its training rows; nothing else of a model may read any",
        )
