"""The published ship gate over the seeds' mean PLCC, as the existing system words and reports it.

Three parts: the mean over seeds, the spread (largest minus smallest seed) and the worst seed. Here a seed without a
number fails: it is listed in ``failing_seeds``, and mean and spread are null. ``passed`` never says more than the
verdict of all rules does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from heldout.errors import InputError

MEAN_PLCC, SPREAD_MAX, SEED_MIN = 0.95, 0.005, 0.95
DEFAULT_SEEDS = (0, 1, 2, 3, 4)
ADR, PARENT_ADR = "ADR-0309", "ADR-0303"


@dataclass(frozen=True)
class Bounds:
    """The three published bounds; None where a study declares no such rule, so that nothing was judged by it."""

    mean_plcc_threshold: float | None = MEAN_PLCC
    plcc_spread_max: float | None = SPREAD_MAX
    per_seed_min: float | None = SEED_MIN

    def checked(self) -> Bounds:
        """These bounds, if each is a finite number.

        Raises:
            InputError: For NaN or infinity, by which nothing can be judged.
        """
        for name, value in vars(self).items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"the bound is {value}", where=name, hint="give a finite number")
        return self


class GateReport(TypedDict):
    """The ``gate`` block of a verdict, with the published keys."""

    passed: bool
    mean_plcc: float | None
    mean_plcc_threshold: float | None
    mean_plcc_pass: bool | None
    plcc_spread: float | None
    plcc_spread_max: float | None
    plcc_spread_pass: bool | None
    per_seed_plccs: dict[str, float | None]
    per_seed_min: float | None
    per_seed_pass: bool | None
    failing_seeds: list[int]


def gate_report(per_seed: Mapping[int, float | None], bounds: Bounds, verdict: str) -> GateReport:
    """The ``gate`` block of a verdict, with the published keys.

    Args:
        per_seed: Mean PLCC of every seed that was asked for; None where it is missing or undefined.
        bounds: The declared bounds.
        verdict: ``PROMOTE`` or ``HOLD``, by all rules.
    """
    values = [value for value in per_seed.values() if value is not None]
    whole = bool(per_seed) and len(values) == len(per_seed)
    mean = math.fsum(values) / len(values) if whole else None
    spread = max(values) - min(values) if whole and len(values) > 1 else None
    failing = sorted(seed for seed, value in per_seed.items() if _fails(value, bounds.per_seed_min))
    mean_pass = _at_least(mean, bounds.mean_plcc_threshold)
    spread_pass = _at_most(spread, bounds.plcc_spread_max)
    seeds_pass = None if bounds.per_seed_min is None else bool(per_seed) and not failing
    return {
        "passed": verdict == "PROMOTE" and False not in (mean_pass, spread_pass, seeds_pass),
        "mean_plcc": mean,
        "mean_plcc_threshold": bounds.mean_plcc_threshold,
        "mean_plcc_pass": mean_pass,
        "plcc_spread": spread,
        "plcc_spread_max": bounds.plcc_spread_max,
        "plcc_spread_pass": spread_pass,
        "per_seed_plccs": {str(seed): value for seed, value in sorted(per_seed.items())},
        "per_seed_min": bounds.per_seed_min,
        "per_seed_pass": seeds_pass,
        "failing_seeds": failing,
    }


def failing_aspects(report: GateReport) -> list[str]:
    """What of the published gate is in the way, in the published words."""
    aspects = []
    if report["mean_plcc_pass"] is False:
        aspects.append(_compared("mean_plcc", report["mean_plcc"], "<", report["mean_plcc_threshold"]))
    if report["plcc_spread_pass"] is False:
        aspects.append(_compared("plcc_spread", report["plcc_spread"], ">", report["plcc_spread_max"]))
    if report["failing_seeds"]:
        aspects.append(f"failing seeds {report['failing_seeds']}")
    return aspects


def recommendation(verdict: str, report: GateReport, others: Sequence[str]) -> str:
    """What to do now.

    Args:
        verdict: ``PROMOTE`` or ``HOLD``.
        report: The gate block.
        others: Sentences of the rules beyond the published gate that are not PASS.
    """
    if verdict == "PROMOTE":
        return "Every rule passed: export each seed's model and propose the registry flip."
    aspects = [*failing_aspects(report), *others]
    return "Keep what is in production. In the way: " + ("; ".join(aspects) or "no rule was judged") + "."


def _fails(value: float | None, bound: float | None) -> bool:
    return value is None or (bound is not None and value < bound)


def _at_least(value: float | None, bound: float | None) -> bool | None:
    return None if bound is None else value is not None and value >= bound


def _at_most(value: float | None, bound: float | None) -> bool | None:
    return None if bound is None else value is not None and value <= bound


def _compared(name: str, value: float | None, sign: str, bound: float | None) -> str:
    """Four decimals as published, and more where four would print two equal numbers."""
    if value is None or bound is None:
        return f"{name} cannot be judged"
    digits = next((d for d in range(4, 17) if f"{value:.{d}f}" != f"{bound:.{d}f}"), 17)
    return f"{name} {value:.{digits}f} {sign} {bound:.{digits}f}"
