"""The tables of ``docs/metrics.md``, made from the metrics themselves.

``python tests/support/metric_table.py`` writes them; a test holds that they are current.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from heldout.corpus import TargetKind
from heldout.task.metric import Metric
from heldout.task.metrics import BUILT_IN, DEFAULTS, FAMILIES, OF_MODELS, task_of

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"
_PREDICTED = {
    "value": "a number",
    "label": "a class",
    "probability": "probabilities",
    "model": "nothing: it is measured",
}


def rows(task: TargetKind) -> list[tuple[str, Metric]]:
    """Name on the page and metric: the ordinary ones, the others, the families with their example."""
    named = [each for each in BUILT_IN.values() if task_of(each) == task and each not in OF_MODELS]
    families = [
        (f"{name}@{each.example.partition('@')[2]}", each.make(each.example.partition("@")[2]))
        for name, each in FAMILIES.items()
        if each.task == task
    ]
    return [*((each.name, each) for each in named), *families]


def table() -> str:
    """A Markdown table a kind of target, and one of what is asked besides."""
    titles: dict[TargetKind, str] = {"regression": "Of numbers", "classification": "Of classes"}
    lines: list[str] = []
    for task, title in titles.items():
        ordinary = {each.name for each in DEFAULTS[task]}
        lines += [f"### {title}", "", *_table(rows(task), ordinary)]
    return "\n".join(
        [*lines, "### Of intervals and models", "", *_table(((each.name, each) for each in OF_MODELS), set())]
    )


def _table(found: Iterable[tuple[str, Metric]], ordinary: set[str]) -> list[str]:
    lines = [
        "| name | also | better | range | unit | of what is predicted | in every table |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in found:
        always = (
            "yes" if each.name in ordinary and each.shown else "" if each.name not in ordinary else "if a rule asks"
        )
        unit = "that of the target" if each.unit is None else each.unit
        also = ", ".join(f"`{alias}`" for alias in each.aliases)
        cells = (f"`{name}`", also, each.better, _range(*each.range), unit, _PREDICTED[each.needs], always)
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return [*lines, ""]


def _range(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "any"
    if math.isinf(low):
        return f"up to {high:g}"
    return f"from {low:g}" if math.isinf(high) else f"{low:g} to {high:.4g}"


def written(page: str) -> str:
    """The page with the tables as of now between its markers."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
