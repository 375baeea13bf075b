"""The stack: what it fits, what it answers, what it stores; and overrides that would change nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from market_kit import frame, prices, reader
from pydantic import ValidationError

from heldout.backbone import FeaturesView, TrainView
from heldout.corpus import Corpus
from heldout.domains.market.board.ic import cumulative_ic, rank_ic_by_date
from heldout.domains.market.model.backbone import MarketNoiseBackbone, MarketStackBackbone, NoiseParams, StackParams
from heldout.domains.market.model.model import FILE
from heldout.domains.market.model.stack import _inner, families
from heldout.errors import CorpusError, InputError, StudyError, TamperedError
from heldout.testing import BackboneConformance

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Twelve assets whose own returns persist."""
    return reader(tmp_path_factory.mktemp("panel"), frame(prices(700, 12, drift=0.003)), block=20).read()


def whole(corpus: Corpus) -> TrainView:
    return TrainView(corpus.features, corpus.targets("verify"), corpus.groups.to_numpy().astype(str), "regression")


def backbone(**params: Any) -> MarketStackBackbone:
    return MarketStackBackbone(StackParams.model_validate(params))


def fitted(corpus: Corpus, folder: Path, **params: Any) -> bytes:
    each = backbone(**params)
    folder.mkdir(exist_ok=True)
    each.save(each.fit(whole(corpus), 3, folder), folder)
    return (folder / FILE).read_bytes()


@pytest.mark.first_is_fast
@pytest.mark.parametrize("params", [{"trees": {"rounds": 20, "min_rows": 50}}, {}, {"stack": "flat"}], ids=str)
class TestStack(BackboneConformance):
    @pytest.fixture(autouse=True)
    def _subject(self, params: dict[str, Any], corpus: Corpus) -> None:
        pytest.importorskip("lightgbm")
        self.backbone, self.corpus = backbone(**params), lambda: corpus  # type: ignore[misc,method-assign]


class TestNoise(BackboneConformance):
    backbone = MarketNoiseBackbone(NoiseParams())

    def test_order_of_rows_changes_no_answer(self, tmp_path: Path) -> None:
        """Does not hold: random numbers look at nothing, and are drawn row by row."""


def test_the_order_of_columns_changes_no_answer(corpus: Corpus, tmp_path: Path) -> None:
    """A live table with its columns in another order would be answered with other features."""
    each, view = backbone(), FeaturesView(corpus.features)
    model = each.fit(whole(corpus), 3, tmp_path)
    shuffled = view.features.select(sorted(view.features.columns))
    np.testing.assert_array_equal(each.predict(model, view), each.predict(model, FeaturesView(shuffled)))


def test_it_finds_returns_that_persist(corpus: Corpus, tmp_path: Path) -> None:
    """A stack that learns nothing would be judged for its data."""
    cut = sorted(corpus.groups.unique())[20]
    early = (corpus.groups < cut).arg_true().to_numpy()
    late = (corpus.groups >= sorted(corpus.groups.unique())[22]).arg_true().to_numpy()
    view = corpus.train_view(early)
    each = backbone()
    predicted = each.predict(each.fit(view, 0, tmp_path), FeaturesView(corpus.features[late]))
    assert np.corrcoef(predicted, corpus.targets("verify", late))[0, 1] > 0.2


def test_problem_01_the_first_level_is_purged_by_whole_blocks() -> None:
    """The second level would learn from predictions of labels that the first level had half seen."""
    names = np.repeat([f"b{number:02d}" for number in range(14)], 3)
    tested: list[str] = []
    for train, test in _inner(names, 4):
        numbers, held = ({int(each[1:]) for each in names[rows]} for rows in (train, test))
        assert min(abs(one - other) for one in numbers for other in held) == 2
        tested += sorted({str(each) for each in names[test]})
    assert sorted(set(names.tolist())) == sorted(tested)


def test_too_few_blocks_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    """The first level would be fitted on nothing."""
    view = whole(corpus)
    few = view.groups < sorted(set(view.groups.tolist()))[5]
    short = TrainView(corpus.features.filter(pl.Series(few)), view.target[few], view.groups[few], "regression")
    with pytest.raises(CorpusError, match="5 blocks of dates are too few for 5 inner folds"):
        backbone().fit(short, 0, tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_the_second_level_never_turns_the_first_round(tmp_path: Path, seed: int) -> None:
    """Where features say nothing, unseen blocks seem predicted the wrong way round: trading that is trading noise."""
    walk = reader(tmp_path, frame(prices(500, 6, seed=seed)), block=20).read()
    second = backbone().fit(whole(walk), 0, tmp_path).stack.second
    assert (second.coef > 0).all(), "a family without a weight would make a variant without it the same model"


def test_families_are_told_by_their_names() -> None:
    """Residual momentum would be taken for momentum, and the stack have one level too few."""
    names = ["momentum_63", "momentum_252", "residual_momentum_126", "volatility_21"]
    assert {
        "momentum": ("momentum_63", "momentum_252"),
        "residual_momentum": ("residual_momentum_126",),
        "volatility": ("volatility_21",),
    } == families(names, flat=False)
    assert {"all": tuple(names)} == families(names, flat=True)


class _Deaf(MarketStackBackbone):
    """Declares a parameter that its training does not read, as the system that this one replaces did."""

    class Params(StackParams):
        demean_predictions: bool = False

    name: ClassVar[str] = "deaf"


def test_problem_01_an_override_that_the_training_never_reads_is_an_error(corpus: Corpus, tmp_path: Path) -> None:
    """A variant would be trained, shadowed and ranked though it is the base under another name."""
    _Deaf(_Deaf.Params()).fit(whole(corpus), 0, tmp_path)
    with pytest.raises(StudyError, match=r"`fit\.demean_predictions` is set, and the training never read it"):
        _Deaf(_Deaf.Params(demean_predictions=True)).fit(whole(corpus), 0, tmp_path)
    with pytest.raises(StudyError, match=r"`fit\.inner_folds`"):
        backbone(stack="flat", inner_folds=7).fit(whole(corpus), 0, tmp_path)


def test_problem_01_every_parameter_changes_what_is_fitted(corpus: Corpus, tmp_path: Path) -> None:
    """A knob that is read and has no effect would be an arm for nothing."""
    pytest.importorskip("lightgbm")
    trees = {"rounds": 5, "min_rows": 50}
    changes: list[dict[str, Any]] = [
        {"stack": "flat"},
        {"inner_folds": 4},
        {"equal_weights": 0.2},
        {"trees": trees},
        *({"trees": trees | change} for change in ({"share": 0.2}, {"rounds": 6}, {"leaves": 4}, {"min_rows": 60})),
        *({"trees": trees | change} for change in ({"learning_rate": 0.2}, {"rows_share": 0.5})),
        {"trees": trees | {"columns_share": 0.3}},
    ]
    models = [fitted(corpus, tmp_path / str(number), **params) for number, params in enumerate([{}, *changes])]
    assert len(models) == len(set(models))
    declared = {
        *StackParams.model_fields,
        *(f"trees.{name}" for name in type(backbone(trees={}).params.trees).model_fields),
    }
    tried = {name for change in changes for name in change}
    tried |= {f"trees.{name}" for change in changes for name in change.get("trees", {})}
    assert declared == tried, "a new parameter belongs into this list"


def test_problem_01_fits_beside_each_other_do_not_see_each_other(corpus: Corpus, tmp_path: Path) -> None:
    """A parameter in a module would be the other thread's for a moment, and nobody could tell which model got it."""
    params: list[dict[str, Any]] = [{}, {"inner_folds": 3}, {"stack": "flat"}, {"inner_folds": 6}]
    alone = [fitted(corpus, tmp_path / f"alone{number}", **each) for number, each in enumerate(params)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(fitted, corpus, tmp_path / f"beside{n}", **each) for n, each in enumerate(params)]
        assert alone == [job.result() for job in jobs]


@pytest.mark.parametrize("block", [{"share": 0.0}, {"FORWARD_DAYS": 60}, {"trees": {"depth": 3}}])
def test_problem_23_a_knob_outside_the_allow_list_is_refused(block: dict[str, Any]) -> None:
    """It would be set, believed, and never read."""
    with pytest.raises(ValidationError):
        StackParams.model_validate(block)


def test_problem_07_rows_of_other_columns_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    """Thirteen names and twelve columns: the model would multiply one feature with the weight of another."""
    each = backbone()
    model = each.fit(whole(corpus), 0, tmp_path)
    for features in (corpus.features.drop("reversal_5"), corpus.features.with_columns(extra=pl.lit(1.0))):
        with pytest.raises(InputError, match="the model was fitted on momentum_10"):
            each.predict(model, FeaturesView(features))


def test_a_file_that_is_no_model_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    """A damaged model would predict something."""
    stored = fitted(corpus, tmp_path)
    for damaged in (b"", stored[:-1], stored.replace(b"heldout.market/1", b"heldout.market/9")):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(TamperedError, match="no market model"):
            backbone().load(tmp_path)
    (tmp_path / "noise.json").write_text('{"seed": "x"}')
    with pytest.raises(TamperedError):
        MarketNoiseBackbone(NoiseParams()).load(tmp_path)


def test_noise_is_noise(corpus: Corpus, tmp_path: Path) -> None:
    """A null arm that leans on something would make every model look honest, or none."""
    noise = MarketNoiseBackbone(NoiseParams())
    one, two = (noise.fit(whole(corpus), seed, tmp_path) for seed in (1, 2))
    view = FeaturesView(corpus.features)
    assert abs(np.corrcoef(noise.predict(one, view), noise.predict(two, view))[0, 1]) < 0.05
    assert abs(np.corrcoef(noise.predict(one, view), corpus.targets("verify"))[0, 1]) < 0.05


def test_a_short_budget_is_the_same_code_with_fewer_trees() -> None:
    """The check of the fitted state would take as long as the fits."""
    assert backbone().quick().params == backbone().params
    few = backbone(trees={"rounds": 300}).quick().params.trees
    assert few is not None
    assert 5 == few.rounds


def test_problem_15_the_headline_is_a_mean_over_dates() -> None:
    """A model that only knows which dates are good would look skilful though it cannot tell two assets apart."""
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    dates, assets = 200, 10
    level = np.repeat(rng.normal(size=dates), assets)
    target, prediction = level + rng.normal(scale=0.1, size=2000), level + rng.normal(scale=0.1, size=2000)
    cells = [f"2001-{number // 28 + 1:02d}-{number % 28 + 1:02d}" for number in range(dates) for _ in range(assets)]
    samples = pl.DataFrame({"cell": cells, "fold": "one", "target": target})
    table = rank_ic_by_date(samples, prediction)
    each = [spearmanr(target[i : i + assets], prediction[i : i + assets])[0] for i in range(0, 2000, assets)]
    np.testing.assert_allclose(table["ic"].to_numpy(), each, atol=1e-12)
    assert spearmanr(target, prediction)[0] > 0.9, "pooled, it looks like skill"
    assert abs(float(table["ic"].mean())) < 0.1  # type: ignore[arg-type]
    points = cumulative_ic(samples, prediction).series["variant"]
    assert points[-1][1] == pytest.approx(sum(each))


def test_problem_21_a_date_of_one_answer_for_all_has_no_rank_ic() -> None:
    """A model that stopped telling assets apart would keep its place by the dates on which it still did."""
    samples = pl.DataFrame({"cell": ["d1"] * 3 + ["d2"] * 3, "fold": "one", "target": [1.0, 2, 3, 1, 2, 3]})
    table = rank_ic_by_date(samples, np.array([1.0, 2, 3, 7, 7, 7]))
    assert [1.0, None] == table["ic"].to_list()
