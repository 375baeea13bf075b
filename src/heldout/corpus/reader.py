"""What a reader is: a plug-in that makes a corpus of one kind of file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

from heldout.corpus.model import Corpus


class KnownAs(NamedTuple):
    """How a ledger knows some groups.

    Attributes:
        document: Of their targets, as ``ledger.targets`` makes it.
        corpus_sha256: Digest by which older records there name the corpus.
        split_sha256: The same of the split.
    """

    document: Mapping[str, Any]
    corpus_sha256: str
    split_sha256: str


class ReaderOptions(BaseModel):
    """Base of a reader's options in the ``corpus:`` block: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    # What says where a corpus is or how it was made, not what is learnt from it; the digest stands for these.
    location: ClassVar[frozenset[str]] = frozenset({"path", "produce"})
    path: Path

    def identity(self) -> dict[str, object]:
        """The options that change what is learnt, as JSON."""
        return self.model_dump(mode="json", exclude=set(self.location))


class Reader(ABC):
    """Reads a corpus from a file. Strict: a bad row is refused with file, line and key, never dropped."""

    name: ClassVar[str]
    Options: ClassVar[type[ReaderOptions]]
    beside: ClassVar[frozenset[str]] = frozenset()  # columns that are no features, and that a split may read

    def __init__(self, options: ReaderOptions) -> None:
        """Bind the validated ``corpus:`` block, its path already resolved."""
        self.options = options

    @abstractmethod
    def read(self) -> Corpus:
        """Read the whole corpus.

        Raises:
            CorpusError: With the place of the first bad row or column.
        """

    def kept(self) -> tuple[Path, ...]:
        """Files and folders in which targets of the corpus can be read: shut off from somebody else's code."""
        return (self.options.path,)

    def known_elsewhere(self, groups: Collection[str]) -> Mapping[Path, KnownAs]:
        """Ledgers that others keep beside the corpus, by folder, and how these groups are known there. No look."""
        return {}

    def write_changed(self, path: Path, groups: Collection[str], most: int | None) -> ReaderOptions | None:
        """Write the corpus again with other features and targets in some groups, for the check of the fitted state.

        A reader that keeps something of what it reads shall have this, so that what it keeps is of the changed file.

        Args:
            path: The file to write.
            groups: Whose rows change.
            most: Rows to keep of each group at most; None keeps all.

        Returns:
            Options that read the file, or None: then rows are changed in memory, after they were read.
        """
        return None
