"""The numbers of a judged run as polars tables, for whoever goes on in Python or in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from heldout.documents.names import CHOICE_FILE, UNIT_FILE
from heldout.evidence import read_json

_GAIN = ("gain", "gain_low", "gain_high")
_METRICS: dict[str, type[pl.DataType]] = {
    "contender": pl.String, "metric": pl.String, "better": pl.String, "mean": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "pooled": pl.Float64, "worst_group": pl.String, "worst": pl.Float64,
} | dict.fromkeys(_GAIN, pl.Float64)  # fmt: skip
_RULES: dict[str, type[pl.DataType]] = dict.fromkeys(("rule", "outcome", "observed", "bound", "sentence"), pl.String)


def metrics_frame(metrics: Mapping[str, Any], variant: str) -> pl.DataFrame:
    """One row a contender and metric.

    Columns: ``contender``, the variant first; ``metric``; ``better``; ``mean`` over folds with its interval over groups
    (``low``, ``high``); ``pooled``, over all rows together; ``worst_group`` and its value; and what the variant gains
    over that contender, group by group, with its interval: positive is better. What is undefined is null.
    """
    better = {each["name"]: each["better"] for each in metrics.get("metrics") or ()}
    rows, listed = [], [*better]
    for contender, block in _contenders(metrics, variant):
        for metric in sorted(block["mean"], key=lambda name: listed.index(name) if name in listed else len(listed)):
            interval = (block.get("intervals") or {}).get(metric) or {}
            worst = (block.get("worst_group") or {}).get(metric) or {}
            gained = metrics["comparisons"].get(contender, {}).get(metric) or {}
            rows.append(
                {"contender": contender, "metric": metric, "better": better.get(metric), "mean": block["mean"][metric]}
                | {"low": interval.get("low"), "high": interval.get("high"), "pooled": block["pooled"].get(metric)}
                | {"worst_group": worst.get("group"), "worst": worst.get("value")}
                | {name: gained.get(name.removeprefix("gain_")) for name in _GAIN}
            )
    return pl.DataFrame(rows, schema=_METRICS)


def folds_frame(metrics: Mapping[str, Any], variant: str) -> pl.DataFrame:
    """One row a contender and fold: ``contender``, ``fold``, ``rows``, ``n_train``, and a column a metric."""
    rows = [
        {"contender": contender, "fold": fold} | {"rows": values["rows"], "n_train": values["n_train"]} | values
        for contender, block in _contenders(metrics, variant)
        for fold, values in block["folds"].items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def groups_frame(metrics: Mapping[str, Any]) -> pl.DataFrame:
    """One row a group, of the mean over the seeds: ``group``, ``rows``, and a column a metric."""
    block = metrics["ensemble"]
    found = block["groups"] if block.get("groups") is not None else block["folds"]  # a fold is a group then
    rows = [
        {"group": group, "rows": values["rows"]} | {key: value for key, value in values.items() if key != "n_train"}
        for group, values in found.items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def rules_frame(verdict: Mapping[str, Any]) -> pl.DataFrame:
    """One row a rule, in the order of the verdict: ``rule``, ``outcome``, ``observed``, ``bound`` and ``sentence``."""
    rows = [
        {"rule": rule["id"], "outcome": rule["outcome"], "sentence": rule["sentence"]}
        | {name: None if rule.get(name) is None else str(rule[name]) for name in ("observed", "bound")}
        for rule in verdict["rules"]
    ]
    return pl.DataFrame(rows, schema=_RULES)


def choices_frame(folder: Path) -> pl.DataFrame:
    """One row a unit that chose: ``seed``, ``fold``, ``chosen``, and what decided, a column a candidate.

    Args:
        folder: Of the run.
    """
    rows = []
    for path in sorted(folder.glob(f"fits/seed*/*/{CHOICE_FILE}")):
        unit, choice = read_json(path.with_name(UNIT_FILE)), read_json(path)
        rows.append({"seed": unit["seed"], "fold": unit["fold"], "chosen": choice["chosen"]} | choice["scores"])
    empty = {"seed": pl.Int64, "fold": pl.String, "chosen": pl.String}
    return pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame(schema=empty)


def _contenders(metrics: Mapping[str, Any], variant: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield variant, metrics["ensemble"]
    yield from metrics["baselines"].items()
