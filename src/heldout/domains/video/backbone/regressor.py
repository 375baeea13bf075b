"""The full-reference regressor: six libvmaf features and the encode, to VMAF points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from heldout.backbone import (
    Backbone,
    Baseline,
    Contract,
    CurvePanel,
    FeaturesView,
    FitJob,
    FloatArray,
    Judged,
    Params,
    Served,
    TrainView,
)
from heldout.corpus import Corpus
from heldout.domains.video.backbone.features import (
    CODEC_BLOCK,
    Float32,
    Inputs,
    Recipe,
    Unseen,
    fit_inputs,
    rows_without_block,
)
from heldout.domains.video.backbone.model import FILE, Codec, FRModel, network_input
from heldout.domains.video.corpus.rows import FEATURES
from heldout.errors import HeldoutError, RefusedError
from heldout.fit import MLPConfig, TrainJob, train

if TYPE_CHECKING:
    import polars as pl

_CONSTANT = 1e-8
_TAUTOLOGY = (
    "The target is itself a known function of the same six features: the regression of VMAF v0.6.1 takes exactly "
    "these six of a frame. A high PLCC therefore says how well a known function is copied, not how well human opinion "
    "is predicted, and neither encoder nor quality point can add to it. Compare with the baselines."
)


class _Draft(NamedTuple):
    """What is fitted before the network is."""

    inputs: Inputs
    target_mean: float
    target_std: float


class FRParams(Params):
    """The `fit:` block of the full-reference regressor."""

    recipe: Recipe = Field(
        "standardised",
        description="standardised: target and codec block standardised on training rows; published: both raw",
    )
    codec: Codec = Field("aware", description="aware: six features and the codec block; blind: the features alone")
    hidden: int = Field(64, ge=1, le=4096, description="units of a hidden layer")
    depth: int = Field(2, ge=1, le=8, description="hidden layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="of hidden units")
    epochs: int = Field(200, ge=1)
    batch_size: int = Field(32, ge=1)
    lr: float = Field(5e-4, gt=0)
    weight_decay: float = Field(1e-5, ge=0, description="coupled with the gradient, as in Adam with L2")
    encoder_dropout: float = Field(
        0.25, ge=0, lt=1, description="share of training rows without the codec block (standardised recipe)"
    )
    unseen: Unseen = Field(
        "fallback",
        description="an encoder without training rows: fallback: predict without the codec block (the published recipe "
        "cannot, and flags it); flag: predict as if it were known; refuse: stop. All of them warn",
    )
    engine: Literal["auto", "cached", "stacked", "loop"] = Field("auto", description="which engine trains")


class FRRegressorBackbone(Backbone):
    """A small dense network; all seeds and folds are trained in one program."""

    name: ClassVar[str] = "fr_regressor"
    Params = FRParams
    contract: ClassVar[Contract] = Contract(
        readers=("video_frames",), tasks=("regression",), primary_metrics=("plcc",), files=(FILE,)
    )
    params: FRParams

    def fit(self, view: TrainView, seed: int, workdir: Path) -> FRModel:
        """Fit one member."""
        ((_, model),) = self.fit_many([FitJob("one", view, seed)], workdir)
        return model

    def fit_many(self, jobs: Sequence[FitJob], workdir: Path) -> Iterator[tuple[FitJob, FRModel]]:
        """Fit many members together; each depends on its own view and seed alone."""
        by_name = {job.name: job for job in jobs}
        drafts = {job.name: self._draft(job) for job in jobs}
        train_jobs = [TrainJob(job.name, *self._arrays(job, drafts[job.name]), job.seed) for job in jobs]
        for name, weights in train(self.config, train_jobs, workdir, engine=self.params.engine):
            yield by_name[name], FRModel(weights, *drafts[name], self.params.recipe, self.params.codec)

    def predict(self, model: FRModel, view: FeaturesView) -> FloatArray:
        """VMAF points, float64 ``[rows]``.

        Raises:
            RefusedError: If an encoder has no training rows and `unseen: refuse` was asked for.
        """
        if self.params.unseen == "refuse" and model.codec == "aware":
            unseen = sorted(set(view.features["encoder"].unique()) - set(model.inputs.seen))
            if unseen:
                raise RefusedError(
                    f"the encoder {unseen[0]!r} has no training rows",
                    where="fit.unseen",
                    hint="train on rows of it, or set `unseen: fallback` to predict without the codec block",
                )
        return model.answer(view.features)

    def save(self, model: FRModel, folder: Path) -> None:
        """Write ``model.safetensors``: weights and everything that was fitted."""
        model.save(folder)

    def load(self, folder: Path) -> FRModel:
        """Read ``model.safetensors``."""
        return FRModel.load(folder)

    def served(self, model: FRModel) -> Served:
        """As one ONNX graph, run by ONNX Runtime on one thread.

        Raises:
            PrerequisiteError: If onnx or onnxruntime is not installed.
        """
        from heldout.domains.video.backbone.parity import as_graph

        return as_graph(model)

    @property
    def config(self) -> MLPConfig:
        """The network and its recipe."""
        fit = self.params
        inputs = len(FEATURES) + (len(CODEC_BLOCK) if fit.codec == "aware" else 0)
        return MLPConfig(
            widths=(inputs, *([fit.hidden] * fit.depth), 1),
            dropout=fit.dropout,
            epochs=fit.epochs,
            batch_size=fit.batch_size,
            lr=fit.lr,
            weight_decay=fit.weight_decay,
        )

    def smoke_reason(self) -> str | None:
        """One epoch is a dry run."""
        return "1 epoch is a dry run" if self.params.epochs < 2 else None

    def quick(self) -> FRRegressorBackbone:
        """Two epochs."""
        return type(self)(self.params.model_copy(update={"epochs": min(2, self.params.epochs)}))

    def warnings(self, view: FeaturesView, model: FRModel) -> list[str]:
        """Encoders without training rows or outside the vocabulary, and quality points out of range."""
        return model.warnings(view.features)

    def baselines(self) -> list[Baseline]:
        """Linear, gradient boosting, and the same network without the codec block."""
        six = list(FEATURES)
        linear = {"estimator": "sklearn.linear_model.LinearRegression", "features": six}
        boosting = {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "features": six}
        blind = self.params.model_dump(mode="json", exclude_unset=True) | {"codec": "blind"}
        found = [
            Baseline("linear", "linear regression on the six features", "sklearn", linear),
            Baseline("gradient-boosting", "gradient boosting on the six features", "sklearn", boosting),
        ]
        if self.params.codec == "aware":
            found.append(Baseline("codec-blind", "the same network without the codec block", self.name, blind))
        return found

    def default_gate(self) -> dict[str, object]:
        """The published thresholds."""
        plcc = {"metric": "plcc", "scope": "members"}
        return {
            "rules": [
                {"id": "mean-plcc", **plcc, "statistic": "mean", "at_least": 0.95},
                {"id": "plcc-spread", **plcc, "statistic": "spread", "at_most": 0.005},
                {"id": "every-seed", **plcc, "statistic": "min", "at_least": 0.95},
            ],
            "min_seeds": 5,
            "min_groups": 3,
        }

    def published_files(self, judged: Judged) -> dict[str, object]:
        """``loso_seed{N}.json`` of every seed."""
        from heldout.domains.video.backbone import published

        return published.published_files(judged)

    def published_verdict_fields(self, judged: Judged) -> dict[str, object]:
        """The published fields of the verdict."""
        from heldout.domains.video.backbone import published

        return published.published_verdict_fields(judged)

    def curves(self, corpus: Corpus, samples: pl.DataFrame, prediction: FloatArray | Any) -> list[CurvePanel]:
        """Rate and quality of every encoder: what was measured and what was predicted."""
        from heldout.domains.video.backbone.curves import rate_quality

        return rate_quality(corpus, samples, prediction)

    def units(self) -> str:
        """VMAF points."""
        return "VMAF"

    def notes(self) -> list[str]:
        """What the numbers of this backbone do not say."""
        return [_TAUTOLOGY]

    def packages(self) -> tuple[str, ...]:
        """What the engine computes with."""
        from heldout.fit.ensemble import resolve_engine

        try:
            cached = resolve_engine(self.params.engine) == "cached"
        except HeldoutError:  # not installed here, where only a plan is made
            return super().packages()
        return ("numpy", "polars", *(("llvmlite", "numba") if cached else ("torch",)))

    def device(self) -> str:
        """Where the engine trains."""
        from heldout.fit.ensemble import resolve_engine

        if resolve_engine(self.params.engine) != "stacked":
            return "cpu"
        import torch

        return f"cuda:{torch.cuda.get_device_name()}" if torch.cuda.is_available() else "cpu"

    def _draft(self, job: FitJob) -> _Draft:
        fit, target = self.params, job.view.target
        inputs = fit_inputs(job.view.features, fit.recipe, fit.unseen)
        if fit.recipe == "published":
            return _Draft(inputs, 0.0, 1.0)
        std = float(np.std(target))
        return _Draft(inputs, float(np.mean(target)), std if std >= _CONSTANT else 1.0)

    def _arrays(self, job: FitJob, draft: _Draft) -> tuple[Float32, Float32]:
        """Network inputs and targets of the training rows; some rows go without the block."""
        fit, frame = self.params, job.view.features
        X = network_input(draft.inputs, frame, fit.codec)
        if fit.codec == "aware" and fit.recipe == "standardised":
            X[rows_without_block(job.seed, frame.height, fit.encoder_dropout), len(FEATURES) :] = 0.0
        y = (job.view.target - draft.target_mean) / draft.target_std
        return X, y.astype(np.float32)
