"""Sums over sets of groups, where adding is all there is: what a set adds up to depends on that set alone."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from heldout.errors import InputError

_BITS = 128
T = TypeVar("T")


class Pool(Generic[T]):
    """One summary a group, and the summary of any set of groups.

    The groups are leaves of a binary tree that branches by the bits of a digest of their names, so the order of
    additions in a set is the same whatever else is in the pool: the sum is too, to the last bit. Sums of whole branches
    are kept. Leaving one group out of ``n`` then costs one addition a level, about ``log2 n``; nothing is ever taken
    away again, since the rounding of a subtraction would hold what was subtracted.
    """

    def __init__(
        self, names: Iterable[str], summarise: Callable[[str], T], join: Callable[[T, T], T], *, keep: bool = True
    ) -> None:
        """Say what there is to add.

        Args:
            names: The groups.
            summarise: Gives the summary of one group; asked once a group, and only for groups of a set.
            join: Gives the summary of two, and changes neither.
            keep: Whether to keep summaries and sums, for other sets.
        """
        places = sorted((_place(name), name) for name in names)
        self._places, self._names = [place for place, _ in places], [name for _, name in places]
        self._order = {name: index for index, name in enumerate(self._names)}
        self._summarise, self._join, self._keep = summarise, join, keep
        self._whole: dict[tuple[int, int], T] = {}

    def of(self, names: Iterable[str]) -> T:
        """The sum over these groups.

        Raises:
            InputError: If there are none.
        """
        wanted = sorted(self._order[name] for name in names)
        return self._found(lambda low, high: bisect_left(wanted, high) - bisect_left(wanted, low))

    def but(self, names: Iterable[str]) -> T:
        """The sum over all other groups, at the cost of those that are left out.

        Raises:
            InputError: If there are none.
        """
        out = sorted(self._order[name] for name in names)
        return self._found(lambda low, high: high - low - bisect_left(out, high) + bisect_left(out, low))

    def _found(self, count: Callable[[int, int], int]) -> T:
        found = self._sum(count, 0, len(self._names), _BITS)
        if found is None:
            raise InputError("there are no rows", where="training groups", hint="leave at least one group to train on")
        return found

    def _sum(self, counted: Callable[[int, int], int], low: int, high: int, bit: int) -> T | None:
        """Of the wanted leaves from ``low`` to ``high``, which agree in all bits from ``bit`` on."""
        count = counted(low, high)
        if count == 0:
            return None
        whole = count == high - low
        if whole and (low, high) in self._whole:
            return self._whole[low, high]
        found: T | None
        if high - low == 1:
            found = self._summarise(self._names[low])
        else:
            bit -= 1
            middle = bisect_left(self._places, (self._places[low] >> bit | 1) << bit, low, high)
            left, right = self._sum(counted, low, middle, bit), self._sum(counted, middle, high, bit)
            found = left if right is None else right if left is None else self._join(left, right)
        if whole and self._keep and found is not None:
            self._whole[low, high] = found
        return found


def _place(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=_BITS // 8).digest(), "big")
