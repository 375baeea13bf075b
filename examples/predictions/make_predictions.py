"""Readings of 60 patients with the probabilities of two models, as a CSV: an old one, and one that is better.

Usage: python make_predictions.py readings.csv
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

PATIENTS, READINGS = 60, 30


def main(path: str) -> None:
    """Write the table; equal calls write equal bytes."""
    rng = np.random.default_rng(11)
    patient = np.repeat(np.arange(PATIENTS), READINGS)
    signal = rng.normal(size=len(patient)) + rng.normal(0, 0.7, PATIENTS)[patient]
    event = signal + rng.normal(size=len(patient)) > 0

    def model(noise: float) -> np.ndarray:
        seen = signal + rng.normal(0, noise, len(patient))
        return np.round(1 / (1 + np.exp(-1.5 * seen)), 6)

    pl.DataFrame(
        {
            "patient": [f"p{number:02d}" for number in patient],
            "event": np.where(event, "yes", "no"),
            "new": model(0.5),
            "old": model(1.5),
        }
    ).write_csv(path)


if __name__ == "__main__":
    main(sys.argv[1])
