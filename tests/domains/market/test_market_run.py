"""The whole road over a panel: split in time, fitted, judged by date, verified from its files."""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from market_kit import frame, prices
from scipy.stats import spearmanr

from heldout import Study
from heldout.errors import CorpusError, StudyError
from heldout.gate.rules import judge_rule
from heldout.run.layout import write_manifest
from heldout.run.prepare import Prepared
from heldout.study import BootstrapSpec, RuleSpec
from heldout.task import read_predictions, summarise
from heldout.task.table import read_table, table_in, write_table
from heldout.verify import verify_run

pytest.importorskip("sklearn")
EXAMPLE = Path(__file__).parents[3] / "examples" / "market" / "study.yaml"
WALK = {"kind": "walk-forward", "warmup": 14, "window": 4}
COMBINED = {"kind": "combinatorial-purged", "folds": 4, "held_out": 2}


def study(folder: Path, split: dict[str, Any], *, drift: float = 0.004, **more: Any) -> Study:
    """A study over twelve assets whose own returns persist by so much."""
    if not (folder / "panel.parquet").exists():
        frame(prices(560, 12, drift=drift)).write_parquet(folder / "panel.parquet")
    features = {"momentum": {"windows": [10, 20], "skip": 2}, "volatility": None, "reversal": {"windows": [5]}}
    document = {
        "study": "panel",
        "corpus": {
            "reader": "market_panel", "path": "panel.parquet", "forward_days": 5, "block": 20, "features": features,
        },
        "split": split,
        "backbone": "market_stack",
        "fit": {"inner_folds": 3},
        "seeds": [0],
        "variants": [
            {"id": "longer", "set": {"corpus.forward_days": 15}},
            {"id": "residual", "set": {"corpus.features.residual_momentum": {"windows": [20], "skip": 2, "beta": 12}}},
        ],
    } | more  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    return Study.load(folder / "study.yaml")


def prepared(folder: Path, split: dict[str, Any], variant: str = "base") -> Prepared:
    return study(folder, split).prepare(variant, runs=folder / "runs")


@pytest.mark.first_is_fast
@pytest.mark.parametrize("split", [WALK, COMBINED], ids=["walk-forward", "combinatorial"])
def test_a_run_is_judged_by_dates_and_verifies(tmp_path: Path, split: dict[str, Any]) -> None:
    """A verdict about markets could not be checked by anybody else."""
    run = study(tmp_path, split).run(runs=tmp_path / "runs", workers=1)
    outcomes = {rule["id"]: rule for rule in run.document["rules"]}
    assert "PROMOTE" == run.verdict, run.document["reasons"]
    assert outcomes["rank-ic"]["observed"] > 0.05
    table = read_table(table_in(run.folder))
    by_date = table.group_by("fold", "cell").agg(ic=pl.struct("prediction", "target"))
    each = [spearmanr(part.struct["prediction"], part.struct["target"])[0] for part in by_date["ic"]]
    assert outcomes["rank-ic"]["observed"] == pytest.approx(np.mean(each))
    combined = split is COMBINED
    assert (3 if combined else 1) == table.group_by("sample_id").len()["len"].max()
    verification = verify_run(run.folder, corpus=tmp_path / "panel.parquet", refit_too=True, workers=1)
    assert verification.holds, verification.broken
    states = {link.id: link.state for link in verification.links}
    assert "OK" == states["refit"]
    assert "OK" == states["corpus-file"]


@pytest.mark.slow
def test_a_panel_without_skill_is_held(tmp_path: Path) -> None:
    """Random walks would be promoted, and the money lost."""
    run = study(tmp_path, WALK, drift=0.0).run(runs=tmp_path / "runs", workers=1)
    assert "HOLD" == run.verdict
    failed = {rule["id"] for rule in run.document["rules"] if rule["outcome"] != "PASS"}
    assert failed
    assert failed <= {"rank-ic", "beats-noise"}


@pytest.mark.slow
def test_a_prediction_moved_to_another_fold_is_found(tmp_path: Path) -> None:
    """Where a row is held out several times, one fold's answer could be shown for another's."""
    run = study(tmp_path, COMBINED).run(runs=tmp_path / "runs", workers=1)
    table = read_table(table_in(run.folder))
    assert table["sample_id"][0] == table["sample_id"][1]
    first, second, *others = table["seed0"].to_list()
    assert first != second
    write_table(table.with_columns(seed0=pl.Series([second, first, *others])), run.folder)
    write_manifest(run.folder)
    states = {link.id: link.state for link in verify_run(run.folder).links}
    assert "BROKEN" == states["predictions"]


@pytest.mark.slow
def test_problem_01_a_longer_horizon_purges_its_folds(tmp_path: Path) -> None:
    """One override would have to be repeated in a second knob, and be forgotten there."""
    base, longer = (prepared(tmp_path, WALK, variant) for variant in ("base", "longer"))
    for one, two in zip(base.split.folds, longer.split.folds, strict=False):
        assert one.test == two.test
        assert set(one.apart) <= set(two.apart)
    assert {"forward_days": 15}.items() <= longer.corpus.manifest.facts.items()


def test_problem_02_the_whole_configuration_is_in_the_lock(tmp_path: Path) -> None:
    """A shadow would score a version with the features of whatever serves now."""
    config = study(tmp_path, WALK).resolve("residual").config
    assert {"windows": [20], "skip": 2, "beta": 12} == config["corpus"]["features"]["residual_momentum"]
    assert {"windows": [10, 20], "skip": 2} == config["corpus"]["features"]["momentum"]
    assert {"stack": "families", "inner_folds": 3, "equal_weights": 0.5, "trees": None} == config["fit"]


def test_problem_01_a_variant_that_changes_nothing_is_an_error(tmp_path: Path) -> None:
    """The base would compete with itself, and win by luck."""
    same = study(tmp_path, WALK, variants=[{"id": "same", "set": {"corpus.features.volatility": None}}])
    with pytest.raises(StudyError, match="changes nothing"):
        same.resolve("same")


def test_problem_10_a_warm_up_that_no_label_survives_is_refused_before_a_fit(tmp_path: Path) -> None:
    """A window that is too short for its labels would train on nothing, week after week."""
    with pytest.raises(CorpusError, match="nothing is left to learn from"):
        prepared(tmp_path, {"kind": "walk-forward", "warmup": 1, "window": 1}, "longer")


@pytest.mark.slow
def test_problem_21_a_constant_date_makes_the_rank_ic_unknown(tmp_path: Path) -> None:
    """A model that answers one number for all assets of a day would pass by the other days."""
    run = study(tmp_path, WALK, baselines=[], gate=_gate()).run(runs=tmp_path / "runs", workers=1)
    predictions = read_predictions(table_in(run.folder), [0])
    day = (predictions.samples["cell"] == predictions.samples["cell"][0]).to_numpy()
    predictions.members[0][day] = 0.0
    metrics = summarise(predictions, {}, BootstrapSpec(draws=100))
    rule = RuleSpec(id="rank-ic", metric="srocc", over="within_cell", at_least=0.0)
    assert "UNKNOWN" == judge_rule(rule, metrics).outcome
    cells = metrics["ensemble"]["cells"]
    assert cells["srocc"] is None, "targets are relative to their date's mean: means of dates are rounding"


def test_problem_27_another_horizon_is_another_split(tmp_path: Path) -> None:
    """A challenger with other labels would be compared with the champion, after a full run."""
    base, longer = (prepared(tmp_path, COMBINED, variant) for variant in ("base", "longer"))
    assert base.split.sha256 != longer.split.sha256
    assert base.corpus.manifest.target != longer.corpus.manifest.target


def test_problem_23_the_example_resolves_to_five_different_variants() -> None:
    """The sample that people copy would be the one file that nobody tests."""
    pytest.importorskip("lightgbm")
    loaded = Study.load(EXAMPLE)
    ids = ["base", "residual-momentum", "momentum-swapped", "horizon-60d", "nonlinear-blend"]
    assert ids == loaded.variants
    assert 5 == len({loaded.resolve(name).sha256 for name in ids})
    assert all(each.hypothesis and each.description for each in loaded.file.spec.variants)


@pytest.mark.slow
def test_the_demo_panel_is_what_the_documents_say(tmp_path: Path) -> None:
    """Figures of the documents would be of another panel."""
    if find_spec("skfolio") is None:
        pytest.skip("the demo panel ships with skfolio")
    out = tmp_path / "corpus" / "panel.parquet"
    sys.argv, kept = ["make_panel.py", str(out)], sys.argv
    try:
        runpy.run_path(str(EXAMPLE.parent / "make_panel.py"))
    finally:
        sys.argv = kept
    panel = pl.read_parquet(out)
    assert (8313 * 20, 20) == (panel.height, panel["asset"].n_unique())
    (tmp_path / "study.yaml").write_text(EXAMPLE.read_text())
    found = Study.load(tmp_path / "study.yaml").prepare("residual-momentum", runs=tmp_path / "runs")
    assert 159_600 == found.corpus.manifest.rows
    assert 7_980 == found.corpus.cells.n_unique()  # type: ignore[union-attr]
    assert () == found.findings


def _gate() -> dict[str, Any]:
    return {"rules": [{"id": "rank-ic", "metric": "srocc", "over": "within_cell", "at_least": 0.0}]}


@pytest.mark.slow
def test_another_horizon_is_another_corpus_with_rules_of_its_own(tmp_path: Path) -> None:
    """A variant with longer labels would be held for a changed split, which its labels had to change."""
    base, longer, residual = (prepared(tmp_path, WALK, variant) for variant in ("base", "longer", "residual"))
    assert base.corpus.manifest.sha256 != longer.corpus.manifest.sha256
    assert base.corpus.manifest.sha256 == residual.corpus.manifest.sha256
    assert 1 == len({each.corpus.manifest.facts["file_sha256"] for each in (base, longer, residual)})
    opened = study(tmp_path, WALK)
    for variant in ("base", "longer"):
        run = opened.run(variant, runs=tmp_path / "runs", workers=1)
        (rule,) = (rule for rule in run.document["rules"] if rule["id"] == "pre-registered")
        assert "PASS" == rule["outcome"], rule["sentence"]
        assert verify_run(run.folder, corpus=tmp_path / "panel.parquet").broken is None
