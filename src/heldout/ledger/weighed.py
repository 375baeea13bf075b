"""Whether the rows of groups that were seen before count otherwise now: the same groups, judged by other rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def compare_weights(seen: Mapping[str, str], mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether weights differ in groups of the same rows, and in those that were cut otherwise."""
    pairs = [(mine[name], theirs[other]) for name, other in seen.items()]
    same_rows = [_same_rows(*pair) for pair in pairs if _weighed_otherwise(*pair)]
    return any(same_rows), not all(same_rows)


def _weighed_otherwise(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether rows of two groups count otherwise.

    Pairs of target and weight tell it where no two rows have one target. Among equal targets weights may have changed
    places; there only the same rows, features and all, with the same weights are known to be the same.
    """
    if mine.get("weights") != other.get("weights"):
        return True
    tied = bool(mine.get("tied")) and "weights" in mine
    return tied and mine.get("weighted") != other.get("weighted")


def _same_rows(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two groups were cut alike: by all that their rows hold, else by their targets."""
    key = "content" if "content" in mine and "content" in other else "targets"
    return bool(mine[key] == other[key])
