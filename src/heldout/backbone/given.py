"""Predictions from elsewhere: a file that says, sample by sample, what a model predicted. Nothing is fitted or asked.

``fit: {model: new.parquet, columns: [prediction], id: sample_id}``. Rows are found by their sample id, never by their
place, unless neither side has ids. A held-out sample without a prediction, one with two, or that the corpus has not, is
refused; so is a row whose own target is another than the corpus says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from heldout.backbone.asked import AskedBackbone, AskedParams
from heldout.backbone.content import Content, content_of
from heldout.backbone.probabilities import listed, why_not_probabilities
from heldout.backbone.protocol import Backbone, ClassScores, Contract, FloatArray
from heldout.corpus import Corpus, FeaturesView, TargetKind
from heldout.corpus.files import read_table
from heldout.corpus.table import row_ids, targets_of
from heldout.errors import CorpusError, PrerequisiteError, StudyError, near_miss
from heldout.evidence import canonical

NO_ANSWER = "(no answer)"  # a label that any model may say: an answer that names none
_PROBABILITY = "_p_"  # between the name of a model and that of a class
_LABELS = (pl.String, pl.Boolean, pl.Categorical, pl.Enum)
_SCHEMA = b"heldout.predictions/1\0"
_ONES = "p_"  # of predictions that heldout wrote itself


class GivenParams(AskedParams):
    """The `fit:` block of predictions from elsewhere."""

    since: ClassVar[Mapping[str, object]] = {"outputs": None}

    model: Path = Field(description="a .parquet, .csv or .jsonl file of predictions, relative to the study")
    columns: list[str] = Field(
        default_factory=lambda: ["prediction"],
        min_length=1,
        description="column of numbers, labels or the probability of the second class; or NAME, where probabilities "
        "stand in NAME_p_CLASS; several are seeds 0, 1, ...",
    )
    id: str | None = Field(None, description="column of sample ids; null: rows are those of the corpus, in its order")
    target: str | list[str] | None = Field(
        None, description="column with the target, or with each of several, compared with that of the corpus"
    )
    outputs: list[str] | None = Field(
        None, min_length=2, description="names of several targets: the predictions of each stand in NAME_TARGET"
    )
    classes: list[str] | None = Field(
        None, min_length=2, description="labels in order, where one column holds the probability of the second"
    )

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns with targets."""
        return targets_of(self.target or ())

    @model_validator(mode="after")
    def _nothing_is_asked(self) -> Self:
        if self.batch is not None:
            raise ValueError("`batch` changes nothing here: nothing is asked")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("a column is named twice: one model would count as two seeds")
        if self.target is not None and len(self.targets) != len(self.outputs or ["one"]):
            raise ValueError("`target` names as many columns as there are `outputs`, in the same order")
        return self


class _Told(NamedTuple):
    """Of predictions: the digest of what is judged, and whether a column holds labels."""

    sha256: str
    labels: bool


_TOLD: dict[tuple[str, str], _Told] = {}  # by digest of a file and what is read of it


class GivenBackbone(AskedBackbone):
    """A model of which there is nothing but its predictions.

    Attributes:
        own_words: Whether it may say labels that no target has; each is an error of the model's.
    """

    name: ClassVar[str] = "predictions"
    own_words: ClassVar[bool] = False
    Params = GivenParams
    contract: ClassVar[Contract] = Contract(tasks=("regression", "classification"), weights=True, outputs=True)
    params: GivenParams

    @property
    def seeded(self) -> bool:  # type: ignore[override]
        """Whether there are several columns, a seed each."""
        return len(self.params.columns) > 1

    @property
    def probabilities(self) -> bool:  # type: ignore[override]
        """Whether the columns hold probabilities, or at least numbers: labels are judged by labels alone."""
        return not self._told(self.found()).labels

    def load(self, path: Path) -> pl.DataFrame:
        """The table of predictions.

        Raises:
            CorpusError: If it cannot be read, or lacks a column.
        """
        wanted = self.params.id
        frame = read_table(path, texts=[wanted] if wanted else [])
        for name in (*([wanted] if wanted else []), *self.params.targets):
            if name not in frame.columns:
                raise _missing(name, frame, path)
        asked = [part for name in self.params.columns for part in self._parts(name, frame, path).values()]
        for name in (*asked, *([wanted] if wanted else [])):
            _plain(frame[name], f"{path}: column {name}")
        return frame

    def content_at(self, place: Path) -> Content:
        """What was predicted for which sample, whatever else stands in the file, and in whatever order and format."""
        file = content_of(place)
        return Content(self._told(place).sha256, file.bytes, file.files)

    def _told(self, place: Path) -> _Told:
        """What the file says of the columns that are judged, read once."""
        key = content_of(place).sha256, self.params.model_dump_json(include={"columns", "id", "classes", "outputs"})
        if key not in _TOLD:
            frame = self.load(place)
            parts = {name: self._parts(name, frame, place) for name in self.params.columns}
            plain = [frame.schema[name] for name, columns in parts.items() if columns == {name: name}]
            _TOLD[key] = _Told(self._digest(frame, place), any(not each.is_float() for each in plain))
        return _TOLD[key]

    def _digest(self, frame: pl.DataFrame, path: Path) -> str:
        name = self.params.id
        ids = row_ids(frame.height) if name is None else frame[name].cast(pl.String).fill_null("")
        order = ids.arg_sort()
        found = hashlib.sha256(_SCHEMA + _text(ids.gather(order)))
        for name in self.params.columns:
            for label, column in sorted(self._parts(name, frame, path).items()):
                values = frame[column].gather(order)
                exact = values.dtype.is_numeric()
                # Of which class a column is belongs to what was predicted; how it is called does not.
                found.update(canonical([label if label != name else None, exact]))
                found.update(_numbers(values).tobytes() if exact else _text(values.cast(pl.String).fill_null("")))
        return found.hexdigest()

    def predict(self, model: Any, view: FeaturesView) -> FloatArray:
        """Nothing: what was not predicted elsewhere cannot be predicted here.

        Raises:
            PrerequisiteError: Always.
        """
        raise PrerequisiteError(
            "there is no model to ask: its predictions came from elsewhere",
            where="backbone",
            hint="bring the model itself (`backbone: saved`), or the training (`backbone: sklearn`)",
        )

    def check(self, corpus: Corpus) -> None:
        """Every prediction is of a sample, of the right kind, of each target, and the only one of it."""
        outputs = list(corpus.manifest.outputs)
        if outputs != (self.params.outputs or []):
            said = ", ".join(self.params.outputs or ["one"])
            raise StudyError(
                f"the predictions are of the targets {said}, and those of the corpus are {corpus.manifest.target}",
                where="fit.outputs",
                hint=f"write `outputs: {outputs}`, in the order of the corpus" if outputs else "leave it out",
            )
        frame = self.load(self.found())
        self.rows_of(frame, corpus.ids, np.zeros(0, dtype=np.int64))
        for name in self.params.columns:
            self._values(frame, name, corpus.task)

    def refuse_others(self, ids: pl.Series, target: NDArray[Any], held_out: NDArray[np.int64]) -> None:
        """Refuse predictions that leave a held-out sample out, or are of other targets or classes than the corpus has.

        Args:
            ids: Of all samples.
            target: Of all samples.
            held_out: Rows of the samples that are judged.

        Raises:
            CorpusError: With the first sample whose target is another, or the labels that nobody knows.
        """
        names, path = self.params.targets, self.found()
        frame = self.load(path)
        rows = self.rows_of(frame, ids, held_out)
        if target.dtype.kind != "f" and not self.own_words:
            self._refuse_other_labels(frame, set(target.tolist()))
        there = np.flatnonzero(rows >= 0)
        kind = pl.Float64 if target.dtype.kind == "f" else pl.String
        each = target[there].reshape(len(there), -1).T
        for name, known in zip(names, each, strict=False):
            stated = frame[name].gather(rows[there]).cast(kind, strict=False).to_numpy()
            wrong = stated != known
            if wrong.any():
                row = int(np.argmax(wrong))
                raise CorpusError(
                    f"the target of {int(wrong.sum())} samples is another here: of {ids.gather(there)[row]} it is "
                    f"{stated[row]}, and the corpus says {known[row]}",
                    where=f"{path}: column {name}",
                    hint="judge predictions of these very samples",
                )

    def _refuse_other_labels(self, frame: pl.DataFrame, known: set[str]) -> None:
        """Refuse labels in other words than those of the corpus: each would count as an error, whoever is right."""
        for name in self.params.columns:
            said = self._values(frame, name, "classification")
            assert isinstance(said, ClassScores)
            labels, path = set(said.classes), self.found()
            lacking = sorted(known - labels)
            if name not in _columns(name, frame, path) or self.params.classes is not None:
                if lacking:
                    raise CorpusError(
                        f"{name!r} has no probability of the class {lacking[0]!r}, only of {listed(labels)}",
                        where=f"{path}: columns {name}",
                        hint="name the classes as the target does",
                    )
                continue
            strange = sorted(labels - known - {NO_ANSWER})
            if strange:
                raise CorpusError(
                    f"{name!r} says {strange[0]!r}, which is no label of the target ({listed(known)})",
                    where=f"{path}: column {name}",
                    hint="write labels as the target does",
                )

    def answers(self, frame: pl.DataFrame, seed: int, task: TargetKind) -> FloatArray | ClassScores:
        """What a seed predicted, row by row.

        Args:
            frame: Rows of what ``load`` answers.
            seed: Number of the column.
            task: Kind of target.

        Raises:
            StudyError: If there is no column for the seed.
        """
        columns = self.params.columns
        if seed >= len(columns):
            hint = f"declare `seeds: {list(range(len(columns)))}`"
            raise StudyError(f"there are {len(columns)} columns, and none for seed {seed}", where="seeds", hint=hint)
        return self._values(frame, columns[seed], task)

    def packages(self) -> tuple[str, ...]:
        """It is polars that reads."""
        return ("numpy", "polars")

    def rows_of(self, frame: pl.DataFrame, ids: pl.Series, held_out: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each sample of the corpus in what ``load`` answers, int64 ``[samples]``; -1 where there is none.

        Args:
            frame: What ``load`` answers.
            ids: Of all samples.
            held_out: Rows of those that need a prediction.

        Raises:
            CorpusError: If one of these has none, a sample has two, or a prediction is of no sample.
        """
        path, name = self.found(), self.params.id
        where = str(path) if name is None else f"{path}: column {name}"
        mine = row_ids(frame.height) if name is None else frame[name].cast(pl.String)
        if mine.has_nulls():
            row = int(mine.is_null().arg_max() or 0) + 1
            raise CorpusError("a sample id is missing", where=f"{where}, row {row}", hint="name the sample")
        twice = mine.filter(mine.is_duplicated())
        if len(twice):
            raise CorpusError(
                f"sample {twice[0]!r} has {int((mine == twice[0]).sum())} predictions",
                where=where, hint="keep the one that was made with the sample held out", code="HO-G004",
            )  # fmt: skip
        place = pl.DataFrame({"id": mine}).with_row_index("row")
        found = pl.DataFrame({"id": ids.cast(pl.String)}).join(place, on="id", how="left", maintain_order="left")["row"]
        needed = found.gather(held_out)
        if needed.has_nulls():
            lost = ids.gather(held_out).filter(needed.is_null())
            raise CorpusError(
                f"{len(lost)} of {len(needed)} samples have no prediction, such as {lost[0]!r}", where=where,
                hint="predict every held-out sample; name the columns of ids (`id`) where the order is another",
            )  # fmt: skip
        if frame.height > len(found) - found.null_count():
            others = mine.filter(~mine.is_in(ids.cast(pl.String).to_list()))
            raise CorpusError(
                f"{len(others)} predictions are of samples that the corpus has not, such as {others[0]!r}", where=where,
                hint="judge all that was predicted: add the samples to the corpus, or remove the predictions",
            )  # fmt: skip
        return found.cast(pl.Int64).fill_null(-1).to_numpy()

    def _parts(self, name: str, frame: pl.DataFrame, path: Path) -> dict[str, str]:
        """The column of a name, its columns by class, or those by target.

        Raises:
            CorpusError: If there is none.
        """
        found = {each: f"{name}_{each}" for each in self.params.outputs or ()}
        lacking = next((each for each in found.values() if each not in frame.columns), None)
        if lacking is not None:
            raise _missing(lacking, frame, path)
        return found or _columns(name, frame, path)

    def _values(self, frame: pl.DataFrame, name: str, task: TargetKind) -> FloatArray | ClassScores:
        path = self.found()
        parts = self._parts(name, frame, path)
        if task == "regression":
            several = self.params.outputs is not None
            words = (
                name
                if len(parts) > 1 and not several
                else next((each for each in parts.values() if not frame[each].dtype.is_numeric()), None)
            )
            if words is not None:
                what = f"column {words!r} holds no numbers, and the target is one"
                raise CorpusError(what, where=f"{path}: column {words}", hint="name a column of predicted numbers")
            numbers = [_numbers(frame[each]) for each in parts.values()]
            return np.column_stack(numbers) if several else numbers[0]
        if name not in parts:
            scores = np.column_stack([_numbers(frame[each]) for each in parts.values()])
            return _probabilities(ClassScores(tuple(parts), scores), name, path)
        column, classes = frame[name], self.params.classes
        if column.dtype.is_float():
            if classes is None or len(classes) != 2:
                raise CorpusError(
                    f"column {name!r} holds numbers, and of which class they are the probability is not said",
                    where=f"{path}: column {name}",
                    hint=f"of two classes say `classes: [NO, YES]`; of more write columns {name}{_PROBABILITY}CLASS",
                )
            yes = _numbers(column)
            return _probabilities(ClassScores(tuple(classes), np.column_stack([1.0 - yes, yes])), name, path)
        if column.has_nulls() or not (column.dtype.is_integer() or column.dtype in _LABELS):
            what = (
                "a label is missing" if column.has_nulls() else f"column {name!r} holds {column.dtype}, and no labels"
            )
            raise CorpusError(what, where=f"{path}: column {name}", hint="write a label in every row")
        return _of_labels(column.cast(pl.String), classes or ())


def level_of_backbone(backbone: Backbone) -> Literal["computed", "asked", "predicted"]:
    """The level of evidence of a verdict over such a model."""
    if backbone.fits:
        return "computed"
    return "predicted" if isinstance(backbone, GivenBackbone) else "asked"


def _columns(name: str, frame: pl.DataFrame, path: Path) -> dict[str, str]:
    """The column of a name, under that name; or the columns of its probabilities, by class.

    Raises:
        CorpusError: If there is neither.
    """
    for prefix in (f"{name}{_PROBABILITY}", *([_ONES] if name == "prediction" else [])):
        found = {each.removeprefix(prefix): each for each in frame.columns if each.startswith(prefix)}
        if len(found) > 1:
            return found
    if name in frame.columns:
        return {name: name}
    raise _missing(name, frame, path)


def _plain(column: pl.Series, where: str) -> None:
    """Refuse what is not one value a row."""
    if column.dtype.is_nested() or column.dtype == pl.Object:
        hint = "write each part into a column of its own"
        raise CorpusError(f"the column holds {column.dtype}, not one value a row", where=where, hint=hint)


def _probabilities(said: ClassScores, name: str, path: Path) -> ClassScores:
    """Probabilities that are some: what is missing or no probability is refused before anything is scored."""
    wrong = why_not_probabilities(said.probability, said.classes)
    if wrong is not None:
        raise CorpusError(
            f"the predictions of {name!r} are no probabilities: {wrong}",
            where=f"{path}: column {name}",
            hint="write a probability from 0 to 1 for every row; of all classes they add up to 1",
        )
    return said


def _missing(name: str, frame: pl.DataFrame, path: Path) -> CorpusError:
    return CorpusError(
        f"the predictions have no column {name!r}",
        where=str(path),
        hint=near_miss(name, frame.columns, "its columns"),
    )


def _text(values: pl.Series) -> bytes:
    """Words that no others could be taken for."""
    return canonical(values.to_list())


def _numbers(column: pl.Series) -> FloatArray:
    """Float64; what is missing is NaN, which no metric takes."""
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def _of_labels(labels: pl.Series, classes: Sequence[str]) -> ClassScores:
    """Labels as certain as they can be: 1 for the class that is named, NaN where none is."""
    names = tuple(sorted({*labels.drop_nulls().to_list(), *classes}))
    index = {label: code for code, label in enumerate(names)}
    scores = np.zeros((len(labels), len(names)))
    codes = labels.replace_strict(index, default=None, return_dtype=pl.Int64)
    known = codes.is_not_null().to_numpy()
    scores[np.flatnonzero(known), codes.drop_nulls().to_numpy()] = 1.0
    scores[~known] = np.nan
    return ClassScores(names, scores)
