"""What is prepared on all rows tells of the rows that are held out; what is prepared in each fold does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder

import heldout

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*TargetEncoder:FutureWarning")]
SITES, ROWS = 8, 20
SITE = np.repeat([f"s{number}" for number in range(SITES)], ROWS)


class Planted(NamedTuple):
    """A table in which nothing tells the target, and a way to prepare it.

    Attributes:
        table: Features.
        target: Noise.
        everywhere: The features as they are prepared on all rows, by scikit-learn alone.
        rest: What is fitted on those.
        inside: The same preparation and fit, as one estimator.
    """

    table: pl.DataFrame
    target: np.ndarray
    everywhere: np.ndarray
    rest: Any
    inside: Any


def selector() -> Planted:
    """Wide noise: the columns that agree with the target are chosen, by all rows."""
    rng = np.random.default_rng(0)
    wide, target = rng.normal(size=(SITES * ROWS, 400)), rng.choice(["no", "yes"], SITES * ROWS)
    best, line = SelectKBest(k=15), LogisticRegression(C=0.1)
    table = pl.DataFrame({f"x{number}": column for number, column in enumerate(wide.T)})
    return Planted(table, target, best.fit_transform(wide, target), line, make_pipeline(best, line))


def encoder() -> Planted:
    """A code that stands in two or three rows becomes the mean of its targets, of all rows."""
    rng = np.random.default_rng(1)
    code, target = rng.integers(0, 70, SITES * ROWS), rng.normal(size=SITES * ROWS)
    table = pl.DataFrame({"code": [f"c{each}" for each in code]})
    of_targets = TargetEncoder(target_type="continuous", smooth=0.1)
    everywhere = of_targets.fit(table.to_numpy(), target).transform(table.to_numpy())
    return Planted(
        table, target, everywhere, Ridge(), make_pipeline(make_column_transformer((of_targets, ["code"])), Ridge())
    )


def imputer() -> Planted:
    """Gaps are filled from the row that is nearest, in a table in which the target still stands."""
    rng = np.random.default_rng(2)
    x, target = rng.normal(size=(2, SITES * ROWS))
    x[rng.random(SITES * ROWS) < 0.5] = np.nan
    filled = KNNImputer(n_neighbors=1)
    everywhere = filled.fit_transform(np.column_stack([x, target]))[:, :1]
    nearest = KNeighborsRegressor(1)
    return Planted(pl.DataFrame({"x": x}), target, everywhere, nearest, make_pipeline(filled, nearest))


@pytest.mark.parametrize("plant", [selector, encoder, imputer])
def test_what_is_fitted_on_all_rows_changes_the_verdict_and_what_is_fitted_in_folds_does_not(
    plant: Callable[[], Planted], tmp_path: Path
) -> None:
    """Noise would be promoted by the same model, for it was prepared before it was held out."""
    planted = plant()
    labels = planted.target.dtype.kind == "U"
    known, method = planted.target == "yes" if labels else planted.target, "predict_proba" if labels else "predict"
    said = cross_val_predict(
        planted.rest, planted.everywhere, planted.target, groups=SITE, cv=LeaveOneGroupOut(), method=method
    )
    nothing = np.array([known[site != SITE].mean() for site in SITE])
    outside = heldout.judge(
        planted.target, {"new": said[:, 1] if labels else said, "nothing": nothing}, groups=SITE,
        ledger=tmp_path / "outside", held_out="each site was left out of the fit, and of nothing before it",
    )  # fmt: skip
    assert "PROMOTE" == outside.verdict
    inside = heldout.evaluate(
        planted.inside, planted.table, planted.target, groups=SITE, workers=1, ledger=tmp_path / "inside"
    )
    assert "HOLD" == inside.verdict
    assert ["informed"] == inside.rules.filter(outcome="FAIL")["rule"].to_list()
    loss = "log_loss" if labels else "rmse"
    mine, theirs = (run.metrics.filter(metric=loss)["mean"][0] for run in (outside, inside))
    assert mine < (np.log(2) if labels else np.std(known)) < theirs  # better than knowing nothing, and worse
