"""Splits by group, and the guards over them."""

from heldout.split.folds import SCHEMA, Fold, Split, split_corpus
from heldout.split.guards import check_split, examine_split

__all__ = ["SCHEMA", "Fold", "Split", "check_split", "examine_split", "split_corpus"]
