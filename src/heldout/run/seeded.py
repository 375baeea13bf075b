"""Whether a seed changes what an estimator predicts: found by fitting it twice, not by what it says of itself."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from heldout.backbone import Backbone, ClassScores, FeaturesView
from heldout.corpus import Corpus
from heldout.run.units import group_view
from heldout.task.predictions import equal_predictions

_ROWS = 400


def seed_matters(backbone: Backbone, corpus: Corpus) -> bool | None:
    """Fit on half of a sample with two seeds and compare what is predicted for the other half.

    Args:
        backbone: Bound to its parameters; it is asked on its short budget.
        corpus: Where the sample is taken from, evenly over its rows.

    Returns:
        None where the backbone cannot be fitted on so few rows.
    """
    if not backbone.seeded:
        return False
    rows = np.unique(np.linspace(0, corpus.manifest.rows - 1, _ROWS).astype(np.int64))
    view, asked = group_view(corpus, rows[::2]), FeaturesView(corpus.features[rows[1::2]])
    quick = backbone.quick()
    answers = []
    with tempfile.TemporaryDirectory(prefix="heldout-seeds-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for seed in (0, 1):
                found = quick.predict(quick.fit(view, seed, Path(name) / str(seed)), asked)
                values = found.probability if isinstance(found, ClassScores) else found
                answers.append(np.asarray(values, dtype=np.float64))
        except Exception:  # noqa: BLE001 - an estimator may raise anything, such as for a class too few in a sample
            return None
    return answers[0].shape != answers[1].shape or not equal_predictions(*answers)
