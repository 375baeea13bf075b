"""Rows of a panel: an asset on a date, with features known on it and a label that is known later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.domains.market.panel.features import feature_matrices, standardised
from heldout.domains.market.panel.options import PanelOptions
from heldout.domains.market.panel.panel import Matrix, Panel


@dataclass(frozen=True)
class Rows:
    """Every asset and date that could be predicted, in order of date and asset.

    Attributes:
        date: Number of the date in the panel; int ``[rows]``.
        asset: Number of the asset; int ``[rows]``.
        features: One column a feature, one row a row; finite.
        label: Forward return over the horizon, relative to the universe; NaN where it is not known.
        left_out: How many rows of the panel are not among these or have no label, by reason.
    """

    date: NDArray[np.int64]
    asset: NDArray[np.int64]
    features: pl.DataFrame
    label: Matrix
    left_out: dict[str, int]

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Numbers of the rows whose label is known."""
        return np.flatnonzero(np.isfinite(self.label))


def build_rows(panel: Panel, options: PanelOptions) -> Rows:
    """Features and labels of a panel."""
    raw = feature_matrices(panel, options.features)
    traded = np.isfinite(panel.close)
    defined = np.all([np.isfinite(values) for values in raw.values()], axis=0)
    usable = panel.member & defined
    enough = usable.sum(axis=1, keepdims=True) >= options.min_assets
    kept = usable & enough
    label, reasons = _labels(panel, options, kept)
    date, asset = np.nonzero(kept)
    return Rows(
        date=date,
        asset=asset,
        features=pl.DataFrame({name: _columns(values, kept, options)[kept] for name, values in raw.items()}),
        label=label[kept],
        left_out={
            "not_in_the_universe": int((traded & ~panel.member).sum()),
            "a_feature_is_not_defined_yet": int((panel.member & ~defined).sum()),
            "too_few_assets_on_the_date": int((usable & ~enough).sum()),
            **reasons,
        },
    )


def _columns(values: Matrix, kept: NDArray[np.bool_], options: PanelOptions) -> Matrix:
    if options.standardise == "none":
        return values
    found = standardised(values, kept, options.standardise)
    limit = options.winsorise if options.standardise == "zscore" else None
    return found if limit is None else np.clip(found, -limit, limit)


def _labels(panel: Panel, options: PanelOptions, kept: NDArray[np.bool_]) -> tuple[Matrix, dict[str, int]]:
    """Forward returns ``[dates, assets]``, and how many kept rows have none, by reason."""
    ahead = np.full_like(panel.close, np.nan)
    horizon = min(options.forward_days, len(panel.dates))
    ahead[: len(panel.dates) - horizon] = panel.close[horizon:]
    growth = ahead / panel.close
    label = np.log(growth) if options.label == "log" else growth - 1
    matured = np.arange(len(panel.dates))[:, None] < len(panel.dates) - horizon
    known = kept & np.isfinite(label)
    few = known & (known.sum(axis=1, keepdims=True) < options.min_assets)
    known &= ~few
    reasons = {
        "label_has_not_matured": int((kept & ~matured).sum()),
        "no_price_when_the_label_matures": int((kept & matured & ~np.isfinite(label)).sum()),
        "too_few_labels_on_the_date": int(few.sum()),
    }
    if options.demean:
        mean = np.where(known, label, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        label = label - mean[:, None]
    return np.where(known, label, np.nan), reasons
