"""A re-lived history as people see it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from heldout.report.leaderboard_replay import (
    print_replay,
    replay_figures,
    replay_html,
    rule_cells,
    runs,
    tells,
    write_replay,
)

YEARS = ("1997", "1998", "1999")
FIGURES = {"net alpha, universe [%/yr]": -1.5, "net alpha, index [%/yr]": None, "worst drawdown [%]": 31.25}


def _rule(name: str, served: tuple[str, ...], regret: tuple[float, ...]) -> dict[str, Any]:
    return {
        "id": name,
        "description": "a <b>rule</b>",
        "mean": 0.01,
        "never_switch": 0.01,
        "best_fixed": {"arm": "other", "mean": 0.02},
        "regret": regret[-1] / 3,
        "switches": sum(one != two for one, two in pairwise(served)),
        "null_periods": served.count("noise-1"),
        "periods": 3,
        "figures": FIGURES,
        "served": [
            {"vintage": year, "arm": arm, "why": "it <i>led</i>"} for year, arm in zip(YEARS, served, strict=True)
        ],
        "path": {"through": [f"{year}-12-31" for year in YEARS], "regret": list(regret)},
    }


@pytest.fixture
def document() -> dict[str, Any]:
    """Three years, three arms, three rules."""
    cell = {"trained_rows": 9, "selection": 0.011, "why_no_selection": None, "realised": 0.02}
    unmeasured = cell | {"selection": None, "why_no_selection": 'too "few" blocks'}
    arms = [
        {"id": name, "description": "<script>", "null": name == "noise-1", "mean": 0.0, "figures": FIGURES}
        for name in ("base", "other", "noise-1")
    ]
    return {
        "schema": "heldout.replay/1",
        "study": "small",
        "score": "rank IC over 21 dates",
        "readiness": ["A lead of 0.02 takes long."],
        "arms": arms,
        "vintages": [
            {"name": year, "from": f"{year}-01-02", "to": f"{year}-12-31", "arms": {
                "base": cell, "other": unmeasured, "noise-1": cell}}
            for year in YEARS
        ],
        "rules": [
            _rule("never-switch", ("base",) * 3, (0.0, 0.0, 0.0)),
            _rule("fresh-best", ("base", "noise-1", "noise-1"), (0.0, 0.1, 0.2)),
            _rule("supported-lead", ("base",) * 3, (0.0, 0.0, 0.0)),
        ],
        "selection_tells": {"spearman": None, "pairs": 2},
        "notes": ["No volumes."],
    }  # fmt: skip


def test_a_page_shows_every_rule_and_lets_no_text_out(document: dict[str, Any], tmp_path: Path) -> None:
    """A rule would be missing, or a description run as a script."""
    page = write_replay(tmp_path, document)
    text = page.read_text()
    assert text == replay_html(document)
    assert all(rule["id"] in text for rule in document["rules"])
    assert "<script>" not in text
    assert "<i>led</i>" not in text
    assert 'too "few" blocks' not in text
    assert "never-switch in 0, fresh-best in 2, supported-lead in 0" in text


def test_the_terminal_says_who_served_noise(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever has no browser would not learn what the replay is for."""
    print_replay(document)
    told = capsys.readouterr().out
    assert told.startswith("A lead of 0.02 takes long.")
    assert "fresh-best: base 1997, noise-1 1998 to 1999" in told
    assert "2 of 3" in told
    assert "note: No volumes." in told


def test_cells_carry_their_units(document: dict[str, Any]) -> None:
    """A percentage would be read as a share."""
    cells = rule_cells(document["rules"][1])
    assert ("fresh-best", "0.0100", "0.0667", "1", "2 of 3", "-1.5 %", "–", "31.2 %") == cells


def test_who_served_is_told_in_runs(document: dict[str, Any]) -> None:
    """Twenty-five names in a row would be read by nobody."""
    assert "base 1997 to 1999" == runs(document["rules"][0])
    assert "undefined" in tells(document)


def test_noise_is_drawn_as_noise(document: dict[str, Any]) -> None:
    """The picture would show random numbers as one more model."""
    served, regret = replay_figures(document)
    assert "noise" in served.svg
    assert "fresh-best" in regret.svg
