"""Answers about windows on the one road: what a model said in the published form, read as classes of one field.

``backbone: window_answers`` with ``fit: {model: predictions.jsonl, columns: [action]}`` judges rows that ``heldout eval
run`` or anybody else wrote, on the index that they are of (``reader: window_index``), by the rules of the study.
``task: window_answers`` says what every contender gets. An answer that names no label is a class of its own, which is
nobody's truth: it counts as wrong, and ``answered`` counts how many are none.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from heldout.backbone import FloatArray
from heldout.backbone.given import NO_ANSWER, GivenBackbone, GivenParams
from heldout.backbone.protocol import Contract
from heldout.domains.embodied.episodes.labels import UNKNOWN
from heldout.domains.embodied.index.truth import Label
from heldout.domains.embodied.score.answers import label_of, parse_answer, predicted_action
from heldout.domains.embodied.score.score import check_rows, read_rows
from heldout.task import Metric, Task
from heldout.task.metric import SHARE, Rows

_FAMILY = "predictions.jsonl"


class WindowAnswersParams(GivenParams):
    """The `fit:` block of answers about windows."""

    model: Path = Field(description="predictions.jsonl in the published form, relative to the study")
    columns: list[Label] = Field(  # type: ignore[assignment]
        ["action"], min_length=1, max_length=1, description="the field of the answers that the corpus is of"
    )
    id: Literal["id"] = Field("id", description="column of window ids")
    target: Literal["truth"] = Field("truth", description="what the rows say is true, compared with the index")
    classes: None = Field(None, description="the labels are those of the index")


class WindowAnswersBackbone(GivenBackbone):
    """A model of which there is what it answered about windows."""

    name: ClassVar[str] = "window_answers"
    Params = WindowAnswersParams
    contract: ClassVar[Contract] = Contract(tasks=("classification",), weights=True)
    own_words: ClassVar[bool] = True

    def load(self, path: Path) -> pl.DataFrame:
        """Ids, the class that each answer names, and what the rows say is true.

        Raises:
            InputError: If a row lacks something of the published form.
        """
        rows = read_rows(path)
        check_rows(_FAMILY, rows, str(path))
        ids = [str(row["id"]) for row in rows]
        (field,) = self.params.columns
        said = {field: [_said(row, field) for row in rows], "truth": [_true(row, field) for row in rows]}
        return pl.DataFrame({"id": ids, **said}, schema_overrides=dict.fromkeys(said, pl.String))


def _true(row: Any, field: str) -> str:
    return str(row["true_label"]) if field == "action" else str(row["true_json"].get(field, UNKNOWN))


def _said(row: Any, field: str) -> str:
    """The class that an answer names; of actions the one that was matched when it was written, where that is told."""
    text = str(row["raw_prediction"])
    answer = parse_answer(text)
    if field == "action":
        label = str(row.get("predicted_label", predicted_action(text, answer, ())))
    else:
        label = label_of(answer, field)
    return label if label and not label.startswith("\x00") else NO_ANSWER


def _answered(rows: Rows) -> float:
    silent = rows.classes.index(NO_ANSWER) if NO_ANSWER in rows.classes else -1
    return rows.mean(rows.label != silent)


def _known(rows: Rows) -> NDArray[np.bool_]:
    """Rows whose truth is known; what follows the last window of an episode is not."""
    names = np.array([name != UNKNOWN for name in rows.classes])
    found: NDArray[np.bool_] = names[rows.truth]
    return found


def _known_accuracy(rows: Rows) -> float:
    """The published accuracy of every field but the action."""
    known = rows.part(np.flatnonzero(_known(rows)))
    return known.mean(known.label == known.truth) if len(known) else math.nan


def _listed_macro_f1(rows: Rows) -> float:
    """The published macro F1: a label that somebody could have said, and that neither occurs nor is said, counts 0."""
    right, given = np.diag(rows.confusion), rows.confusion.sum(axis=1) + rows.confusion.sum(axis=0)
    return float(np.divide(2 * right, given, out=np.zeros(len(given)), where=given > 0).mean())


LISTED_MACRO_F1 = Metric("listed_macro_f1", "macro F1, all labels", "higher", SHARE, "label", _listed_macro_f1)
ANSWERED = Metric("answered", "answered", "higher", SHARE, "label", _answered)
KNOWN_ACCURACY = Metric(
    "known_accuracy",
    "accuracy, known truth",
    "higher",
    SHARE,
    "label",
    _known_accuracy,
    undefined=lambda rows: None if _known(rows).any() else "no window's truth is known",
)


def _usual(truth: NDArray[Any], weight: FloatArray | None, classes: tuple[str, ...]) -> FloatArray:
    """The label that is most common where the truth is known; the first label where it never is."""
    counts = np.bincount(truth, weights=weight, minlength=len(classes)).astype(np.float64)
    counts[[name == UNKNOWN for name in classes]] = -1.0
    found: FloatArray = np.eye(len(classes))[int(counts.argmax())]
    return found


WINDOW_ANSWERS = Task(
    "window_answers",
    "classification",
    ("accuracy", "known_accuracy", "listed_macro_f1", "balanced_accuracy", "macro_f1", "kappa", "answered"),
    {"the most common known label": _usual},
)
