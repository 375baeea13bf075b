"""What would each rule have served from 1997 to 2021, re-lived year by year, with two arms of random numbers?

``python benchmarks/market_replay.py`` needs the data files of skfolio (``pip install --no-deps skfolio``),
writes results/market_replay.json and the tables of docs/market.md, and takes minutes on two cores.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from heldout.domains.market.demo.demo import STUDY
from heldout.domains.market.demo.panel import skfolio_panel
from heldout.domains.market.replay.replay import Plan, replay
from heldout.evidence import write_json
from heldout.report.leaderboard_replay import best_fixed, percent, rule_cells, runs, tells

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "market.md"
RESULT = HERE / "results" / "market_replay.json"
START, END = "<!-- measured -->", "<!-- end of measured -->"


def measure() -> dict[str, Any]:
    """The replay without its yearly details, and how long it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        skfolio_panel().write_parquet(folder / "corpus" / "panel.parquet")
        shutil.copy(STUDY, folder / "study.yaml")
        began = time.monotonic()
        document = replay(folder / "study.yaml", Plan(1997, 2021), folder / "vintages", workers=2)
        seconds = round(time.monotonic() - began)
    kept = ("schema", "score", "panel_sha256", "design", "readiness", "arms", "rules", "selection_tells", "notes")
    vintages = [{"name": each["name"], "arms": each["arms"]} for each in document["vintages"]]
    return {"benchmark": "market_replay", "seconds": seconds, "vintages": vintages} | {k: document[k] for k in kept}


def tables(found: dict[str, Any]) -> str:
    """As Markdown."""
    heads = "| rule | mean rank IC | regret | switches | noise served | alpha, universe | alpha, index | drawdown |"
    lines = [heads, "|---|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [f"| {' | '.join(rule_cells(rule))} |" for rule in found["rules"]]
    lines += [f"| {' | '.join(best_fixed(found))} |", ""]
    lines += [f"- {rule['id']}: {runs(rule)}." for rule in found["rules"]]
    lines += [f"- {tells(found)}", *(f"- {sentence}" for sentence in found["readiness"]), ""]
    lines += ["| arm | mean rank IC | alpha, universe | alpha, index |", "|---|---:|---:|---:|"]
    for arm in found["arms"]:
        alpha = [percent(arm["figures"][name]) for name in ("net alpha, universe [%/yr]", "net alpha, index [%/yr]")]
        lines.append(f"| {arm['id']} | {arm['mean']:.4f} | {' | '.join(alpha)} |")
    lines += ["", f"{len(found['vintages'])} vintages, {len(found['arms'])} arms."]
    return "\n".join([*lines, "", *found["notes"]])


def page(text: str) -> str:
    """The page with its tables replaced by those of the results."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    head, tail = text[: text.index(START) + len(START)], text[text.index(END) :]
    return f"{head}\n\n{tables(found)}\n\n{tail}"


if __name__ == "__main__":
    write_json(RESULT, measure())
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
