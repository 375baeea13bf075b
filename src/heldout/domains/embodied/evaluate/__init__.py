"""Evaluation of what a backbone answers about the windows of an index."""
