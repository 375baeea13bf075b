"""``metrics.json``: every number that a gate may judge and a report may show, from predictions alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.evidence import finite_or_none
from heldout.study import BootstrapSpec
from heldout.task.conformal import conformal
from heldout.task.metric import Metric, Rows
from heldout.task.metrics import OLDER, rows_of, worst
from heldout.task.predictions import Predictions
from heldout.task.rivals import GroupScores, Rivals, Scored, Wanted
from heldout.task.trivial import Trivial
from heldout.task.uncertainty import bootstrap_mean, gaussian_coverage

SCHEMA = "heldout.metrics/2"
OLDER_SCHEMA = "heldout.metrics/1"  # macro F1 and log loss by other definitions, and no list of the metrics
Block = dict[str, Any]
_ROUNDING = 1e-12


@dataclass
class _Undefined:
    """Collects why a number is null, so that none of them vanishes."""

    found: list[dict[str, str]] = field(default_factory=list)

    def plain(self, values: Mapping[str, float], where: str, why: Any) -> dict[str, float | None]:
        for name, value in values.items():
            if not np.isfinite(value):
                self.found.append({"where": f"{where}/{name}", "why": why(name) if callable(why) else why})
        return {name: finite_or_none(value) for name, value in values.items()}


def summarise(
    predictions: Predictions,
    n_train: Mapping[str, int],
    bootstrap: BootstrapSpec,
    baselines: Mapping[str, tuple[str, Predictions]] | None = None,
    trivial: Mapping[str, Trivial] | None = None,
    *,
    table: Sequence[Metric] | None = None,
    asked: Collection[str] = (),
    wanted: Wanted | None = None,
) -> dict[str, Any]:
    """Compute the whole document.

    Args:
        predictions: Out-of-fold predictions of every seed.
        n_train: Training rows of each fold.
        bootstrap: Level, draws and seed of the intervals.
        baselines: By id: description and predictions of the cheap contenders.
        trivial: Contenders that know nothing; None for a document of before there were any, which counts copies of
            one model as several.
        table: The metrics to compute, the primary one first; None for a document of before they were listed.
        asked: Contenders (empty: the variant itself) that are models from elsewhere: no row trained them here.
        wanted: Which gains rules ask for besides those over baselines, group by group.
    """
    listed = tuple(OLDER[predictions.task] if table is None else table)
    rows = _columns(predictions, predictions.ensemble, listed)
    undefined = _Undefined()
    own = {} if "" in asked else n_train
    ensemble, by_group = _block_and_groups(rows, own, "ensemble", undefined)
    copies = {} if trivial is None else predictions.copies
    sigma = predictions.without(copies).sigma
    ensemble |= _ensemble_only(predictions, sigma, rows, ensemble, by_group, bootstrap, undefined)
    members = {
        str(seed): _block(rows.of(predictions.members[seed]), own, f"members/{seed}", undefined)[0]
        for seed in sorted(predictions.members)
    }
    others: dict[str, Block] = {}
    rivals = Rivals(bootstrap, wanted or Wanted())
    for name, (description, theirs) in sorted((baselines or {}).items()):
        columns = _columns(theirs, theirs.ensemble, listed)
        block, their_groups = _block_and_groups(
            columns, {} if name in asked else n_train, f"baselines/{name}", undefined
        )
        rivals.add(name, columns, their_groups)
        others[name] = block | {"description": description, "seeds": len(theirs.members)}
    known = None if trivial is None else _trivial(predictions, rows, trivial, rivals)
    document = {
        "schema": OLDER_SCHEMA if table is None else SCHEMA,
        "task": predictions.task,
        "classes": list(predictions.classes),
        "primary": listed[0].name,
        "rows": predictions.samples.height,
        "groups": len(rows.by_group),
        "seeds": sorted(predictions.members),
        "folds": sorted(ensemble["folds"]),
        "members": members,
        "ensemble": ensemble,
        "baselines": others,
        "comparisons": rivals.gains(rows, by_group),
        "undefined": undefined.found,
    }
    if predictions.weight is not None:
        document["weighted"] = True
    if predictions.outputs:
        document["outputs"] = list(predictions.outputs)
    if table is not None:
        document["metrics"] = [each.to_json() for each in listed]
    if known is None:
        return document
    return document | {"copies": {str(seed): first for seed, first in copies.items()}, "trivial": known}


def _trivial(
    predictions: Predictions,
    scored: Scored,
    trivial: Mapping[str, Trivial],
    rivals: Rivals,
) -> Block:
    """What contenders that know nothing score on these rows, as far as rules read it, and which of them this run is."""
    found: Block = {"same_as": None, "contenders": {}}
    scored_by: dict[str, tuple[Scored, GroupScores]] = {}
    for name, contender in trivial.items():
        answers = contender.predict(scored.folds)
        rows = replace(scored.of(answers), knows_nothing=True)
        alone, nowhere = Predictions(predictions.samples, {0: answers}, predictions.classes), _Undefined()
        block, by_group = _block_and_groups(rows, {}, name, nowhere)
        block |= _ensemble_only(alone, None, rows, block, by_group, None, nowhere)
        found["contenders"][name] = {"answers": contender.to_json(), "ensemble": _read_by_rules(block)}
        scored_by[name] = rows, by_group
        rivals.add_nothing(name, rows, by_group)
        if found["same_as"] is None and predictions.copy_of(answers):
            found["same_as"] = name
    for name, (rows, by_group) in scored_by.items():
        gains = rivals.gains(rows, by_group)
        for gain in (gain for each in gains.values() for gain in each.values()):
            gain.pop("differences", None)
        found["contenders"][name]["comparisons"] = gains
    return found


def _read_by_rules(block: Block) -> Block:
    """A block without what no rule reads: a contender that knows nothing is in no table."""
    parts = ("mean", "pooled", "cells", "within_cell", "conformal")
    kept = {part: block[part] for part in parts if part in block}
    part = "groups" if "groups" in block else "folds"
    kept[part] = {name: _metrics_of(each) for name, each in block[part].items()}
    if "slices" in block:
        kept["slices"] = {
            column: {value: _metrics_of(each) for value, each in values.items()}
            for column, values in block["slices"].items()
        }
    return kept


def _metrics_of(part: Block) -> Block:
    return {name: value for name, value in part.items() if name not in ("rows", "n_train")}


def _columns(predictions: Predictions, said: FloatArray, table: tuple[Metric, ...]) -> Scored:
    samples = predictions.samples
    folds, groups = samples["fold"].to_numpy(), samples["group"].to_numpy()
    return Scored(
        all=rows_of(predictions.target, said, predictions.classes, predictions.weight, predictions.outputs),
        folds=folds,
        groups=groups,
        by_fold=_segments(folds),
        by_group=_segments(groups),
        cells=_cells(samples) if "cell" in samples.columns else None,
        table=table,
    )


def _cells(samples: pl.DataFrame) -> NDArray[Any]:
    """Cell of each row; where several folds hold a row out, its cell is one for each: no two models share a cell."""
    several = samples["sample_id"].is_duplicated().any()
    cells = samples.select(pl.format("{}\x00{}", "cell", "fold") if several else pl.col("cell")).to_series()
    found: NDArray[Any] = cells.to_numpy()
    return found


def _block_and_groups(
    rows: Scored, n_train: Mapping[str, int], where: str, undefined: _Undefined
) -> tuple[Block, GroupScores]:
    """A block, and the scores of every group; where each fold is a group, rows are scored once for both."""
    block, by_fold = _block(rows, n_train, where, undefined)
    if rows.by_fold.keys() == rows.by_group.keys() and all(
        np.array_equal(members, rows.by_group[fold]) for fold, members in rows.by_fold.items()
    ):
        return block, by_fold
    return block, {group: rows.score(rows.all.part(members)) for group, members in rows.by_group.items()}


def _block(rows: Scored, n_train: Mapping[str, int], where: str, undefined: _Undefined) -> tuple[Block, GroupScores]:
    folds: dict[str, Block] = {}
    by_fold: dict[str, dict[str, float]] = {}
    by_metric: dict[str, list[float]] = {}
    for fold, members in rows.by_fold.items():
        part = rows.all.part(members)
        scores = by_fold[fold] = rows.score(part)
        for name, value in scores.items():
            by_metric.setdefault(name, []).append(value)
        plain = undefined.plain(scores, f"{where}/folds/{fold}", rows.why(part))
        folds[fold] = {"rows": len(members), "n_train": n_train.get(fold, 0)} | plain
    block: Block = {"folds": folds}
    for label, function in _STATISTICS.items():
        values = {name: float(function(np.array(items))) for name, items in by_metric.items()}
        block[label] = undefined.plain(values, f"{where}/{label}", _fold_reason(label, len(folds)))
    block["pooled"] = undefined.plain(rows.score(rows.all), f"{where}/pooled", rows.why(rows.all))
    if rows.cells is not None and not rows.classes:
        block |= _cell_blocks(rows, where, undefined)
    return block, by_fold


def _std(values: FloatArray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


_STATISTICS: dict[str, Callable[[FloatArray], Any]] = {"mean": np.mean, "std": _std, "min": np.min, "max": np.max}


def _fold_reason(label: str, folds: int) -> str:
    return "one fold has no spread" if label == "std" and folds < 2 else "a fold is undefined"


def _cell_blocks(rows: Scored, where: str, undefined: _Undefined) -> Block:
    """Per clip (a cell's mean against its mean), and the mean over cells of what happens inside one.

    Weights count inside a cell; each cell counts once, as each fold and each group does.
    """
    assert rows.cells is not None
    every = [rows.all.part(members) for members in _segments(rows.cells).values()]
    parts = [part for part in every if len(part.counted)]  # a cell that weighs nothing is none
    targets = np.array([part.mean(part.truth) for part in parts])
    means = np.array([part.mean(part.said) for part in parts])
    if np.ptp(targets) <= _ROUNDING * np.ptp(rows.all.truth):
        targets = np.zeros_like(targets)  # targets relative to their cell's mean: what is left of it is rounding
    clips = Rows(targets, means)
    inside = [rows.score(part) for part in parts]
    within: dict[str, Any] = {"cells": len(parts), "undefined_cells": {}}
    for name in (each.name for each in rows.table):
        values = np.array([scores[name] for scores in inside])
        missing = int(np.isnan(values).sum())
        if missing:
            within["undefined_cells"][name] = missing
        mean = float(np.mean(values[~np.isnan(values)])) if missing < len(values) else float("nan")
        within |= undefined.plain({name: mean}, f"{where}/within_cell", "it is undefined in every cell")
    return {"cells": undefined.plain(rows.score(clips), f"{where}/cells", rows.why(clips)), "within_cell": within}


def _ensemble_only(
    predictions: Predictions,
    sigma: FloatArray | None,
    rows: Scored,
    block: Block,
    by_group: GroupScores,
    bootstrap: BootstrapSpec | None,
    undefined: _Undefined,
) -> Block:
    segments = rows.by_group
    extra: Block = {"worst_group": {}, "intervals": {}}
    if set(by_group) != set(block["folds"]):
        extra["groups"] = {
            group: {"rows": len(segments[group])}
            | undefined.plain(scores, f"ensemble/groups/{group}", rows.why(rows.all.part(segments[group])))
            for group, scores in by_group.items()
        }
    for metric in rows.table:
        name = metric.name
        values = {group: scores[name] for group, scores in by_group.items()}
        group, value = worst(metric, values)
        extra["worst_group"][name] = {"group": group, "value": finite_or_none(value)}
        if bootstrap is not None:
            extra["intervals"][name] = bootstrap_mean(np.array(list(values.values())), bootstrap)
    one = not (rows.classes or rows.all.outputs)
    if one and sigma is not None:
        extra["sigma"] = gaussian_coverage(rows.all.truth, predictions.ensemble, sigma, segments, rows.all.weight)
    if one:
        extra["conformal"] = conformal(rows.all.truth, predictions.ensemble, sigma, segments, weight=rows.all.weight)
    if predictions.slices:
        extra["slices"] = {
            name: {
                value: {"rows": len(part)}
                | undefined.plain(rows.score(part), f"ensemble/slices/{name}/{value}", rows.why(part))
                for value, part in ((key, rows.all.part(members)) for key, members in _segments(labels).items())
            }
            for name, labels in sorted(predictions.slices.items())
        }
    return extra


def _segments(labels: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each label, labels sorted, rows ascending."""
    names, inverse = np.unique(labels.astype(str), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(names) + 1))
    return {str(name): order[starts[code] : starts[code + 1]] for code, name in enumerate(names)}
