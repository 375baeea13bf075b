"""Any scikit-learn estimator, by import path: ``estimator: sklearn.ensemble.RandomForestClassifier``.

Text columns are one-hot encoded and numeric ones standardised, by a pipeline that is fitted on the train view with the
estimator. Models are stored with skops, which holds no pickle.
"""

from __future__ import annotations

import functools
import inspect
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from heldout.backbone.protocol import Backbone, ClassScores, Contract, FeaturesView, FloatArray, Params, TrainView
from heldout.corpus import Corpus
from heldout.errors import PrerequisiteError, StudyError, TamperedError, near_miss
from heldout.evidence import write_bytes

_FILE = "model.skops"
_PACKAGES = ("numpy", "polars", "scikit-learn", "scipy")
_FEW_TREES = 5
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
        """Check that the estimator exists and takes these arguments, before any compute is spent."""
        super().__init__(params)
        self._build(seed=0)

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        """Fit preprocessing and estimator on the train view."""
        from sklearn.pipeline import make_pipeline

        features, estimator = self._select(view.features), self._build(seed)
        self._check_kind(estimator, view.task)
        pipeline = make_pipeline(self._preprocessing(features), estimator)
        return pipeline.fit(features, view.target)

    def predict(self, model: Any, view: FeaturesView) -> FloatArray | ClassScores:
        """Numbers of a regressor, probabilities of a classifier."""
        from sklearn.base import is_classifier

        features = self._select(view.features)
        if is_classifier(model):
            if not hasattr(model, "predict_proba"):
                raise StudyError(
                    f"{self.params.estimator} gives no probabilities", where="fit.estimator", hint=_PROBABILITY_HINT
                )
            labels = tuple(str(label) for label in model.classes_)
            return ClassScores(labels, np.asarray(model.predict_proba(features), dtype=np.float64))
        return np.asarray(model.predict(features), dtype=np.float64).reshape(-1)

    def save(self, model: Any, folder: Path) -> None:
        """Write the fitted pipeline as a skops archive."""
        from heldout.backbone.skops_archive import archive

        write_bytes(folder / _FILE, archive(model))

    def load(self, folder: Path) -> Any:
        """Read the pipeline; an archive with types from outside scikit-learn and the estimator's package is refused."""
        from skops import io

        path = folder / _FILE
        home = self.params.estimator.partition(".")[0]
        foreign = [name for name in io.get_untrusted_types(file=path) if name.split(".")[0] not in {"sklearn", home}]
        if foreign:
            raise TamperedError(
                f"the model file names the type {foreign[0]}", where=str(path), hint="do not load it; train again"
            )
        return io.load(path, trusted=io.get_untrusted_types(file=path))

    def check(self, corpus: Corpus) -> None:
        """The declared features are there, and the estimator is of the target's kind."""
        self._select(corpus.features)
        self._check_kind(self._build(seed=0), corpus.task)

    def quick(self) -> SklearnBackbone:
        """Few trees in a forest; other estimators as they are."""
        signature = inspect.signature(_import_estimator(self.params.estimator)).parameters
        default = signature["n_estimators"].default if "n_estimators" in signature else None
        trees = self.params.params.get("n_estimators", default)
        if not isinstance(trees, int) or trees <= _FEW_TREES:
            return self
        few = self.params.params | {"n_estimators": _FEW_TREES}
        return type(self)(self.params.model_copy(update={"params": few}))

    def packages(self) -> tuple[str, ...]:
        """scikit-learn and what it computes with, and the estimator's own package where that is another one."""
        home = self.params.estimator.partition(".")[0]
        return (*_PACKAGES, *(() if home == "sklearn" else _distributions(home)))

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
        cls = _import_estimator(self.params.estimator)
        arguments = dict(self.params.params)
        if takes_seed(self.params.estimator):
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
                hint=f"it takes: {', '.join(inspect.signature(cls).parameters)}",
            ) from None
        self._check_values(estimator)
        return estimator

    def _check_values(self, estimator: Any) -> None:
        """Ask scikit-learn whether it can work with these values; it would say so in `fit`, a long time later."""
        check = getattr(estimator, "_validate_params", None)
        if check is None:
            return
        try:
            check()
        except ValueError as error:
            raise StudyError(
                f"{self.params.estimator} does not take this value: {error}",
                where="fit.params",
                hint="correct that value",
            ) from None

    def _check_kind(self, estimator: Any, task: str) -> None:
        """A classifier would learn whole numbers as labels without a word, and answer probabilities."""
        from sklearn.base import is_classifier, is_regressor

        other = is_classifier if task == "regression" else is_regressor
        if other(estimator):
            raise StudyError(
                f"{self.params.estimator} is no estimator for {task}",
                where="fit.estimator",
                hint="choose another estimator, or set `corpus.task`",
            )


def takes_seed(estimator: str) -> bool:
    """Whether an estimator has a ``random_state``; without one, any seed gives the same model.

    Raises:
        HeldoutError: If there is no such estimator.
    """
    return "random_state" in inspect.signature(_import_estimator(estimator)).parameters


@functools.cache
def _distributions(module: str) -> tuple[str, ...]:
    return tuple(packages_distributions().get(module, ()))


def _import_estimator(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise PrerequisiteError(
            f"cannot import {path!r}: {error}",
            where="fit.estimator",
            hint=_near(path)
            + "install its package (`pip install 'heldout[sklearn]'` for scikit-learn) or correct the path",
        ) from None
    except (AttributeError, TypeError, ValueError):
        raise StudyError(
            f"there is no estimator {path!r}",
            where="fit.estimator",
            hint=_near(path) + "write the full import path, such as sklearn.linear_model.Ridge",
        ) from None
    if not _is_estimator(found):
        raise StudyError(
            f"{path!r} is not an estimator class",
            where="fit.estimator",
            hint=_near(path) + "it needs `fit` and `predict`",
        )
    return found


def _is_estimator(found: object) -> bool:
    return inspect.isclass(found) and hasattr(found, "fit") and hasattr(found, "predict")


def _near(path: str) -> str:
    """The estimator that was likely meant, as the beginning of a hint; empty where none is near."""
    module, _, name = path.rpartition(".")
    here = {each: f"{module}.{each}" for each in _estimators_in(module)}
    anywhere = _estimators_of_sklearn() if module.partition(".")[0] in {"", "sklearn"} else {}
    known = here if name not in anywhere and get_close_matches(name, here, n=1) else anywhere
    near = get_close_matches(name, known, n=1)
    return f"did you mean {known[near[0]]!r}? " if near else ""


def _estimators_in(module: str) -> list[str]:
    try:
        return [name for name, found in vars(import_module(module)).items() if _is_estimator(found)]
    except (ImportError, TypeError, ValueError):
        return []


@functools.cache
def _estimators_of_sklearn() -> dict[str, str]:
    """The import path of every predictor of scikit-learn, by its name."""
    try:
        from sklearn.utils import all_estimators
    except ImportError:
        return {}
    found = (each for each in all_estimators() if _is_estimator(each[1]))
    return {name: f"{cls.__module__.partition('._')[0]}.{name}" for name, cls in found}
