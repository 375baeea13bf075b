"""How often does noise pass for a lead, and how soon is a lead found, when one looks after every block for 15 years?

Run it as ``python benchmarks/leads.py``; it writes results/leads.json and the table of docs/leaderboard.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.evidence import write_json
from heldout.leaderboard import Design, log_evidence

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "leaderboard.md"
START, END = "<!-- measured -->", "<!-- end of measured -->"
HISTORIES, HORIZON, BLOCKS, EFFECT, SPREAD = 2000, 21, 180, 0.06, 0.17
DESIGN = Design(horizon=HORIZON, effect=EFFECT, scale=SPREAD)
FIRST = 12


def histories(rng: np.random.Generator) -> np.ndarray:
    """Differences by date without any edge whose outcomes overlap: ``[histories, dates]``."""
    noise = rng.standard_normal((HISTORIES, HORIZON * (BLOCKS + 1) - 1))
    sums = np.concatenate([np.zeros((HISTORIES, 1)), noise.cumsum(axis=1)], axis=1)
    return (sums[:, HORIZON:] - sums[:, :-HORIZON]) / math.sqrt(HORIZON) * SPREAD * math.sqrt(1.5)


def t_values(values: np.ndarray) -> np.ndarray:
    """Of the mean so far, at every place, as if the values were independent."""
    count = np.arange(1, values.shape[1] + 1)
    sums, squares = values.cumsum(axis=1), (values**2).cumsum(axis=1)
    variance = np.maximum(squares - sums**2 / count, 1e-12) / np.maximum(count - 1, 1)
    return sums / np.sqrt(variance * count)


def rules() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Whether each rule sees a lead, after every block: ``[histories, dates]`` to bool ``[histories, blocks]``."""

    def blocked(by_date: np.ndarray) -> np.ndarray:
        return by_date.reshape(len(by_date), BLOCKS, HORIZON).mean(axis=2)

    def sequence(values: np.ndarray, overlap: float) -> np.ndarray:
        return log_evidence(values, 0.0, rho=DESIGN.rho, overlap=overlap) >= math.log(2 / DESIGN.level)

    def late(seen: np.ndarray) -> np.ndarray:
        return seen & (np.arange(seen.shape[1]) >= FIRST)

    return {
        "t-test over dates": lambda x: late(t_values(x)[:, HORIZON - 1 :: HORIZON] > 1.96),
        "t-test over blocks": lambda x: late(t_values(blocked(x)) > 1.96),
        "confidence sequence over dates": lambda x: sequence(x, 1.0)[:, HORIZON - 1 :: HORIZON],
        "confidence sequence over blocks, overlap ignored": lambda x: sequence(blocked(x), 1.0),
        "confidence sequence over blocks (this one)": lambda x: sequence(blocked(x), DESIGN.overlap),
    }


def measure() -> dict[str, Any]:
    """Of every rule: shares of histories, and the median wait in years of 252 dates."""
    noise = histories(np.random.Generator(np.random.Philox(0)))
    found = {}
    for name, sees in rules().items():
        wrong = sees(noise).any(axis=1) | sees(-noise).any(axis=1)
        right = sees(noise + EFFECT)
        wait = np.where(right.any(axis=1), right.argmax(axis=1) + 1.0, np.inf) * HORIZON / 252
        median = float(np.median(wait))
        found[name] = {
            "wrong": float(wrong.mean()),
            "found": float(right.any(axis=1).mean()),
            "years": median if math.isfinite(median) else None,
        }
    return found


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    years = BLOCKS * HORIZON / 252
    told = (
        f"{HISTORIES:,} histories of {years:.0f} years, outcomes over {HORIZON} days, a look after every block of "
        f"{HORIZON}; a block's difference varies by {SPREAD:g}. Declared level {DESIGN.alpha:g}."
    )
    head = f"| rule | noise passes for a lead, either way | a lead of {EFFECT:g} is found | median wait, years |"
    lines = [told, "", head, "|---|---:|---:|---:|"]
    for name, row in found.items():
        wait = "–" if row["years"] is None else f"{row['years']:.1f}"
        lines.append(f"| {name} | {100 * row['wrong']:.1f} % | {100 * row['found']:.0f} % | {wait} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its table replaced by that of the results."""
    found = json.loads((HERE / "results" / "leads.json").read_text())["rules"]
    head, tail = text[: text.index(START) + len(START)], text[text.index(END) :]
    return f"{head}\n\n{table(found)}\n\n{tail}"


if __name__ == "__main__":
    write_json(HERE / "results" / "leads.json", {"benchmark": "leads", "rules": measure()})
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
