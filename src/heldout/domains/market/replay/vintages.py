"""Vintages: history in pieces, each of them predicted by models that were fitted on what was known before it."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import numpy as np

from heldout.domains.market.panel.panel import Panel
from heldout.errors import InputError

MONTHS = (1, 3, 6, 12)


class Vintage(NamedTuple):
    """One piece of history.

    Attributes:
        name: ``1997`` for a whole year, ``1997-04`` for a piece of one.
        start: Number of its first date in the panel: nothing of that date or later was known when it began.
        end: Number of the date after its last one.
    """

    name: str
    start: int
    end: int


def vintages(panel: Panel, first: int, last: int, months: int = 12) -> list[Vintage]:
    """Cut the years from ``first`` to ``last`` into vintages.

    Args:
        panel: The panel.
        first: First year.
        last: Last year.
        months: Length of a vintage: 1, 3, 6 or 12.

    Raises:
        InputError: If the panel does not reach over two of them.
    """
    if months not in MONTHS:
        raise InputError(
            f"a vintage of {months} months does not divide a year",
            where="--months",
            hint=f"use {', '.join(map(str, MONTHS))}",
        )
    starts = [dt.date(year, month, 1) for year in range(first, last + 1) for month in range(1, 13, months)]
    edges = np.searchsorted(panel.dates, np.array([*starts, dt.date(last + 1, 1, 1)], dtype="datetime64[D]"))
    found = [
        Vintage(f"{start.year}" if months == 12 else f"{start:%Y-%m}", int(low), int(high))
        for start, low, high in zip(starts, edges[:-1], edges[1:], strict=True)
        if low < high
    ]
    if len(found) < 2 or found[0].start == 0:
        raise InputError(
            f"{len(found)} vintages between {first} and {last} cannot be re-lived",
            where=f"{panel.dates[0]} to {panel.dates[-1]}",
            hint="choose years that the panel holds, with history before the first of them",
        )
    return found
