"""A corpus in memory: samples with ids, groups, features and a target, and the manifest that says what they are."""

from __future__ import annotations

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from heldout.corpus.spans import TimeSpan

SCHEMA = "heldout.corpus/1"
Task = Literal["regression", "classification"]


@dataclass(frozen=True)
class GroupRecord:
    """One group of the manifest.

    Attributes:
        id: Its name.
        samples: Number of its rows.
        sha256: Covers the content of its rows, not its name or the order of rows.
        path: File that it is read from.
        bytes: Size of that file.
        missing: What is missing in it.
        span: When its samples were taken and their labels known; None where nobody said.
        targets: Its targets, ``[samples]``; only for a splitter that reads targets, and in no document.
        levels: What stands in its rows of the column that a splitter names; only for that, and in no document.
    """

    id: str
    samples: int
    sha256: str
    path: str | None = None
    bytes: int | None = None
    missing: tuple[str, ...] = ()
    span: TimeSpan | None = None
    targets: Any = field(default=None, compare=False, repr=False)
    levels: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each class, or of each value of a numeric target; empty where targets were not read."""
        values, counts = np.unique(np.asarray([] if self.targets is None else self.targets), return_counts=True)
        return {str(value): int(count) for value, count in zip(values, counts, strict=True)}


@dataclass(frozen=True)
class Skipped:
    """A group that is not in the corpus, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class CorpusManifest:
    """What the corpus is, by digest.

    Attributes:
        reader: Name of the reader.
        path: The file as the study names it.
        sha256: Digest of the file's bytes. A reader that groups one file in several ways makes a corpus of each: its
            digest covers the grouping too, and ``facts["file_sha256"]`` is that of the bytes.
        rows: Number of samples.
        target: Name of the target column.
        features: Names of the feature columns, in order.
        groups: Every group.
        skipped: Every group that was left out, with the reason.
        facts: What the reader wants to say besides (encoders, quality points, ...).
    """

    reader: str
    path: str
    sha256: str
    rows: int
    task: Task
    target: str
    features: tuple[str, ...]
    groups: tuple[GroupRecord, ...]
    skipped: tuple[Skipped, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The manifest as a document."""
        document = {"schema": SCHEMA} | asdict(self)
        for group in document["groups"]:
            del group["targets"], group["levels"]
        return document


@dataclass(frozen=True)
class Corpus:
    """Samples, in the order of the file.

    Attributes:
        ids: Unique sample ids, str.
        groups: Group of each sample, str.
        cells: Cluster of each sample inside its group (a clip's one encode), str; None where there are none.
        features: One row a sample; the only thing that ``predict`` sees.
        target: float64 of shape ``[rows]`` for regression, str for classification.
        manifest: What this corpus is, by digest.
        time: When each sample was taken: Float64, or Datetime in UTC; None where nobody said.
        prints: Perceptual hashes of each group's media, uint64 in order (see ``corpus.guards.prints``); None without.
        aside: Columns that are neither features nor anything else named: for guards only; None where there are none.
    """

    ids: pl.Series
    groups: pl.Series
    cells: pl.Series | None
    features: pl.DataFrame
    target: NDArray[Any]
    manifest: CorpusManifest
    time: pl.Series | None = None
    prints: Mapping[str, NDArray[np.uint64]] | None = None
    aside: pl.DataFrame | None = None

    @property
    def task(self) -> Task:
        """Regression or classification."""
        return self.manifest.task

    def rows_of(self, groups: Iterable[str]) -> NDArray[np.int64]:
        """Row numbers of the samples in any of these groups, ascending; the cost is that of those rows."""
        number, order, starts = self._places
        wanted = {number[name] for name in groups if name in number}
        parts = [order[starts[place] : starts[place + 1]] for place in wanted]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)

    def rows_but(self, groups: Iterable[str]) -> NDArray[np.int64]:
        """Row numbers of the samples in all other groups, ascending."""
        rest = np.ones(len(self.groups), dtype=bool)
        rest[self.rows_of(groups)] = False
        return np.flatnonzero(rest)

    @functools.cached_property
    def _places(self) -> tuple[dict[str, int], NDArray[np.int64], NDArray[np.int64]]:
        """A number for each group, all rows by group, and where each group begins among them.

        Whole rows of names are compared once, not once a fold.
        """
        names = self.groups.unique(maintain_order=True)
        codes = self.groups.replace_strict(names, np.arange(len(names)), return_dtype=pl.Int64).to_numpy()
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
        return {name: number for number, name in enumerate(names)}, order, starts


class ReaderOptions(BaseModel):
    """Base of a reader's options in the ``corpus:`` block: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    # What says where a corpus is or how it was made, not what is learnt from it; the digest stands for these.
    location: ClassVar[frozenset[str]] = frozenset({"path", "produce"})
    path: Path

    def identity(self) -> dict[str, Any]:
        """The options that change what is learnt, as JSON."""
        return self.model_dump(mode="json", exclude=set(self.location))


class Reader(ABC):
    """Reads a corpus from a file. Strict: a bad row is refused with file, line and key, never dropped."""

    name: ClassVar[str]
    Options: ClassVar[type[ReaderOptions]]

    def __init__(self, options: ReaderOptions) -> None:
        """Bind the validated ``corpus:`` block, its path already resolved."""
        self.options = options

    @abstractmethod
    def read(self) -> Corpus:
        """Read the whole corpus.

        Raises:
            CorpusError: With the place of the first bad row or column.
        """

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


def group_records(
    groups: pl.Series,
    features: pl.DataFrame,
    target: NDArray[Any],
    path: str,
    spans: Mapping[str, TimeSpan] | None = None,
) -> tuple[GroupRecord, ...]:
    """A record per group, with a content digest that does not depend on the group's name or its rows' order."""
    columns = [column_words(features[name]) for name in sorted(features.columns)]
    words = np.ascontiguousarray(np.stack([*columns, column_words(pl.Series(target))], axis=1))
    rows_as_bytes = words.view(np.dtype((np.void, words.dtype.itemsize * words.shape[1]))).ravel()
    by_group = groups.to_frame("group").with_row_index("row").group_by("group").agg(pl.col("row"))
    records = []
    for name, rows in sorted(by_group.iter_rows()):
        content = hashlib.sha256(np.sort(rows_as_bytes[np.asarray(rows)]).tobytes()).hexdigest()
        span = None if spans is None else spans[name]
        records.append(GroupRecord(id=name, samples=len(rows), sha256=content, path=path, span=span))
    return tuple(records)


def column_words(column: pl.Series) -> NDArray[np.uint64]:
    """Eight bytes a row: the float64 bits of a number, a digest of anything else. By value, not by type width."""
    if column.dtype == pl.Duration:
        column = column.to_physical()
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0  # -0.0 becomes 0.0
        return values.view(np.uint64)
    texts = column.cast(pl.String).fill_null("\x00null")
    codes = texts.unique()
    words = [int.from_bytes(hashlib.blake2b(code.encode(), digest_size=8).digest(), "big") for code in codes]
    return texts.replace_strict(codes, pl.Series(words, dtype=pl.UInt64)).to_numpy()
