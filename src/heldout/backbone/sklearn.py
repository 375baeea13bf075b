"""Any scikit-learn estimator, by import path: ``estimator: sklearn.ensemble.RandomForestClassifier``.

Text columns are one-hot encoded and numeric ones standardised, by a pipeline that is fitted on the train view with the
estimator. Models are stored with skops, which holds no pickle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from heldout.backbone.estimators import (
    arguments_of,
    check_values,
    distributions_of,
    exists,
    import_estimator,
    is_known,
    kind_of,
)
from heldout.backbone.protocol import Backbone, ClassScores, Contract, FeaturesView, FloatArray, Params, TrainView
from heldout.corpus import Corpus
from heldout.errors import StudyError, TamperedError, near_miss
from heldout.evidence import write_bytes

_FILE = "model.skops"
_PACKAGES = ("numpy", "polars", "scikit-learn", "scipy")
_FEW_TREES = 5
# What models are made of besides their own classes: data without behaviour.
_PLAIN_TYPES = frozenset({"builtins.bytearray", "collections.OrderedDict", "collections.defaultdict"})
_PROBABILITY_HINT = "use an estimator with predict_proba, such as RandomForestClassifier or LogisticRegression"


class SklearnParams(Params):
    """The `fit:` block of a scikit-learn study."""

    estimator: str = Field(description="import path, such as sklearn.ensemble.RandomForestRegressor")
    params: dict[str, Any] = Field(default_factory=dict, description="the estimator's own arguments")
    features: list[str] | None = Field(None, min_length=1, description="feature columns to use; null: all")
    scale: bool = Field(True, description="standardise numeric features, on training rows only")


class SklearnBackbone(Backbone):
    """Wraps one estimator class; each seed sets its ``random_state`` where it has one."""

    name: ClassVar[str] = "sklearn"
    Params = SklearnParams
    contract: ClassVar[Contract] = Contract(tasks=("regression", "classification"), files=(_FILE,))
    params: SklearnParams

    def __init__(self, params: SklearnParams) -> None:
        """Check that the estimator exists and takes these arguments, before any compute is spent.

        A user's own class is not imported here, where it would see what is held out: ``check`` asks it, shut in.
        """
        super().__init__(params)
        module = params.estimator.rpartition(".")[0]
        if is_known(module) or not exists(module):
            self._build(seed=0)

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        """Fit preprocessing and estimator on the train view."""
        from sklearn.pipeline import make_pipeline

        features = self._select(view.features)

        def fitted(target: Any) -> Any:
            estimator = self._build(seed)
            self._check_kind(estimator, view.task)
            return make_pipeline(self._preprocessing(features), estimator).fit(features, target)

        try:
            return fitted(view.target)
        except (TypeError, ValueError) as refused:
            if view.task != "classification":
                raise
            labels, codes = np.unique(view.target, return_inverse=True)
            try:
                pipeline = fitted(codes)  # such as XGBoost's, which take labels for the numbers from 0 on
            except (TypeError, ValueError):
                raise refused from None
            pipeline.labels_ = [str(label) for label in labels]
            return pipeline

    def predict(self, model: Any, view: FeaturesView) -> FloatArray | ClassScores:
        """Numbers of a regressor, probabilities of a classifier."""
        features = self._select(view.features)
        estimator = model.steps[-1][1]
        if kind_of(estimator) != "classifier":
            return np.asarray(self._ask(model, "predict", features), dtype=np.float64).reshape(-1)
        if not hasattr(estimator, "predict_proba"):
            raise StudyError(
                f"{self.params.estimator} gives no probabilities", where="fit.estimator", hint=_PROBABILITY_HINT
            )
        probability = np.asarray(self._ask(model, "predict_proba", features), dtype=np.float64)
        return ClassScores(_labels(model, self.params.estimator), probability)

    def _ask(self, model: Any, method: str, features: Any) -> Any:
        """The estimator's answer; a pipeline would ask it for more than `fit` and `predict`."""
        for _, step in model.steps[:-1]:
            features = step.transform(features)
        return getattr(model.steps[-1][1], method)(features)

    def save(self, model: Any, folder: Path) -> None:
        """Write the fitted pipeline as a skops archive."""
        from heldout.backbone.skops_archive import archive

        write_bytes(folder / _FILE, archive(model))

    def load(self, folder: Path) -> Any:
        """Read the pipeline; an archive with types from outside scikit-learn and the estimator's package is refused."""
        from heldout.backbone import skops_io

        path = folder / _FILE
        mine = {"sklearn", self._home}
        named = skops_io.get_untrusted_types(file=path)
        foreign = [name for name in named if name not in _PLAIN_TYPES and name.split(".")[0] not in mine]
        if foreign:
            raise TamperedError(
                f"the model file names the type {foreign[0]}", where=str(path), hint="do not load it; train again"
            )
        return skops_io.load(path, trusted=named)

    def check(self, corpus: Corpus) -> None:
        """The declared features are there, and the estimator is of the target's kind."""
        self._select(corpus.features)
        self._check_kind(self._build(seed=0), corpus.task)

    def quick(self) -> SklearnBackbone:
        """Few trees in a forest; other estimators as they are."""
        trees = self.params.params.get("n_estimators", arguments_of(self.params.estimator).get("n_estimators"))
        if not isinstance(trees, int) or trees <= _FEW_TREES:
            return self
        few = self.params.params | {"n_estimators": _FEW_TREES}
        return type(self)(self.params.model_copy(update={"params": few}))

    def packages(self) -> tuple[str, ...]:
        """scikit-learn and what it computes with, and the estimator's own package where that is another one."""
        return (*_PACKAGES, *(() if self._home == "sklearn" else distributions_of(self._home)))

    def sources(self) -> tuple[str, ...]:
        """The module of the estimator."""
        return (self.params.estimator.rpartition(".")[0],)

    @property
    def _home(self) -> str:
        """Top-level module of the estimator."""
        return self.params.estimator.partition(".")[0]

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

    def _preprocessing(self, features: Any) -> Any:
        from sklearn.compose import make_column_transformer
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numeric = [name for name, dtype in features.schema.items() if dtype.is_numeric() or str(dtype) == "Boolean"]
        text = [name for name in features.columns if name not in numeric]
        steps: list[Any] = [(StandardScaler() if self.params.scale else "passthrough", numeric)] if numeric else []
        if text:
            steps.append((OneHotEncoder(handle_unknown="ignore", sparse_output=False), text))
        return make_column_transformer(*steps)

    def _build(self, seed: int) -> Any:
        cls, known = import_estimator(self.params.estimator), arguments_of(self.params.estimator)
        arguments = dict(self.params.params)
        if "random_state" in known:
            if "random_state" in arguments:
                raise StudyError(
                    "`random_state` is set by the seeds",
                    where="fit.params.random_state",
                    hint="remove it, and list `seeds:` in the study",
                )
            arguments["random_state"] = seed
        try:
            estimator = cls(**arguments)
        except TypeError as error:
            raise StudyError(
                f"{self.params.estimator} does not take these arguments: {error}",
                where="fit.params",
                hint=f"it takes: {', '.join(known) or 'none'}",
            ) from None
        check_values(self.params.estimator, estimator)
        return estimator

    def _check_kind(self, estimator: Any, task: str) -> None:
        """A classifier would learn whole numbers as labels without a word, and answer probabilities."""
        if kind_of(estimator) == ("classifier" if task == "regression" else "regressor"):
            raise StudyError(
                f"{self.params.estimator} is no estimator for {task}",
                where="fit.estimator",
                hint="choose another estimator, or set `corpus.task`",
            )


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
