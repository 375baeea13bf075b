"""What a consumer could not use is vetoed, whatever its lead."""

from __future__ import annotations

import numpy as np
import pytest
from leaderboard_kit import dated, rng

from heldout.errors import InputError
from heldout.leaderboard import DatedScores, Veto, VetoPolicy, attendance, behaviour, pair

CHAMPION = rng(1).standard_normal((40, 25))
ALIKE = 0.7 * CHAMPION + 0.7 * rng(2).standard_normal((40, 25))


def _outcomes(checks: list[Veto]) -> dict[str, str]:
    return {check.id: check.outcome for check in checks}


def test_a_sound_challenger_passes_every_check() -> None:
    """Every challenger would be held back by a veto that always fires."""
    found = _outcomes(behaviour(ALIKE, CHAMPION))
    assert {"non-finite": "PASS", "constant": "PASS", "dispersion": "PASS", "flipped": "PASS"} == found


def test_problem_21_collapsed_dispersion_is_vetoed() -> None:
    """A winner by rank correlation would give no signal large enough to act on."""
    found = behaviour(0.2 * CHAMPION, CHAMPION)
    assert {"PASS", "VETO"} == set(_outcomes(found).values())
    assert "0.20 of the champion's" in next(check for check in found if check.id == "dispersion").sentence


def test_problem_21_dispersion_is_measured_where_the_consumer_acts() -> None:
    """Losers spread wide would hide that all names that are bought get one score."""
    outputs = CHAMPION.copy()
    top = np.sort(outputs, axis=1)[:, -5:-4]
    outputs = np.where(outputs >= top, top + 0.01 * outputs, outputs)
    assert "PASS" == _outcomes(behaviour(outputs, CHAMPION))["dispersion"]
    assert "VETO" == _outcomes(behaviour(outputs, CHAMPION, policy=VetoPolicy(used=5)))["dispersion"]


def test_problem_21_a_floor_holds_without_a_champion_to_compare_with() -> None:
    """A champion that has collapsed itself would be the measure of its challengers."""
    policy = VetoPolicy(dispersion_floor=0.5)
    assert "VETO" == _outcomes(behaviour(0.1 * CHAMPION, 0.1 * ALIKE, policy=policy))["dispersion"]
    assert "PASS" == _outcomes(behaviour(CHAMPION, None, policy=policy))["dispersion"]


def test_problem_21_constant_output_is_vetoed() -> None:
    """A model that says the same of every name would be served on the strength of its other dates."""
    outputs = ALIKE.copy()
    outputs[3, :24] = 0.1
    assert "VETO" == _outcomes(behaviour(outputs, CHAMPION))["constant"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_problem_21_one_output_that_is_not_finite_is_vetoed(bad: float) -> None:
    """The consumer would receive NaN on the day that the inputs are odd."""
    outputs = ALIKE.copy()
    outputs[5, 7] = bad
    assert "VETO" == _outcomes(behaviour(outputs, CHAMPION))["non-finite"]
    present = np.ones(outputs.shape, dtype=bool)
    present[5, 7] = False
    assert "PASS" == _outcomes(behaviour(outputs, CHAMPION, present=present))["non-finite"]


def test_problem_21_a_flipped_sign_is_vetoed() -> None:
    """A sign lost in a refactoring would sell what the champion buys."""
    found = _outcomes(behaviour(-ALIKE, CHAMPION))
    assert ("VETO", "PASS") == (found["flipped"], found["dispersion"])


def test_an_unlike_challenger_is_not_a_flipped_one() -> None:
    """Only copies of the champion would be allowed to compete."""
    assert "PASS" == _outcomes(behaviour(rng(3).standard_normal((40, 25)), CHAMPION))["flipped"]


def test_what_was_not_measured_has_not_passed() -> None:
    """An arm of three days would be cleared of everything."""
    found = _outcomes(behaviour(ALIKE[:3], CHAMPION[:3]))
    assert ["UNKNOWN", "UNKNOWN", "UNKNOWN"] == [found[check] for check in ("constant", "dispersion", "flipped")]
    alone = _outcomes(behaviour(ALIKE))
    assert ["UNKNOWN", "UNKNOWN"] == [alone["dispersion"], alone["flipped"]]
    assert "UNKNOWN" == _outcomes(behaviour(np.empty((0, 5))))["non-finite"]


def test_problem_21_sitting_out_hard_dates_is_vetoed() -> None:
    """An arm that answers only when it likes would be compared on the dates that it likes."""
    champion = dated(np.zeros(100))
    often, seldom = np.arange(0, 100, 2), np.delete(np.arange(100), [50, 51])
    outcomes = [
        attendance(pair(DatedScores(champion.dates[kept], np.zeros(len(kept))), champion)).outcome
        for kept in (often, seldom)
    ]
    assert ["VETO", "PASS"] == outcomes
    assert "UNKNOWN" == attendance(pair(dated(np.zeros(0)), champion)).outcome


def test_panels_of_different_shape_are_refused() -> None:
    """One day's outputs would be compared with another's."""
    with pytest.raises(InputError, match="one shape"):
        behaviour(ALIKE, CHAMPION[:-1])
