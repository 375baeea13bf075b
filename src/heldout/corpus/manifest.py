"""What a corpus is, by digest: its groups, what was skipped, and what the reader says besides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.spans import TimeSpan

SCHEMA = "heldout.corpus/1"
CONTENT = "content"  # in the facts: columns that tell groups apart where there are no features
MISSING = "missing"  # in the facts: by feature, how many of its values are missing
_WEIGHTED = b"weighted\0"  # rows with a weight are no rows of one more column
TargetKind = Literal["regression", "classification"]


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
        unweighted: As ``sha256``, whatever its rows weigh; in no document, and None where no row has a weight.
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
    unweighted: str | None = field(default=None, compare=False, repr=False)

    @property
    def content(self) -> str:
        """Digest of its rows without their weights: a copy that weighs another thing is a copy."""
        return self.unweighted or self.sha256

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
        target: Name of the target column; of several, their names with commas between.
        features: Names of the feature columns, in order.
        groups: Every group.
        skipped: Every group that was left out, with the reason.
        facts: What the reader wants to say besides (encoders, quality points, ...).
        weight: Name of the column of weights; None where every row counts alike.
        outputs: Names of the targets, in order, where there are several; empty for one.
    """

    reader: str
    path: str
    sha256: str
    rows: int
    task: TargetKind
    target: str
    features: tuple[str, ...]
    groups: tuple[GroupRecord, ...]
    skipped: tuple[Skipped, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    weight: str | None = None
    outputs: tuple[str, ...] = ()

    @property
    def told_by_content(self) -> bool:
        """Whether equal digests are copies: without features, groups of the same labels are none."""
        return bool(self.features or self.facts.get(CONTENT))

    def to_json(self) -> dict[str, Any]:
        """The manifest as a document."""
        document = {"schema": SCHEMA} | asdict(self)
        if self.weight is None:
            del document["weight"]
        if not self.outputs:
            del document["outputs"]
        for group in document["groups"]:
            del group["targets"], group["levels"], group["unweighted"]
        return document


def group_records(
    groups: pl.Series,
    features: pl.DataFrame,
    target: NDArray[Any],
    path: str,
    spans: Mapping[str, TimeSpan] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> tuple[GroupRecord, ...]:
    """A record per group, with a content digest that does not depend on the group's name or its rows' order."""
    columns = [column_words(features[name]) for name in sorted(features.columns)]
    columns += [column_words(pl.Series(each)) for each in (target.T if target.ndim > 1 else [target])]
    plain = _as_bytes(columns)
    weighted = None if weight is None else _as_bytes([*columns, column_words(pl.Series(weight))])
    by_group = groups.to_frame("group").with_row_index("row").group_by("group").agg(pl.col("row"))
    records = []
    for name, rows in sorted(by_group.iter_rows()):
        of = np.asarray(rows)
        content, span = _digest(plain[of]), None if spans is None else spans[name]
        record = GroupRecord(id=name, samples=len(rows), sha256=content, path=path, span=span)
        if weighted is not None:
            record = replace(record, sha256=_digest(weighted[of], _WEIGHTED), unweighted=content)
        records.append(record)
    return tuple(records)


def _as_bytes(columns: Sequence[NDArray[np.uint64]]) -> NDArray[Any]:
    """Each row as one value that can be sorted."""
    words = np.ascontiguousarray(np.stack(columns, axis=1))
    return words.view(np.dtype((np.void, words.dtype.itemsize * words.shape[1]))).ravel()


def _digest(rows: NDArray[Any], prefix: bytes = b"") -> str:
    return hashlib.sha256(prefix + np.sort(rows).tobytes()).hexdigest()


def column_words(column: pl.Series) -> NDArray[np.uint64]:
    """Eight bytes a row: the float64 bits of a number, a digest of anything else. By value, not by type width."""
    if column.dtype == pl.Duration:
        column = column.to_physical()
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0  # -0.0 becomes 0.0
        values = np.where(np.isnan(values), np.nan, values)  # of many bits that are no number, one
        return values.view(np.uint64)
    texts = column.cast(pl.String).fill_null("\x00null")
    codes = texts.unique()
    words = [int.from_bytes(hashlib.blake2b(code.encode(), digest_size=8).digest(), "big") for code in codes]
    return texts.replace_strict(codes, pl.Series(words, dtype=pl.UInt64)).to_numpy()
