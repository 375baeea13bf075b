"""How far an exported ensemble may be off on a source that it never saw: half-widths, or why there are none.

The residuals are those of the run: every row predicted by members that never saw its source. They are calibrated over
sources, not rows, and every quantile is an order statistic. Three questions have three answers:

- one frame: the run's own conformal half-widths, one width everywhere (``absolute``) or in proportion to the members'
  spread plus its median (``normalised``), so that members which agree by chance give no width of zero;
- the published ``mean ± q * sigma``: a ``q`` only where no spread is zero, since it would give no width there;
- all encodes of one clip at once: of each source the largest error of a clip's mean, either way or upwards only, which
  is what a lower bound takes off. Whoever picks one encode among many picks one that the ensemble flatters, so an
  interval for a single encode would not hold for the one that is picked.

The exported members are refits on all sources, the residuals those of members that lacked one: what holds for the
latter is taken to hold for the former.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from heldout.evidence import finite_or_none
from heldout.task import Predictions
from heldout.task.conformal import LEVELS, METHOD, groups_needed, hierarchical_quantile

NOMINAL = 0.95
_GAUSSIAN_Z = 1.959963984540054  # two-sided 95 %
_PUBLISHED_FLOOR = 1e-6  # of sigma, in the published quotient
_NO_ROWS = "no held-out predictions were given to calibrate on"
_OF = "error of a clip's mean, VMAF points: of each source the largest over all its encodes"


def confidence(metrics: Mapping[str, Any], predictions: Predictions | None, seeds: Sequence[int]) -> dict[str, object]:
    """The block ``confidence`` of an ensemble's manifest.

    Args:
        metrics: The document ``metrics.json`` of the run.
        predictions: Its held-out predictions.
        seeds: Members of the ensemble; intervals are given only for the ensemble that the run calibrated.
    """
    found = metrics.get("ensemble", {})
    why = _why_not(predictions, seeds)
    q, q_why = (None, why) if why or predictions is None else _published(predictions)
    return {
        "method": "ensemble" if q is None else "ensemble+conformal",
        "nominal_coverage": NOMINAL,
        "gaussian_z": _GAUSSIAN_Z,
        "conformal_q_residual": q,
        "conformal_q_residual_why": q_why,
        "held_out": found.get("sigma"),
        "conformal": {"why": why} if why or predictions is None else _conformal(found, predictions),
    }


def calibration(block: Mapping[str, Any], predictions: Predictions | None) -> dict[str, object] | None:
    """The published ``eval.calibration``, where there is a ``q``; counted in sources."""
    if block["conformal_q_residual"] is None or predictions is None or predictions.sigma is None:
        return None
    return {
        "n_calibration": predictions.samples["group"].n_unique(),
        "alpha": round(1 - NOMINAL, 9),
        "nominal_coverage": NOMINAL,
        "conformal_q_residual": block["conformal_q_residual"],
        "mean_sigma_cal": float(predictions.sigma.mean()),
    }


def most(sources: int) -> float:
    """The highest confidence that this many sources can hold."""
    return sources / (sources + 1)


def too_few(sources: int, level: float) -> str:
    """Why there is no number."""
    return (
        f"{sources} sources can hold no confidence above {math.floor(most(sources) * 1000) / 1000:g}: "
        f"{level:g} takes {groups_needed(level)}"
    )


def _why_not(predictions: Predictions | None, seeds: Sequence[int]) -> str | None:
    if predictions is None:
        return _NO_ROWS
    if set(predictions.members) != set(seeds):
        return f"the run calibrated the ensemble of seeds {sorted(predictions.members)}, not of these members"
    if not np.isfinite(predictions.target - predictions.ensemble).all():
        return "a held-out prediction is no number"
    return None


def _conformal(found: Mapping[str, Any], predictions: Predictions) -> dict[str, object]:
    groups = predictions.samples["group"].n_unique()
    kinds = found.get("conformal", {}).get("kinds", {})
    sigma = predictions.sigma
    return {
        "method": METHOD,
        "sources": groups,
        "frame": {
            kind: {name: _level(level, groups) for name, level in levels.items()} for kind, levels in kinds.items()
        },
        "sigma_floor": None if sigma is None else float(np.median(sigma)),
        "clip": _clips(predictions, groups),
    }


def _level(level: Mapping[str, Any], groups: int) -> dict[str, object]:
    """One level as the run found it; a width of zero is no width."""
    width = level["half_width"] or None
    held = {key: level[key] for key in ("coverage", "worst_group")}
    why = (
        None if width else too_few(groups, level["level"]) if level["half_width"] is None else "all residuals are zero"
    )
    return {"half_width": width, "why": why} | held


def _published(predictions: Predictions) -> tuple[float | None, str | None]:
    """``q`` of the published ``mean ± q * sigma``, or why not."""
    sigma, names = predictions.sigma, predictions.samples["group"]
    if sigma is None:
        return None, "one member has no spread"
    if float(sigma.min()) <= _PUBLISHED_FLOOR:
        return None, "the members agree on some rows: mean ± q * sigma has no width there (use `conformal`)"
    scores = np.abs(predictions.target - predictions.ensemble) / sigma
    groups = names.unique().sort().to_list()
    parts = [scores[(names == group).to_numpy()] for group in groups]
    q = finite_or_none(hierarchical_quantile(parts, NOMINAL))
    return (q, None) if q else (None, too_few(len(groups), NOMINAL))


def _clips(predictions: Predictions, groups: int) -> dict[str, object]:
    """Scores of every source, sorted; ``either_way`` gives half-widths, ``too_high`` what a lower bound takes off."""
    if "cell" not in predictions.samples.columns:
        return {"of": _OF, "scores": {}, "levels": {}}
    error = pl.Series("error", predictions.ensemble - predictions.target)
    cells = (
        predictions.samples.select("group", "cell").with_columns(error).group_by("group", "cell").agg(pl.mean("error"))
    )
    worst = cells.group_by("group").agg(
        either_way=pl.col("error").abs().max(), too_high=pl.max_horizontal(pl.col("error").max(), 0.0)
    )
    scores = {name: worst[name].sort().to_list() for name in ("either_way", "too_high")}
    levels = {}
    for level in LEVELS:
        width, margin = (clip_quantile(scores[name], level) for name in ("either_way", "too_high"))
        why = too_few(groups, level) if width is None else None
        levels[f"{level:g}"] = {"half_width": width or None, "margin": margin, "why": why}
    return {"of": _OF, "scores": scores, "levels": levels}


def clip_quantile(scores: Sequence[float], level: float) -> float | None:
    """What holds for all encodes of a new source at once; None if there are too few sources.

    Args:
        scores: One a held-out source.
        level: Wanted confidence, in (0, 1).
    """
    return finite_or_none(hierarchical_quantile([np.array([score]) for score in sorted(scores)], level))
