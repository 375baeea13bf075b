"""The page on one's own code is executed: its commands, its class, and the study of the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_kit import ROOT, links, run_commands

from heldout.backbone.beside.command import CommandParams
from heldout.backbone.beside.placeholders import KNOWN
from heldout.backbone.beside.python import PythonParams
from heldout.study import load_study
from heldout.study.yaml import parse_yaml

PAGE = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "command"


@pytest.mark.slow
def test_the_commands_run_as_written(tmp_path: Path) -> None:
    """What people copy from the page would not run."""
    done = run_commands(PAGE, tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "PROMOTE line / base" in done.stdout
    assert "7 to fit" in done.stdout + done.stderr


def test_the_study_is_that_of_the_example(tmp_path: Path) -> None:
    """A key that does not exist would be copied, or the page show another study than the one that runs."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    example = parse_yaml((EXAMPLE / "shell" / "study.yaml").read_bytes(), Path("study.yaml")).value
    shown = parse_yaml(block.encode(), Path("page")).value
    assert shown == {key: value for key, value in example.items() if key not in ("variants", "baselines")}
    for path in (EXAMPLE / "study.yaml", EXAMPLE / "shell" / "study.yaml"):
        assert "command" == load_study(path).spec.backbone


def test_places_keys_and_links_are_those_that_are_there() -> None:
    """A reader would look for what is not there, or not find what is."""
    for name in {each for known in KNOWN.values() for each in known}:
        assert f"`{{{name}}}`" in PAGE, name
    for key in {*CommandParams.model_fields, *PythonParams.model_fields} - {"features", "weight"}:
        assert re.search(rf"`?\b{key}\b:?", PAGE), key
    assert [] == [target for target in links(PAGE) if "//" not in target and not (ROOT / "docs" / target).exists()]
