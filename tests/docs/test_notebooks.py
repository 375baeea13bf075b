"""The notebooks are executed, and show what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from notebook_kit import executed, notebooks


def test_there_are_two() -> None:
    """A pattern that finds none would test none."""
    assert ["estimator", "predictions"] == [path.stem for path in notebooks()]


@pytest.mark.slow
@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_runs_and_decides_as_it_shows(path: Path) -> None:
    """The first thing that a reader runs would fail, or end in another verdict than the one that he saw."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert _verdicts(executed(path)) == _verdicts(kept)
    assert 2 == len(_verdicts(kept))


def _verdicts(notebook: dict[str, Any]) -> list[str]:
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            shown = "".join(output.get("text") or output["data"].get("text/html", ""))
            found += re.findall(r'class="verdict (\w+)"|^(PROMOTE|HOLD)$', shown, re.MULTILINE)
    return ["".join(each) for each in found]
