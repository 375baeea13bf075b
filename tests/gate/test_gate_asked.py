"""Rules of models from elsewhere, judged from documents alone."""

from __future__ import annotations

from typing import Any

import pytest

from heldout.gate.asked import AskedModel, asked_rules, attested_of, is_gated


def manifest(*groups: str, **changes: Any) -> dict[str, Any]:
    """A corpus whose groups are named by a letter and have the content of another."""
    named = [{"id": each[0], "sha256": each[1:].ljust(64, "0")} for each in groups]
    return {"reader": "table", "target": "y", "task": "regression", "features": ["a", "b"], "groups": named} | changes


def model(**changes: Any) -> AskedModel:
    known: dict[str, Any] = {"findings": (), "says": None, "trained_on": manifest("p1", "q2"), "judged": {"u", "v"}}
    return AskedModel(**known | {"corpus": manifest("u3", "v4", "w5")} | changes)


def outcome(**changes: Any) -> tuple[str, str]:
    held_out = asked_rules(model(**changes))[1]
    return held_out.outcome, held_out.sentence


def test_fitted_models_have_no_such_rules() -> None:
    """Every run would be asked for a gate that it cannot have."""
    assert [] == asked_rules(None)


@pytest.mark.parametrize(
    ("findings", "expected"), [((), "PASS"), (("it is torn",), "FAIL"), (None, "UNKNOWN")], ids=str
)
def test_gated(findings: tuple[str, ...] | None, expected: str) -> None:
    """A model that nobody looked at, or that was found wanting, would pass for one that is whole."""
    gated = asked_rules(model(findings=findings))[0]
    assert (expected, "gated") == (gated.outcome, gated.id)
    assert is_gated({"rules": [gated.to_json()]}) == (expected == "PASS")
    assert (findings or ("",))[0] in gated.sentence


def test_held_out_is_shown_by_a_manifest() -> None:
    """Groups that nobody trained on would never be judged, or those that somebody did would be."""
    assert "PASS" == outcome()[0]
    assert ("FAIL", True) == (
        outcome(trained_on=manifest("u9"))[0],
        "judged: u" in outcome(trained_on=manifest("u9"))[1],
    )
    assert ("FAIL", True) == (
        outcome(trained_on=manifest("x4"))[0],
        "v (as x)" in outcome(trained_on=manifest("x4"))[1],
    )
    assert "PASS" == outcome(trained_on=manifest("w9", "x5"))[0], "a group that is not judged may have trained it"


@pytest.mark.parametrize(
    "changes",
    [{"target": "z"}, {"reader": "other"}, {"features": ["a"]}, {"task": "classification"}, {"weight": "w"}],
    ids=str,
)
def test_other_columns_are_unknown(changes: dict[str, Any]) -> None:
    """Digests of other columns never agree: a leak under another name would PASS."""
    assert "UNKNOWN" == outcome(trained_on=manifest("p1", **changes))[0]


def test_names_in_common_fail_whatever_the_columns_are() -> None:
    """A leak that is plain to see would only be unknown."""
    assert "FAIL" == outcome(trained_on=manifest("u1", target="z"))[0]


def test_nothing_said_and_an_empty_corpus_are_unknown() -> None:
    """A manifest of nothing would show that everything was held out."""
    assert "UNKNOWN" == outcome(trained_on=None)[0]
    assert "UNKNOWN" == outcome(trained_on=manifest())[0]


def test_a_word_is_named_as_such() -> None:
    """A reader could not tell evidence from a promise."""
    rules = asked_rules(model(says="we promise that it is so", trained_on=None))
    assert "PASS" == rules[1].outcome
    assert "we promise that it is so" in str(attested_of(rules))
    assert None is attested_of(asked_rules(model()))
