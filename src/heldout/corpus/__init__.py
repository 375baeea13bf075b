"""Corpora: reading them strictly, knowing them by digest, and one door to what is true of them."""

from heldout.corpus.manifest import SCHEMA, CorpusManifest, GroupRecord, Skipped, TargetKind, group_records
from heldout.corpus.model import Corpus
from heldout.corpus.reader import Reader, ReaderOptions
from heldout.corpus.spans import TimeSpan, group_spans
from heldout.corpus.truth import Asked, Known, Purpose, Sealed, Truth
from heldout.corpus.views import FeaturesView, TrainView

__all__ = [
    "SCHEMA",
    "Asked",
    "Corpus",
    "CorpusManifest",
    "FeaturesView",
    "GroupRecord",
    "Known",
    "Purpose",
    "Reader",
    "ReaderOptions",
    "Sealed",
    "Skipped",
    "TargetKind",
    "TimeSpan",
    "TrainView",
    "Truth",
    "group_records",
    "group_spans",
]
