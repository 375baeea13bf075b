"""The page about tables is executed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from page_kit import ROOT, links, run_commands

from heldout import Study
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.corpus.table import TableOptions

PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
CORPUS, FIT, SEVERAL = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_links_lead_somewhere() -> None:
    """A reader would follow a link of the page into nothing."""
    assert [] == [target for target in links(PAGE) if not (ROOT / "docs" / target).exists()]


def test_the_blocks_of_the_page_are_ones() -> None:
    """What people copy from the page would be refused."""
    TableOptions.model_validate(CORPUS["corpus"])
    pytest.importorskip("sklearn")
    SklearnBackbone(SklearnParams.model_validate(FIT["fit"]))


@pytest.mark.slow
def test_the_study_of_several_targets_runs(tmp_path: Path) -> None:
    """The rules of the page would be refused, or judge nothing."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    size, sun, noise, more = rng.normal(size=(4, 120))
    house = [f"h{row % 6}" for row in range(120)]
    columns = {"house": house, "size": size, "sun": sun, "heat": size + 0.3 * noise, "power": 9 * sun + more}
    pl.DataFrame(columns).write_csv(tmp_path / "rooms.csv")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(SEVERAL | {"study": "rooms"}))
    run = Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "runs", workers=1)
    assert ("PROMOTE", ["all", "heat", "power"]) == (run.verdict, run.rules["rule"].to_list()[-3:])


@pytest.mark.slow
def test_the_commands_of_the_page_run_and_say_what_it_shows(tmp_path: Path) -> None:
    """The first table of a newcomer would not come to a verdict."""
    done = run_commands(PAGE, tmp_path)
    assert 0 == done.returncode, done.stderr
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert done.stdout.startswith(shown)
    assert "PROMOTE shops / base" in done.stdout
