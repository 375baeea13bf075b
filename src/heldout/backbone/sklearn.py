"""Any scikit-learn estimator, by import path: ``estimator: sklearn.ensemble.RandomForestClassifier``.

Text columns are one-hot encoded and numeric ones standardised, by a pipeline that is fitted on the train view with the
estimator; pipelines, searches and whatever else holds estimators are written down as data. Models are stored with
skops, which holds no pickle.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from heldout.backbone.building import WHOLE, build, by_name, paths_in
from heldout.backbone.clock import without_clock
from heldout.backbone.estimators import arguments_of, distributions_of, exists, is_known, kind_of
from heldout.backbone.gaps import refuse_gaps
from heldout.backbone.preparing import Given, given, preprocessing, weigh
from heldout.backbone.protocol import Backbone, ClassScores, Contract, FloatArray, WeightedParams
from heldout.backbone.routing import fit_routed, refuse_unrouted, takes_weights
from heldout.backbone.shapes import refuse_features, refuse_targets
from heldout.corpus import Corpus, FeaturesView, TrainView
from heldout.errors import StudyError, near_miss
from heldout.evidence import write_bytes
from heldout.study.own_seeds import holds_state

_FILE = "model.skops"
_PACKAGES = ("numpy", "polars", "scikit-learn", "scipy")
_FEW_TREES = 5
PROBABILITY_HINT = (
    "let scikit-learn make some of its scores: `estimator: sklearn.calibration.CalibratedClassifierCV`, "
    "`params: {estimator: {estimator: %s}}`; or use another, such as LogisticRegression"
)
_PARTS = 5  # groups of the rows on which several targets are tried


class SklearnParams(WeightedParams):
    """The `fit:` block of a scikit-learn study."""

    since: ClassVar[Mapping[str, object]] = {"weight": "use", "missing": None, "given": None, "random_state": None}

    estimator: str = Field(description="import path, such as sklearn.ensemble.RandomForestRegressor")
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="the estimator's own arguments; one that is an estimator, a step or a splitter is written as "
        "{estimator: its.import.path, params: {...}}",
    )
    features: list[str] | None = Field(None, min_length=1, description="feature columns to use; null: all")
    scale: bool = Field(True, description="standardise numeric features, on training rows only")
    missing: Literal["keep", "impute"] | None = Field(
        None,
        description="missing numbers; keep: for an estimator that takes them; impute: the median of the training rows, "
        "part of the model; null: kept where the estimator says that it takes them, else refused",
    )
    given: Given | None = Field(
        None,
        description="what the estimator gets; matrix: numbers, words as one column a level; polars or pandas: the "
        "columns as they are, by name; null: polars where a ColumnTransformer is part of it, else a matrix",
    )
    random_state: Literal["as_given"] | None = Field(
        None,
        description="as_given: in every fold that which stands in params, as `seeds: as_given` says for a study; null: "
        "a number of the seed and the fold",
    )


class SklearnBackbone(Backbone):
    """Wraps one estimator class; each seed sets the ``random_state`` of all that has one, unless they are as given."""

    name: ClassVar[str] = "sklearn"
    Params = SklearnParams
    contract: ClassVar[Contract] = Contract(
        tasks=("regression", "classification"), files=(_FILE,), weights=True, missing=True, outputs=True
    )
    params: SklearnParams

    def __init__(self, params: SklearnParams) -> None:
        """Check that the estimator exists and takes these arguments, before any compute is spent.

        A user's own class is not imported here, where it would see what is held out: ``check`` asks it, shut in.
        """
        super().__init__(params)
        if not self.seeded and not holds_state(params.params):
            raise StudyError(
                "the seeds are as given, and no random_state is given",
                where="fit.params",
                hint="write it there, such as `params: {random_state: 0}`, or list seeds, such as `seeds: [0]`",
            )
        modules = {path.rpartition(".")[0] for path in self._paths}
        if all(is_known(module) or not exists(module) for module in modules):
            estimator = self.build(seed=0)
            says_labels = kind_of(estimator) == "classifier" and not hasattr(estimator, "predict_proba")
            vars(self)["probabilities"] = not says_labels  # of what it was given, not of its class

    @property
    def seeded(self) -> bool:  # type: ignore[override]
        """Whether a seed changes what is fitted."""
        return self.params.random_state is None

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        """Fit preprocessing and estimator on the train view."""
        view = self.params.counted(view)
        fitted, target = partial(self._fitted, view, seed), _own_labels(view.target)
        try:
            return fitted(target)
        except (TypeError, ValueError) as refused:
            if view.task != "classification":
                raise
            labels, codes = np.unique(target, return_inverse=True)
            try:
                pipeline = fitted(codes)  # such as XGBoost's, which take labels for the numbers from 0 on
            except (TypeError, ValueError):
                raise refused from None
            pipeline.labels_ = [str(label) for label in labels]
            return pipeline

    def _fitted(self, view: TrainView, seed: int, target: NDArray[Any]) -> Any:
        """The pipeline, fitted; what it standardises or fills by counts rows by their weights too."""
        from sklearn.pipeline import make_pipeline

        estimator, features = self.build(seed, whole=target.dtype.kind == "i"), self._select(view.features)
        self._check_kind(estimator, view.task)
        rows = given(features, self._given)
        if self._given != "matrix":
            return make_pipeline(fit_routed(estimator, rows, target, view.groups, view.weight))
        impute = self.params.missing == "impute"
        prepared = preprocessing(rows, scale=self.params.scale, impute=impute, sparse=_takes_sparse(estimator))
        matrix = prepared.fit_transform(rows, target)
        if view.weight is not None:
            weigh(prepared, rows, view.weight)
            matrix = prepared.transform(rows)
        return make_pipeline(prepared, fit_routed(estimator, matrix, target, view.groups, view.weight))

    def predict(self, model: Any, view: FeaturesView) -> FloatArray | ClassScores:
        """Numbers of a regressor, probabilities of a classifier; 1 for the label of one that has none."""
        features = given(self._select(view.features), self._given)
        estimator = model.steps[-1][1]
        if kind_of(estimator) != "classifier":
            values = np.asarray(self._ask(model, "predict", features), dtype=np.float64)
            return values if values.ndim > 1 and values.shape[1] > 1 else values.reshape(-1)
        labels = _labels(model, self.params.estimator)
        if not self.probabilities:
            return ClassScores(labels, _certain(model, labels, self._ask(model, "predict", features)))
        self._check_probabilities(estimator)
        probability = np.asarray(self._ask(model, "predict_proba", features), dtype=np.float64)
        return ClassScores(labels, probability)

    def _ask(self, model: Any, method: str, features: Any) -> Any:
        """The estimator's answer; a pipeline would ask it for more than `fit` and `predict`."""
        for _, step in model.steps[:-1]:
            features = step.transform(features)
        return getattr(model.steps[-1][1], method)(features)

    def save(self, model: Any, folder: Path) -> None:
        """Write the fitted pipeline as a skops archive."""
        from heldout.backbone.skops_archive import archive

        write_bytes(folder / _FILE, archive(without_clock(model)))

    def load(self, folder: Path) -> Any:
        """Read the pipeline; an archive with types of other packages than the estimators' is refused."""
        from heldout.backbone.skops_archive import read_archive

        return read_archive(folder / _FILE, lambda top: top == "sklearn" or top in self._homes)

    def check(self, corpus: Corpus) -> None:
        """Columns are there; the estimator is of the target's kind, and takes what the corpus asks of it."""
        features = self._select(corpus.features)
        numbers = [name for name, kind in features.schema.items() if kind.is_numeric() or kind == pl.Boolean]
        estimator = self.build(seed=0)
        self._check_kind(estimator, corpus.task)
        if corpus.task == "classification" and self.probabilities:
            self._check_probabilities(estimator)
        by_name = () if self._given == "matrix" else tuple(features.columns)
        if self.params.missing is None or (self.params.missing == "impute" and by_name):  # nothing is filled there
            gaps = {name: count for name, count in corpus.missing.items() if name in numbers}
            refuse_gaps(estimator, self.params.estimator, gaps, by_name)
        outputs, standard = corpus.manifest.outputs, self.params.scale and self._given == "matrix"
        refuse_features(estimator, self.params.estimator, features, numbers, standard=standard)
        refuse_targets(estimator, self.params.estimator, outputs, partial(self.quick()._learns, corpus))  # noqa: SLF001
        weighted = corpus.weighted and self.params.weight == "use"
        refuse_unrouted(estimator, weighted=weighted)
        if weighted and not takes_weights(estimator):
            raise StudyError(
                f"{self.params.estimator} does not fit by weights: its `fit` takes no `sample_weight`",
                where="fit.estimator",
                hint="choose another estimator, fit every row alike with `fit: {weight: ignore}`, or leave "
                "`corpus.weight` out",
            )

    def _learns(self, corpus: Corpus, target: NDArray[Any]) -> bool:
        """Whether it learns such targets of the first rows; whatever else is wrong is said by a fit."""
        rows = corpus.features[: len(target)]
        target, groups = target[: rows.height], (np.arange(rows.height) % _PARTS).astype(str)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = self._fitted(TrainView(rows, target, groups, "regression"), 0, target)
            return np.asarray(self.predict(model, FeaturesView(rows))).shape == target.shape
        except Exception:  # noqa: BLE001 - an estimator may raise anything
            return False

    def _check_probabilities(self, estimator: Any) -> None:
        if not hasattr(estimator, "predict_proba"):
            raise StudyError(
                f"{self.params.estimator} gives no probabilities",
                where="fit.estimator",
                hint=PROBABILITY_HINT % self.params.estimator,
            )

    def quick(self) -> SklearnBackbone:
        """Few trees in a forest; other estimators as they are."""
        trees = self.params.params.get("n_estimators", arguments_of(self.params.estimator).get("n_estimators"))
        if not isinstance(trees, int) or trees <= _FEW_TREES:
            return self
        few = self.params.params | {"n_estimators": _FEW_TREES}
        return type(self)(self.params.model_copy(update={"params": few}))

    def packages(self) -> tuple[str, ...]:
        """scikit-learn and what it computes with, and the packages of all estimators that are of another one."""
        others = (name for home in self._homes if home != "sklearn" for name in distributions_of(home))
        return (*_PACKAGES, *dict.fromkeys(others))

    def sources(self) -> tuple[str, ...]:
        """The modules of the estimator and of what is nested in it."""
        return tuple(dict.fromkeys(path.rpartition(".")[0] for path in self._paths))

    @property
    def _paths(self) -> tuple[str, ...]:
        """Import paths of the estimator and of all that is nested in it."""
        return (self.params.estimator, *paths_in(self.params.params))

    @property
    def _homes(self) -> tuple[str, ...]:
        """Top-level modules of the estimators."""
        return tuple(dict.fromkeys(path.partition(".")[0] for path in self._paths))

    @property
    def _given(self) -> Given:
        if self.params.given is not None:
            return self.params.given
        return "polars" if by_name(self.params.estimator, self.params.params) else "matrix"

    def _select(self, features: Any) -> Any:
        if self.params.features is None:
            return features
        missing = [name for name in self.params.features if name not in features.columns]
        if missing:
            raise StudyError(
                f"the corpus has no feature {missing[0]!r}",
                where="fit.features",
                hint=near_miss(missing[0], features.columns, "its features"),
            )
        return features.select(self.params.features)

    def build(self, seed: int, *, whole: bool = False) -> Any:
        """A fresh estimator, not fitted yet.

        Args:
            seed: Of all that draws in it.
            whole: Whether it learns labels that are whole numbers.
        """
        return build(self.params.estimator, self.params.params, seed if self.seeded else None, whole=whole)

    def _check_kind(self, estimator: Any, task: str) -> None:
        """A classifier would learn whole numbers as labels without a word, and answer probabilities."""
        if kind_of(estimator) == ("classifier" if task == "regression" else "regressor"):
            raise StudyError(
                f"{self.params.estimator} is no estimator for {task}",
                where="fit.estimator",
                hint="choose another estimator, or set `corpus.task`",
            )


def _own_labels(target: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers as such: an estimator may name them in its arguments, and orders them as numbers."""
    if target.dtype.kind != "U" or not pl.Series(target).str.contains(f"^{WHOLE}$").all():
        return target
    return target.astype(np.int64)


def _certain(model: Any, labels: Sequence[str], said: Any) -> FloatArray:
    """1 for the label that is said, 0 for all others, float64 ``[rows, classes]``."""
    if getattr(model, "labels_", None) is not None:  # it learnt numbers for labels
        return np.eye(len(labels))[np.asarray(said, dtype=np.int64)]
    codes = {label: code for code, label in enumerate(labels)}
    return np.eye(len(labels))[[codes[str(each)] for each in np.asarray(said).reshape(-1).tolist()]]


def _takes_sparse(estimator: Any) -> bool:
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(estimator).input_tags.sparse)
    except (AttributeError, TypeError):
        return False


def _labels(model: Any, estimator: str) -> tuple[str, ...]:
    """What the columns of a classifier's probabilities stand for."""
    labels = getattr(model, "labels_", None)
    labels = getattr(model.steps[-1][1], "classes_", None) if labels is None else labels
    if labels is None:
        raise StudyError(
            f"{estimator} does not say which class a column of its probabilities is",
            where="fit.estimator",
            hint="set `classes_` in `fit`: the labels, in the order of the columns",
        )
    return tuple(str(label) for label in labels)
