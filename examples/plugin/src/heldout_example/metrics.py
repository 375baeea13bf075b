"""A metric: the share of rows whose error is at most a tenth of the true value."""

from __future__ import annotations

import numpy as np

from heldout.task.metric import SHARE, Metric, Rows


def _within_tenth(rows: Rows) -> float:
    return rows.mean(np.abs(rows.said - rows.truth) <= 0.1 * np.abs(rows.truth))  # `rows.mean` counts by weight


WITHIN_TENTH = Metric("within_tenth", "within 10 %", "higher", SHARE, "value", _within_tenth)
