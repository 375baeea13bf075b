"""How well-formed answers are, with the schema and without it: a schema must not hide what a model did not learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from heldout.domains.embodied.evaluate.plan import read_plan
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.answers import is_valid, parse_answer, strict_problem
from heldout.errors import InputError
from heldout.evidence import loads
from heldout.predict.partial import PARTIAL_FILE, read_partial

SCHEMA = "heldout.qwen-validity/1"


class Shares(TypedDict):
    """Of the answers that are valid."""

    json_validity_rate: float
    json_validity_strict: float


class Validity(TypedDict):
    """The document."""

    schema: str
    samples: int
    constrained: Shares
    free: Shares
    changed: float


def validity(evaluation: Path) -> Validity:
    """Shares of valid answers of an evaluation.

    Args:
        evaluation: Folder of ``heldout eval run`` with this backbone's predictor.

    Returns:
        For ``constrained`` and ``free`` the published validity and the strict one; ``changed`` is the share of answers
        that the schema changed.

    Raises:
        InputError: If the predictions do not hold both.
    """
    plan, _ = read_plan(evaluation)
    source = IndexSource(plan.index)
    language = next(source.records(source.samples("train", 1)))["modalities"]["language"]
    options = {"action": language["action_options"], "subtask": language["subtask_options"]}
    rows = [loads(row, where=name) for name, row in read_partial(evaluation / PARTIAL_FILE).rows.items()]
    if not rows or any("free_prediction" not in row for row in rows):
        hint = "heldout eval run with the predictor qwen3_omni_lora"
        raise InputError("the predictions do not hold what was said freely", where=str(evaluation), hint=hint)
    held, free = ([str(row[key]) for row in rows] for key in ("raw_prediction", "free_prediction"))
    return {
        "schema": SCHEMA,
        "samples": len(rows),
        "constrained": _shares(held, options),
        "free": _shares(free, options),
        "changed": sum(one != other for one, other in zip(held, free, strict=True)) / len(rows),
    }


def _shares(texts: Sequence[str], options: Mapping[str, Sequence[str]]) -> Shares:
    return {
        "json_validity_rate": sum(is_valid(parse_answer(text)) for text in texts) / len(texts),
        "json_validity_strict": sum(strict_problem(text, options) is None for text in texts) / len(texts),
    }
