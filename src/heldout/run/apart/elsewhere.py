"""Foreign code that asks a model from elsewhere: in a fresh, shut-in process for each block of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.backbone import ClassScores, FeaturesView
from heldout.backbone.asked import Answers, AskedBackbone, ask_in_batches
from heldout.corpus.guards import Finding
from heldout.evidence import plain_path
from heldout.run.apart.child import VALUES, do, numbers_of, turns_of
from heldout.run.apart.foreign import Apart, array_of

_CHILD = "heldout.run.apart.elsewhere"


@dataclass(frozen=True)
class ToAskRows:
    """Rows to ask a model from elsewhere, so many at once."""

    backbone: AskedBackbone
    place: Path
    view: FeaturesView
    size: int


@dataclass(frozen=True)
class ToGate:
    """A model for its checkpoint gate, with some rows of the corpus."""

    backbone: AskedBackbone
    place: Path
    view: FeaturesView


class Block(NamedTuple):
    """What one process answered.

    Attributes:
        batches: In order.
        fence: What held the process.
    """

    batches: list[Answers]
    fence: Mapping[str, str]


def ask_block(apart: Apart, backbone: AskedBackbone, view: FeaturesView, size: int) -> Block:
    """What the model answers for a block of rows, so many at once.

    Raises:
        ReachedError: If the code asked for what was hidden from it.
        UnitError: If it fails.
    """
    place = backbone.found()
    argument = ToAskRows(backbone, place, view, size)
    with apart.asked(f"{_CHILD}:rows", argument, rows=view.features, shown=(place,)) as found:
        batches = list(_batches(found.out / VALUES, found.document["answer"]["batches"]))
        return Block(batches, {str(key): str(value) for key, value in found.document["fence"].items()})


def gate_apart(apart: Apart, backbone: AskedBackbone, view: FeaturesView) -> list[Finding]:
    """What the checkpoint gate of foreign code finds."""
    place = backbone.found()
    with apart.asked(f"{_CHILD}:gate", ToGate(backbone, place, view), rows=view.features, shown=(place,)) as found:
        return [_finding(each) for each in found.document["answer"]["findings"]]


def turns_apart(apart: Apart, backbone: AskedBackbone, view: FeaturesView, count: int) -> list[float]:
    """Microseconds a row that the model takes, each of several times."""
    place = backbone.found()
    argument = ToAskRows(backbone, place, view, count)
    with apart.asked(f"{_CHILD}:timed", argument, rows=view.features, shown=(place,)) as found:
        return [float(each) for each in found.document["answer"]["turns"]]


def rows(question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Load a model from its place, ask it batch by batch, and write down what it answers."""

    def work(asked: ToAskRows) -> dict[str, object]:
        model = asked.backbone.load(asked.place)
        answers = list(ask_in_batches(asked.backbone, model, asked.view, asked.size))
        values = [numbers_of(each.predicted) for each in answers]
        np.save(Path(question["desk"]) / "out" / VALUES, np.concatenate(values), allow_pickle=False)
        return {"batches": [_told(each, len(found)) for each, found in zip(answers, values, strict=True)]}

    do(work, question, fence)


def timed(question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Load a model from its place, and say how long it takes to answer."""

    def work(asked: ToAskRows) -> dict[str, object]:
        model = asked.backbone.load(asked.place)
        return {"turns": turns_of(partial(asked.backbone.predict, model), asked.view, asked.size)}

    do(work, question, fence)


def gate(question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Ask the checkpoint gate."""

    def work(asked: ToGate) -> dict[str, object]:
        return {"findings": [each.to_json() for each in asked.backbone.check_model(asked.place, asked.view)]}

    do(work, question, fence)


def _told(answers: Answers, count: int) -> dict[str, object]:
    predicted = answers.predicted
    classes = [str(each) for each in predicted.classes] if isinstance(predicted, ClassScores) else []
    return {"rows": count, "classes": classes, "warnings": answers.warnings}


def _batches(path: Path, told: Sequence[Mapping[str, Any]]) -> Iterator[Answers]:
    values, start = array_of(plain_path(path)), 0
    for each in told:
        part = values[start : start + int(each["rows"])]
        start += int(each["rows"])
        classes = tuple(str(name) for name in each["classes"])
        yield Answers(ClassScores(classes, part) if classes else part, [str(word) for word in each["warnings"]])


def _finding(told: Mapping[str, Any]) -> Finding:
    words = {key: str(told[key]) for key in ("code", "what", "where", "hint")}
    return Finding(blocking=bool(told["blocking"]), **words)
