"""The page on metrics: its tables are made from the metrics, its definitions name all, its blocks are a study's."""

from __future__ import annotations

import re
from typing import Any

import metric_table
import pytest
import yaml

from heldout.study import GateSpec, MetricSpec
from heldout.task.functions import declared_metric
from heldout.task.metrics import BUILT_IN, FAMILIES, named

PAGE = metric_table.PAGE.read_text(encoding="utf-8")
BLOCKS: list[dict[str, Any]] = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_tables_are_those_of_the_metrics() -> None:
    """Whoever sets a bound would read another direction or range than the one that is judged."""
    assert metric_table.written(PAGE) == PAGE, "run: python tests/support/metric_table.py"


def test_every_metric_is_defined() -> None:
    """A number in a report would be one that nobody can look up."""
    section = PAGE.partition("## Definitions")[2].partition("\n## ")[0]
    assert {*BUILT_IN, *FAMILIES} == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_the_blocks_are_valid() -> None:
    """What people copy from the page would be refused."""
    pytest.importorskip("sklearn")
    for block in BLOCKS:
        rules = GateSpec.model_validate(block["gate"]).rules
        own = {each["name"] for each in block.get("metrics", ()) if isinstance(each, dict)}
        assert all(rule.metric in own or named(rule.metric) is not None for rule in rules)
    (scikit,) = (each for block in BLOCKS for each in block.get("metrics", ()) if "fbeta_score" in str(each))
    assert ("f2", "label", (0, 1)) == (
        (found := declared_metric(MetricSpec.model_validate(scikit), "classification")).name,
        found.needs,
        found.range,
    )


def test_names_with_parameters_are_names() -> None:
    """A reader would write a parameter that is none."""
    listed = PAGE.partition("## A parameter")[2].partition("\n## ")[0]
    assert all(named(name) is not None for name in re.findall(r"`([a-z_]+@[^`]+)`", listed))


def test_links_lead_somewhere() -> None:
    """A reader would follow a link into nothing."""
    folder = metric_table.PAGE.parent
    targets = re.findall(r"\]\(([^)#:]+)", PAGE)
    assert len(targets) >= 3
    assert [] == [target for target in targets if not (folder / target).exists()]
