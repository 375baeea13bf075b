"""Watching a training, and judging what it leaves."""
