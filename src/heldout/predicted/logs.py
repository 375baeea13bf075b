"""Logs of evaluations as tables: one row an answer, with the label that is right and the label that was said.

What a log knows of an answer is whether it is right. So the right label is the target's text; an answer that is right
says it, and one that is wrong says the label that it names, or ``(no answer)``, which is nobody's truth. Accuracy is
then the mean of the log's own score, exactly, and whoever always says the same is right as often as that target is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from heldout.backbone.given import NO_ANSWER
from heldout.errors import InputError, near_miss

ID, TARGET = "id", "target"
_LABELS = 100  # a matrix of classes has a column for each


class Answer(NamedTuple):
    """What a log says of one answer.

    Attributes:
        sample: Name of the question.
        repeat: Which of its answers; None where each question has one.
        target: The right answer; empty where nobody wrote it down.
        said: The answer; None where the log does not tell.
        score: What the log's scorer says of it.
        fields: What else is known of the question, by dotted name.
    """

    sample: str
    repeat: int | None
    target: str
    said: str | None
    score: object
    fields: Mapping[str, object]


def table_of(answers: Sequence[Answer], where: str) -> pl.DataFrame:
    """A row an answer: `id`, `sample`, `target`, `prediction`, and its fields.

    Where there are more than 100 targets, each has one of 100 labels, by its text; a target that nobody wrote down is
    one of its question's own. That makes no wrong answer right, and nobody who knows nothing worse.

    Args:
        answers: Of one log, or of several.
        where: Their file, for a complaint.

    Raises:
        InputError: If an answer stands twice, or its score says neither right nor wrong.
    """
    if not answers:
        raise InputError("the log has no answers", where=where, hint="let the evaluation finish, and log its samples")
    ids = pl.Series([each.sample if each.repeat is None else f"{each.sample}/{each.repeat}" for each in answers])
    twice = ids.filter(ids.is_duplicated())
    if len(twice):
        what = f"sample {twice[0]!r} stands {int((ids == twice[0]).sum())} times in the log"
        raise InputError(what, where=where, hint="name the log of one evaluation", code="HO-G004")
    truth, few = _labels([each.target or each.sample for each in answers], where)
    known = set(truth)
    said = []
    for each, right in zip(answers, truth, strict=True):
        wrong = each.said if few and each.said in known and each.said != right else NO_ANSWER
        said.append(right if _is_right(each, where) else wrong)
    fields = dict.fromkeys(name for each in answers for name in each.fields)
    columns = [_column(name, [each.fields.get(name) for each in answers]) for name in fields]
    own = {ID: ids, "sample": [each.sample for each in answers], TARGET: truth, "prediction": said}
    return pl.DataFrame(own).with_columns(column for column in columns if column.name not in own)


def score_of(known: Iterable[str], wanted: str | None, where: str) -> str:
    """The score that says whether an answer is right: the one that is wanted, or the only one.

    Raises:
        InputError: If there is no such score, or there are several and none is named.
    """
    names = sorted(known)
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    what = f"the log has no score {wanted!r}" if wanted is not None else f"the log has {len(names)} scores"
    hint = near_miss(wanted or "", names, "its scores") + "; name one: NAME=FILE#SCORE"
    raise InputError(what, where=where, hint=hint)


def flat(value: Mapping[str, Any], name: str) -> dict[str, object]:
    """Values by dotted names, ``doc.subject``; lists are left out."""
    found: dict[str, object] = {}
    for key, each in value.items():
        if isinstance(each, Mapping):
            found |= flat(each, f"{name}.{key}")
        elif each is None or isinstance(each, str | int | float):
            found[f"{name}.{key}"] = each
    return found


def _labels(targets: Sequence[str], where: str) -> tuple[list[str], bool]:
    """The label of each target, and whether each has one of its own."""
    if NO_ANSWER in targets:
        raise InputError(f"a target is {NO_ANSWER!r}, as are answers that are none", where=where, hint="rename it")
    if len(set(targets)) <= _LABELS:
        return list(targets), True
    return [f"one of {_LABELS}: {zlib.crc32(each.encode('utf-8', 'replace')) % _LABELS:02d}" for each in targets], False


def _is_right(answer: Answer, where: str) -> bool:
    found = {"C": 1, "I": 0, "N": 0}.get(answer.score, answer.score) if isinstance(answer.score, str) else answer.score
    if isinstance(found, int | float) and found in (0, 1):
        return bool(found)
    raise InputError(
        f"the score {answer.score!r} says neither right nor wrong",
        where=f"{where}: sample {answer.sample}",
        hint="name a score that is 0 or 1, as NAME=FILE#SCORE; a part of a point is no label that could be compared",
    )


def _column(name: str, values: list[object]) -> pl.Series:
    """A column; what holds values of several kinds is text."""
    kinds = {type(each) for each in values if each is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        values = [None if each is None else str(each) for each in values]
    return pl.Series(name, values, strict=False)
