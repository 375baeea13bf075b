"""The board of runs, of a slot and of its shadow: what decides, what is counted, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from leaderboard_kit import days, rng
from market_kit import frame, prices

from heldout import Study
from heldout.domains.market.board.arms import Arm, Tried, arms_of_runs
from heldout.domains.market.board.board import Terms, board_of_runs, market_board
from heldout.domains.market.board.contest import contest
from heldout.domains.market.board.outputs import checks_against, expected_scale, notes_on
from heldout.domains.market.board.scoring import Policy, rank_ic
from heldout.domains.market.panel.panel import Panel
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.leaderboard import VetoPolicy, blocks, judge_lead, pair, rank_scale
from heldout.registry import Registry, add, promote
from heldout.shadow import ShadowStore, run_shadow

pytest.importorskip("sklearn")
TERMS = Terms(effect=0.1, policy=Policy(top=3, holding=5))


def _panel(dates: int, names: int, seed: int, **more: Any) -> Panel:
    close = 100 * np.exp(0.01 * rng(seed).standard_normal((dates, names)).cumsum(axis=0))
    labels = tuple(f"A{number:02d}" for number in range(names))
    return Panel(days(dates), labels, close, np.ones(close.shape, dtype=bool), **more)


def _arm(name: str, panel: Panel, outputs: np.ndarray, horizon: int = 5, looks: int = 1) -> Arm:
    day, asset = np.nonzero(np.isfinite(outputs))
    table = pl.DataFrame(
        {
            "date": [str(date) for date in panel.dates[day]],
            "asset": np.array(panel.assets)[asset],
            "prediction": outputs[day, asset],
        }
    )
    return Arm(name, f"{name}-1", horizon, table, looks, "panel")


def _knowing(panel: Panel, share: float, seed: int, horizon: int = 5) -> np.ndarray:
    """Outputs that know so much of what comes, for as long as anything does."""
    future = np.full(panel.close.shape, np.nan)
    future[:-horizon] = np.log(panel.close[horizon:] / panel.close[:-horizon]) / 0.02
    return share * future + rng(seed).standard_normal(panel.close.shape)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three finished runs over twelve names, and their panel under the name ``panel``."""
    folder = tmp_path_factory.mktemp("board")
    frame(prices(560, 12, drift=0.004)).write_parquet(folder / "panel.parquet")
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
            {"id": "no-reversal", "set": {"corpus.features.reversal": None}},
            {"id": "noise", "set": {"backbone": "market_noise", "fit": {}}},
        ],
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    study = Study.load(folder / "study.yaml")
    found = {name: study.run(name, runs=folder / "runs", workers=1).folder for name in study.variants}
    return found | {"panel": folder / "panel.parquet"}


def _folders(runs: dict[str, Path]) -> list[Path]:
    return [folder for name, folder in runs.items() if name != "panel"]


def _row(document: dict[str, Any], arm: str) -> dict[str, Any]:
    return next(row for row in document["rows"] if row["arm"] == arm)


@pytest.mark.slow
def test_runs_are_judged_by_what_they_had_not_trained_on(runs: dict[str, Path]) -> None:
    """The board would be of other numbers than the runs' own reports."""
    document = board_of_runs(_folders(runs), runs["panel"], terms=TERMS)
    assert "base" == document["champion"]
    assert {"no-reversal", "noise"} == {row["arm"] for row in document["rows"][1:]}
    metrics = Study.load(runs["panel"].parent / "study.yaml").run("base", runs=runs["panel"].parent / "runs").numbers
    rank = metrics["ensemble"]["within_cell"]["srocc"]
    assert rank == pytest.approx(_row(document, "base")["mean"], abs=2e-3)
    assert _row(document, "noise")["lead"]["mean"] < -0.1
    assert "NOT BETTER" == _row(document, "noise")["answer"]
    assert _row(document, "base")["why"].startswith("KEEP base")
    assert all(row["why"].endswith(".") for row in document["rows"])


@pytest.mark.slow
def test_problem_19_both_yardsticks_are_told(runs: dict[str, Path]) -> None:
    """Alpha over an index alone would praise random numbers for the choice of the names."""
    figures = _row(board_of_runs(_folders(runs), runs["panel"], terms=TERMS), "noise")["figures"]
    assert {"net alpha, universe [%/yr]", "net alpha, index [%/yr]"} <= set(figures)
    assert figures["net alpha, universe [%/yr]"] is not None
    assert figures["net alpha, index [%/yr]"] is None, "this panel has no index"


@pytest.mark.slow
def test_the_ledger_counts_every_variant_that_ever_looked(runs: dict[str, Path], tmp_path: Path) -> None:
    """The level would be shared by those that are shown, and failures be forgotten."""
    document = board_of_runs([runs["base"], runs["no-reversal"]], runs["panel"], terms=TERMS)
    assert (1, 2) == (document["trials"]["challengers"], document["design"]["tests"])
    assert 3 == document["sharpe"]["trials"]
    moved = tmp_path / runs["base"].name
    shutil.copytree(runs["base"], moved)
    alone = board_of_runs([moved], runs["panel"], terms=TERMS)
    assert any("no trial ledger" in note for note in alone["notes"])


def test_problem_06_one_arm_is_not_a_lost_contest(runs: dict[str, Path]) -> None:
    """A board without a challenger would read as one in which nobody was good enough."""
    document = board_of_runs([runs["base"]], runs["panel"], terms=TERMS)
    assert ["base has no challenger: nothing was compared"] == document["decision"]["reasons"]


def test_predictions_that_were_edited_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    """Whoever edits a file would lead the board."""
    copy = tmp_path / runs["base"].name
    shutil.copytree(runs["base"], copy)
    path = copy / "predictions.jsonl"
    path.write_text(path.read_text().replace('"prediction":-', '"prediction":', 1))
    with pytest.raises(TamperedError):
        board_of_runs([copy], runs["panel"])


@pytest.mark.slow
def test_another_panel_and_a_smoke_run_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    """Predictions would be judged by outcomes of something else."""
    frame(prices(560, 12, drift=0.001)).write_parquet(tmp_path / "panel.parquet")
    with pytest.raises(InputError, match="not made from this panel"):
        board_of_runs([runs["base"]], tmp_path / "panel.parquet")
    smoke = Study.load(runs["panel"].parent / "study.yaml", ["seeds=[1]"]).run(runs=tmp_path / "runs", workers=1)
    with pytest.raises(RefusedError, match="smoke"):
        board_of_runs([smoke.folder], runs["panel"])
    with pytest.raises(InputError, match="did you mean 'base'"):
        board_of_runs([runs["base"]], runs["panel"], champion="bass")


def test_of_two_runs_of_one_arm_the_newest_counts(runs: dict[str, Path]) -> None:
    """A refit would compete with itself."""
    arms, _ = arms_of_runs([runs["base"], runs["base"]])
    assert ["base"] == [arm.id for arm in arms]


def test_problem_10_a_window_that_can_never_decide_is_refused_before_it_starts() -> None:
    """A gate would wait for weeks that its window cannot hold."""
    panel = _panel(800, 10, 1)
    arms = [_arm("base", panel, _knowing(panel, 0.1, 2)), _arm("other", panel, _knowing(panel, 0.1, 3))]
    with pytest.raises(InputError, match="can never decide"):
        market_board(panel, arms, terms=Terms(window=42, policy=TERMS.policy))
    found = market_board(panel, arms, terms=Terms(window=400, policy=TERMS.policy))
    assert 395 == _row(found, "other")["dates"]


def test_problem_09_readiness_is_one_of_three_and_says_how_long() -> None:
    """A comparison that cannot be decided yet would look like one that was lost."""
    panel = _panel(800, 10, 1)
    young = _knowing(panel, 0.2, 3)
    young[:750] = np.nan
    arms = [_arm("base", panel, _knowing(panel, 0.1, 2)), _arm("old", panel, _knowing(panel, 0.1, 4))]
    document = market_board(panel, [*arms, _arm("young", panel, young)], terms=TERMS)
    assert ("READY", "NOT YET") == tuple(_row(document, arm)["readiness"]["state"] for arm in ("old", "young"))
    assert "more common dates" in _row(document, "young")["readiness"]["sentence"]
    design = TERMS.design(panel, 5, 2)
    assert "CANNOT" == design.readiness(10, window=20).state


@pytest.mark.slow
def test_a_challenger_that_knows_more_is_switched_to() -> None:
    """No board would ever let anybody serve."""
    panel = _panel(2600, 12, 5)
    arms = [_arm("base", panel, _knowing(panel, 0.1, 2)), _arm("good", panel, _knowing(panel, 0.8, 3))]
    document = market_board(panel, arms, terms=TERMS)
    assert "good" == document["decision"]["switch_to"]
    assert _row(document, "base")["why"].startswith("SWITCH to good")


@pytest.mark.first_is_fast
@pytest.mark.parametrize("fault", ["constant", "flat", "flipped", "missing"])
def test_problem_21_the_best_ranking_is_vetoed_if_nobody_can_act_on_it(fault: str) -> None:
    """The winner by rank would be served with outputs that trade nothing."""
    panel = _panel(2600, 12, 5)
    champion, best = _knowing(panel, 0.1, 2), _knowing(panel, 0.8, 3)
    spoilt = {
        "constant": np.where(np.arange(len(best))[:, None] % 20, best, 0.0),
        "flat": 0.01 * best,
        "flipped": -champion,
        "missing": np.where(np.arange(best.shape[1]) == 3, np.nan, best),
    }[fault]
    document = market_board(panel, [_arm("base", panel, champion), _arm("best", panel, spoilt)], terms=TERMS)
    row = _row(document, "best")
    assert document["decision"]["switch_to"] is None
    assert "NOT BETTER" == row["answer"]
    assert "veto" in row["reasons"][0]


def test_problem_17_the_expected_scale_is_what_luck_gives() -> None:
    """An interval would be tuned for a spread that arms of this kind never have: 1,500 dates of nothing but luck."""
    panel = _panel(1501, 20, 6)
    champion = rng(7).standard_normal(panel.close.shape)
    for weight in (0.0, 1.0, 3.0):
        outputs = weight * champion + rng(8).standard_normal(panel.close.shape)
        scores = [rank_ic(panel, each, 1).scores.values for each in (outputs, champion)]
        expected = expected_scale(outputs, champion, 200)
        assert expected == pytest.approx(float((scores[0] - scores[1]).std()), rel=0.1)
    assert expected_scale(champion, champion, 21) == pytest.approx(rank_scale(20, 0.99))


def test_problem_17_the_expected_scale_looks_at_no_outcome_and_never_again() -> None:
    """What chooses where an interval is tight would have seen what the interval is about."""
    panel = _panel(300, 10, 1)
    champion, outputs = _knowing(panel, 0.1, 2), _knowing(panel, 0.1, 3)
    later = outputs.copy()
    later[30:] = rng(9).standard_normal(later[30:].shape)
    assert expected_scale(outputs, champion, 21) == expected_scale(later, champion, 21)
    assert expected_scale(np.full_like(outputs, np.nan), champion, 21) is None


@pytest.mark.slow
def test_problem_16_boards_of_noise_name_nobody_better() -> None:
    """Overlapping outcomes would be counted as evidence: 1,000 challengers of random numbers over ten years each."""
    panel = _panel(2520, 8, 11)
    champion = rng(12).standard_normal(panel.close.shape)
    theirs = rank_ic(panel, champion, 21).scores
    design = Terms(effect=0.1).design(panel, 21, 1)
    wrong = 0
    for seed in range(1000):
        ours = rank_ic(panel, rng(1000 + seed).standard_normal(panel.close.shape), 21).scores
        lead = judge_lead(blocks(pair(ours, theirs), 21), design)
        wrong += bool((lead.lows > 0).any())
    assert wrong <= 1000 * design.level / 2


@pytest.mark.slow
def test_problem_20_the_board_shows_overfitting_beside_what_luck_gives() -> None:
    """A number of overfitting would be read against one half where luck gives more."""
    panel = _panel(900, 10, 1)
    arms = [_arm(name, panel, _knowing(panel, 0.1, seed)) for seed, name in enumerate(("base", "b", "c", "d", "e"))]
    found = market_board(panel, arms, terms=TERMS)["overfitting"]
    assert 0.6 == found["by_luck"]
    assert 0 <= found["probability"] <= 1


def test_problem_18_the_deflated_ratio_counts_all_trials_on_periods_of_the_policy() -> None:
    """An annual ratio would be tested with a count of periods, and noise pass for skill."""
    panel = _panel(900, 10, 1)
    arms = [_arm(name, panel, _knowing(panel, 0.1, seed)) for seed, name in enumerate(("base", "other"))]
    few = market_board(panel, arms, terms=TERMS)["sharpe"]
    many = market_board(panel, arms, terms=TERMS, tried=Tried(50, {}, ()))["sharpe"]
    assert (2, 50) == (few["trials"], many["trials"])
    assert many["threshold_per_period"] > few["threshold_per_period"]
    assert many["probability"] < few["probability"]
    assert 150 < few["periods"] < 180


def test_problem_15_an_arm_is_judged_at_the_horizon_of_the_champion() -> None:
    """Whoever trains for another label would be graded on its own."""
    panel = _panel(900, 10, 1)
    arms = [_arm("base", panel, _knowing(panel, 0.1, 2)), _arm("slow", panel, _knowing(panel, 0.1, 3), horizon=60)]
    document = market_board(panel, arms, terms=TERMS)
    assert "rank IC over 5 dates" == document["score"]
    assert "trained for 60 dates" == _row(document, "slow")["description"]


def test_names_that_only_the_champion_answered_are_not_finite() -> None:
    """A challenger would answer the easy names and lead."""
    champion = rng(1).standard_normal((40, 10))
    outputs = champion.copy()
    outputs[:, 0] = np.nan
    checks = {check.id: check for check in checks_against(outputs, champion, VetoPolicy())}
    assert "VETO" == checks["non-finite"].outcome
    assert 40.0 == checks["non-finite"].observed


def test_what_is_missing_from_a_panel_is_said() -> None:
    """Survivors and free trading would pass for skill."""
    panel = _panel(30, 4, 1)
    assert 3 == len(notes_on(panel, Policy()))
    member = panel.member.copy()
    member[:10, 0] = False
    volume = np.ones(panel.close.shape)
    whole = Panel(panel.dates, panel.assets, panel.close, member, index=panel.close[:, 0], volume=volume)
    assert [] == notes_on(whole, Policy())


def test_who_is_compared_must_be_said(runs: dict[str, Path], tmp_path: Path) -> None:
    """A board of nobody, or of two things at once, would be printed."""
    with pytest.raises(InputError, match="nothing to compare"):
        contest()
    with pytest.raises(InputError, match="exclude each other"):
        contest([runs["base"]], slot="panel")
    with pytest.raises(InputError, match="outcomes are not known"):
        contest([runs["base"]])
    with Registry(tmp_path / "registry", create=True):
        pass
    with pytest.raises(InputError, match="has no champion"):
        contest(panel=runs["panel"], slot="panel", registry=tmp_path / "registry")


@pytest.mark.slow
def test_a_slot_and_its_shadow_are_compared_by_version(runs: dict[str, Path], tmp_path: Path) -> None:
    """What was predicted before it was known would be judged under other names, or not at all."""
    place = tmp_path / "registry"
    with Registry(place, create=True) as registry:
        versions = {name: add(registry, runs[name], challenger=True) for name in ("base", "no-reversal", "noise")}
        promote(registry, versions["base"].id, slot="panel", override=True, reason="a test needs a champion")
        store = ShadowStore(tmp_path / "shadow", "panel")
        dates = pl.read_parquet(runs["panel"])["date"].unique().sort()
        last = pl.read_parquet(runs["panel"]).filter(pl.col("date") <= dates[-30])
        last.write_parquet(tmp_path / "early.parquet")
        for source, since, until in (
            (tmp_path / "early.parquet", dates[-60], dates[-31]),
            (runs["panel"], dates[-30], dates[-1]),
        ):
            found = run_shadow(registry, store, source, since=str(since), until=str(until), name=f"to-{until}")
            assert {"predicted"} == {each.state for each in found.results}
    of_runs = contest(panel=runs["panel"], slot="panel", registry=place, terms=TERMS)
    assert versions["base"].id == _row(of_runs, "base")["version"]
    live = contest(slot="panel", shadow=tmp_path / "shadow", registry=place, terms=TERMS)
    assert ["base", "no-reversal", "noise"] == sorted(row["arm"] for row in live["rows"])
    (through,) = {card["trained_through"][:10] for _, card in store.cards() if card["arm"].startswith("base")}
    new = [date for date in dates[-60:-5] if str(date) > through]  # the last five have no outcome yet
    assert len(new) == _row(live, "base")["dates"]
    assert any("had trained their version" in note for note in live["notes"])
    assert (0, 2) == (live["switching"]["switches"], live["switching"]["periods"])
    assert live["switching"]["best_fixed"]["arm"] in {"base", "no-reversal", "noise"}
