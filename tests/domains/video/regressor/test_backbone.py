"""The regressor as a backbone: what it learns from, what it answers, what it stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.backbone import FeaturesView, FitJob, TrainView
from heldout.corpus import Corpus
from heldout.domains.video.backbone.model import FILE, FRModel
from heldout.domains.video.backbone.regressor import FRParams, FRRegressorBackbone
from heldout.errors import RefusedError, TamperedError
from heldout.run.resolve import load_backbone
from heldout.run.units.unit import test_view as held_out_view
from heldout.run.units.unit import train_view
from heldout.split import Fold
from heldout.study import GateSpec
from heldout.task.metrics import regression
from heldout.testing import BackboneConformance

pytest.importorskip("numba")

FOLD = Fold("source1", ("source1",))


def backbone(**params: Any) -> FRRegressorBackbone:
    return FRRegressorBackbone(FRParams(**({"epochs": 3, "hidden": 16} | params)))


def whole(corpus: Corpus) -> TrainView:
    return TrainView(corpus.features, corpus.targets("verify"), corpus.groups.to_numpy().astype(str), "regression")


def only(corpus: Corpus, encoders: list[str]) -> tuple[TrainView, FeaturesView, Any]:
    """Training rows of these encoders, and the rows of all others with their scores."""
    kept = corpus.features["encoder"].is_in(encoders)
    rows, rest = kept.arg_true().to_numpy(), (~kept).arg_true().to_numpy()
    groups = corpus.groups.to_numpy().astype(str)[rows]
    view = TrainView(corpus.features[rows], corpus.targets("verify", rows), groups, "regression")
    return view, FeaturesView(corpus.features[rest]), corpus.targets("verify", rest)


def saved(model: FRModel, folder: Path) -> bytes:
    model.save(folder)
    return (folder / FILE).read_bytes()


class TestConformance(BackboneConformance):
    @pytest.fixture(
        autouse=True,
        params=[
            {},
            *(pytest.param(each, marks=pytest.mark.slow) for each in ({"recipe": "published"}, {"codec": "blind"})),
        ],
        ids=str,
    )
    def _subject(self, request: pytest.FixtureRequest, corpus: Corpus) -> None:
        self.backbone, self.corpus = backbone(**request.param), lambda: corpus  # type: ignore[misc,method-assign]


def test_the_published_recipe_is_the_default() -> None:
    """If this failed, a study that names the backbone alone would train something that nobody published."""
    config = FRRegressorBackbone(FRParams()).config
    assert config.n_parameters == 5569
    assert (config.widths, config.activation, config.optimizer) == ((20, 64, 64, 1), "gelu", "adam")
    assert (config.dropout, config.epochs, config.batch_size) == (0.1, 200, 32)
    assert (config.lr, config.weight_decay, config.loss) == (5e-4, 1e-5, "mse")


def test_defect_26_a_member_is_a_function_of_its_rows_and_seed(corpus: Corpus, tmp_path: Path) -> None:
    """If this failed, resuming a run or training one fold alone would give other models than the whole run."""
    folds = [FOLD, Fold("source2", ("source2",))]
    jobs = [FitJob(f"seed{seed}/{fold.id}", train_view(corpus, fold), seed) for seed in (0, 1) for fold in folds]
    subject = backbone()

    together = {job.name: model for job, model in subject.fit_many(jobs, tmp_path / "many")}
    alone = subject.fit(jobs[2].view, jobs[2].seed, tmp_path / "alone")

    assert set(together) == {job.name for job in jobs}
    assert saved(alone, tmp_path / "a") == saved(together[jobs[2].name], tmp_path / "b")
    assert len({saved(model, tmp_path / "c" / name) for name, model in together.items()}) == len(jobs)


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all", None])
def test_a_file_that_is_no_model_is_refused(corpus: Corpus, tmp_path: Path, damage: bytes | None) -> None:
    """If this failed, a foreign or torn file would be served as a model."""
    subject = backbone()
    if damage is not None:
        (tmp_path / FILE).write_bytes(damage)
    with pytest.raises(TamperedError, match="no model"):
        subject.load(tmp_path)


def test_it_learns_and_answers_in_vmaf_points(corpus: Corpus, tmp_path: Path) -> None:
    """If this failed, predictions would be on another scale than the score, or no better than its mean."""
    fold = Fold("source2", ("source2",))
    subject = backbone(epochs=100, hidden=64)
    model = subject.fit(train_view(corpus, fold), 0, tmp_path)

    truth = corpus.targets("verify", corpus.rows_of(["source2"]))
    found = regression(truth, subject.predict(model, held_out_view(corpus, fold)))

    assert found["plcc"] > 0.99
    assert found["rmse"] < 2.0


def test_defect_27_the_bias_needs_no_climb(corpus: Corpus, tmp_path: Path) -> None:
    """If this failed, a quick look would judge how far the bias has climbed to 85, not what was learnt."""
    errors = {}
    for recipe in ("standardised", "published"):
        subject = backbone(recipe=recipe, hidden=64, epochs=3)
        model = subject.fit(train_view(corpus, FOLD), 0, tmp_path / recipe)
        prediction = subject.predict(model, held_out_view(corpus, FOLD))
        errors[recipe] = regression(corpus.targets("verify", corpus.rows_of(["source1"])), prediction)["rmse"]

    assert errors["standardised"] < 8.0
    assert errors["published"] > 3 * errors["standardised"]


def test_defect_21_unseen_encoder_does_not_poison_predictions(
    write_frames: Any, read_frames: Any, tmp_path: Path
) -> None:
    """If this failed, a model of one encoder would be wrong by ten to twenty points for every other encoder.

    The published recipe is shown to do so, on the same rows.
    """
    corpus = read_frames(write_frames(encoders=("h264_nvenc", "hevc_qsv"), frames=60))
    view, others, truth = only(corpus, ["h264_nvenc"])
    error = {}
    for recipe in ("published", "standardised"):
        subject = backbone(recipe=recipe, hidden=64, epochs=100)
        model = subject.fit(view, 0, tmp_path / recipe)
        error[recipe] = subject.predict(model, others) - truth
        assert "hevc_qsv: not among the training rows" in " ".join(subject.warnings(others, model))

    assert np.abs(error["published"]).mean() > 10.0
    assert np.abs(error["standardised"]).mean() < 2.0
    assert abs(error["standardised"].mean()) < 1.0


def test_defect_21_nor_do_several_encoders_in_training(write_frames: Any, read_frames: Any, tmp_path: Path) -> None:
    """If this failed, the fallback would be a guess that the network was never trained to make.

    Training rows without the block are what teaches it: without them the error is larger.
    """
    corpus = read_frames(write_frames(encoders=("libx264", "libx265", "libsvtav1", "hevc_qsv"), frames=40))
    view, others, truth = only(corpus, ["libx264", "libx265", "libsvtav1"])
    errors = {}
    for name, params in {"aware": {}, "untaught": {"encoder_dropout": 0.0}, "blind": {"codec": "blind"}}.items():
        subject = backbone(hidden=64, epochs=60, **params)
        jobs = [FitJob(f"{name}{seed}", view, seed) for seed in range(4)]
        answers = [subject.predict(model, others) for _, model in subject.fit_many(jobs, tmp_path / name)]
        errors[name] = np.mean([np.abs(answer - truth).mean() for answer in answers])

    assert errors["aware"] < 2.0
    assert errors["aware"] < errors["blind"] + 0.5
    assert errors["aware"] < 0.8 * errors["untaught"]


def test_encoders_outside_the_vocabulary_are_named(write_frames: Any, read_frames: Any, tmp_path: Path) -> None:
    """If this failed, VAAPI rows would be pooled into one slot and nobody would know."""
    corpus = read_frames(write_frames(encoders=("libx264", "h264_vaapi")))
    subject = backbone()

    model = subject.fit(whole(corpus), 0, tmp_path)

    assert "h264_vaapi: outside the encoder vocabulary" in subject.warnings(FeaturesView(corpus.features), model)[0]
    assert backbone(codec="blind").warnings(FeaturesView(corpus.features), _blind(corpus, tmp_path)) == []


def _blind(corpus: Corpus, tmp_path: Path) -> FRModel:
    return backbone(codec="blind").fit(whole(corpus), 0, tmp_path / "blind")


def test_defect_19_a_quality_point_out_of_range_is_named(corpus: Corpus, tmp_path: Path) -> None:
    """If this failed, a corpus with another quality range would be predicted without a word."""
    subject = backbone()
    model = subject.fit(whole(corpus), 0, tmp_path)
    far = FeaturesView(corpus.features.with_columns(cq=pl.lit(51, dtype=pl.Int64)))

    assert subject.warnings(FeaturesView(corpus.features), model) == []
    assert "quality points 51 lie outside the training range 19 to 37" in subject.warnings(far, model)[0]


def test_an_unseen_encoder_can_be_refused(write_frames: Any, read_frames: Any, tmp_path: Path) -> None:
    """If this failed, who asked for no answer rather than a fallback would get one."""
    corpus = read_frames(write_frames(encoders=("libx264", "hevc_qsv")))
    view, others, _ = only(corpus, ["libx264"])
    subject = backbone(unseen="refuse")
    model = subject.fit(view, 0, tmp_path)

    with pytest.raises(RefusedError, match="'hevc_qsv' has no training rows"):
        subject.predict(model, others)
    assert len(subject.predict(model, FeaturesView(view.features))) == len(view.target)


def test_one_epoch_is_a_smoke_run() -> None:
    """If this failed, a dry run could PROMOTE."""
    assert backbone(epochs=1).smoke_reason() == "1 epoch is a dry run"
    assert backbone(epochs=2).smoke_reason() is None


def test_the_published_thresholds_are_the_default_policy() -> None:
    """If this failed, a study without rules would be judged by other thresholds than the published ones."""
    gate = GateSpec.model_validate(backbone().default_gate())

    bounds = {rule.id: (rule.metric, rule.scope, rule.statistic, rule.at_least, rule.at_most) for rule in gate.rules}
    assert bounds == {
        "mean-plcc": ("plcc", "members", "mean", 0.95, None),
        "plcc-spread": ("plcc", "members", "spread", None, 0.005),
        "every-seed": ("plcc", "members", "min", 0.95, None),
    }
    assert (gate.min_seeds, gate.min_groups) == (5, 3)


def test_defect_17_report_notes_say_target_is_a_known_function() -> None:
    """If this failed, a reader would take a PLCC of .997 for a discovery."""
    assert "known function of the same six features" in backbone().notes()[0]


def test_defect_17_the_baselines_run_on_the_six_features(corpus: Corpus, tmp_path: Path) -> None:
    """If this failed, the table would have nothing to compare a high PLCC with."""
    pytest.importorskip("sklearn")
    subject = backbone(lr=1e-3)
    found = {}
    for each in subject.baselines():
        contender = load_backbone(each.backbone, each.fit)
        model = contender.fit(train_view(corpus, FOLD), 0, tmp_path / each.id)
        found[each.id] = np.asarray(contender.predict(model, held_out_view(corpus, FOLD)))

    assert set(found) == {"linear", "gradient-boosting", "codec-blind"}
    assert all(len(values) == 240 and np.isfinite(values).all() for values in found.values())
    blind = load_backbone("fr_regressor", subject.baselines()[2].fit).params
    assert blind == subject.params.model_copy(update={"codec": "blind"})
    assert [each.id for each in backbone(codec="blind").baselines()] == ["linear", "gradient-boosting"]


def test_rate_quality_curves_have_a_point_for_each_quality_point(corpus: Corpus) -> None:
    """If this failed, the report's curves would miss encoders or mix them."""
    samples = pl.DataFrame(
        {"sample_id": corpus.ids, "group": corpus.groups, "cell": corpus.cells, "target": corpus.targets("verify")}
    )

    panels = backbone().curves(corpus, samples, corpus.targets("verify") + 1.0)

    assert [panel.title for panel in panels] == ["libx264", "libx265"]
    for panel in panels:
        measured, predicted = panel.series["measured"], panel.series["predicted"]
        assert len(measured) == 4
        np.testing.assert_allclose([y + 1.0 for _, y in measured], [y for _, y in predicted])
        assert sorted(y for _, y in measured) == [y for _, y in measured]


@pytest.mark.parametrize("codec", ["aware", "blind"])
def test_what_is_served_answers_as_the_model_does(corpus: Corpus, tmp_path: Path, codec: str) -> None:
    """The latency would be that of another function."""
    mine = backbone(codec=codec)
    model = mine.fit(whole(corpus), 0, tmp_path)
    view = FeaturesView(corpus.features)
    np.testing.assert_allclose(mine.predict(model, view), mine.served(model).predict(view), rtol=1e-4)
