"""Splits by group."""

from heldout.split.folds import SCHEMA, Fold, Split, split_corpus

__all__ = ["SCHEMA", "Fold", "Split", "split_corpus"]
