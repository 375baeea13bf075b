"""Half-widths of an export: calibrated on sources, order statistics, and a reason where there are none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.domains.video.export.confidence import calibration, clip_quantile, confidence, most
from heldout.study import BootstrapSpec
from heldout.task import Predictions, summarise


def predictions(sources: int, *, seed: int = 0, spread: float = 0.3, frames: int = 4) -> Predictions:
    """Sources with an error of their own, two encodes each; two members that differ by ``spread``."""
    rng = np.random.default_rng(seed)
    bias = rng.normal(size=sources)
    rows: list[dict[str, Any]] = []
    for source in range(sources):
        for cell in range(2):
            shift = bias[source] + rng.normal() * 0.5
            for frame in range(frames):
                name = f"s{source:02d}"
                key = {"sample_id": f"{name}/{cell}/{frame}", "group": name, "cell": f"{name}/{cell}", "fold": name}
                rows.append(key | {"target": float(rng.uniform(40, 95)), "shift": shift + rng.normal() * 0.2})
    frame_ = pl.DataFrame(rows)
    mean = (frame_["target"] + frame_["shift"]).to_numpy()
    half = spread / 2 * rng.uniform(0.5, 1.5, len(mean)) if spread else np.zeros(len(mean))
    return Predictions(frame_.drop("shift"), {0: mean - half, 1: mean + half})


def block(found: Predictions, seeds: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    names = found.samples["group"].unique()
    metrics = summarise(found, dict.fromkeys(names, 100), BootstrapSpec(draws=100), {})
    return confidence(metrics, found, seeds)


def test_enough_sources_give_every_width_at_every_level() -> None:
    """If this failed, an ensemble with enough evidence would be shipped without intervals."""
    found = predictions(24)
    document = block(found)

    assert (document["method"], document["conformal_q_residual_why"]) == ("ensemble+conformal", None)
    frame, clip = document["conformal"]["frame"], document["conformal"]["clip"]
    assert {"absolute", "normalised"} == set(frame)
    for levels in (*frame.values(), clip["levels"]):
        widths = [level["half_width"] for level in levels.values()]
        assert ["0.8", "0.9", "0.95"] == list(levels)
        assert sorted(widths) == widths
        assert widths[0] > 0
    assert calibration(document, found) == {
        "n_calibration": 24,
        "alpha": 0.05,
        "nominal_coverage": 0.95,
        "conformal_q_residual": document["conformal_q_residual"],
        "mean_sigma_cal": pytest.approx(found.sigma.mean() if found.sigma is not None else None),
    }


def test_defect_25_a_width_is_an_order_statistic_over_sources() -> None:
    """If this failed, an interpolated width would claim a confidence that its sources cannot hold."""
    scores = [float(value) for value in range(1, 20)]
    assert [clip_quantile(scores, level) for level in (0.5, 0.9, 0.95)] == [10.0, 18.0, 19.0]
    assert clip_quantile(scores, 0.951) is None
    assert clip_quantile(scores[:-1], 0.95) is None
    assert [most(12), most(19)] == [12 / 13, 0.95]


def test_defect_24_too_few_sources_give_no_width_but_the_reason() -> None:
    """If this failed, rows of twelve clips would be counted as evidence about sources never seen."""
    document = block(predictions(12, frames=50))

    assert (document["method"], document["conformal_q_residual"]) == ("ensemble", None)
    why = "12 sources can hold no confidence above 0.923: 0.95 takes 19"
    assert why == document["conformal_q_residual_why"]
    for levels in (*document["conformal"]["frame"].values(), document["conformal"]["clip"]["levels"]):
        assert (None, why) == (levels["0.95"]["half_width"], levels["0.95"]["why"])
        assert levels["0.9"]["half_width"] > 0


def test_defect_25_members_that_agree_give_no_width_of_zero() -> None:
    """If this failed, members that agree by chance would claim to be certain."""
    found = predictions(24)
    agreed = {seed: values.copy() for seed, values in found.members.items()}
    agreed[1][:3] = agreed[0][:3]
    document = block(Predictions(found.samples, agreed))

    assert (document["method"], document["conformal_q_residual"]) == ("ensemble", None)
    assert "agree on some rows" in document["conformal_q_residual_why"]
    assert document["conformal"]["sigma_floor"] > 0
    assert document["conformal"]["frame"]["normalised"]["0.95"]["half_width"] > 0


def test_a_width_is_of_the_ensemble_that_was_calibrated() -> None:
    """If this failed, some of the members would be shipped with the intervals of all of them."""
    found = predictions(24)
    assert "not of these members" in block(found, (0,))["conformal"]["why"]
    assert "no held-out predictions" in confidence({}, None, (0, 1))["conformal"]["why"]
    lost = {0: found.members[0], 1: np.where(np.arange(len(found.target)) == 0, math.nan, found.members[1])}
    assert "no number" in confidence({}, Predictions(found.samples, lost), (0, 1))["conformal"]["why"]


def test_the_margin_of_a_clip_holds_for_sources_never_seen() -> None:
    """If this failed, the bound would hold for one encode, and not for the one that is picked among many."""
    held = []
    for seed in range(300):
        found = predictions(20, seed=seed, frames=2)
        names = found.samples["group"]
        known = names != "s19"
        fitted = Predictions(found.samples.filter(known), {s: v[known.to_numpy()] for s, v in found.members.items()})
        margin = confidence({}, fitted, (0, 1))["conformal"]["clip"]["levels"]["0.9"]["margin"]
        error = pl.DataFrame({"cell": found.samples["cell"], "e": found.ensemble - found.target}).filter(~known)
        held.append(error.group_by("cell").agg(pl.mean("e"))["e"].max() <= margin)
    assert 0.9 <= np.mean(held) + 3 * math.sqrt(0.9 * 0.1 / 300)
    assert np.mean(held) < 1.0
