r"""A confidence sequence for a mean: an interval that may be looked at after every block and still holds.

With :math:`S = \sum (d_i - m)` and :math:`V = \sum (d_i - m)^2`, :math:`\exp(\lambda S - \lambda^2 V / 2)` is a
nonnegative supermartingale for every :math:`\lambda` if each difference is symmetric about ``m`` given the past (de la
Pena 1999; Howard, Ramdas, McAuliffe and Sekhon 2020, lemma 3). Mixing over :math:`\lambda > 0` with a half-normal
density of precision :math:`\rho` gives the evidence against "the centre is at most m", by Ville's inequality at least
:math:`1/a` with a chance of at most :math:`a`, however often one looks:

.. math:: 2 \sqrt{\rho / (\rho + V)} \, \exp(S^2 / (2 (\rho + V))) \, \Phi(S / \sqrt{\rho + V})

What it assumes, and what it does not:

- Under "it makes no difference which of the two serves" a paired difference is symmetric about zero by construction.
- No bound and no variance is declared: ``V`` is the data's own, so a wide clip cannot shield an incumbent and a narrow
  one cannot break the level. ``rho`` only chooses where the interval is tightest.
- Blocks may share outcomes with their neighbours as far as the horizon says: ``V`` is multiplied by
  :func:`heldout.leaderboard.dated.overlap_factor`. Dependence that reaches further is not covered.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from heldout.leaderboard.dated import Floats

_HALVINGS = 60


def log_evidence(values: ArrayLike, centre: ArrayLike, *, rho: float, overlap: float = 1.0) -> Floats:
    """Log evidence, after every block, that the mean is larger than ``centre``.

    Args:
        values: Block means in the order of time, shape ``[..., blocks]``.
        centre: What is tested, broadcast against ``[..., blocks]``.
        rho: Precision of the mixture, in squared units of the values.
        overlap: Factor on the variance for what blocks share.

    Returns:
        float64 of shape ``[..., blocks]``.
    """
    count, sums, squares = _prefixes(np.asarray(values, dtype=np.float64))
    return _log_mixture(count, sums, squares, np.asarray(centre, dtype=np.float64), rho, overlap)


def bounds(values: ArrayLike, *, alpha: float, rho: float, overlap: float = 1.0) -> tuple[Floats, Floats]:
    """The interval after every block; all of them hold at once with a chance of at least ``1 - alpha``.

    Args:
        values: Block means in the order of time, shape ``[..., blocks]``.
        alpha: Chance that any interval misses; half of it on each side.
        rho: Precision of the mixture, in squared units of the values.
        overlap: Factor on the variance for what blocks share.

    Returns:
        Lower and upper ends, float64 of shape ``[..., blocks]``; infinite as long as too few blocks can say anything.
    """
    count, sums, squares = _prefixes(np.asarray(values, dtype=np.float64))
    low = _lower(count, sums, squares, alpha, rho, overlap)
    high = -_lower(count, -sums, squares, alpha, rho, overlap)
    return low, high


def mixture_precision(blocks: float, scale: float, alpha: float, overlap: float = 1.0) -> float:
    """The ``rho`` that makes the interval about tightest after so many blocks of that standard deviation.

    Approximation of Howard, Ramdas, McAuliffe and Sekhon (2021), section 3.5.
    """
    log = -2 * math.log(alpha)
    return blocks * scale**2 * overlap / (log + math.log1p(log))


def boundary(blocks: Floats, scale: float, *, alpha: float, rho: float, overlap: float = 1.0) -> Floats:
    """About how far the sum of so many blocks must be from what is tested before it is ruled out (units of values)."""
    spread = rho + overlap * blocks * scale**2
    return np.sqrt(2 * spread * (math.log(1 / alpha) + 0.5 * np.log(spread / rho)))


def _prefixes(values: Floats) -> tuple[Floats, Floats, Floats]:
    return np.arange(1.0, values.shape[-1] + 1), values.cumsum(axis=-1), (values * values).cumsum(axis=-1)


def _log_mixture(count: Floats, sums: Floats, squares: Floats, centre: Floats, rho: float, overlap: float) -> Floats:
    from scipy.special import log_ndtr

    shifted = sums - count * centre
    spread = rho + overlap * np.maximum(squares - 2 * centre * sums + count * centre**2, 0.0)
    found = math.log(2) + 0.5 * np.log(rho / spread) + shifted**2 / (2 * spread) + log_ndtr(shifted / np.sqrt(spread))
    return np.asarray(found, dtype=np.float64)


def _lower(count: Floats, sums: Floats, squares: Floats, alpha: float, rho: float, overlap: float) -> Floats:
    """The largest centre below the mean that the evidence rules out; minus infinity where it rules out none.

    Going down from the mean the evidence rises up to a peak and then falls, for V grows as well: only what lies between
    the mean and the peak is used.
    """
    mean = sums / count
    rest = rho + overlap * np.maximum(squares - count * mean**2, 0.0)
    peak = mean - np.sqrt(np.maximum(count / overlap - 1, 0.0) * rest / (overlap * count))
    target = math.log(2 / alpha)
    reached = _log_mixture(count, sums, squares, peak, rho, overlap) >= target
    out, inside = peak.copy(), mean.copy()
    for _ in range(_HALVINGS):
        middle = 0.5 * (out + inside)
        ruled_out = _log_mixture(count, sums, squares, middle, rho, overlap) >= target
        out, inside = np.where(ruled_out, middle, out), np.where(ruled_out, inside, middle)
    return np.where(reached, out, -np.inf)
