"""The gate of a policy: an action space, a normaliser that train episodes alone were fitted to, a stated conversion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from heldout.domains.embodied.checkpoint.seen import Checkpoint, Verdict
from heldout.domains.embodied.checkpoint.world import prediction, weights
from heldout.domains.embodied.select.guards import normaliser_fitted_on_train
from heldout.domains.embodied.select.manifest import read_manifest

STATS = "normalization_stats.json"
_CONVERSION = ("source", "target", "method")


def check(checkpoint: Checkpoint, verdict: Verdict) -> None:
    """Run every check of a policy."""
    space = checkpoint.document("action_space.json") or {}
    stats = checkpoint.document(STATS) or {}
    dims = space.get("dims")
    dims = dims if isinstance(dims, list) else []
    verdict.check("action_space", "HO-G141", _space(space, dims), "define the action space first")
    verdict.check("normaliser", "HO-G142", _normaliser(stats, len(dims)), "fit it on train episodes and save it")
    _ledger(checkpoint, stats, verdict)
    manifest = checkpoint.document("checkpoint_manifest.json") or {}
    verdict.check("conversion", "HO-G143", _conversion(manifest), "write how targets were made of what was recorded")
    weights(checkpoint, verdict)
    prediction(checkpoint, verdict)


def _space(space: Mapping[str, Any], dims: Sequence[Any]) -> list[str]:
    if not dims:
        return ["action_space.json names no dims"]
    problems = []
    rate = space.get("rate_hz")
    if not _number(rate) or rate <= 0:
        problems.append("it names no rate_hz")
    names = [dim.get("name") for dim in dims if isinstance(dim, dict)]
    if (
        len(names) < len(dims)
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) < len(dims)
    ):
        problems.append("every dim needs a name of its own")
    for dim in (dim for dim in dims if isinstance(dim, dict)):
        low, high = dim.get("low"), dim.get("high")
        if not (_number(low) and _number(high) and low < high):
            problems.append(f"{dim.get('name')}: low {low!r}, high {high!r}")
        if not dim.get("unit"):
            problems.append(f"{dim.get('name')}: no unit")
    return problems


def _normaliser(stats: Mapping[str, Any], dims: int) -> list[str]:
    problems = []
    for name in ("mean", "std"):
        values = stats.get(name)
        if not isinstance(values, list) or len(values) != dims or not all(_number(value) for value in values):
            problems.append(f"{name} is not {dims} finite numbers")
        elif name == "std" and not all(value > 0 for value in values):
            problems.append("std is not above 0")
    return problems


def _ledger(checkpoint: Checkpoint, stats: Mapping[str, Any], verdict: Verdict) -> None:
    """The normaliser names the episodes that it was fitted on, and they are train episodes."""
    if checkpoint.manifest is None:
        verdict.unseen("fitted_on_train", "HO-G106", "there is no episode manifest", "give it by --manifest")
        return
    fitted = stats.get("fitted_on")
    names = [str(name) for name in fitted] if isinstance(fitted, list) else []
    found = normaliser_fitted_on_train(read_manifest(checkpoint.manifest), names, where=STATS)
    verdict.checks["fitted_on_train"] = "FAIL" if found else "PASS"
    verdict.findings += found


def _conversion(manifest: Mapping[str, Any]) -> list[str]:
    told = manifest.get("conversion")
    if not isinstance(told, dict):
        return ["checkpoint_manifest.json has no conversion"]
    return [f"it names no {key}" for key in _CONVERSION if not told.get(key)]


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
