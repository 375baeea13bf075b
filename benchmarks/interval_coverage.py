"""How often do the intervals hold on a group never seen? On generated corpora, and on a run of your own.

Run it as ``python benchmarks/interval_coverage.py [RUN]``; it writes results/coverage.json and the table of
docs/uncertainty.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from heldout.evidence import read_json, write_json
from heldout.task.conformal import LEVELS, conformal
from heldout.task.uncertainty import GAUSSIAN_95

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "uncertainty.md"
START, END = "<!-- measured -->", "<!-- end of measured -->"
CORPORA, GROUPS, FRESH, ROWS, SEEDS = 200, 40, 10, 60, 5


def corpus(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, target and group of each row: groups differ in offset, noise and where their features lie."""
    groups = GROUPS + FRESH
    group = np.repeat(np.arange(groups), ROWS)
    X = rng.normal(size=(len(group), 6)) + rng.normal(size=(groups, 6))[group]
    noise = rng.gamma(4, 0.25, groups)[group] * rng.normal(size=len(group))
    target = X @ rng.normal(size=6) + 0.5 * np.tanh(X[:, 0] * X[:, 1]) + 0.4 * rng.normal(size=groups)[group] + noise
    return np.column_stack([X, np.ones(len(group))]), target, group


def predict(rng: np.random.Generator, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Ridge on bootstrap samples of the training rows: ``[seeds, test rows]``."""
    found = np.empty((SEEDS, len(test)))
    for seed in range(SEEDS):
        drawn = rng.choice(train, len(train))
        A = X[drawn]
        found[seed] = X[test] @ np.linalg.solve(A.T @ A + np.eye(A.shape[1]), A.T @ y[drawn])
    return found


def measure() -> dict[str, Any]:
    """Intervals calibrated on GROUPS held-out groups, and how often they hold on FRESH ones of a refitted model."""
    rng = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {}
    for _ in range(CORPORA):
        X, y, group = corpus(rng)
        known = np.flatnonzero(group < GROUPS)
        members = np.empty((SEEDS, len(known)))
        for held_out in range(GROUPS):
            test = np.flatnonzero(group == held_out)
            members[:, test] = predict(rng, X, y, known[group[known] != held_out], test)
        mean, sigma = members.mean(axis=0), members.std(axis=0, ddof=1)
        segments = {f"g{i:02}": np.flatnonzero(group == i) for i in range(GROUPS)}
        document = conformal(y[known], mean, sigma, segments)
        fresh = np.flatnonzero(group >= GROUPS)
        answers = predict(rng, X, y, known, fresh)
        error, spread = np.abs(answers.mean(axis=0) - y[fresh]), answers.std(axis=0, ddof=1)
        scale = {"absolute": np.ones(len(fresh)), "normalised": spread + np.median(sigma)}
        for kind, levels in document["kinds"].items():
            for level, block in levels.items():
                holds = error <= block["half_width"] * scale[kind]
                found.setdefault(f"{kind} {level}", []).append(list(holds.reshape(FRESH, ROWS).mean(axis=1)))
        holds = error <= GAUSSIAN_95 * spread
        found.setdefault("seeds 0.95", []).append(list(holds.reshape(FRESH, ROWS).mean(axis=1)))
    return {name: _summary(np.array(values)) for name, values in found.items()}


def _summary(covered: np.ndarray) -> dict[str, float]:
    """Of shape ``[corpora, groups]``."""
    means = covered.mean(axis=1)
    return {
        "coverage": float(means.mean()),
        "standard_error": float(means.std(ddof=1) / np.sqrt(len(means))),
        "tenth_of_groups_below": float(np.quantile(covered, 0.1)),
    }


def table(document: dict[str, Any]) -> str:
    """The measured part of the page."""
    lines = [
        f"{CORPORA} generated corpora of {GROUPS} groups x {ROWS} rows, {SEEDS} seeds; {FRESH} fresh groups each:",
        "",
        "| interval | level | holds on fresh groups | a tenth of the groups is below |",
        "|---|---:|---:|---:|",
    ]
    for name, found in document["generated"].items():
        kind, level = name.split()
        share = f"{100 * found['coverage']:.1f} ± {100 * found['standard_error']:.1f} %"
        below = f"{100 * found['tenth_of_groups_below']:.0f} %"
        lines.append(f"| {kind} | {100 * float(level):g} % | {share} | {below} |")
    if document["run"]:
        lines += ["", f"The run `{document['run']['name']}`, {document['run']['groups']} groups:", ""]
        lines += ["| interval | level | holds on held-out groups | worst group |", "|---|---:|---:|---|"]
        lines += document["run"]["rows"]
    return "\n".join(lines)


def of_run(folder: Path) -> dict[str, Any]:
    """The same of a run directory."""
    metrics = read_json(folder / "metrics.json")
    ensemble, rows = metrics["ensemble"], []
    for kind, levels in ensemble["conformal"]["kinds"].items():
        for level in levels.values():
            if level["coverage"] is None:
                rows.append(f"| {kind} | {100 * level['level']:g} % | {level['why']} | |")
            else:
                worst = level["worst_group"]
                text = f"{worst['group']} {100 * worst['value']:.0f} %"
                rows.append(f"| {kind} | {100 * level['level']:g} % | {100 * level['coverage']:.1f} % | {text} |")
    worst = ensemble["sigma"]["worst_group_coverage_95"]
    share = f"{100 * ensemble['sigma']['coverage_95']:.1f} %"
    rows.append(f"| seeds | 95 % | {share} | {worst['group']} {100 * worst['value']:.0f} % |")
    return {"name": folder.name, "groups": metrics["groups"], "rows": rows}


def page(text: str, document: dict[str, Any]) -> str:
    """The page with its measured part replaced."""
    return f"{text[: text.index(START) + len(START)]}\n\n{table(document)}\n\n{text[text.index(END) :]}"


if __name__ == "__main__":
    run = of_run(Path(sys.argv[1])) if len(sys.argv) > 1 else None
    result = {"schema": "heldout.coverage/1", "levels": list(LEVELS), "generated": measure(), "run": run}
    write_json(HERE / "results" / "coverage.json", result)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
    print(json.dumps(result["generated"], indent=1))
