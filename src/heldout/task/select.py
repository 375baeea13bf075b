"""A choice as part of the fit: made inside each training view, by groups, and never on a held-out one.

Whoever chooses among twenty models by the folds that judge them reports the luck of the best. Here each fold chooses
for itself, by groups of its own training rows; the verdict is over choosing *and* fitting, and the final model repeats
both.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from heldout import plugins
from heldout.backbone import Backbone, ClassScores, Contract, FloatArray
from heldout.backbone.protocol import Baseline, Params
from heldout.corpus import Corpus, FeaturesView, GroupRecord, TargetKind, TrainView
from heldout.documents.names import CHOICE_FILE
from heldout.errors import CorpusError, StudyError, UnitError, near_miss
from heldout.evidence import read_json, write_json
from heldout.split import Splitter, load_splitter, split_groups
from heldout.study import Document, validate
from heldout.study.spec import SLUG
from heldout.task.metric import Metric, Rows
from heldout.task.metrics import known_names, named, usable

_ORDINARY = {"regression": "rmse", "classification": "log_loss"}
_FOLDS, _QUICK_FOLDS = 3, 2
_MODEL = "model"  # the folder of the chosen one


class CandidateParams(Params):
    """One of the models that are chosen among."""

    backbone: str = Field(description="name of a backbone")
    fit: dict[str, Any] = Field(default_factory=dict, description="its own parameters")


class SelectParams(Params):
    """The `fit:` block of a choice."""

    among: dict[Annotated[str, Field(pattern=SLUG)], CandidateParams] = Field(
        min_length=2, description="what is chosen among, by name; of equals the first by name is taken"
    )
    inner: dict[str, Any] = Field(
        default_factory=lambda: {"kind": "group-k-fold", "folds": _FOLDS},
        description="how the groups of a training view are held out in turn: a `split:` block that needs groups alone",
    )
    metric: str | None = Field(
        None, description="what decides, over all inner held-out rows; null: rmse, of classes log_loss"
    )


@dataclass(frozen=True)
class Chosen:
    """A fitted choice: which candidate, its model, and what each of them had."""

    name: str
    model: Any
    scores: Mapping[str, float]


class SelectBackbone(Backbone):
    """Fits every candidate on some groups of the view, asks it about the others, and fits the best one on all."""

    name: ClassVar[str] = "select"
    Params = SelectParams
    params: SelectParams

    def __init__(self, params: SelectParams) -> None:
        """Load the candidates.

        Raises:
            StudyError: If one of them cannot be chosen, or cannot be told from the others.
        """
        super().__init__(params)
        self.candidates = {name: _loaded(name, params.among[name]) for name in sorted(params.among)}
        ours = self.candidates.values()
        self._splitter = _splitter(params.inner)
        # Of what it was given, not of its class.
        vars(self)["seeded"] = any(each.seeded for each in ours)
        vars(self)["probabilities"] = all(each.probabilities for each in ours)
        vars(self)["deterministic"] = all(each.deterministic for each in ours)
        vars(self)["contract"] = _common([each.contract for each in ours])

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Chosen:
        """Choose, then fit the chosen one on all rows of the view."""
        scores = self._scores(view, seed, workdir)
        metric = self._metric(view.task)
        known = {name: value for name, value in scores.items() if np.isfinite(value)}
        if not known:
            what = f"{metric.name} is undefined of every candidate"
            raise UnitError(what, where="select", hint="name another `metric`, or fewer inner folds")
        name = min(known, key=lambda each: (_badness(metric, known[each]), each))
        return Chosen(name, self.candidates[name].fit(view, seed, workdir / "chosen"), scores)

    def predict(self, model: Chosen, view: FeaturesView) -> FloatArray | ClassScores:
        """What the chosen model answers."""
        return self.candidates[model.name].predict(model.model, view)

    def save(self, model: Chosen, folder: Path) -> None:
        """Write the chosen model, and which one it is with what decided."""
        (folder / _MODEL).mkdir()
        self.candidates[model.name].save(model.model, folder / _MODEL)
        scores = {name: value if np.isfinite(value) else None for name, value in model.scores.items()}
        write_json(folder / CHOICE_FILE, {"schema": "heldout.choice/1", "chosen": model.name, "scores": scores})

    def load(self, folder: Path) -> Chosen:
        """Read the chosen model."""
        told = read_json(folder / CHOICE_FILE)
        if told["chosen"] not in self.candidates:
            what = f"{told['chosen']!r} is none of the candidates"
            raise UnitError(what, where=str(folder / CHOICE_FILE), hint="run the study again")
        scores = {name: np.nan if value is None else float(value) for name, value in told["scores"].items()}
        return Chosen(told["chosen"], self.candidates[told["chosen"]].load(folder / _MODEL), scores)

    def bound(self, folder: Path) -> Self:
        """Every candidate with what it names in the folder of the study.

        Raises:
            StudyError: If one of them is code from beside the study, which is shut in by itself.
        """
        found = {name: each.bound(folder) for name, each in self.candidates.items()}
        beside = next((name for name, each in found.items() if each.carries()), None)
        if beside is not None:
            raise StudyError(
                f"the candidate {beside!r} is code from beside the study",
                where=f"select.among.{beside}",
                hint="let that code make the choice in its own `fit`, by the groups that it is given; or install it as "
                "a plug-in",
            )
        return self._with(found)

    def check(self, corpus: Corpus) -> None:
        """Every candidate can learn from the corpus, the metric is of its kind, and inner folds have groups enough."""
        self._metric(corpus.task)
        try:
            split_groups(self._splitter, corpus.manifest.groups[1:])  # at least one is held out, and is not among them
        except CorpusError as error:
            what = f"{len(corpus.manifest.groups) - 1} groups to train on cannot be held out in turn: {error.what}"
            raise StudyError(what, where="select.inner", hint="declare fewer folds") from None
        for candidate in self.candidates.values():
            candidate.check(corpus)

    def quick(self) -> Self:
        """Every candidate on a short budget, and two inner folds."""
        few = self._with({name: each.quick() for name, each in self.candidates.items()})
        if self.params.inner.get("kind", "group-k-fold") == "group-k-fold":
            vars(few)["_splitter"] = load_splitter({"kind": "group-k-fold", "folds": _QUICK_FOLDS})
        return few

    def warnings(self, view: FeaturesView, model: Chosen) -> list[str]:
        """What the chosen one has to say."""
        return self.candidates[model.name].warnings(view, model.model)

    def smoke_reason(self) -> str | None:
        """The first reason that a candidate has."""
        return next((why for each in self.candidates.values() if (why := each.smoke_reason())), None)

    def baselines(self) -> list[Baseline]:
        """Those of the first candidate."""
        return next(iter(self.candidates.values())).baselines()

    def default_gate(self) -> dict[str, object]:
        """That of the first candidate."""
        return next(iter(self.candidates.values())).default_gate()

    def notes(self) -> list[str]:
        """What is judged here."""
        names = ", ".join(self.candidates)
        return [
            f"What is judged is the choice among {names}, made in each fold on its training groups alone, and the fit."
        ]

    def packages(self) -> tuple[str, ...]:
        """Those of every candidate."""
        return tuple(sorted({name for each in self.candidates.values() for name in each.packages()}))

    def sources(self) -> tuple[str, ...]:
        """The modules of every candidate, and of the splitter."""
        found = {type(each).__module__ for each in self.candidates.values()}
        found |= {name for each in self.candidates.values() for name in each.sources()}
        return tuple(sorted({*found, *self._splitter.sources()}))

    def _with(self, candidates: dict[str, Backbone]) -> Self:
        found = copy.copy(self)
        found.candidates = candidates
        return found

    def _metric(self, task: TargetKind) -> Metric:
        name = self.params.metric or _ORDINARY[task]
        found = named(name)
        if found is None or not usable(found, task) or found.needs == "model":
            known = [each for each in known_names(task) if (one := named(each)) is None or one.needs != "model"]
            hint = near_miss(name, known, "metrics")
            raise StudyError(f"{name!r} is no metric of a {task}", where="select.metric", hint=hint)
        if found.needs == "probability" and not self.probabilities:
            labels = next(each for each, backbone in self.candidates.items() if not backbone.probabilities)
            hint = "write `metric: accuracy`, or another metric of labels"
            what = f"{name} is of probabilities, and the candidate {labels!r} says labels alone"
            raise StudyError(what, where="select.metric", hint=hint)
        return found

    def _scores(self, view: TrainView, seed: int, workdir: Path) -> dict[str, float]:
        """The metric of each candidate over all rows that the inner folds hold out."""
        groups, counts = np.unique(view.groups, return_counts=True)
        records = [GroupRecord(str(name), int(count), str(name)) for name, count in zip(groups, counts, strict=True)]
        folds, classes = split_groups(self._splitter, records).folds, _classes(view)
        parts: dict[str, list[FloatArray]] = {name: [] for name in self.candidates}
        held: list[NDArray[np.bool_]] = []
        for fold in folds:
            test = np.isin(view.groups, fold.test)
            held.append(test)
            inner = _some(view, ~np.isin(view.groups, (*fold.test, *fold.val, *fold.exceptions)))
            asked = FeaturesView(view.features.filter(pl.Series(test)))
            for name, candidate in self.candidates.items():
                model = candidate.fit(inner, seed, workdir / name / fold.id)
                parts[name].append(_said(candidate.predict(model, asked), classes))
        metric = self._metric(view.task)
        truth = np.concatenate([_truth(view, classes)[test] for test in held])
        weight = None if view.weight is None else np.concatenate([view.weight[test] for test in held])
        return {
            name: metric.score(Rows(truth, np.concatenate(found), classes, weight)) for name, found in parts.items()
        }


def _loaded(name: str, spec: CandidateParams) -> Backbone:
    cls: type[Backbone] = plugins.load("backbones", spec.backbone, where=f"select.among.{name}")
    if not cls.fits:
        what = f"the candidate {name!r} is fitted elsewhere, and a choice is made by fitting"
        raise StudyError(what, where=f"select.among.{name}", hint="leave it out")
    place = Document(Path("study"), {}, {})
    return cls(validate(cls.Params, spec.fit, place, ("select", "among", name, "fit")))


def _splitter(block: Mapping[str, Any]) -> Splitter:
    """How groups of a training view are held out in turn.

    Raises:
        StudyError: If there is no such splitter, or it needs more than groups.
    """
    try:
        found = load_splitter(block)
    except StudyError as error:
        raise StudyError(error.what, where="select.inner", hint=error.hint) from None
    if found.reads is not None or found.kind == "fixed":
        what = f"{found.kind!r} needs more than groups, or names some that a training view may lack"
        raise StudyError(what, where="select.inner", hint="use group-k-fold or leave-one-group-out")
    return found


def _common(contracts: Sequence[Contract]) -> Contract:
    """What all of them promise."""
    tasks = [task for task in contracts[0].tasks if all(task in each.tasks for each in contracts)]
    readers = [set(each.readers) for each in contracts if each.readers]
    return Contract(
        tasks=tuple(tasks),
        readers=tuple(sorted(set.intersection(*readers))) if readers else (),
        files=(CHOICE_FILE, f"{_MODEL}/"),
        weights=all(each.weights for each in contracts),
        missing=all(each.missing for each in contracts),
    )


def _badness(metric: Metric, value: float) -> float:
    return {"higher": -value, "lower": value, "near zero": abs(value)}[metric.better]


def _some(view: TrainView, keep: NDArray[np.bool_]) -> TrainView:
    weight = None if view.weight is None else view.weight[keep]
    return replace(
        view,
        features=view.features.filter(pl.Series(keep)),
        target=view.target[keep],
        groups=view.groups[keep],
        weight=weight,
    )


def _classes(view: TrainView) -> tuple[str, ...]:
    return tuple(sorted({str(label) for label in view.target})) if view.task == "classification" else ()


def _truth(view: TrainView, classes: tuple[str, ...]) -> NDArray[Any]:
    if not classes:
        return view.target
    codes = {label: code for code, label in enumerate(classes)}
    return np.array([codes[str(label)] for label in view.target])


def _said(predicted: FloatArray | ClassScores, classes: tuple[str, ...]) -> FloatArray:
    """Numbers ``[rows]``, or probabilities ``[rows, classes]``: a class that an inner fit never saw has none."""
    if not isinstance(predicted, ClassScores):
        return np.asarray(predicted, dtype=np.float64)
    found = np.zeros((len(predicted.probability), len(classes)))
    for code, label in enumerate(predicted.classes):
        found[:, classes.index(label)] = predicted.probability[:, code]
    return found
