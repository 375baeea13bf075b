"""Many tries: the level that is left for each, and how good the best of many looks by luck alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

from heldout.errors import InputError

EULER_GAMMA = 0.5772156649015329


def bonferroni(alpha: float, trials: int) -> float:
    """The level for each of ``trials`` tests that together err with a chance of at most ``alpha``."""
    _at_least_one(trials)
    return alpha / trials


def holm(p_values: Mapping[str, float], alpha: float, trials: int | None = None) -> dict[str, bool]:
    """Which hypotheses are rejected by Holm's step-down procedure (1979): never fewer than by Bonferroni's.

    Args:
        p_values: One for each hypothesis that has one.
        alpha: Chance of any false rejection.
        trials: How many were tried, failures included; those without a p-value count as 1.

    Raises:
        InputError: If a p-value is not in 0 to 1, or there are more of them than tries.
    """
    for name, value in p_values.items():
        if not 0 <= value <= 1:
            raise InputError(f"{value} is no p-value", where=name, hint="it lies between 0 and 1")
    total = len(p_values) if trials is None else trials
    if total < len(p_values):
        raise InputError(
            f"{total} trials are fewer than the {len(p_values)} p-values", where="trials", hint="count every look"
        )
    rejected = dict.fromkeys(p_values, False)
    for place, name in enumerate(sorted(p_values, key=lambda each: (p_values[each], each))):
        if p_values[name] > alpha / (total - place):
            break
        rejected[name] = True
    return rejected


def expected_maximum(trials: int) -> float:
    """Expected largest of ``trials`` independent standard normal draws; 0 for one.

    The approximation of Bailey and Lopez de Prado (2014), equation 1.
    """
    from scipy.special import ndtri

    _at_least_one(trials)
    if trials == 1:
        return 0.0
    first, second = ndtri(1 - 1 / trials), ndtri(1 - 1 / (trials * math.e))
    return float((1 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_threshold(scale: float, blocks: int, trials: int, overlap: float = 1.0) -> float:
    """What the best of ``trials`` arms without any skill shows as its mean lead, on average.

    Args:
        scale: Standard deviation of a block's difference.
        blocks: Blocks in the mean.
        trials: Arms that were tried.
        overlap: Factor on the variance for what blocks share.

    Returns:
        In units of ``scale``: a lead below it is nothing to speak of.
    """
    if blocks < 1:
        raise InputError("there is no block yet", where="blocks", hint="wait for outcomes to mature")
    return scale * math.sqrt(overlap / blocks) * expected_maximum(trials)


def _at_least_one(trials: int) -> None:
    if trials < 1:
        raise InputError(f"{trials} trials are none", where="trials", hint="the arm that is judged is a trial itself")
