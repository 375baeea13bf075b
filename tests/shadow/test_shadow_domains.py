"""The shadow knows no domain: rows of features and price panels go the same way, each by its own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from market_kit import frame, prices

from heldout import Study
from heldout.registry import Registry, add, promote
from heldout.shadow import ShadowStore, run_shadow
from heldout.task.table import read_table, table_in

pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow
PANEL: dict[str, Any] = {
    "study": "panel",
    "corpus": {
        "reader": "market_panel", "path": "panel.parquet", "forward_days": 5, "block": 20,
        "features": {"momentum": {"windows": [10, 20], "skip": 2}, "volatility": None, "reversal": {"windows": [5]}},
    },
    "split": {"kind": "walk-forward", "warmup": 14, "window": 4},
    "backbone": "market_stack",
    "fit": {"inner_folds": 3},
    "seeds": [0],
    "variants": [
        {"id": "longer", "set": {"corpus.forward_days": 15}},
        {"id": "residual", "set": {"corpus.features.residual_momentum": {"windows": [20], "skip": 2, "beta": 12}}},
    ],
}  # fmt: skip


def serve(registry: Registry, study: Path, *names: str) -> dict[str, Path]:
    """Run directories by variant; the first serves, whatever its verdict."""
    found = {}
    for place, name in enumerate(names):
        found[name] = Study.load(study).run(name, runs=study.parent / "runs", workers=1).folder
        version = add(registry, found[name], challenger=place > 0)
        if place == 0:
            promote(registry, version.id, override=True, reason="somebody has to")
    return found


def test_a_panel_is_predicted_as_it_was_when_it_was_held_out(tmp_path: Path) -> None:
    """The models that predict would not be those that were judged, or be fed other features than theirs."""
    frame(prices(560, 12, drift=0.004)).write_parquet(tmp_path / "panel.parquet")
    study = tmp_path / "study.yaml"
    study.write_text(json.dumps(PANEL))
    with Registry(tmp_path / "registry", create=True) as registry:
        runs = serve(registry, study, "base", "longer", "residual")
        store = ShadowStore(tmp_path / "shadow", "panel")
        dates = pl.read_parquet(tmp_path / "panel.parquet")["date"].unique().sort()
        found = run_shadow(registry, store, tmp_path / "panel.parquet", since=str(dates[400]), until=str(dates[-1]))
        assert [] == [each.reason for each in found.results if each.reason]
        assert 3 == len(found.results)
        predictions = store.predictions()
        assert {"date", "asset"} <= set(predictions.columns)
        assert str(dates[-1]) == predictions["date"].max(), "dates whose label has not matured are predicted too"
        for name, run in runs.items():
            mine = predictions.filter(pl.col("variant") == name)
            held = read_table(table_in(run))
            last = held.filter(pl.col("fold") == held["fold"].max()).select("sample_id", "prediction")
            both = last.join(mine.filter(~pl.col("in_sample")), on="sample_id", suffix="_shadow")
            assert last.height == both.height > 0
            assert both["prediction"].to_list() == both["prediction_shadow"].to_list()
            card = next(card for _, card in store.cards() if card["variant"] == name)
            seen = mine.filter(pl.col("in_sample"))
            assert seen["date"].max() <= card["trained_through"][:10] < both["sample_id"].min()[:10]


def test_classes_and_their_probabilities_are_averaged_over_folds_and_seeds(tmp_path: Path) -> None:
    """A classifier could not run in shadow, or be one fold's model under the name of all."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=90)
    table = {"site": [f"s{row % 3}" for row in range(90)], "x": x, "kind": np.where(x > 0, "up", "down")}
    pl.DataFrame(table).write_csv(tmp_path / "table.csv")
    study = tmp_path / "study.yaml"
    study.write_text(
        json.dumps(
            {
                "study": "kinds",
                "corpus": {"path": "table.csv", "group": "site", "target": "kind"},
                "backbone": "sklearn",
                "fit": {"estimator": "sklearn.linear_model.LogisticRegression"},
                "seeds": [0, 1],
                "baselines": [],
                "gate": {"rules": [{"id": "acc", "metric": "accuracy", "over": "pooled", "at_least": 0.5}]},
            }
        )
    )
    with Registry(tmp_path / "registry", create=True) as registry:
        run = serve(registry, study, "base")["base"]
        store = ShadowStore(tmp_path / "shadow", "kinds")
        batch = tmp_path / "now.csv"
        pl.DataFrame({"x": [-2.0, 0.1, 3.0], "comment": ["a", "b", "c"]}).write_csv(batch)
        run_shadow(registry, store, batch)
        found = store.predictions()
    assert ["now/0", "now/1", "now/2"] == found["sample_id"].to_list()
    assert ["down", "up"] == [found["prediction"][0], found["prediction"][2]]

    from heldout.backbone import ClassScores, FeaturesView
    from heldout.run.resolve import load_backbone

    backbone = load_backbone("sklearn", {"estimator": "sklearn.linear_model.LogisticRegression"})
    folders = sorted(run.glob("fits/seed*/*"))
    assert 6 == len(folders)
    answers = [
        backbone.predict(backbone.load(each), FeaturesView(pl.DataFrame({"x": [-2.0, 0.1, 3.0]}))) for each in folders
    ]
    scores = [each.probability[:, 1] for each in answers if isinstance(each, ClassScores)]
    assert found["p_up"].to_list() == pytest.approx(np.mean(scores, axis=0).tolist())
