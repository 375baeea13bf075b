"""The shape of the leaderboard document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from heldout.leaderboard.lead import Answer


class Row(TypedDict):
    """An arm."""

    arm: str
    role: str
    description: str
    version: str | None
    trials: int
    dates: int
    first: str | None
    last: str | None
    mean: float | None
    figures: Mapping[str, float | None]
    checks: list[dict[str, object]]
    why: str


class ChallengerRow(Row):
    """An arm that was judged against the champion."""

    lead: Mapping[str, Any]
    path: Mapping[str, object]
    readiness: Mapping[str, object]
    answer: Answer
    reasons: list[str]


class Decision(TypedDict):
    """Who is to serve, and why."""

    switch_to: str | None
    reasons: list[str]


class Leaderboard(TypedDict):
    """The document."""

    schema: str
    score: str
    champion: str
    as_of: str | None
    design: Mapping[str, object]
    plan: list[str]
    trials: Mapping[str, int]
    rows: Sequence[Row]
    overfitting: Mapping[str, object]
    sharpe: Mapping[str, Any] | None
    switching: Mapping[str, object] | None
    decision: Decision
    notes: list[str]
