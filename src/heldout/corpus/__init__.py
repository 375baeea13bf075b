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

__all__ = [
    "SCHEMA",
    "Corpus",
    "CorpusManifest",
    "GroupRecord",
    "Reader",
    "ReaderOptions",
    "Skipped",
    "Task",
    "group_records",
]
