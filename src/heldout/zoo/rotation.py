"""Whose turn it is, from attempts alone: who never had one, then who waited longest. Failures cost turns.

After n failures in a row a variant sits out 2^(n-1) rounds, 64 at most. A round is one rotation, whenever it comes, so
that the rule is the same for those who rotate daily and monthly. A changed variant has no failures yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from heldout.errors import InputError
from heldout.zoo.attempts import Attempt, History
from heldout.zoo.roster import Entry

MOST_ROUNDS = 64


@dataclass(frozen=True)
class Rotation:
    """What one round trains.

    Attributes:
        chosen: In the order of training.
        waiting: Why each other active variant waits.
    """

    chosen: tuple[str, ...]
    waiting: dict[str, str]

    def to_json(self) -> dict[str, object]:
        """The choice as a document."""
        return {"chosen": list(self.chosen), "waiting": self.waiting}


def pick(entries: Sequence[Entry], history: History, budget: int) -> Rotation:
    """Choose at most ``budget`` of the entries.

    Order: never attempted before attempted, then the oldest last attempt, then the highest priority, then the id.

    Raises:
        InputError: If the budget is none.
    """
    if budget < 1:
        raise InputError(f"a budget of {budget} trains nobody", where="--budget", hint="give at least 1")
    due, waiting = [], {}
    for entry in entries:
        mine = history.of(entry.id)
        left = _rounds_left(entry, mine, history.rounds)
        if left:
            failures = _failures(entry, mine)
            waiting[entry.id] = f"sits out {left} more {_rounds(left)} after {failures} {_times(failures)} in a row"
        else:
            due.append((bool(mine), mine[-1].number if mine else 0, -entry.priority, entry.id))
    due.sort()
    chosen = tuple(each[-1] for each in due[:budget])
    waiting |= {each[-1]: f"behind the {budget} of this round" for each in due[budget:]}
    return Rotation(chosen, waiting)


def _rounds_left(entry: Entry, mine: Sequence[Attempt], rounds: int) -> int:
    failures = _failures(entry, mine)
    if not failures:
        return 0
    pause = min(1 << min(failures - 1, 30), MOST_ROUNDS)
    return max(0, pause - (rounds - mine[-1].round))


def _failures(entry: Entry, mine: Sequence[Attempt]) -> int:
    """Failures in a row of the variant as it is now."""
    identity = entry.resolved.sha256 if entry.resolved else None
    return len(list(takewhile(lambda attempt: attempt.failed and attempt.variant_sha256 == identity, reversed(mine))))


def _rounds(count: int) -> str:
    return "round" if count == 1 else "rounds"


def _times(count: int) -> str:
    return "failure" if count == 1 else "failures"
