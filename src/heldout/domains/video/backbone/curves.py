"""Rate-quality curves for the report: what libvmaf measured and what was predicted, from held-out rows."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from heldout.backbone import CurvePanel, FloatArray
from heldout.corpus import Corpus


def rate_quality(corpus: Corpus, samples: pl.DataFrame, prediction: FloatArray) -> list[CurvePanel]:
    """One panel an encoder: mean over sources of the clips' means, against kilobytes a frame.

    Args:
        corpus: The corpus of the run.
        samples: Held-out samples, with sample_id, group, cell and target.
        prediction: float64 of shape ``[rows of samples]``.
    """
    known = corpus.features.select("encoder", "cq").with_columns(sample_id=corpus.ids)
    rows = samples.with_columns(prediction=pl.Series(prediction)).join(known, on="sample_id", how="left")
    clips = rows.group_by("encoder", "cq", "group", "cell").agg(pl.col("target", "prediction").mean())
    points = clips.group_by("encoder", "cq").agg(pl.col("target", "prediction").mean()).sort("encoder", "cq")
    rates: dict[str, dict[str, float]] = corpus.manifest.facts.get("kilobytes_a_frame", {})
    return [
        _panel(str(encoder), table, rates.get(str(encoder), {}))
        for (encoder,), table in points.group_by("encoder", maintain_order=True)
    ]


def _panel(encoder: str, table: pl.DataFrame, rates: Mapping[str, float]) -> CurvePanel:
    """By rate if every point has one, else by quality point."""
    sized = all(str(cq) in rates for cq in table["cq"])
    series: dict[str, list[tuple[float, float]]] = {"measured": [], "predicted": []}
    for row in table.iter_rows(named=True):
        x = rates[str(row["cq"])] if sized else float(row["cq"])
        series["measured"].append((x, row["target"]))
        series["predicted"].append((x, row["prediction"]))
    ordered = {name: sorted(points) for name, points in series.items()}
    return CurvePanel(encoder, "kilobytes a frame" if sized else "quality point", "VMAF", ordered)
