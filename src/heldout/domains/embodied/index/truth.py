"""The answers of an index's windows, behind the door of its corpus: sealed ones lie in a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heldout.corpus import Asked, Truth
from heldout.domains.embodied.index.sealed import open_targets, read_targets
from heldout.errors import CorpusError, RefusedError

Label = Literal["action", "subtask", "transition", "next_action", "contact"]
# Nobody learns from these: a digest for the ledger, and what is recomputed of a verdict that there is.
_SILENT = frozenset({"ledger", "verify"})


@dataclass(frozen=True)
class IndexTruth(Truth):
    """One label of each window.

    Attributes:
        index: Folder of the index.
        label: Field of the answers.
        ids: Of the windows, in the order of the rows.
        known: Label of each window; empty where it is sealed.
        sealed: Whether a window's answer is sealed, bool ``[rows]``.
    """

    index: Path
    label: Label
    ids: Sequence[str]
    known: NDArray[np.str_]
    sealed: NDArray[np.bool_]
    _opened: dict[str, NDArray[np.str_]] = field(default_factory=dict, compare=False, repr=False)

    def at(self, rows: NDArray[np.int64] | None = None, purpose: Asked = "ledger") -> NDArray[Any]:
        """Labels of some windows. A sealed one is opened for a purpose, which is written down beside the index first.

        Raises:
            RefusedError: If somebody would learn from a sealed window.
            TamperedError: If the sealed answers are not those that the manifest names.
        """
        wanted = np.arange(len(self.ids)) if rows is None else rows
        if not self.sealed[wanted].any():
            return self.known[wanted]
        if purpose == "train":
            first = self.ids[int(wanted[self.sealed[wanted]][0])]
            raise RefusedError(
                "a window of a sealed split would be trained on",
                where=str(first),
                hint="hold out what the manifest holds out: `split: {kind: declared, column: split}`",
                code="HO-G106",
            )
        if purpose not in self._opened:
            self._opened[purpose] = self._open(purpose)
        return self._opened[purpose][wanted]

    def unopened(self) -> IndexTruth:
        """The same answers, to be opened anew."""
        return replace(self, _opened={})

    def locked(self) -> NDArray[np.bool_]:
        """The sealed windows."""
        return self.sealed

    def _open(self, purpose: Asked) -> NDArray[np.str_]:
        answers = read_targets(self.index) if purpose in _SILENT else open_targets(self.index, f"{purpose} of a run")
        hidden = [name for name, sealed in zip(self.ids, self.sealed, strict=True) if sealed]
        missing = [name for name in hidden if name not in answers]
        if missing:
            raise CorpusError(
                f"{len(missing)} sealed windows have no answer", where=missing[0], hint="build the index again"
            )
        labels = [
            str(answers[name][self.label]) if sealed else str(known)
            for name, sealed, known in zip(self.ids, self.sealed, self.known, strict=True)
        ]
        return np.array(labels, dtype=str)
