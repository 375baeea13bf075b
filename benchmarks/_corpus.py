"""Synthetic arrays shaped like the main job's: clips, encoders, quality points, six features, a score in 0 .. 100.

For speed and for comparing engines only: the numbers say nothing about video. Nothing outside this file is read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.fit import TrainJob

# Frames of the nine clips; 1,410 in all. One encoder at four quality points makes 5,640 rows, six make 33,840.
FRAMES = (150, 180, 150, 180, 180, 150, 150, 150, 120)
QUALITY_POINTS = (19, 25, 31, 37)
SLOTS = 12


class Corpus(NamedTuple):
    """Rows: float64 ``features`` ``[n, 6]``, ``codec`` ``[n, 14]``, ``target`` ``[n]``, int ``group`` ``[n]``."""

    features: NDArray[np.float64]
    codec: NDArray[np.float64]
    target: NDArray[np.float64]
    group: NDArray[np.int64]


class Fold(NamedTuple):
    """One held-out group: its jobs (one a seed) and its test rows, scaled by the training rows."""

    jobs: list[TrainJob]
    X: NDArray[np.float32]
    y: NDArray[np.float32]


def corpus(rows: int) -> Corpus:
    """A corpus of 5,640 rows an encoder; ``rows`` is rounded to whole encoders."""
    rng, parts = np.random.default_rng(20), []
    for group, frames in enumerate(FRAMES):
        detail, speed = rng.uniform(0.2, 1.0), rng.uniform(1.0, 15.0)
        motion = speed * np.exp(0.3 * _wander(rng, frames))
        motion[0] = 0.0
        scene = 0.2 * _wander(rng, frames)
        for encoder in range(max(1, round(rows / 5640))):
            for quality in QUALITY_POINTS:
                loss = detail * (1.0 + 0.1 * encoder) * np.exp((quality - 31) / 9.0 + scene)
                loss = loss * np.exp(0.1 * rng.normal(size=frames))
                scales = [np.exp(-k * loss) + 0.004 * rng.normal(size=frames) for k in (1.0, 0.35, 0.2, 0.15)]
                sharp = 1.0 - 0.08 * loss + 0.002 * rng.normal(size=frames)
                score = 100.0 / (1.0 + np.exp(1.6 * loss - 3.5)) + 0.8 * np.log1p(motion)
                codec = np.zeros((frames, SLOTS + 2))
                codec[:, 5 + encoder], codec[:, SLOTS] = 1.0, 0.5
                codec[:, SLOTS + 1] = (quality - QUALITY_POINTS[0]) / (QUALITY_POINTS[-1] - QUALITY_POINTS[0])
                target = np.clip(score + 0.3 * rng.normal(size=frames), 0.0, 100.0)
                parts.append((np.column_stack([sharp, *scales, motion]), codec, target, np.full(frames, group)))
    return Corpus(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def folds(data: Corpus, seeds: int) -> list[Fold]:
    """Leave one group out, every seed; features and target are standardised by the training rows of each fold."""
    made = []
    for held_out in range(len(FRAMES)):
        train, test = data.group != held_out, data.group == held_out
        mean, std = data.features[train].mean(0), data.features[train].std(0)
        scaled = np.column_stack([(data.features - mean) / std, data.codec]).astype(np.float32)
        y = ((data.target - data.target[train].mean()) / data.target[train].std()).astype(np.float32)
        X_train = np.ascontiguousarray(scaled[train])
        jobs = [TrainJob(f"seed{seed}/clip{held_out}", X_train, y[train], seed) for seed in range(seeds)]
        made.append(Fold(jobs, scaled[test], y[test]))
    return made


def _wander(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """A random walk pulled back to zero, with unit variance in the long run."""
    noise, at, path = np.sqrt(1 - 0.96**2) * rng.normal(size=count), float(rng.normal()), np.empty(count)
    for i in range(count):
        at = 0.96 * at + noise[i]
        path[i] = at
    return path
