"""The checkpoint gate: a model from elsewhere is looked at and tried on a few rows before it is asked for any unit.

Whoever has no ``check_model`` is not gated. What a gate finds is a HOLD without a look: nothing is asked, nothing is
scored. That labels are those of the corpus is asked of targets that guards have read. A model of foreign code is looked
at where it is shut in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from heldout.backbone import ClassScores, FeaturesView
from heldout.backbone.asked import Answers, AskedBackbone, ask_in_batches
from heldout.backbone.probabilities import listed, why_not_probabilities
from heldout.corpus import Corpus, Purpose
from heldout.corpus.guards import Finding
from heldout.engine import run_fresh
from heldout.errors import HeldoutError, MachineError, PrerequisiteError
from heldout.evidence.machine import machine_error
from heldout.run.apart.elsewhere import ask_block, gate_apart
from heldout.run.apart.foreign import Apart, ReachedError, is_foreign
from heldout.split import Split

ANSWERS = "HO-M003"
_ROWS = 16


@dataclass(frozen=True)
class _Question:
    """A model, and rows to try it on."""

    backbone: AskedBackbone
    view: FeaturesView


class _Looked(NamedTuple):
    """What a gate finds, and what the model answers for a few rows, or why it answers nothing."""

    findings: list[Finding]
    answers: list[Answers] | str


def examine_model(
    backbone: AskedBackbone, corpus: Corpus, split: Split, apart: Apart, purpose: Purpose = "guard"
) -> list[Finding] | None:
    """What the checkpoint gate finds; None if the backbone has none. One without is tried all the same.

    Args:
        backbone: Bound to its model.
        corpus: Of the study.
        split: Its folds.
        apart: Asks foreign code.
        purpose: Why the labels of the corpus are read.

    Raises:
        ReachedError: If foreign code asks for what is hidden from it.
        PrerequisiteError: If something that reads the model is not installed.
    """
    rows = corpus.rows_of(split.held_out)
    some = np.unique(np.linspace(0, len(rows) - 1, _ROWS).astype(np.int64))
    question = _Question(backbone, corpus.features_view(rows[some]))
    looked = _look_apart(apart, question) if is_foreign(backbone) else run_fresh(_look, question)
    found = looked.findings or _tried(looked, backbone, corpus, purpose)
    return found if backbone.gated else None


def _tried(looked: _Looked, backbone: AskedBackbone, corpus: Corpus, purpose: Purpose) -> list[Finding]:
    """What is wrong with the answers for a few rows."""
    if isinstance(looked.answers, str):
        return [_finding(backbone, f"the model cannot be asked: {looked.answers}")]
    wrong = next((why for each in looked.answers if (why := _wrong(each, corpus, purpose)) is not None), None)
    return [] if wrong is None else [_finding(backbone, wrong)]


def _wrong(answers: Answers, corpus: Corpus, purpose: Purpose) -> str | None:
    """Why these are no answers to such a target; None if they are."""
    predicted = answers.predicted
    if isinstance(predicted, ClassScores) != (corpus.task == "classification"):
        given = "probabilities" if isinstance(predicted, ClassScores) else "numbers and no probabilities"
        return f"the model answers {given}, and the target is one of {corpus.task}"
    if isinstance(predicted, ClassScores):
        wrong = why_not_probabilities(predicted.probability, predicted.classes)
        if wrong is not None:
            return f"the model answers what are no probabilities: {wrong}"
        return _strange(predicted, corpus, purpose)
    values = np.asarray(predicted, dtype=np.float64)
    if values.ndim != 1:
        return f"the model answers {values.ndim} dimensions: one number a row is needed"
    bad = int((~np.isfinite(values)).sum())
    return f"{bad} of {len(values)} answers are no finite numbers" if bad else None


def _strange(predicted: ClassScores, corpus: Corpus, purpose: Purpose) -> str | None:
    """Labels of which the corpus has none, such as numbers for words; None if they have one in common."""
    known = {str(each) for each in corpus.targets(purpose).tolist()}
    if known & {*predicted.classes}:
        return None
    return f"the labels of the model ({listed(predicted.classes)}) are none of the corpus ({listed(known)})"


def _look(question: _Question) -> _Looked:
    """Look at a model and try it, in a process that has seen nothing."""
    backbone, place = question.backbone, question.backbone.found()
    findings = backbone.check_model(place, question.view)

    def ask() -> list[Answers]:
        return list(ask_in_batches(backbone, backbone.load(place), question.view, backbone.rows_at_once))

    return _Looked(findings, [] if findings else _answers(ask))


def _look_apart(apart: Apart, question: _Question) -> _Looked:
    """The same of foreign code."""
    backbone, view = question.backbone, question.view
    findings = gate_apart(apart, backbone, view) if backbone.gated else []

    def ask() -> list[Answers]:
        return ask_block(apart, backbone, view, backbone.rows_at_once).batches

    return _Looked(findings, [] if findings else _answers(ask))


def _answers(ask: Callable[[], list[Answers]]) -> list[Answers] | str:
    """The answers, or why there are none."""
    try:
        return ask()
    except (ReachedError, PrerequisiteError, MachineError):
        raise
    except Exception as error:  # whatever a model raises, it is the answer
        refused = machine_error(error)
        if refused is not None:
            raise refused from error
        return error.what if isinstance(error, HeldoutError) else f"{type(error).__name__}: {error}"


def _finding(backbone: AskedBackbone, what: str) -> Finding:
    hint = "the model must answer every row of this corpus: a finite number, or for classes (those of the corpus) "
    hint += "probabilities that sum to 1"
    return Finding(ANSWERS, blocking=True, what=what, where=f"backbone {backbone.name}", hint=hint)
