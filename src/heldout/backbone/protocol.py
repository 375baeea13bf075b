"""What a backbone is: a plug-in that fits and predicts one family of models.

A newcomer writes four methods and three class attributes::

    class MyBackbone(Backbone):
        name = "mine"
        Params = MyParams                      # a frozen pydantic model: the `fit:` block of a study
        contract = Contract(files=("model.json",))       # every file that `save` writes: these are the model, by digest

        def fit(self, view, seed, workdir): ...          # -> model
        def predict(self, model, view): ...              # -> numbers, one a row
        def save(self, model, folder): ...
        def load(self, folder): ...                      # -> model

``fit`` receives the train view of one fold and nothing else, so everything that is fitted (scaler, vocabulary, label
list, range) can only come from training rows. ``predict`` receives features without targets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from heldout.corpus import Corpus, CorpusManifest, FeaturesView, TargetKind, TrainView

FloatArray = NDArray[np.float64]
_NUMERIC = ("lightgbm", "llvmlite", "numba", "numpy", "polars", "scikit-learn", "scipy", "torch")


class ClassScores(NamedTuple):
    """What a classifier predicts: probabilities of shape ``[rows, classes]``, columns in the order of ``classes``."""

    classes: tuple[str, ...]
    probability: FloatArray


class FitJob(NamedTuple):
    """One model to fit: its name (``seed0/fold``), its view, and the seed of its one random stream."""

    name: str
    view: TrainView
    seed: int


class Params(BaseModel):
    """Base of a backbone's ``fit:`` block: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    since: ClassVar[Mapping[str, object]] = {}  # keys that came later, with what was so before

    @model_serializer(mode="wrap")
    def _unless_as_ever(self, written: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without a choice that nobody made: fits of before there was one keep their keys."""
        found: dict[str, Any] = written(self)
        return {key: value for key, value in found.items() if key not in self.since or value != self.since[key]}


class WeightedParams(Params):
    """Base of the block of a backbone that counts rows by their weights, unless a study says otherwise."""

    since: ClassVar[Mapping[str, object]] = {"weight": "use"}
    weight: Literal["use", "ignore"] = Field("use", description="whether to fit by `corpus.weight`, if there is one")

    def counted(self, view: TrainView) -> TrainView:
        """The rows of a view that count anything, with their weights if these are used; validation rows the same."""
        validation = None if view.validation is None else self.counted(view.validation)
        if view.weight is None or self.weight == "ignore":
            return replace(view, validation=validation, weight=None)
        counts = view.weight > 0
        if counts.all():
            return replace(view, validation=validation)
        return TrainView(
            view.features.filter(pl.Series(counts)), view.target[counts], view.groups[counts], view.task,
            validation, view.weight[counts], view.target_name,
        )  # fmt: skip


@dataclass(frozen=True)
class Contract:
    """What a backbone promises.

    Attributes:
        readers: Names of the corpus readers whose corpora it accepts; empty means any.
        tasks: The kinds of target it can learn.
        primary_metrics: The metrics that its default policy judges.
        files: Every file that ``save`` leaves in the folder of a fit: what is verified, by digest. A name that ends
            with ``/`` is a folder, of which there is at least one file.
        weights: Whether ``fit`` counts each row by ``view.weight``, of training and validation rows alike; a corpus
            with weights is refused otherwise.
        missing: Whether ``fit`` and ``predict`` take features with missing values (null); a corpus with such is refused
            otherwise.
        outputs: Whether ``fit`` takes several targets at once, ``[rows, outputs]``, and ``predict`` answers alike; a
            corpus with such is refused otherwise.
    """

    readers: tuple[str, ...] = ()
    tasks: tuple[TargetKind, ...] = ("regression",)
    primary_metrics: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    weights: bool = False
    missing: bool = False
    outputs: bool = False


@dataclass(frozen=True)
class Baseline:
    """A contender that costs little and keeps the table honest: its own backbone and ``fit:`` block, one seed."""

    id: str
    description: str
    backbone: str
    fit: Mapping[str, Any] = field(default_factory=dict)


class CurvePanel(NamedTuple):
    """One small plot of the report: named series of points."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Judged:
    """What a backbone may read when it writes its domain's own files beside the verdict.

    Attributes:
        folder: The run directory, as the user named it.
        corpus_path: The corpus file, as the study names it.
        manifest: The corpus by digest.
        config: The resolved configuration, as in ``study.lock.yaml``.
        metrics: The document ``metrics.json``.
        verdict: The core's verdict document; empty while the files before it are written.
        wall_time_s: Seconds of fitting, by seed.
        smoke: Why this is a smoke run, or None.
        provenance: The ``run_provenance`` block of this run.
    """

    folder: Path
    corpus_path: Path
    manifest: CorpusManifest
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    wall_time_s: Mapping[int, float]
    smoke: str | None
    provenance: Mapping[str, Any]


class Served(NamedTuple):
    """A fitted model in the form in which it is handed on.

    Attributes:
        form: What it is, such as `onnx`.
        data: The file's bytes.
        predict: Answers as the backbone's own ``predict`` does, from features to predictions.
    """

    form: str
    data: bytes
    predict: Callable[[FeaturesView], FloatArray | ClassScores]


class Backbone(ABC):
    """One family of models. Instances are cheap, hold only their parameters, and may be sent to other processes."""

    name: ClassVar[str]
    Params: ClassVar[type[BaseModel]]
    contract: ClassVar[Contract] = Contract()
    deterministic: ClassVar[bool] = True  # False: a model may answer the same rows differently, and says so
    seeded: ClassVar[bool] = True  # False: the seed changes nothing, so a study may declare one at most
    probabilities: ClassVar[bool] = True  # False: of classes it says one for certain, and is judged by labels alone
    fits: ClassVar[bool] = True  # False: a model from elsewhere, asked and never fitted (``AskedBackbone``)

    def __init__(self, params: Any) -> None:
        """Bind the validated ``fit:`` block."""
        self.params = params

    @abstractmethod
    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        """Fit one model.

        Args:
            view: The training rows; nothing else may influence the result.
            seed: Seed of all randomness, in 0 .. 2**32 - 1. Same view and seed: same model.
            workdir: An empty or resumable folder for intermediate state.
        """

    @abstractmethod
    def predict(self, model: Any, view: FeaturesView) -> FloatArray | ClassScores:
        """Predict every row, in order; float64 of shape ``[rows]`` for regression."""

    @abstractmethod
    def save(self, model: Any, folder: Path) -> None:
        """Write the model into ``folder``. Same model: same bytes. No pickle."""

    @abstractmethod
    def load(self, folder: Path) -> Any:
        """Read what ``save`` wrote; predictions are bit-identical."""

    def fit_many(self, jobs: Sequence[FitJob], workdir: Path) -> Iterator[tuple[FitJob, Any]]:
        """Fit several models and yield each as it is finished.

        A backbone that can train many models in one program overrides this. Each model must be the one that its job
        alone would give: what else is in the batch changes nothing. State in ``workdir`` lets a killed batch go on.
        """
        for job in jobs:
            yield job, self.fit(job.view, job.seed, workdir / job.name)

    def served(self, model: Any) -> Served | None:
        """The model as it is exported, of which size and latency are then judged; None: it is served as it is saved."""
        return None

    def smoke_reason(self) -> str | None:
        """Why these parameters make a smoke run, which can never PROMOTE; None if they do not."""
        return None

    def bound(self, folder: Path) -> Self:
        """This backbone with what its parameters name in a folder, that of the study; itself where they name nothing.

        Raises:
            StudyError: If it is not there; the place is a key of the block.
        """
        return self

    def check(self, corpus: Corpus) -> None:  # noqa: B027 - most have nothing to complain about
        """Complain about what no fold of this corpus could be fitted with, before compute is spent.

        Raises:
            StudyError: Whose place is a key of the block, such as ``fit.features``; it is then given its line.
        """

    def quick(self) -> Backbone:
        """This backbone on a short budget, for checks before the real fits; override where a fit takes long.

        What it fits may be worse, but must be fitted by the same code.
        """
        return self

    def warnings(self, view: FeaturesView, model: Any) -> list[str]:
        """What a reader of predictions on these rows must know, such as categories unseen in training."""
        return []

    def baselines(self) -> list[Baseline]:
        """Contenders for the same table, unless the study declares its own."""
        return []

    def default_gate(self) -> dict[str, object]:
        """The ``gate:`` block that applies when the study declares no rules."""
        return {}

    def published_files(self, judged: Judged) -> dict[str, object]:
        """Documents of the domain's own to leave in the run directory: file name to JSON value."""
        return {}

    def published_verdict_fields(self, judged: Judged) -> dict[str, object]:
        """Fields of the domain's own in PROMOTE.json or HOLD.json; they may not replace the core's."""
        return {}

    def curves(self, corpus: Corpus, samples: pl.DataFrame, prediction: FloatArray | Any) -> list[CurvePanel]:
        """Curves of the domain's own for the report, from held-out samples (as in ``predictions.jsonl``)."""
        return []

    def units(self) -> str:
        """Unit of the target, for tables and axes."""
        return ""

    def notes(self) -> list[str]:
        """Sentences that every report of this backbone must carry."""
        return []

    def packages(self) -> tuple[str, ...]:
        """Distributions whose version can change what is fitted; a unit of other versions is fitted again.

        The package of the backbone itself is always among them. Name what the fit really uses: too many names cost
        fits after an upgrade, a missing one mixes old models with new ones.
        """
        return _NUMERIC

    def sources(self) -> tuple[str, ...]:
        """Modules that its parameters name; with what they import they are part of what identifies a fit.

        The module of the backbone itself is always among them.
        """
        return ()

    def carries(self) -> Mapping[str, str]:
        """Sha256 of each file of code that it brings along from beside the study, by path: part of what fits."""
        return {}

    def device(self) -> str:
        """The device that fits, for provenance."""
        return "cpu"
