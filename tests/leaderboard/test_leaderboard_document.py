"""The leaderboard document: rows, reasons, decision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from leaderboard_kit import dated, days, overlapping, rng

from heldout.errors import InputError
from heldout.evidence import dumps, loads
from heldout.leaderboard import (
    SCHEMA,
    DatedScores,
    Design,
    Record,
    Veto,
    behaviour,
    build_leaderboard,
    log_evidence,
    regret,
)

DESIGN = Design(horizon=21, effect=0.02, scale=0.06, tests=5)
OUTPUTS = rng(1).standard_normal((40, 20))
CLEARED = behaviour(OUTPUTS + 0.1 * rng(2).standard_normal((40, 20)), OUTPUTS)
BASE = 0.02 + 0.1 * overlapping(1, 2000, 21, seed=1)[0]


def _arm(lead: float, seed: int, checks: list[Veto] | None = None, count: int = 2000) -> Record:
    scores = (BASE + lead + 0.06 * overlapping(1, 2000, 21, seed=seed)[0])[-count:]
    return Record(
        DatedScores(days(2000)[-count:], scores), f"lead {lead}", checks=CLEARED if checks is None else checks
    )


def _board(**arms: Record) -> dict[str, Any]:
    return build_leaderboard({"base": Record(dated(BASE)), **arms}, champion="base", design=DESIGN, score="rank IC")


def _row(document: dict[str, Any], arm: str) -> dict[str, Any]:
    return next(row for row in document["rows"] if row["arm"] == arm)


def test_the_three_answers_and_who_serves() -> None:
    """A champion would change hands without a reason that anyone can read."""
    document = _board(good=_arm(0.06, 2), best=_arm(0.08, 3), bad=_arm(-0.05, 4), young=_arm(0.06, 5, count=100))
    answers = {row["arm"]: row["answer"] for row in document["rows"][1:]}
    assert {"best": "BETTER", "good": "BETTER", "young": "NOT ENOUGH YET", "bad": "NOT BETTER"} == answers
    assert "best" == document["decision"]["switch_to"]
    assert "at least" in document["decision"]["reasons"][0]
    assert ["base", "best", "good", "young", "bad"] == [row["arm"] for row in document["rows"]]
    assert SCHEMA == document["schema"]


def test_without_a_supported_lead_the_champion_stays_and_every_challenger_is_told_why() -> None:
    """No decision would look like a decision against everyone."""
    document = _board(even=_arm(0.0, 6), young=_arm(0.06, 5, count=100))
    assert document["decision"]["switch_to"] is None
    assert ["even", "young"] == sorted(reason.split(":")[0] for reason in document["decision"]["reasons"])


@pytest.mark.parametrize("outputs", [-OUTPUTS, 0.1 * OUTPUTS, np.zeros_like(OUTPUTS), np.full_like(OUTPUTS, np.nan)])
def test_problem_21_no_lead_buys_off_a_veto(outputs: np.ndarray) -> None:
    """The best ranking of all would be served although nobody can act on it."""
    document = _board(best=_arm(0.08, 3, checks=behaviour(outputs, OUTPUTS)))
    assert "NOT BETTER" == _row(document, "best")["answer"]
    assert _row(document, "best")["reasons"][0].startswith("veto")
    assert document["decision"]["switch_to"] is None


def test_problem_21_behaviour_that_nobody_checked_clears_nobody() -> None:
    """Leaving out the checks would be the way around them."""
    document = _board(best=_arm(0.08, 3, checks=[]), worst=_arm(-0.08, 3, checks=[]))
    assert ("NOT ENOUGH YET", "NOT BETTER") == tuple(_row(document, arm)["answer"] for arm in ("best", "worst"))
    assert "nobody checked it" in _row(document, "best")["reasons"][0]


def test_problem_15_dates_and_blocks_are_the_evidence_and_not_rows() -> None:
    """Twenty rows of one day would be enough to call a champion noise."""
    lead = _row(_board(good=_arm(0.06, 2, count=700)), "good")["lead"]
    expected = {"common_dates": 700, "blocks": 33, "unused_dates": 7, "missed_dates": 0}
    assert expected == {key: lead[key] for key in expected}
    assert DESIGN.dates_to_detect - 693 == lead["dates_left"]


def test_more_challengers_than_declared_are_refused() -> None:
    """The level would be shared by the arms that are shown instead of those that were tried."""
    with pytest.raises(InputError, match="declared for 5"):
        _board(**{f"arm-{number}": _arm(0.0, number) for number in range(6)})
    with pytest.raises(InputError, match="'nobody'"):
        build_leaderboard({"base": Record(dated(BASE))}, champion="nobody", design=DESIGN)


def test_problem_06_no_challenger_is_not_a_lost_contest() -> None:
    """A rotation that trained nothing would read as one in which nobody was good enough."""
    assert ["base has no challenger: nothing was compared"] == _board()["decision"]["reasons"]
    assert "it takes two arms" == _board()["overfitting"]["why"]


def test_noise_arms_are_almost_never_served_however_often_the_board_is_looked_at() -> None:
    """Champions would change hands by luck. 1,000 boards of five noise arms, looked at every block for 8 years."""
    leads = 0.06 * overlapping(5000, 2016, 21, seed=8).reshape(1000, 5, 96, 21).mean(axis=-1)
    found = log_evidence(leads, 0.0, rho=DESIGN.rho, overlap=DESIGN.overlap).max(axis=(1, 2))
    assert (found >= math.log(2 / DESIGN.level)).mean() <= DESIGN.alpha / 2


def test_the_document_is_strict_json_and_the_same_every_time() -> None:
    """Two people would publish two boards of one record."""
    arms = {"good": _arm(0.06, 2), "young": _arm(0.06, 5, count=30), "none": Record(dated(np.empty(0)))}
    document = _board(**arms)
    assert dumps(document) == dumps(_board(**dict(reversed(arms.items()))))
    assert document == loads(dumps(document), where="board")
    assert _row(document, "young")["path"] == {
        "through": [str(days(2000)[-10])],
        "mean": [pytest.approx(_row(document, "young")["lead"]["mean"])],
        "low": [None],
        "high": [None],
    }


def test_problem_14_the_board_says_what_switching_has_cost() -> None:
    """Every promotion would look like progress."""
    scores = np.stack([np.full(4, 0.04), np.full(4, 0.01)], axis=1)
    found = regret(scores, ["base", "noise"], ["base", "noise", "noise", "base"], ["noise"])
    arms = {"base": Record(dated(BASE)), "good": _arm(0.06, 2)}
    document = build_leaderboard(arms, champion="base", design=DESIGN, switching=(found, days(4)))
    switching = document["switching"]
    assert (2, 2, 4) == (switching["switches"], switching["null_periods"], switching["periods"])
    assert 0.015 == pytest.approx(switching["regret"])
    with pytest.raises(InputError, match="3 dates for 4 periods"):
        build_leaderboard(arms, champion="base", design=DESIGN, switching=(found, days(3)))


def test_the_choice_among_all_arms_is_checked_for_overfitting() -> None:
    """The best of many would be shown without saying how often such a best disappoints."""
    found = _board(good=_arm(0.1, 2), even=_arm(0.0, 3))["overfitting"]
    assert (10, 252, None) == (found["groups"], found["splits"], found["why"])
    assert found["probability"] < 0.1
    assert 2 / 3 == pytest.approx(found["by_luck"])
    assert "too few" in _board(young=_arm(0.0, 3, count=60))["overfitting"]["why"]
