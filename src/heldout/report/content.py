"""What the reports show, in the order in which a reader asks: the documents of a run as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from heldout.gate.rules import copies_sentence
from heldout.printable import printable
from heldout.task.metric import CONSTANT_PREDICTION
from heldout.task.metrics import BUILT_IN

MAX_ROWS = 200


def number(value: Any) -> str:
    """A number as people read it; what is undefined says so."""
    if value is None:
        return "undefined"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 100:
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
    return f"{value:.4f}"


def signed(value: Any) -> str:
    """A difference, with its sign."""
    return number(value) if value is None else f"{value:+.4f}"


def cell(value: Any) -> str:
    """Text that stays inside its Markdown table cell and is not taken for markup."""
    text = printable(" ".join(str(value).split()))
    for mark in ("\\", "|", "`", "*", "_", "<", "[", "]"):
        text = text.replace(mark, "\\" + mark)
    return text


class Headline(NamedTuple):
    """One number of the top row."""

    label: str
    value: Any
    low: Any
    high: Any
    worst_group: str
    worst: Any
    pooled: Any = None


class Contender(NamedTuple):
    """One line of the table of contenders."""

    name: str
    description: str
    seeds: int
    values: list[Any]
    behind: bool
    gain: str = ""


@dataclass(frozen=True)
class Content:
    """The documents of one run, and the tables made from them."""

    run: str
    verdict: Mapping[str, Any]
    metrics: Mapping[str, Any]
    manifest: Mapping[str, Any]
    split: Mapping[str, Any]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    units: str

    @property
    def names(self) -> list[str]:
        """Metrics to show, the primary one first."""
        return [name for name, known in self._known.items() if known["shown"]]

    @cached_property
    def _known(self) -> Mapping[str, Mapping[str, Any]]:
        """What is known of every metric, by name; documents of before do not list theirs."""
        listed = self.metrics.get("metrics")
        if listed is None:
            listed = [BUILT_IN[name].to_json() for name in self.metrics["ensemble"]["mean"]]
        return {each["name"]: each for each in listed}

    @property
    def labels(self) -> list[str]:
        """Column heads of the metrics, with units."""
        return [self.label(name) for name in self.names]

    def label(self, name: str) -> str:
        """A metric's name for people."""
        known = self._known.get(name)
        if known is None:
            return name
        unit = self.units if known["unit"] is None else known["unit"]
        return f"{known['label']} [{unit}]" if unit else str(known["label"])

    @property
    def primary(self) -> str:
        """Id of the metric that decides."""
        return str(self.metrics["primary"])

    @property
    def regression(self) -> bool:
        """Whether the target is a number."""
        return bool(self.metrics["task"] == "regression")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the targets, where there are several."""
        return tuple(self.metrics.get("outputs", ()))

    @property
    def interval_text(self) -> str:
        """How the intervals were made."""
        interval = self.metrics["ensemble"]["intervals"][self.primary]
        return f"{interval['level']:.0%} {interval['method']}, {interval['draws']:,} draws"

    @property
    def weighting(self) -> str:
        """What the numbers count by, as the end of a sentence; empty where every row counts alike."""
        return f", weighted by {self.manifest.get('weight')}" if self.metrics.get("weighted") else ""

    @property
    def headlines(self) -> list[Headline]:
        """Mean over folds of every metric, with interval and worst group."""
        ensemble = self.metrics["ensemble"]
        return [
            Headline(
                self.label(name),
                ensemble["mean"][name],
                ensemble["intervals"][name]["low"],
                ensemble["intervals"][name]["high"],
                ensemble["worst_group"][name]["group"],
                ensemble["worst_group"][name]["value"],
                ensemble.get("pooled", {}).get(name),
            )
            for name in self.names
        ]

    @property
    def members(self) -> Mapping[str, Mapping[str, Any]]:
        """Every seed's metrics by seed, copies of one model once."""
        copies = self.metrics.get("copies", {})
        return {seed: block for seed, block in self.metrics["members"].items() if seed not in copies}

    @property
    def copies(self) -> str:
        """Which seeds are one model; empty where every seed is one of its own."""
        return copies_sentence(self.metrics) if self.metrics.get("copies") else ""

    @property
    def seeds(self) -> str:
        """How many models there are of each fold."""
        return "1 seed" if len(self.members) == 1 else f"{len(self.members)} seeds"

    @property
    def several(self) -> bool:
        """Whether a table by seeds says anything: one seed, or copies of one model, are none to compare."""
        return len(self.members) > 1

    @property
    def fold_rows(self) -> list[dict[str, Any]]:
        """Every fold, worst first by the primary metric; at most MAX_ROWS."""
        rows = []
        for fold, block in self.metrics["ensemble"]["folds"].items():
            seeds = [member["folds"][fold][self.primary] for member in self.members.values()]
            known = [value for value in seeds if value is not None]
            rows.append(
                {
                    "fold": fold,
                    "rows": block["rows"],
                    "n_train": block["n_train"],
                    "values": [block[name] for name in self.names],
                    "low": min(known) if len(known) == len(seeds) else None,
                    "high": max(known) if len(known) == len(seeds) else None,
                    "primary": block[self.primary],
                }
            )
        rows.sort(key=self._worst_first)
        return rows[:MAX_ROWS]

    @property
    def groups(self) -> Mapping[str, Mapping[str, Any]]:
        """The ensemble's block of every group; where folds are groups, of every fold."""
        ensemble = self.metrics["ensemble"]
        found: Mapping[str, Mapping[str, Any]] = ensemble.get("groups") or ensemble["folds"]
        return found

    def worst_first(self, value: float | None) -> float:
        """Sort key of a value of the primary metric; what is undefined comes before the worst."""
        if value is None:
            return float("-inf")
        return -value if self._known[self.primary]["better"] == "lower" else value

    @property
    def extremes(self) -> list[str]:
        """What the least and the largest value of the primary metric are called."""
        return ["worst", "best"] if self._known[self.primary]["better"] == "higher" else ["least", "most"]

    def _worst_first(self, row: Mapping[str, Any]) -> tuple[float, str]:
        return self.worst_first(row["primary"]), row["fold"]

    @property
    def contenders(self) -> list[Contender]:
        """The variant, then its baselines."""
        main = self.metrics["ensemble"]
        lines = [Contender(str(self.verdict["variant"]), "", len(self.members), self._means(main), False)]
        if len(self.members) > 1:
            seed, member = next(iter(sorted(self.members.items(), key=lambda item: int(item[0]))))
            what = f"its seed {seed} alone, as the baselines are"
            lines.append(Contender(f"{self.verdict['variant']}, one seed", what, 1, self._means(member), False))
        for name, block in self.metrics["baselines"].items():
            theirs, ours = block["mean"][self.primary], main["mean"][self.primary]
            better = theirs is not None and ours is not None and self.worst_first(theirs) > self.worst_first(ours)
            values, gain = self._means(block), self._gain(name)
            lines.append(Contender(name, block["description"], block["seeds"], values, better, gain))
        return lines

    def _gain(self, name: str) -> str:
        """What the variant gains over a contender on the primary metric, with its paired interval.

        A constant has no correlation, so there is no gain in one; there is in RMSE.
        """
        gain = self._gain_in(name, self.primary)
        if gain is not None:
            return gain
        if not self._constant(name):
            return "undefined"
        instead = self._gain_in(name, "rmse")
        also = f"; {self.label('rmse')} {instead}" if instead else ""
        return f"undefined: a constant has no correlation{also}"

    def _gain_in(self, name: str, metric: str) -> str | None:
        found = self.metrics["comparisons"].get(name, {}).get(metric, {})
        if found.get("low") is None:
            return None
        return f"{signed(found['gain'])} ({signed(found['low'])} to {signed(found['high'])})"

    def _constant(self, name: str) -> bool:
        """Whether the primary metric, a correlation, is undefined because a contender predicts one number."""
        start, end = f"baselines/{name}/folds/", f"/{self.primary}"
        return any(
            each["why"] == CONSTANT_PREDICTION and each["where"].startswith(start) and each["where"].endswith(end)
            for each in self.metrics["undefined"]
        )

    def _means(self, block: Mapping[str, Any]) -> list[Any]:
        return [block["mean"][name] for name in self.names]

    @property
    def levels(self) -> list[tuple[str, list[Any]]]:
        """The same predictions, scored at every level of grouping."""
        ensemble = self.metrics["ensemble"]
        kinds = {"mean": "mean over folds", "pooled": "all rows pooled", "cells": "means of cells"}
        kinds |= {"within_cell": "inside a cell, mean over cells"}
        return [
            (text, [ensemble[kind].get(name) for name in self.names])
            for kind, text in kinds.items()
            if kind in ensemble
        ]

    @property
    def seed_rows(self) -> list[tuple[str, Any, Any, Any, Any]]:
        """Each seed's primary metric over folds: mean, std, min, max."""
        members = sorted(self.members.items(), key=lambda item: int(item[0]))
        return [
            (seed, *(block[statistic][self.primary] for statistic in ("mean", "std", "min", "max")))
            for seed, block in members
        ]

    @property
    def sigma(self) -> Mapping[str, Any] | None:
        """Coverage of the seeds' own spread; None for one seed or for classes."""
        found = self.metrics["ensemble"].get("sigma")
        return found if found and found["coverage_95"] is not None else None

    @property
    def coverage_rows(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Conformal intervals: kind in words, and the document of every level."""
        words = {"absolute": "one width everywhere", "normalised": "widths in proportion to the seeds' spread"}
        kinds = self.metrics["ensemble"].get("conformal", {}).get("kinds", {})
        return [(words[kind], level) for kind, levels in kinds.items() for level in levels.values()]

    @property
    def slice_rows(self) -> list[tuple[str, str, int, list[Any]]]:
        """Every declared slice: column, value, rows, metrics; the most rows last to be cut."""
        found = self.metrics["ensemble"].get("slices", {})
        return [
            (column, value, block["rows"], [block[name] for name in self.names])
            for column, values in found.items()
            for value, block in values.items()
        ]

    @property
    def undefined(self) -> list[Mapping[str, str]]:
        """Numbers that are null, with the reason."""
        return list(self.metrics["undefined"][:MAX_ROWS])

    @property
    def chain(self) -> list[tuple[str, str]]:
        """The digests that the verdict names."""
        judged = self.verdict["judged"]
        return [(key.removesuffix("_sha256"), str(value)) for key, value in judged.items() if key != "corpus_path"]

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """What ran, on what."""
        block = self.verdict["run_provenance"]
        host, code = block.get("host", {}), block.get("code", {})
        rows = [
            ("code revision", code.get("revision", "unknown")),
            ("system", f"{host.get('system')} {host.get('machine')}, {host.get('cpus')} processors"),
            ("Python", host.get("python")),
            ("device", block.get("device")),
            ("arguments", " ".join(block.get("argv", []))),
        ]
        return [(name, str(value)) for name, value in [*rows, *block.get("packages", {}).items()] if value]

    @property
    def variant_option(self) -> str:
        """What the command line needs beside the study."""
        return "" if self.verdict["variant"] == "base" else f" --variant {self.verdict['variant']}"
