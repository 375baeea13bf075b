"""Writes the tables of README.md from the results that the benchmarks left in results/.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
START, END = "<!-- tables -->", "<!-- end of tables -->"


def table(result: dict[str, Any]) -> str:
    """One benchmark as Markdown: every ratio, and every figure, with its range over the turns."""
    machine = result["machine"]
    rows = [
        f"| {name} | {_times(ratio['median'])} | {_times(ratio['low'])} to {_times(ratio['high'])} |"
        for name, ratio in result["ratio"].items()
    ]
    title = f"### {result['benchmark']}: {result.get('title') or _title(result)}"
    where = f"{machine['cores']} cores, {machine['processor']}; {_packages(result)}"
    if machine.get("load_at_end"):
        where += f"; other work ran beside it: load {machine['load_at_end']}"
    parts = [title, "", where, "", "| ratio | median | over the turns |", "|---|---:|---|", *rows, ""]
    figures = [
        f"| {name} | {_amount(each['median'])} {each['unit']} | {_amount(each['low'])} to {_amount(each['high'])} |"
        for name, each in result.get("figures", {}).items()
    ]
    if figures:
        parts += ["| figure | median | over the turns |", "|---|---:|---|", *figures, ""]
    plot = HERE / "results" / f"{result['benchmark']}.svg"
    if plot.exists():
        parts += [f"![{title.removeprefix('### ')}](results/{plot.name})", ""]
    return "\n".join(parts)


def _amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _times(value: float) -> str:
    return f"{value:.3g}"


def _title(result: dict[str, Any]) -> str:
    return f"{result['models']} models, {result['epochs']} epochs, {result['model_steps']:,} model-steps"


def _packages(result: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(result["packages"].items()))


def page(text: str) -> str:
    """The README with its tables replaced."""
    results = [json.loads(path.read_text()) for path in sorted((HERE / "results").glob("*.json"))]
    head, tail = text[: text.index(START) + len(START)], text[text.index(END) :]
    return f"{head}\n\n" + "\n".join(table(result) for result in results if "ratio" in result) + f"\n{tail}"


if __name__ == "__main__":
    readme = HERE / "README.md"
    readme.write_text(page(readme.read_text()))
