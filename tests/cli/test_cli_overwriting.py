"""A file that a command is told to write never takes the place of another kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")


@pytest.fixture
def judged(heldout: Callable[..., Any], write_study: Callable[..., Path], tmp_path: Path) -> Path:
    assert 0 == heldout("run", write_study(), "--workers", 1).code
    (run,) = (path.parent for path in tmp_path.glob("runs/small/*/PROMOTE.json"))
    assert 0 == heldout("registry", "add", run).code
    return run


@pytest.mark.slow
def test_only_an_older_one_of_its_kind_is_replaced(heldout: Callable[..., Any], judged: Path, tmp_path: Path) -> None:
    """A table named by mistake, or by completion, would be gone."""
    table = (tmp_path / "table.csv").read_bytes()
    commands = [
        ["registry", "export", "registry.json"],
        ["gate", judged, "--junit", "gate.xml"],
        ["kit", "bundle", judged, "--out", "bundle.tar.gz"],
    ]
    for words in commands:
        assert 0 == heldout(*words).code, words
        assert 0 == heldout(*words).code, words
        Path(words[-1]).write_bytes(table)
        answer = heldout(*words)
        assert 2 == answer.code, answer
        assert "would be lost" in answer.err
        assert words[-1] in answer.err
        assert table == Path(words[-1]).read_bytes()
    assert 2 == heldout("kit", "build", "study.yaml", "--out", "gate.xml").code
    assert table == Path("gate.xml").read_bytes()


def test_a_page_is_refused_before_a_board_is_made(heldout: Callable[..., Any], tmp_path: Path) -> None:
    """An hour's board would end in nothing."""
    out = tmp_path / "table.csv"
    out.write_text("a,b\n")
    answer = heldout("leaderboard", "--panel", tmp_path / "panel.parquet", "--html", out)
    assert 2 == answer.code
    assert "is no page and would be lost" in answer.err
    assert "a,b\n" == out.read_text()
