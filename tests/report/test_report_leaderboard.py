"""The leaderboard as people see it."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from leaderboard_kit import dated, days, overlapping, rng

from heldout.evidence import read_json
from heldout.leaderboard import Design, Record, behaviour, build_leaderboard, regret
from heldout.report.leaderboard import leaderboard_html, leaderboard_lines, leaderboard_table, write_leaderboard


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """A board with every kind of row."""
    base = 0.02 + 0.1 * overlapping(1, 1200, 21, seed=1)[0]
    outputs = rng(1).standard_normal((40, 20))
    checks = behaviour(outputs + 0.1, outputs)

    def arm(lead: float, seed: int, **more: Any) -> Record:
        values = base + lead + 0.03 * overlapping(1, 1200, 21, seed=seed)[0]
        return Record(dated(values), **({"checks": checks} | more))

    arms = {
        "base": Record(dated(base), "ridge", figures={"net alpha [%/yr]": 1.25}),
        "good": arm(0.06, 2, figures={"net alpha [%/yr]": None}),
        "<script>alert(1)</script>": arm(0.0, 3),
        "[red]bad": arm(-0.06, 4, version="bad-$x$-1"),
        "new": Record(dated(np.empty(0))),
    }
    served = regret(np.stack([np.ones(3), np.zeros(3)], axis=1), ["base", "good"], ["base", "good", "base"])
    return build_leaderboard(
        arms,
        champion="base",
        design=Design(horizon=21, effect=0.02, scale=0.04, tests=4),
        score="rank IC",
        switching=(served, days(3)),
        notes=["Only survivors are in this universe."],
    )


def _terminal(document: dict[str, Any]) -> str:
    from rich.console import Console

    console = Console(file=StringIO(), width=160)
    console.print(leaderboard_table(document))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_every_arm_with_its_answer(document: dict[str, Any]) -> None:
    """An arm would be missing from the board, or its name be taken for markup."""
    text = _terminal(document)
    assert re.search(r"base .*champion", text)
    assert re.search(r"good .*0\.0\d+ to 0\.0\d+ .*BETTER", text)
    assert re.search(r"\[red\]bad .*NOT BETTER", text)
    assert re.search(r"new .*nothing excluded yet .*NOT ENOUGH YET", text)


def test_the_terminal_says_the_plan_every_reason_and_the_decision(document: dict[str, Any]) -> None:
    """The wait and the reasons would have to be looked up in the JSON."""
    lines = leaderboard_lines(document)
    assert "SWITCH to good" == lines[-1]
    assert "note: Only survivors are in this universe." in lines
    text = "\n".join(lines)
    assert "common dates" in lines[0]
    assert "good: the lead is" in text
    assert "2 switches have in 3 periods cost 0.3333 a period" in text


def test_the_page_stands_alone_and_escapes_names(document: dict[str, Any], tmp_path: Path) -> None:
    """An arm's name would run as script, or the page would need the network."""
    write_leaderboard(tmp_path, document)
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert re.search(r'(src|href)="https?:', page) is None
    assert 3 == page.count("<figure")
    assert "SWITCH to good" in page
    assert "net alpha [%/yr]" in page
    assert document == read_json(tmp_path / "leaderboard.json")


def test_the_page_is_the_same_every_time(document: dict[str, Any]) -> None:
    """A board could not be compared with the one that was published."""
    assert leaderboard_html(document) == leaderboard_html(document)


def test_a_board_without_challengers_is_still_a_page() -> None:
    """The first day of a champion would have no board."""
    only = {"base": Record(dated(np.empty(0)))}
    document = build_leaderboard(only, champion="base", design=Design(horizon=5, effect=0.1, scale=0.1))
    page = leaderboard_html(document)
    assert "KEEP base" in page
    assert "nothing was compared" in page
    assert "KEEP base" == leaderboard_lines(document)[-1]
