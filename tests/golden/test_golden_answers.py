"""What was written then is judged today as it was judged then: verdicts, links, stages and exit codes."""

from __future__ import annotations

from pathlib import Path

import kept
import pytest
from attack_kit import heldout


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] if name == "embodied" else []) for name in kept.FAMILIES]
)
def test_what_was_written_then_answers_as_it_did(family: str, tmp_path: Path) -> None:
    """An update would turn evidence that was given to somebody into TAMPERED, or a HOLD into a PROMOTE."""
    home, wrong = kept.unpack(family, tmp_path), []
    for then in kept.card(home)["asked"]:
        answer = heldout(*then["words"], cwd=home / then["in"])
        expected, actual = (then["code"], then["gist"]), (int(answer.code), kept.gist(answer.out))
        if expected != actual:
            wrong.append((" ".join(then["words"]), expected, actual, answer.err[-500:]))
    assert [] == wrong
