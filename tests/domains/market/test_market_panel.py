"""The panel reader: only what was known on a date, and nothing lost without a count."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from market_kit import bound, days, frame, prices, reader
from pydantic import ValidationError

from heldout.domains.market.panel.features import family_of, feature_matrices, standardised
from heldout.domains.market.panel.options import Features, PanelOptions
from heldout.domains.market.panel.panel import Panel, read_panel
from heldout.domains.market.panel.reader import MarketPanelReader
from heldout.domains.market.panel.rows import build_rows
from heldout.errors import CorpusError
from heldout.split import load_splitter, split_corpus
from heldout.split.guards import check_time
from heldout.testing import ReaderConformance

ALL = {
    "momentum": {"windows": [10, 20], "skip": 2},
    "residual_momentum": {"windows": [20], "skip": 2, "beta": 12},
    "volatility": {"windows": [10]},
    "reversal": {"windows": [5]},
}


class TestConformance(ReaderConformance):
    reader = MarketPanelReader
    options: ClassVar = {"forward_days": 5, "block": 20, "features": {"momentum": {"windows": [10, 20], "skip": 2}}}
    group, target, file = "date", "close", "panel.parquet"

    def samples(self) -> pl.DataFrame:
        return frame(prices(120, 6))

    def write(self, samples: pl.DataFrame, path: Path) -> None:
        samples.write_parquet(path)

    def test_content_changes_its_group_alone(self, tmp_path: Path) -> None:
        """Does not hold: a price is part of features and labels of many dates."""


def test_groups_are_blocks_cells_are_dates_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    """Rows would vanish between the file and the score, and nobody would see which."""
    table = frame(prices(100, 8))
    corpus = reader(tmp_path, table, block=10).read()
    left_out = corpus.manifest.facts["left_out"]
    assert table.height == corpus.manifest.rows + sum(left_out.values())
    assert {"a_feature_is_not_defined_yet": 20 * 8, "label_has_not_matured": 5 * 8} == {
        reason: count for reason, count in left_out.items() if count
    }
    assert corpus.cells is not None
    assert f"{corpus.cells[0]}/A00" == corpus.ids[0]
    assert corpus.ids.n_unique() == corpus.manifest.rows
    by_group = pl.DataFrame({"group": corpus.groups, "cell": corpus.cells}).group_by("group").n_unique().sort("group")
    assert [10] * 7 + [5] == by_group["cell"].to_list()
    assert [2, 0] == [
        sum(each.reason == why for each in corpus.manifest.skipped)
        for why in ("the features are not defined yet", "too few assets have all features and a label")
    ]
    assert "log_return_5d_minus_universe" == corpus.manifest.target


def test_the_label_is_the_return_over_the_horizon_less_the_mean_of_the_date(tmp_path: Path) -> None:
    """The model would be judged by another outcome than the one that is stated."""
    closes = prices(60, 6)
    corpus = reader(tmp_path, frame(closes), forward_days=7).read()
    growth = np.log(closes[7:] / closes[:-7])
    expected = growth - growth.mean(axis=1, keepdims=True)
    first = 20
    np.testing.assert_allclose(corpus.targets("verify").reshape(-1, 6), expected[first:], atol=1e-12)
    plain = reader(tmp_path, frame(closes), forward_days=7, demean=False, label="simple").read()
    np.testing.assert_allclose(plain.targets("verify").reshape(-1, 6), np.expm1(growth[first:]), atol=1e-12)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(40, 70), st.integers(0, 2**31))
def test_nothing_that_comes_later_reaches_a_feature(tmp_path: Path, today: int, seed: int) -> None:
    """The backtest would know tomorrow's prices, and the live model would not."""
    closes = prices(80, 6)
    later = closes.copy()
    later[today + 1 :] *= np.random.default_rng(seed).uniform(0.2, 5.0, size=later[today + 1 :].shape)
    for standardise in ("zscore", "rank", "none"):
        options = {"features": ALL, "standardise": standardise, "min_assets": 3}
        one = reader(tmp_path, frame(closes), **options).inputs()
        two = reader(tmp_path, frame(later), **options).inputs()
        known = pl.col("date") <= days(80)[today]
        assert one.filter(known).height >= 6
        assert one.filter(known).equals(two.filter(known))


def test_an_asset_that_is_gone_later_still_counts_today(tmp_path: Path) -> None:
    """Standardising over those that live to have a label would tell the model who survives."""
    closes = prices(80, 6)
    table = frame(closes)
    gone = table.filter(~((pl.col("asset") == "A03") & (pl.col("date") > table["date"].unique().sort()[50])))
    whole, survivors = (reader(tmp_path, each, min_assets=3).inputs() for each in (table, gone))
    today = table["date"].unique().sort()[50]
    assert whole.filter(pl.col("date") <= today).equals(survivors.filter(pl.col("date") <= today))
    corpus = reader(tmp_path, gone, min_assets=3).read()
    assert 5 == corpus.manifest.facts["left_out"]["no_price_when_the_label_matures"]
    assert corpus.manifest.facts["universe_changes"]


def test_only_members_of_the_day_are_samples(tmp_path: Path) -> None:
    """An index of today's names would be back-tested over years in which they were not in it."""
    table = frame(prices(80, 8)).with_columns(
        inside=(pl.col("asset") != "A01") | (pl.col("date") >= pl.date(2000, 3, 1))
    )
    corpus = reader(tmp_path, table, member="inside").read()
    mine = corpus.ids.filter(corpus.ids.str.ends_with("A01"))
    assert mine.min() is not None
    assert str(mine.min()) >= "2000-03-01"
    labels = pl.DataFrame({"cell": corpus.cells, "y": corpus.targets("verify")})
    sums = labels.group_by("cell").agg(pl.col("y").sum().abs())
    assert sums["y"].max() < 1e-12, "the mean of the date is over its members"


def test_a_stale_price_is_no_reason_for_a_number_that_is_not_one(tmp_path: Path) -> None:
    """A suspended share would put an infinity into the training rows."""
    closes = prices(80, 6)
    closes[20:60, 2] = closes[20, 2]
    found = reader(tmp_path, frame(closes), features=ALL, min_assets=3).inputs()
    assert np.isfinite(found.drop("date", "asset").to_numpy()).all()


def test_features_are_what_they_say() -> None:
    """A window that is off by a day, or a beta that knows today, is found nowhere else."""
    closes, index = prices(60, 3), prices(60, 1, seed=9)[:, 0]
    dates = np.arange("2000-01-01", "2000-03-01", dtype="datetime64[D]")
    panel = Panel(dates, ("a", "b", "c"), closes, np.ones(closes.shape, dtype=bool), index)
    found = feature_matrices(panel, Features.model_validate(ALL))
    logs, market = np.log(closes), np.diff(np.log(index), prepend=np.nan)
    returns = np.diff(logs, axis=0, prepend=np.nan)
    t, a = 50, 1
    assert found["momentum_20"][t, a] == pytest.approx(logs[t - 2, a] - logs[t - 20, a])
    assert found["reversal_5"][t, a] == pytest.approx(logs[t, a] - logs[t - 5, a])
    assert found["volatility_10"][t, a] == pytest.approx(returns[t - 9 : t + 1, a].std(ddof=1))
    residuals = []
    for day in range(t - 19, t - 1):
        x, y = market[day - 12 : day], returns[day - 12 : day, a]
        beta = np.cov(x, y, ddof=0)[0, 1] / x.var()
        residuals.append(returns[day, a] - beta * market[day])
    expected = np.mean(residuals) * np.sqrt(18) / np.std(residuals, ddof=1)
    assert found["residual_momentum_20"][t, a] == pytest.approx(expected)
    assert ["momentum", "momentum", "residual_momentum", "volatility", "reversal"] == [family_of(n) for n in found]


@settings(max_examples=40)
@given(st.integers(3, 12), st.integers(0, 2**31), st.sampled_from(["zscore", "rank"]))
def test_standardised_features_do_not_depend_on_scale_or_level(assets: int, seed: int, how: Any) -> None:
    """A volatile year would weigh more than a calm one."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(5, assets))
    usable = rng.random((5, assets)) < 0.8
    one = standardised(values, usable, how)
    two = standardised(values * np.array([[1], [9], [0.1], [3], [2]]) + 5, usable, how)
    np.testing.assert_allclose(one, two, atol=1e-9)
    assert (usable == np.isfinite(one)).all()
    np.testing.assert_allclose(np.where(usable, one, 0.0).sum(axis=1), 0.0, atol=1e-9)


def test_equal_values_standardise_to_nothing() -> None:
    """A date on which a feature says nothing would divide by zero."""
    usable = np.ones((1, 4), dtype=bool)
    for how in ("zscore", "rank"):
        assert [[0.0] * 4] == standardised(np.full((1, 4), 7.3), usable, how).tolist()  # type: ignore[arg-type]


def test_problem_10_a_block_shorter_than_the_horizon_is_refused_when_the_study_is_read() -> None:
    """A window that can never hold a matured outcome would be waited for, forever."""
    with pytest.raises(ValidationError, match=r"`block` .20. is shorter than `forward_days` .21."):
        PanelOptions(path=Path("panel.parquet"), block=20)
    assert 60 == PanelOptions(path=Path("panel.parquet"), forward_days=60).block_dates


@pytest.mark.parametrize("horizon", [1, 5, 12, 30])
def test_problem_01_the_horizon_reaches_every_purge(tmp_path: Path, horizon: int) -> None:
    """A longer horizon would train on labels that end inside the test, because its purge was another knob."""
    corpus = reader(tmp_path, frame(prices(260, 6)), forward_days=horizon, block=30, min_assets=3).read()
    dates = np.unique(corpus.time.to_numpy()) if corpus.time is not None else np.array([])
    every = np.unique(read_panel(bound(tmp_path / "panel.parquet").options).dates.astype("datetime64[us]"))
    spec = load_splitter({"kind": "walk-forward", "warmup": 4, "window": 1})
    assert corpus.time is not None
    for fold in split_corpus(spec, corpus.manifest).folds:
        rows, tested = corpus.rows_but(fold.apart), corpus.rows_of(fold.test)
        last = int(np.searchsorted(every, corpus.time.to_numpy()[rows].max()))
        first = int(np.searchsorted(every, corpus.time.to_numpy()[tested].min()))
        assert last + horizon <= first
    assert len(dates) > 0
    combined = split_corpus(load_splitter({"kind": "combinatorial-purged", "folds": 4, "held_out": 1}), corpus.manifest)
    assert "OK" == check_time(corpus, combined, None).state


def test_problem_10_rows_whose_label_has_not_matured_do_not_train(tmp_path: Path) -> None:
    """A model that is trained on Friday would know the returns of next month."""
    found = reader(tmp_path, frame(prices(120, 6)), forward_days=10, block=10)
    corpus = found.read()
    assert corpus.time is not None
    newest = found.inputs()["date"].max()
    assert corpus.time.cast(pl.Date).max() < newest
    spans = {each.id: each.span for each in corpus.manifest.groups}
    last = max(spans)
    assert spans[last] is not None
    assert str(spans[last].matures) == f"{newest}T00:00:00"  # type: ignore[union-attr]


def test_problem_16_outcomes_of_groups_that_are_not_neighbours_never_overlap(tmp_path: Path) -> None:
    """Every interval over groups would count the same days several times, and be too narrow."""
    corpus = reader(tmp_path, frame(prices(300, 6)), forward_days=12).read()
    spans = [each.span.ticks for each in sorted(corpus.manifest.groups, key=lambda e: e.id) if each.span]
    assert len(spans) > 10
    for before, after in zip(spans, spans[2:], strict=False):
        assert before[2] <= after[0]


def test_leaving_blocks_out_one_by_one_is_found_to_leak(tmp_path: Path) -> None:
    """The neighbours of a block would train on its days, and the verdict would be PROMOTE."""
    corpus = reader(tmp_path, frame(prices(120, 6))).read()
    found = check_time(corpus, split_corpus(load_splitter({}), corpus.manifest), None)
    assert [("HO-G007", True)] == [(each.code, each.blocking) for each in found.findings]


def test_problem_07_a_row_that_cannot_be_is_refused_with_its_place(tmp_path: Path) -> None:
    """A run would crash after hours, or train on what is no price."""
    table = frame(prices(40, 6))
    row = table.with_row_index("n")
    cases = {
        "close": (row.with_columns(close=pl.when(pl.col("n") == 7).then(-1.0).otherwise("close")), "row 8"),
        "zero": (row.with_columns(close=pl.when(pl.col("n") == 9).then(0.0).otherwise("close")), "row 10"),
        "gap": (row.with_columns(close=pl.when(pl.col("n") == 3).then(None).otherwise("close")), "row 4"),
        "asset": (row.with_columns(asset=pl.when(pl.col("n") == 5).then(pl.lit(" ")).otherwise("asset")), "row 6"),
    }
    for each, place in cases.values():
        with pytest.raises(CorpusError) as caught:
            reader(tmp_path, each).read()
        assert place in str(caught.value.where)
        assert caught.value.hint


def test_two_prices_of_one_day_are_refused(tmp_path: Path) -> None:
    """Which of the two is traded would depend on the order of rows."""
    table = frame(prices(40, 6))
    with pytest.raises(CorpusError, match="A02 has two prices on 2000-01-05") as caught:
        reader(tmp_path, pl.concat([table, table[14:15]])).read()
    assert "HO-G004" == caught.value.code


def test_an_index_has_one_level_a_date(tmp_path: Path) -> None:
    """The market's return would depend on which asset's row was read last."""
    table = frame(prices(40, 6)).with_columns(level=pl.Series(np.arange(240.0) + 1))
    with pytest.raises(CorpusError, match="two levels on 2000-01-03"):
        reader(tmp_path, table, index="level").read()


def test_times_that_are_no_dates_are_refused(tmp_path: Path) -> None:
    """Numbers would be taken for days since 1970."""
    table = frame(prices(40, 6))
    for bad in (pl.lit("soon"), pl.lit(20000103)):
        with pytest.raises(CorpusError, match="is no date"):
            reader(tmp_path, table.with_columns(date=bad)).read()
    (tmp_path / "panel.csv").write_text(table.write_csv())
    assert reader(tmp_path, table).read().ids.equals(bound(tmp_path / "panel.csv").read().ids)


def test_a_panel_that_is_too_short_says_so(tmp_path: Path) -> None:
    """An empty corpus would fail later, in words about something else."""
    with pytest.raises(CorpusError, match="no row has all features and a matured label"):
        reader(tmp_path, frame(prices(20, 6))).read()


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ({"features": {"momentum": {"window": [9]}}}, "features.momentum.window\n"),
        ({"features": {"momentum": {"windows": [22], "skip": 21}}}, "longer than `skip`"),
        ({"features": dict.fromkeys(("momentum", "volatility", "reversal"))}, "nothing to learn from"),
        ({"standardise": "rank", "winsorise": 3.0}, "means nothing"),
        ({"FORWARD_DAYS": 60}, "FORWARD_DAYS"),
    ],
)
def test_problem_23_a_parameter_that_nobody_reads_is_no_parameter(block: dict[str, Any], what: str) -> None:
    """A misspelt or dead knob would be set, believed, and never read."""
    with pytest.raises(ValidationError, match=what):
        PanelOptions.model_validate({"path": "panel.parquet"} | block)


def test_a_date_with_few_assets_is_left_out_and_counted(tmp_path: Path) -> None:
    """The rank correlation of two names is 1 or -1, and would weigh as much as that of five hundred."""
    table = frame(prices(60, 6))
    thin = table.filter((pl.col("date") != table["date"].unique().sort()[30]) | (pl.col("asset") < "A02"))
    found = reader(tmp_path, thin, min_assets=3)
    rows = build_rows(read_panel(found.options), found.options)
    assert rows.left_out["a_feature_is_not_defined_yet"] > 0
    assert rows.left_out["too_few_assets_on_the_date"] >= 2
    assert str(table["date"].unique().sort()[30]) not in found.read().cells.to_list()  # type: ignore[union-attr]


def test_problem_01_every_option_changes_the_corpus(tmp_path: Path) -> None:
    """An option that is read and has no effect would make a variant of nothing."""
    closes = prices(160, 6)
    table = frame(closes).with_columns(
        when=pl.col("date"),
        name=pl.format("{}x", "asset"),
        price=pl.col("close").sqrt(),
        level=pl.col("close").mean().over("date"),
        inside=pl.col("asset") != "A05",
        volume=pl.lit(1.0),
    )
    residual = {"features": {"residual_momentum": {"windows": [20], "skip": 2, "beta": 12}}}
    base: dict[str, Any] = {"winsorise": 1.5, "min_assets": 3, "block": 10}
    changes: dict[str, dict[str, Any]] = {
        "asset": {"asset": "name"},
        "close": {"close": "price"},
        "index": residual | {"index": "level"},
        "member": {"member": "inside"},
        "forward_days": {"forward_days": 6},
        "block": {"block": 12},
        "label": {"label": "simple"},
        "demean": {"demean": False},
        "features": residual,
        "standardise": {"standardise": "rank", "winsorise": None},
        "winsorise": {"winsorise": 1.0},
        "min_assets": {"member": "inside", "min_assets": 6},
    }
    assert set(PanelOptions.model_fields) == {*changes, "date", "path", "volume"}

    def content(**options: Any) -> Any:
        try:
            corpus = reader(tmp_path, table, **(base | options)).read()
        except CorpusError:
            return None
        groups = [(each.id, each.sha256) for each in corpus.manifest.groups]
        return corpus.ids.to_list(), groups, corpus.manifest.target

    found = [content(), *(content(**change) for change in changes.values())]
    assert len(found) == sum(one is two or one == two for one in found for two in found)
    assert found[0] == content(date="when", volume="volume")
    options = PanelOptions(path=Path("p.parquet"), volume="volume")
    assert "volume" not in options.identity(), "the scorer's column makes no other variant"
