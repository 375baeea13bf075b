"""The page about video: its figures are measured, and what it says of options and files is so."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from heldout.cli.video.commands import app
from heldout.domains.video.corpus.reader import FrameOptions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "video.md").read_text(encoding="utf-8")


def test_figures_of_unseen_encoders_are_those_of_their_measurement() -> None:
    """A figure could be edited by hand, or stay after its measurement changed."""
    script = runpy.run_path(str(ROOT / "benchmarks" / "unseen_encoder.py"))
    result = json.loads((ROOT / "benchmarks" / "results" / "unseen_encoder.json").read_text())
    assert script["page"](PAGE, result) == PAGE
    means = [result[name]["mean"]["ensemble"]["rmse"] for name in ("by_encoder", "published_by_encoder")]
    assert means[0] < 1.0 < 5.0 < means[1]


def test_commands_and_groupings_of_the_page_exist() -> None:
    """A reader would type a command that there is not."""
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    for line in PAGE.splitlines():
        words = line.removeprefix("$ ").split()
        if words[:2] == ["heldout", "video"]:
            assert words[2] in names, line
    for group in ("src", "encoder"):
        assert f"| `{group}`" in PAGE
        assert group == FrameOptions.model_validate({"path": "frames.jsonl", "group": group}).group
