"""Which samples are predicted where, and putting the parts together again.

Samples have one order, that of the data set. A shard takes every ``stride``-th of them from ``offset`` on; the limit
of a smoke evaluation counts before that, so that every shard is a part of the same selection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from heldout.errors import InputError, RefusedError
from heldout.predict.identity import Identity, require_same
from heldout.predict.partial import PARTIAL_FILE, read_partial

T = TypeVar("T")
_SHOWN = 5


class Shard(NamedTuple):
    """Every ``stride``-th sample from ``offset`` on."""

    offset: int = 0
    stride: int = 1

    def check(self) -> Shard:
        """Return itself.

        Raises:
            InputError: If there is no such shard.
        """
        if not 0 <= self.offset < self.stride:
            raise InputError(
                f"there is no shard {self.offset} of {self.stride}",
                where="--sample-offset, --sample-stride",
                hint="0 <= offset < stride",
            )
        return self

    def take(self, samples: Sequence[T]) -> Sequence[T]:
        """The shard's samples, in order."""
        return samples[self.offset :: self.stride]


def merge(folders: Sequence[Path], expected: Sequence[str], identity: Identity | None = None) -> list[bytes]:
    """Rows of all samples, in order, from folders that each hold a part.

    Args:
        folders: Each with ``predictions.partial.jsonl``.
        expected: Ids of all samples, in order.
        identity: What all must be predictions of; by default what the first one is.

    Raises:
        InputError: If a folder holds no predictions, or samples are missing.
        RefusedError: If a folder has another identity, a sample stands in two folders, or is none of the expected.
    """
    rows: dict[str, bytes] = {}
    places: dict[str, Path] = {}
    for folder in folders:
        part = read_partial(folder / PARTIAL_FILE)
        if part.identity is None:
            raise InputError("no predictions are there", where=str(folder), hint="heldout eval run writes them")
        identity = identity or part.identity
        require_same(identity, part.identity, where=str(folder))
        twice = [name for name in part.rows if name in rows]
        if twice:
            raise RefusedError(
                f"{len(twice)} samples stand in two shards: {_some(twice)}",
                where=f"{places[twice[0]]}, {folder}",
                hint="give every shard once, and shards of one stride",
                code="HO-E422",
            )
        rows |= part.rows
        places |= dict.fromkeys(part.rows, folder)
    return in_order(rows, expected, places)


def in_order(rows: Mapping[str, bytes], expected: Sequence[str], places: Mapping[str, Path]) -> list[bytes]:
    """Rows in the order of the samples.

    Raises:
        RefusedError: If there is a row of no sample.
        InputError: If a sample has no row.
    """
    missing = [name for name in expected if name not in rows]
    if len(rows) > len(expected) - len(missing):
        foreign = sorted(set(rows) - set(expected))
        where = ", ".join(sorted({str(places.get(name, "")) for name in foreign})[:_SHOWN])
        raise RefusedError(
            f"{len(foreign)} predictions are of samples that were not asked: {_some(foreign)}",
            where=where or None,
            hint="predict the same selection everywhere, with the same --sample-limit",
            code="HO-E422",
        )
    if missing:
        raise InputError(
            f"{len(missing)} of {len(expected)} samples have no prediction: {_some(missing)}",
            where="predictions",
            hint="finish every shard, then merge again",
        )
    return [rows[name] for name in expected]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
