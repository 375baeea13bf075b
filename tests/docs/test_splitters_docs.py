"""The page on splitters: each block on it splits a table, and the plug-in that it shows needs no change of heldout."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from heldout import Study, plugins
from heldout.errors import StudyError
from heldout.study.schema import study_schema

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "splitters.md").read_text(encoding="utf-8")
BLOCKS: list[dict[str, Any]] = [
    yaml.safe_load(text)["split"] for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
]
STUDY = {
    "study": "splits",
    "corpus": {"path": "table.csv", "group": "site", "target": "y", "time": "day", "ignore": ["part"]},
    "backbone": "ridge",
    "seeds": [0],
    "baselines": [],
    "gate": {"min_groups": 2, "rules": [{"id": "r", "metric": "pearson", "over": "pooled", "at_least": 0.5}]},
}


def study(folder: Path, split: dict[str, Any]) -> Study:
    rng = np.random.default_rng(0)
    sites = np.repeat([f"site{number}" for number in range(8)], 12)
    frame = pl.DataFrame({"site": sites, "day": np.arange(96.0), "x": rng.normal(size=96)})
    parts = {f"site{number}": ("train", "train", "val", "test")[number % 4] for number in range(8)}
    frame = frame.with_columns(
        y=pl.col("x") + pl.Series(rng.normal(size=96)), part=pl.col("site").replace_strict(parts)
    )
    frame.write_csv(folder / "table.csv")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | {"split": split}))
    return Study.load(folder / "study.yaml")


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place on the path where the page's package is installed, with nothing but what the page shows."""
    home = tmp_path / "installed"
    info = home / "site_splits-1.0.dist-info"
    info.mkdir(parents=True)
    (module,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (points,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    group, line = re.fullmatch(r'\[project.entry-points."(.*?)"\]\n(.*?)\n', points).groups()  # type: ignore[union-attr]
    (home / "site_splits.py").write_text(module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: site_splits\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(home)
    monkeypatch.delitem(sys.modules, "site_splits", raising=False)
    return home


def test_every_installed_splitter_is_in_the_table() -> None:
    """Nobody would find a splitter that is there, or look for one that is not."""
    listed = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE))
    assert set(plugins.names("splitters")) == listed | {"class"}
    assert listed <= {block["kind"] for block in BLOCKS}


def test_links_lead_somewhere() -> None:
    """A reader would follow a link into nothing."""
    targets = re.findall(r"\]\(([^)#:]+)", PAGE)
    assert targets
    assert [] == [target for target in targets if not (ROOT / "docs" / target).exists()]


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block["kind"]))
def test_each_block_splits_a_table(block: dict[str, Any], tmp_path: Path) -> None:
    """What people copy from the page would not run."""
    if "sklearn" in block["kind"]:
        pytest.importorskip("sklearn")
    prepared = study(tmp_path, block).prepare(runs=tmp_path / "runs")
    assert prepared.split.folds
    assert block["kind"] == prepared.split.kind
    assert [] == prepared.blocking


@pytest.mark.slow
@pytest.mark.usefixtures("plugged")
def test_the_plugin_is_a_splitter_as_any_other(tmp_path: Path) -> None:
    """A splitter from outside would lack the places of complaints, the schema, or the way to a verdict."""
    run = study(tmp_path, {"kind": "by-prefix", "letters": 5}).run(runs=tmp_path / "runs", workers=1)
    assert "PROMOTE" == run.verdict
    with plugins.trusting_code():  # a folder of the test is no place where installers write to
        found = {link.id: link.state for link in run.verify(corpus=tmp_path / "table.csv").links}
    assert ("OK", "OK") == (found["split"], found["guards"])
    with pytest.raises(StudyError, match=r"unknown key `split\.leters`") as caught:
        study(tmp_path, {"kind": "by-prefix", "leters": 5}).prepare(runs=tmp_path / "runs")
    assert "did you mean 'letters'?" in (caught.value.hint or "")
    assert re.search(r"study\.yaml:\d+:\d+$", caught.value.where or "")
    assert "by-prefix" in study_schema()["properties"]["split"]["properties"]["kind"]["anyOf"][0]["enum"]
