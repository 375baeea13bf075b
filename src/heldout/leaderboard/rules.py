"""Rules that say who serves next: the freshest best, nobody new ever, or whoever has a supported lead.

A rule sees only what was known when a period began. The first arm serves the first period under every rule, so that
their histories begin alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from heldout.leaderboard.design import Design
from heldout.leaderboard.document import Record, build_leaderboard
from heldout.leaderboard.vetoes import VetoPolicy

Records = Callable[[int, str], Mapping[str, Record]]


class Served(NamedTuple):
    """Who served in a period, and why."""

    arm: str
    why: str


@dataclass(frozen=True)
class History:
    """What one rule did.

    Attributes:
        id: never-switch, fresh-best or supported-lead.
        description: What the rule is.
        served: One for each period.
    """

    id: str
    description: str
    served: tuple[Served, ...]


def never_switch(periods: int, first: str) -> History:
    """The arm that served first serves for ever."""
    return History("never-switch", "the first champion stays", (Served(first, "it served first"),) * periods)


def fresh_best(
    selection: Sequence[Mapping[str, float | None]], first: str, *, margin: float = 0.0, floor: float = 0.0
) -> History:
    """The arm with the best score of selection serves: the naive rule, without any measure of its own luck.

    Args:
        selection: Of every period, each arm's score of selection when it began; None where there is none.
        first: Serves the first period.
        margin: By how much an arm must beat the incumbent's score, taken on the same data.
        floor: A score at or below it never wins.
    """
    served = [Served(first, "it served first")]
    for scores in selection[1:]:
        incumbent = served[-1].arm
        known = {arm: score for arm, score in scores.items() if score is not None and score > floor}
        best = max(known, key=lambda arm: (known[arm], arm), default=incumbent)
        own = scores.get(incumbent)
        if best == incumbent or known[best] < (-math.inf if own is None else own) + margin:
            served.append(Served(incumbent, f"its score of selection is still the best, {_told(own)}"))
        else:
            served.append(Served(best, f"its score of selection is {_told(known[best])}, {incumbent}'s {_told(own)}"))
    return History("fresh-best", "the best score of selection serves, margin 0", tuple(served))


def supported_lead(
    records: Records, periods: int, first: str, design: Design, policy: VetoPolicy | None = None
) -> History:
    """This product's rule: a challenger serves once its lead on matured outcomes is supported and nothing vetoes it.

    The level holds for the reign of each champion.

    Args:
        records: Every arm's record, as known when a period began and checked against the champion that is named.
        periods: How many.
        first: Serves the first period.
        design: Declared before the first look.
        policy: Bounds on behaviour.
    """
    served = [Served(first, "it served first")]
    for period in range(1, periods):
        incumbent = served[-1].arm
        board = build_leaderboard(records(period, incumbent), champion=incumbent, design=design, policy=policy)
        target = board["decision"]["switch_to"]
        served.append(Served(target or incumbent, _why(board, target)))
    return History("supported-lead", "a lead on matured outcomes that its interval supports", tuple(served))


def _why(board: Mapping[str, Any], target: str | None) -> str:
    if target is not None:
        return str(board["decision"]["reasons"][0])
    nearest = board["rows"][1] if len(board["rows"]) > 1 else None
    return f"nearest, {nearest['arm']}: {nearest['reasons'][0]}" if nearest else board["decision"]["reasons"][0]


def _told(score: float | None) -> str:
    return "not known" if score is None else f"{score:.4f}"
