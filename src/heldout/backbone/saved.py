"""A model that was trained elsewhere and saved: ``fit: {model: model.skops}``, or an ONNX graph, by its suffix.

It gets the features by name where it has names, else as one matrix of numbers in the order of the corpus. A skops
archive is read as the backbone `sklearn` reads its own: classes of scikit-learn, XGBoost, LightGBM and CatBoost, no
function that it could call, and no pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from pydantic import Field

from heldout.backbone.asked import AskedBackbone, AskedParams
from heldout.backbone.estimators import is_known, kind_of
from heldout.backbone.protocol import ClassScores, FloatArray
from heldout.backbone.saved_onnx import Graph, numbers, objections
from heldout.corpus import FeaturesView
from heldout.errors import HeldoutError, PrerequisiteError, StudyError, near_miss

if TYPE_CHECKING:
    import polars as pl

    from heldout.corpus.guards import Finding

UNREADABLE, FEATURES, ANSWERS = "HO-M001", "HO-M002", "HO-M003"
_SUFFIXES = (".skops", ".onnx")
_ALL = ("numpy", "polars")
_OF_GRAPHS = ("onnxruntime",)
_OF_ARCHIVES = ("scikit-learn", "scipy", "skops")
_BOOSTERS = ("catboost", "lightgbm", "xgboost")  # of which an archive may hold one


class SavedParams(AskedParams):
    """The `fit:` block of a saved model."""

    form: Literal["skops", "onnx"] | None = Field(None, description="what it was saved as; null: by its suffix")
    features: list[str] | None = Field(None, min_length=1, description="feature columns that it is given; null: all")
    classes: list[str] | None = Field(
        None, min_length=2, description="labels of its probabilities, in order; null: those that the model names"
    )


class Loaded(Protocol):
    """A model in memory, whatever it was saved as."""

    @property
    def wants(self) -> Sequence[str]:
        """Names of the features that it asks for; empty where it has none."""

    @property
    def width(self) -> int | None:
        """Number of features that it asks for; None where it does not say."""

    def answer(self, features: pl.DataFrame) -> tuple[tuple[str, ...], FloatArray]:
        """Labels (empty for numbers) and what it answers."""


class SavedBackbone(AskedBackbone):
    """One saved estimator or graph."""

    name: ClassVar[str] = "saved"
    Params = SavedParams
    batch: ClassVar[int] = 4096
    again: ClassVar[int] = 1_000_000  # a table is asked in no time
    params: SavedParams

    def __init__(self, params: SavedParams, place: Path | None = None) -> None:
        """Refuse what is neither form, before anything is read."""
        super().__init__(params, place)
        if place is not None and place.suffix not in _SUFFIXES:
            raise StudyError(
                f"{place.name} is neither a skops archive nor an ONNX graph",
                where="fit.model",
                hint=f"save the model as one of: {', '.join(_SUFFIXES)}; other forms are a plug-in (docs/backbones.md)",
            )

    def bound(self, folder: Path) -> Self:
        """The model that lies there, and the form that it is read in: one file could be both, and answer otherwise.

        Raises:
            StudyError: If there is none, or it is of another form than the study says.
        """
        found = super().bound(folder)
        form = found.found().suffix.removeprefix(".")
        if self.params.form not in (None, form):
            raise StudyError(
                f"{found.found().name} is read as {form}, and the study says {self.params.form}",
                where="fit.form",
                hint="remove `form`: the suffix says it",
            )
        return type(self)(found.params.model_copy(update={"form": form}), found.place)

    def load(self, path: Path) -> Loaded:
        """Read the archive or the graph.

        Raises:
            PrerequisiteError: If what reads it is not installed.
            TamperedError: If an archive names types that are nobody's estimators.
        """
        if self._is_graph(path):
            return Graph.load(path)
        return _Estimator.load(path)

    def predict(self, model: Loaded, view: FeaturesView) -> FloatArray | ClassScores:
        """Numbers of a regressor, probabilities of a classifier."""
        labels, values = model.answer(self._select(view.features, model.wants))
        labels = tuple(self.params.classes or labels)
        if not labels:
            return values.reshape(-1)
        if values.ndim != 2 or values.shape[1] != len(labels):
            columns = values.shape[1] if values.ndim > 1 else 1
            raise StudyError(
                f"the model answers {columns} columns, and there are {len(labels)} classes",
                where="fit.classes",
                hint="name the label of each column of its probabilities, in order",
            )
        return ClassScores(labels, values)

    def check_model(self, path: Path, rows: FeaturesView) -> list[Finding]:
        """It can be read, asks for features that are there, and answers finite numbers or probabilities."""
        try:
            found = self._static(path)
            return found or self._features(self.load(path), rows)
        except PrerequisiteError:
            raise  # says nothing about the model
        except HeldoutError as error:
            return [_finding(UNREADABLE, f"the model cannot be read: {error.what}", path, error.hint)]
        except Exception as error:  # noqa: BLE001 - whatever a reader raises at damaged bytes
            return [_finding(UNREADABLE, f"the model cannot be read: {type(error).__name__}: {_first(error)}", path)]

    def packages(self) -> tuple[str, ...]:
        """What reads and computes it."""
        if self._is_graph(self.place):
            return (*_ALL, *_OF_GRAPHS)
        return (*_ALL, *_OF_ARCHIVES, *(name for name in _BOOSTERS if find_spec(name) is not None))

    def _is_graph(self, path: Path | None) -> bool:
        """By the form that is locked, whatever the file is called now; else by the suffix."""
        form = self.params.form or ("" if path is None else path.suffix.removeprefix("."))
        return form == "onnx"

    def _static(self, path: Path) -> list[Finding]:
        """What a graph holds that nobody should run."""
        if not self._is_graph(path):
            return []
        return [_finding(code, what, path, hint) for code, what, hint in objections(path)]

    def _features(self, model: Loaded, rows: FeaturesView) -> list[Finding]:
        there = self.params.features or rows.features.columns
        lacking = [name for name in (*(self.params.features or ()), *model.wants) if name not in rows.features.columns]
        if lacking:
            hint = near_miss(lacking[0], rows.features.columns, "its features")
            what = f"the model asks for {lacking[0]!r}, and the corpus has no such feature"
            return [_finding(FEATURES, what, Path(str(self.params.model)), hint)]
        if not model.wants and model.width is not None and model.width != len(there):
            what = f"the model asks for {model.width} features, and is given {len(there)}"
            hint = "choose the columns that it was trained on, in order: `fit.features`"
            return [_finding(FEATURES, what, Path(str(self.params.model)), hint)]
        return []

    def _select(self, features: pl.DataFrame, wanted: Sequence[str]) -> pl.DataFrame:
        names = list(wanted or self.params.features or features.columns)
        missing = [name for name in names if name not in features.columns]
        if missing:
            hint = near_miss(missing[0], features.columns, "its features")
            raise StudyError(f"the corpus has no feature {missing[0]!r}", where="fit.features", hint=hint)
        return features.select(names)


class _Estimator:
    """An estimator of a skops archive."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    @classmethod
    def load(cls, path: Path) -> _Estimator:
        from heldout.backbone.skops_archive import read_archive

        return cls(read_archive(path, is_known))

    @property
    def wants(self) -> Sequence[str]:
        return [str(each) for each in getattr(self._estimator, "feature_names_in_", ())]

    @property
    def width(self) -> int | None:
        found = getattr(self._estimator, "n_features_in_", None)
        return None if found is None else int(found)

    def answer(self, features: pl.DataFrame) -> tuple[tuple[str, ...], FloatArray]:
        rows = features if self.wants else numbers(features)
        if kind_of(self._estimator) != "classifier":
            return (), np.asarray(self._estimator.predict(rows), dtype=np.float64)
        if not hasattr(self._estimator, "predict_proba"):
            hint = "save an estimator with predict_proba, such as a calibrated one"
            raise StudyError("the model gives no probabilities", where="fit.model", hint=hint)
        labels = tuple(str(each) for each in self._estimator.classes_)
        return labels, np.asarray(self._estimator.predict_proba(rows), dtype=np.float64)


def _finding(code: str, what: str, path: Path, hint: str | None = None) -> Finding:
    from heldout.corpus.guards import Finding

    return Finding(code, blocking=True, what=what, where=path.name, hint=hint or "save the model again")


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else ""
