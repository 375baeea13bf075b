"""Events on a terminal and without one."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from heldout.cli.printing import EventPrinter

_WORDS = {
    "plan": lambda e: f"plan {e['unit']}",
    "made": lambda e: f"made {e['unit']}",
    "failed": lambda e: f"failed {e['unit']}",
    "nothing": lambda _: None,
}
_EVENTS: list[dict[str, Any]] = [
    {"event": "plan", "unit": "all", "done": 0, "total": 3},
    {"event": "nothing", "unit": "a", "done": 0, "total": 3},
    {"event": "unheard of", "unit": "a", "done": 0, "total": 3},
    {"event": "made", "unit": "a", "done": 1, "total": 3},
    {"event": "made", "unit": "b\x1b[2J", "done": 2, "total": 3},
    {"event": "failed", "unit": "[c]", "done": 3, "total": 3},
]


def shown(quiet: bool = False) -> None:
    with EventPrinter("make", _WORDS, ("made", "failed"), quiet=quiet) as printer:
        for event in _EVENTS:
            printer.event(event)


def test_every_event_that_has_words_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A log would not say what was made, or how long the rest will take; or a name would clear the screen."""
    shown()
    lines = capsys.readouterr().err.splitlines()
    assert ["plan all", "made a"] == lines[:2]
    assert lines[2].startswith("made b")
    assert lines[2].endswith(", 0 s left")
    assert "\x1b" not in lines[2]
    assert ["failed [c]"] == lines[3:]


def test_on_a_terminal_a_bar_tells_what_went_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of lines would scroll a failure away."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown()
    told = capsys.readouterr().err
    assert "made a" not in told
    assert "failed [c]" in told


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """A script would have to filter what it asked not to have."""
    shown(quiet=True)
    assert ("", "") == tuple(capsys.readouterr())
