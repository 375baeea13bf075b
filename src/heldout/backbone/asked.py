"""Models from elsewhere: named by the digest of their content, never fitted, and asked here for held-out rows.

A newcomer writes two methods::

    class MyAsked(AskedBackbone):
        name = "mine"
        Params = MyParams                              # a subclass of AskedParams: `fit: {model: PATH}`

        def load(self, path): ...                      # -> model, from a file or a folder
        def predict(self, model, view): ...            # -> numbers, one a row, from the model and that row alone
        def check_model(self, path, rows): ...         # -> findings; who has none is not gated, and the verdict is HOLD

In a study, ``model`` is a path. In a lock, a key and everywhere else it is ``sha256:...``: equal weights at another
place are the same model, other weights at the same place are another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from heldout.backbone.content import Content, content_of
from heldout.backbone.protocol import Backbone, ClassScores, Contract, FloatArray, Params
from heldout.corpus import FeaturesView, TrainView
from heldout.errors import InputError, PrerequisiteError, StudyError, TamperedError

if TYPE_CHECKING:
    from heldout.corpus.guards import Finding

_BY_DIGEST = "sha256:"
_FEW_WORDS = 3


class HeldOut(Params):
    """How it is known that the model never saw the groups that are judged: one of the two."""

    trained_on: Path | None = Field(None, description="the corpus.json (heldout.corpus/1) of what it was trained on")
    says: str | None = Field(None, description="how the groups were held out, in words: attested, and shown as such")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.trained_on is None) == (self.says is None):
            raise ValueError("give one of `trained_on` and `says`")
        if self.says is not None and len(self.says.split()) < _FEW_WORDS:
            raise ValueError("`says` is an attestation: say in a sentence how the groups were held out")
        return self


class AskedParams(Params):
    """Base of the ``fit:`` block of a model from elsewhere.

    What identifies the model goes into locks and keys; how it is asked, and how it was held out, does not change it.
    """

    model: Path = Field(description="file or folder of the model, relative to the study")
    held_out: HeldOut | None = Field(None, exclude=True, description="how it is known that it never saw these groups")
    batch: int | None = Field(None, exclude=True, ge=1, description="rows that are asked at once; it changes no answer")


class Answers(NamedTuple):
    """What a model answered for some rows that were asked at once."""

    predicted: FloatArray | ClassScores
    warnings: list[str]


class AskedBackbone(Backbone):
    """One family of models from elsewhere.

    Attributes:
        batch: Rows that are asked at once, unless the study says otherwise; what a kill costs.
        block: Batches that one process of foreign code is asked; then a fresh one loads the model again.
        again: Rows that are asked a second time where nobody asks for all.
        place: Where the model lies; None where only its digest is known.
    """

    fits: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    contract: ClassVar[Contract] = Contract(tasks=("regression", "classification"))
    batch: ClassVar[int] = 256
    block: ClassVar[int] = 64
    again: ClassVar[int] = 1000
    params: AskedParams

    def __init__(self, params: Any, place: Path | None = None) -> None:
        """Bind the validated ``fit:`` block, and where its model was found; one of your own takes both."""
        super().__init__(params)
        self.place = place

    @abstractmethod
    def load(self, path: Path) -> Any:
        """Read the model from its file or folder. No pickle."""

    def check_model(self, path: Path, rows: FeaturesView) -> list[Finding]:
        """The checkpoint gate: what is wrong with the model before it is asked; override it.

        Args:
            path: The model.
            rows: Some rows of the corpus, without targets.
        """
        return []

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        """Nothing is fitted.

        Raises:
            StudyError: Always.
        """
        raise StudyError(
            f"the backbone {self.name!r} asks a model from elsewhere and fits none",
            where="backbone",
            hint="name a backbone that fits, such as sklearn",
        )

    def save(self, model: Any, folder: Path) -> None:
        """Write nothing: the model stays what and where it is, known by its digest."""

    @property
    def gated(self) -> bool:
        """Whether there is a checkpoint gate."""
        return type(self).check_model is not AskedBackbone.check_model

    @property
    def rows_at_once(self) -> int:
        """Rows of a batch."""
        return self.params.batch or type(self).batch

    @property
    def sha256(self) -> str:
        """Digest of the model's content.

        Raises:
            InputError: If nobody looked at the model yet.
        """
        named = str(self.params.model)
        if not named.startswith(_BY_DIGEST):
            raise InputError("the model has no digest yet", where=named, hint="bind it to a folder first")
        return named.removeprefix(_BY_DIGEST)

    def bound(self, folder: Path) -> Self:
        """This backbone over the model that lies there now, known by its digest.

        Args:
            folder: Of the study, to which paths are relative.

        Raises:
            StudyError: If there is no model; the place is ``fit.model``.
        """
        if str(self.params.model).startswith(_BY_DIGEST):
            what = "a model is named by its path in a study, and by its digest in a lock"
            raise StudyError(what, where="fit.model", hint="write the path of the file or folder")
        try:
            found = self.content_at(folder / self.params.model)
        except InputError as error:
            raise StudyError(f"{error.what} ({error.where})", where="fit.model", hint=error.hint) from None
        changed: dict[str, object] = {"model": Path(_BY_DIGEST + found.sha256)}
        known = self.params.held_out
        if known is not None and known.trained_on is not None:
            changed["held_out"] = known.model_copy(update={"trained_on": folder / known.trained_on})
        place = (folder / self.params.model).resolve()
        return type(self)(self.params.model_copy(update=changed), place)

    def at(self, place: Path) -> Self:
        """This backbone over a model at another place.

        Raises:
            InputError: If nothing lies there.
            TamperedError: If it is another model.
        """
        if self.content_at(place).sha256 != self.sha256:
            hint = "name the model that was judged, or run the study with this one"
            raise TamperedError("this is not the model that is named by digest", where=str(place), hint=hint)
        return type(self)(self.params, place.resolve())

    def content(self) -> Content:
        """What lies at its place now.

        Raises:
            PrerequisiteError: If no place is known.
        """
        return self.content_at(self.found())

    def content_at(self, place: Path) -> Content:
        """What identifies a model that lies there: its files."""
        return content_of(place)

    def found(self) -> Path:
        """Where the model lies.

        Raises:
            PrerequisiteError: If only its digest is known.
        """
        if self.place is None:
            hint = "put the model where the run's record says that it lay"
            raise PrerequisiteError("the model is not at hand", where=str(self.params.model), hint=hint)
        return self.place


def asked_of(backbone: Backbone) -> AskedBackbone | None:
    """The backbone as one that asks; None if it fits.

    Raises:
        StudyError: If it says that it does not fit, and is no ``AskedBackbone``.
    """
    if backbone.fits:
        return None
    if not isinstance(backbone, AskedBackbone) or not isinstance(backbone.params, AskedParams):
        hint = "derive it from heldout.backbone.AskedBackbone, and its Params from AskedParams"
        what = f"the backbone {backbone.name!r} says `fits = False` and names no model"
        raise StudyError(what, where="backbone", hint=hint)
    return backbone


def model_of(fit: Mapping[str, Any]) -> str:
    """Digest of the model in a locked ``fit:`` block; empty where it names none by digest."""
    named = str(fit.get("model", ""))
    return named.removeprefix(_BY_DIGEST) if named.startswith(_BY_DIGEST) else ""


def ask_in_batches(backbone: AskedBackbone, model: Any, view: FeaturesView, size: int) -> Iterator[Answers]:
    """What a model answers, batch by batch, in order; warnings are those of each batch.

    Raises:
        StudyError: If it answers another number of rows than it was asked.
    """
    for start in range(0, view.features.height, size):
        part = FeaturesView(view.features[start : start + size])
        predicted = backbone.predict(model, part)
        given = predicted.probability if isinstance(predicted, ClassScores) else predicted
        count = len(np.atleast_1d(np.asarray(given)))
        if count != part.features.height:
            raise StudyError(
                f"{backbone.name} answered {count} predictions for {part.features.height} rows",
                where="backbone",
                hint="`predict` answers every row, in order",
            )
        yield Answers(predicted, [str(each) for each in backbone.warnings(part, model)])
