"""Corpora: reading them strictly, and knowing them by digest."""

from heldout.corpus.model import (
    SCHEMA,
    Corpus,
    CorpusManifest,
    GroupRecord,
    Reader,
    ReaderOptions,
    Skipped,
    Task,
    group_records,
)
from heldout.corpus.spans import TimeSpan, group_spans

__all__ = [
    "SCHEMA",
    "Corpus",
    "CorpusManifest",
    "GroupRecord",
    "Reader",
    "ReaderOptions",
    "Skipped",
    "Task",
    "TimeSpan",
    "group_records",
    "group_spans",
]
