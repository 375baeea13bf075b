"""The page on Python is executed, block after block in one program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from page_kit import ROOT, links

from heldout import Run

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_program_of_the_page_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people paste into a notebook would not run, or promise another verdict."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "page", "exec"), names)
    run = names["run"]
    assert isinstance(run, Run)
    assert f"run.verdict                              # '{run.verdict}'" in PAGE
    assert {path.suffix for path in (tmp_path / "heldout-runs").glob("evaluated*")} == {"", ".parquet", ".yaml"}


def test_every_name_of_the_page_is_there_and_links_lead_somewhere() -> None:
    """A renamed property would stay on the page."""
    told = set(re.findall(r"`run\.(\w+)", PAGE))
    assert {"metrics", "rules", "predictions"} <= told
    assert [] == [name for name in told if not hasattr(Run, name)]
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]
