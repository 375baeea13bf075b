"""The desks that the attacks begin with are honest: each one is PROMOTEd, and stays so."""

from __future__ import annotations

from attack_kit import Desk


def test_an_honest_study_is_promoted(every_road: Desk) -> None:
    """An attack on a study that HOLDs anyway would prove nothing."""
    answer = every_road.run()
    assert 0 == answer.code, answer
    assert 0 == every_road.heldout("verify", every_road.newest).code
