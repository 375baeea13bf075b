"""Splits by group, and the guards over them."""

from heldout.split.fold import SCHEMA, Fold, Split, read_split
from heldout.split.guards import check_split, examine_split
from heldout.split.splitter import Splitter, load_splitter, split_corpus, split_groups

__all__ = [
    "SCHEMA",
    "Fold",
    "Split",
    "Splitter",
    "check_split",
    "examine_split",
    "load_splitter",
    "read_split",
    "split_corpus",
    "split_groups",
]
