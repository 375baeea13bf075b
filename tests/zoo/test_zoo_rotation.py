"""Whose turn it is: nobody starves, and who crashes costs less and less."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.errors import InputError, TamperedError
from heldout.zoo.attempts import Attempt, Attempts, History, Outcome, read_attempts
from heldout.zoo.roster import Entry
from heldout.zoo.rotation import pick


@dataclass(frozen=True)
class Arm:
    """What a rotation looks at."""

    id: str
    priority: int = 0
    resolved: Any = None


def arms(*found: Arm) -> list[Entry]:
    return cast("list[Entry]", list(found))


def play(
    entries: list[Entry], crashing: set[str], budget: int, rounds: int
) -> tuple[Counter[str], list[tuple[str, ...]]]:
    """Rotate so many rounds; how often each was trained, and whom each round chose."""
    attempts: list[Attempt] = []
    chosen = []
    for number in range(rounds):
        chosen.append(pick(entries, History(tuple(attempts), number), budget).chosen)
        for name in chosen[-1]:
            outcome: Outcome = "failed" if name in crashing else "held"
            attempts.append(Attempt(name, None, len(attempts) + 1, number + 1, "", outcome))
    return Counter(attempt.variant for attempt in attempts), chosen


def test_the_order_is_never_then_oldest_then_priority_then_name() -> None:
    """Who never had a turn would wait behind those who had many."""
    old = Attempt("old", None, 1, 1, "", "held")
    new = Attempt("new", None, 2, 1, "", "trained")
    entries = arms(Arm("new", 99), Arm("old"), Arm("b"), Arm("a"), Arm("z", 5))
    found = pick(entries, History((old, new), 1), 4)
    assert ("z", "a", "b", "old") == found.chosen
    assert {"new": "behind the 4 of this round"} == found.waiting
    with pytest.raises(InputError, match="trains nobody"):
        pick(entries, History((), 0), 0)


def test_problem_08_a_variant_that_always_crashes_sits_out_longer_and_longer() -> None:
    """It would look as if it were the stalest for ever, and take a place of every round."""
    counts, chosen = play(arms(Arm("bad", 9), Arm("good")), {"bad"}, 1, 200)
    rounds = [number for number, names in enumerate(chosen) if "bad" in names]
    gaps = [after - before for before, after in pairwise(rounds)]
    assert [2, 3, 5, 9, 17, 33, 65] == gaps[:7]
    assert counts["good"] == 200 - counts["bad"]


@given(
    good=st.integers(1, 6),
    bad=st.integers(0, 6),
    budget=st.integers(1, 4),
    priorities=st.lists(st.integers(-3, 3), min_size=12, max_size=12),
)
def test_problem_08_nobody_starves(good: int, bad: int, budget: int, priorities: list[int]) -> None:
    """With fewer places than variants some would never be trained, whatever their merits."""
    names = [f"good{n}" for n in range(good)] + [f"bad{n}" for n in range(bad)]
    entries = arms(*(Arm(name, priorities[place]) for place, name in enumerate(names)))
    crashing = {name for name in names if name.startswith("bad")}
    counts, chosen = play(entries, crashing, budget, 80)
    assert all(counts[name] for name in names)
    assert all(len(set(each)) == len(each) <= budget for each in chosen)
    healthy = [counts[name] for name in names if name not in crashing]
    assert max(healthy) - min(healthy) <= 1
    assert sum(counts[name] for name in crashing) <= 7 * bad


def test_problem_08_an_edited_variant_has_no_failures_yet() -> None:
    """Whoever mended a variant would wait for sixty rounds to see it."""
    resolved = type("R", (), {"sha256": "after"})()
    failures = tuple(Attempt("v", "before", n, n, "", "failed") for n in range(1, 9))
    assert ("v",) == pick(arms(Arm("v", resolved=resolved)), History(failures, 8), 1).chosen
    still = type("R", (), {"sha256": "before"})()
    found = pick(arms(Arm("v", resolved=still)), History(failures, 8), 1)
    assert () == found.chosen
    assert "sits out 64 more rounds after 8 failures in a row" == found.waiting["v"]


def test_problem_08_an_attempt_without_an_end_was_one(tmp_path: Path) -> None:
    """A variant that takes its supervisor down with it would be tried first again, for ever."""
    attempts = Attempts(tmp_path)
    attempts.begin("killer", "abc")
    number = attempts.begin("stopped", "def")
    attempts.end(number, "interrupted", {"reason": "a person stopped it"})
    found = read_attempts(tmp_path)
    assert [("killer", "failed", True), ("stopped", "interrupted", False)] == [
        (each.variant, each.outcome, each.failed) for each in found.attempts
    ]


def test_problem_22_the_record_of_attempts_cannot_be_edited(tmp_path: Path) -> None:
    """A failure could be taken out of the record, and nobody would know how often it was tried."""
    attempts = Attempts(tmp_path)
    for name in ("a", "b", "c"):
        attempts.end(attempts.begin(name, None), "failed", {"reason": "it crashed"})
    path = tmp_path / "attempts.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for damaged in ([*lines[:1], *lines[2:]], [lines[0].replace('"a"', '"x"'), *lines[1:]], [*lines, lines[0]]):
        path.write_text("".join(damaged))
        with pytest.raises(TamperedError):
            read_attempts(tmp_path)
    path.write_text("".join(lines) + '{"torn')
    assert 3 == len(read_attempts(tmp_path).attempts)
    attempts.begin("d", None)
    assert 4 == len(read_attempts(tmp_path).attempts)
