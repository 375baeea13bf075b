"""History re-lived: nothing of the future reaches a vintage, and the rules are told what was known then."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from market_kit import frame, prices
from nightly import NIGHTLY

from heldout.domains.market.demo.panel import generated_panel, skfolio_panel
from heldout.domains.market.panel.panel import read_panel
from heldout.domains.market.replay.relive import Task, relive
from heldout.domains.market.replay.replay import Plan, _arms, replay
from heldout.domains.market.replay.vintages import Vintage, vintages
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import dumps
from heldout.run.units.unit import train_view
from heldout.split import Fold, load_splitter

pytest.importorskip("sklearn")
PLAN = Plan(2002, 2003, months=6, parts=4, held_out=1)
SELECTION = load_splitter({"kind": "combinatorial-purged", "folds": 4, "held_out": 1})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms over four years of twelve names whose returns persist."""
    folder = tmp_path_factory.mktemp("replay")
    frame(prices(1150, 12, drift=0.002)).write_parquet(folder / "panel.parquet")
    return _written(folder)


def _written(folder: Path) -> Path:
    features = {"momentum": {"windows": [10, 20], "skip": 2}, "volatility": None, "reversal": {"windows": [5]}}
    document = {
        "study": "panel",
        "corpus": {
            "reader": "market_panel", "path": "panel.parquet", "forward_days": 5, "block": 20, "features": features,
        },
        "split": {"kind": "walk-forward", "warmup": 14, "window": 4},
        "backbone": "market_stack",
        "fit": {"inner_folds": 3},
        "seeds": [0],
        "variants": [
            {"id": "longer", "description": "labels of 15 dates", "set": {"corpus.forward_days": 15}},
            {"id": "no-reversal", "set": {"corpus.features.reversal": None}},
            {"id": "later", "status": "paused", "set": {"corpus.forward_days": 8}},
        ],
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def document(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The replay of the study."""
    return replay(study, PLAN, tmp_path_factory.mktemp("vintages"), workers=1)


def _task(study: Path, folder: Path, arm: int = 0) -> Task:
    chosen = _arms(study, 2)[arm]
    panel = read_panel(chosen.options)
    return Task(chosen, vintages(panel, 2003, 2003, 6)[0], 5, SELECTION, "panel", folder)


@pytest.mark.slow
def test_every_rule_is_told_with_noise_beside_it(document: dict[str, Any]) -> None:
    """A rule could be praised without anybody asking whether it can tell a model from random numbers."""
    assert ["never-switch", "fresh-best", "supported-lead"] == [rule["id"] for rule in document["rules"]]
    assert ["base", "longer", "no-reversal", "noise-1", "noise-2"] == [arm["id"] for arm in document["arms"]]
    assert [False] * 3 + [True] * 2 == [arm["null"] for arm in document["arms"]]
    assert ["2002-01", "2002-07", "2003-01", "2003-07"] == [each["name"] for each in document["vintages"]]
    assert 4 == document["design"]["tests"]
    by_id = {rule["id"]: rule for rule in document["rules"]}
    assert 0 == by_id["never-switch"]["switches"] == by_id["supported-lead"]["null_periods"]
    assert 0.0 == by_id["never-switch"]["regret"]


@pytest.mark.slow
def test_skill_is_told_from_noise(document: dict[str, Any]) -> None:
    """A replay in which random numbers do as well as a model that knows something would be wrong somewhere."""
    means = {arm["id"]: arm["mean"] for arm in document["arms"]}
    assert means["base"] > 0.1
    assert max(abs(means["noise-1"]), abs(means["noise-2"])) < 0.05


@pytest.mark.slow
def test_what_serves_is_what_the_means_are_of(document: dict[str, Any]) -> None:
    """The figures of a rule could be those of an arm that it never served."""
    for rule in document["rules"]:
        realised = [
            vintage["arms"][each["arm"]]["realised"]
            for vintage, each in zip(document["vintages"], rule["served"], strict=True)
        ]
        assert np.mean(realised) == pytest.approx(rule["mean"])
        assert rule["never_switch"] - rule["mean"] == pytest.approx(rule["regret"])


@pytest.mark.slow
def test_nothing_of_the_future_reaches_a_vintage(study: Path, tmp_path: Path) -> None:
    """A replay that peeks would show what could never have been had: every later price is replaced."""
    before = relive(_task(study, tmp_path / "one"))
    changed = tmp_path / "changed"
    changed.mkdir()
    panel = pl.read_parquet(study.parent / "panel.parquet")
    vintage = _task(study, tmp_path).vintage
    last = read_panel(_arms(study, 2)[0].options).dates[vintage.end - 1]
    later = pl.col("date") > pl.lit(str(last)).str.to_date()
    wild = panel.with_columns(pl.when(later).then(pl.col("close") * 7 + 3).otherwise(pl.col("close")).alias("close"))
    wild.write_parquet(changed / "panel.parquet")
    after = relive(_task(_written(changed), tmp_path / "two"))
    assert (before.selection, before.trained) == (after.selection, after.trained)
    np.testing.assert_array_equal(before.predictions, after.predictions)


def test_problem_10_a_vintage_trains_on_labels_that_had_matured(study: Path) -> None:
    """The last days before a vintage would teach it what happened in it."""
    from heldout.domains.market.panel.reader import MarketPanelReader

    for arm in _arms(study, 2)[:2]:
        reader = MarketPanelReader(arm.options)
        panel = read_panel(arm.options)
        corpus = reader.known_before(panel, 700)
        assert corpus.cells is not None
        assert str(panel.dates[700 - 1 - arm.options.forward_days]) == max(corpus.cells)
        matures = max(str(group.span.matures) for group in corpus.manifest.groups if group.span)
        assert str(panel.dates[699]) == matures[:10]
        view = train_view(corpus, Fold("all", ()))
        assert np.isfinite(view.target).all()


def test_a_finished_vintage_is_not_fitted_again_and_a_damaged_one_is(study: Path, tmp_path: Path) -> None:
    """An interrupted replay would begin anew; or go on with half a file."""
    task = _task(study, tmp_path)
    first = relive(task)
    (kept,) = tmp_path.glob("*.safetensors")
    stamp = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(first.predictions, relive(task).predictions)
    assert stamp == kept.stat().st_mtime_ns
    kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_array_equal(first.predictions, relive(task).predictions)
    assert stamp != kept.stat().st_mtime_ns


@pytest.mark.slow
def test_noise_is_other_noise_in_every_arm_and_vintage(study: Path, tmp_path: Path) -> None:
    """Two arms of the same random numbers would be one, and each vintage the last one again."""
    found = [relive(_task(study, tmp_path, arm)).predictions for arm in (3, 4)]
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.1


@pytest.mark.slow
def test_the_same_replay_gives_the_same_bytes(document: dict[str, Any], study: Path, tmp_path: Path) -> None:
    """Two people would publish two histories of one panel."""
    assert dumps(document) == dumps(replay(study, PLAN, tmp_path, workers=1))


def test_vintages_are_whole_and_leave_no_date_out() -> None:
    """A year that is cut short would weigh like a whole one, or a date fall between two vintages."""
    from heldout.domains.market.panel.panel import Panel

    days = np.arange("2000-01-03", "2004-12-31", dtype="datetime64[D]")
    panel = Panel(days, ("A",), np.ones((len(days), 1)), np.ones((len(days), 1), dtype=bool))
    found = vintages(panel, 2002, 2003, 3)
    assert 8 == len(found)
    assert all(one.end == other.start for one, other in pairwise(found))
    assert ("2002-01-01", "2003-12-31") == (str(days[found[0].start]), str(days[found[-1].end - 1]))
    assert Vintage("2002", 729, 1094) == vintages(panel, 2002, 2003)[0]


@pytest.mark.parametrize(("first", "last", "months"), [(2010, 2012, 12), (2000, 2003, 12), (2002, 2003, 5)])
def test_years_that_cannot_be_relived_are_refused(study: Path, first: int, last: int, months: int) -> None:
    """A replay would begin with nothing known, or show years that the panel does not hold."""
    with pytest.raises(InputError):
        replay(study, Plan(first, last, months), study.parent / "vintages", workers=1)


def test_a_year_whose_outcomes_have_not_matured_is_refused(study: Path, tmp_path: Path) -> None:
    """The last vintage would be scored on nothing."""
    panel = pl.read_parquet(study.parent / "panel.parquet").filter(pl.col("date") < pl.date(2003, 1, 3))
    panel.write_parquet(tmp_path / "panel.parquet")
    with pytest.raises(InputError, match="has matured"):
        replay(_written(tmp_path), Plan(2002, 2003), tmp_path / "vintages", workers=1)


def test_the_generated_panel_is_the_same_everywhere_and_holds_skill_only_if_told() -> None:
    """Tests and demonstration would be of something else on another machine."""
    small = generated_panel(dates=300, assets=5)
    assert small.equals(generated_panel(dates=300, assets=5))
    assert not small.equals(generated_panel(dates=300, assets=5, seed=1))
    assert ["date", "asset", "close", "index", "volume"] == small.columns
    assert 1 == small.group_by("date").agg(pl.col("index").n_unique())["index"].max()


def test_a_panel_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration would end in a traceback on most machines."""
    monkeypatch.setattr("heldout.domains.market.demo.panel.find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match="skfolio"):
        skfolio_panel()


@pytest.mark.slow
@pytest.mark.skipif(not NIGHTLY, reason="three years are lived again by `make test-nightly`")
def test_problem_14_on_real_prices_the_honest_rule_never_serves_noise(tmp_path: Path) -> None:
    """The claim of the documents, on fewer years: the naive rule is there to be compared with."""
    from importlib.util import find_spec

    from heldout.domains.market.demo.demo import STUDY

    if find_spec("skfolio") is None:
        pytest.skip("the panel ships with skfolio")
    pytest.importorskip("lightgbm")
    (tmp_path / "corpus").mkdir()
    skfolio_panel().write_parquet(tmp_path / "corpus" / "panel.parquet")
    (tmp_path / "study.yaml").write_text(STUDY.read_text())
    found = replay(tmp_path / "study.yaml", Plan(1997, 2000, parts=8), tmp_path / "vintages", workers=2)
    by_id = {rule["id"]: rule for rule in found["rules"]}
    assert 0 == by_id["supported-lead"]["null_periods"]
    assert 0 < by_id["fresh-best"]["null_periods"]
