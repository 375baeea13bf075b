"""Questions to processes that are shut in, from threads."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from heldout.engine.apart import Shown, asked, asking

NAPS = """
import json, os, time
def nap(question, fence):
    if os.path.exists(question["desk"] + "/in/long"):
        time.sleep(3600)
    with open(question["desk"] + "/out/answer.json", "w") as stream:
        json.dump({"fence": fence["reading"]}, stream)
"""


@pytest.fixture
def naps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "long").touch()
    (tmp_path / "code" / "naps_of_a_test.py").write_text(NAPS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    return tmp_path


def _ask(folder: Path, number: int) -> int:
    files = folder / "long" if number else None
    with asked("naps_of_a_test:nap", number, shown=Shown(readable=(folder,)), files=files):
        return number


def test_whoever_leaves_early_waits_for_no_answer(naps: Path) -> None:
    """An interrupted run would go on with the next question, and the next one, for hours."""
    with suppress(KeyboardInterrupt), asking(partial(_ask, naps), range(5), 2) as waiting:
        assert 0 == next(iter(waiting)).result()
        raise KeyboardInterrupt
    assert [future.cancelled() or future.exception() is not None for future in waiting] == [False, *[True] * 4]
    with asking(partial(_ask, naps), [0, 0], 2) as waiting:
        assert [0, 0] == [future.result() for future in waiting]
