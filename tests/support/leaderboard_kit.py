"""Series with and without an edge, for simulations of the leaderboard's statistics."""

from __future__ import annotations

import numpy as np

from heldout.leaderboard import DatedScores


def rng(seed: int) -> np.random.Generator:
    """A generator that gives the same draws everywhere."""
    return np.random.Generator(np.random.Philox(seed))


def days(count: int, start: str = "2000-01-03") -> np.ndarray:
    """Consecutive business days."""
    return np.busday_offset(np.datetime64(start, "D"), np.arange(count), roll="forward")


def dated(values: np.ndarray, start: str = "2000-01-03") -> DatedScores:
    """Scores on consecutive business days."""
    return DatedScores(days(len(values), start), np.asarray(values, dtype=np.float64))


def overlapping(draws: int, dates: int, horizon: int, seed: int, kind: str = "normal") -> np.ndarray:
    """Differences without any edge whose outcomes overlap for `horizon` dates, unit variance, `[draws, dates]`."""
    generator = rng(seed)
    shape = (draws, dates + horizon - 1)
    noise = {
        "normal": generator.standard_normal,
        "heavy": lambda size: generator.standard_t(3, size) / np.sqrt(3),
        "skewed": lambda size: generator.exponential(1.0, size) - 1,
    }[kind](shape)
    sums = np.concatenate([np.zeros((draws, 1)), noise.cumsum(axis=1)], axis=1)
    return (sums[:, horizon:] - sums[:, :-horizon]) / np.sqrt(horizon)
