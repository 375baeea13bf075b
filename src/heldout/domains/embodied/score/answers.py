"""What a model answered: text to fields, by the published rules, and how well-formed it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from heldout.domains.embodied.episodes.labels import UNKNOWN
from heldout.errors import InputError
from heldout.evidence import canonical, loads

FIELDS = ("action", "subtask", "objects", "contact", "transition", "next_action", "evidence_window")
_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n?(.*?)\n?\s*```$", re.DOTALL)
_QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'"})
_YES_NO = frozenset({"yes", "no", UNKNOWN})


def parse_answer(text: str) -> dict[str, object]:
    """The published parse: without a code fence, else from the first ``{`` to the last ``}``; no object gives ``{}``.

    What strict JSON cannot hold (NaN, infinity, half of a surrogate pair) becomes null, so that it can be written.
    """
    text = text.strip()
    fenced = _FENCE.match(text)
    text = fenced[1].strip() if fenced else text
    for part in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            value = json.loads(part, parse_constant=lambda _: None, parse_float=_finite)
            canonical(value)
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict) else {}
    return {}


def is_valid(answer: Mapping[str, Any]) -> bool:
    """The published validity: all seven keys are there, whatever stands in them."""
    return all(field in answer for field in FIELDS)


def strict_problem(text: str, options: Mapping[str, Sequence[str]]) -> str | None:
    """Why a text is not exactly the answer that was asked for; None if it is.

    Args:
        text: The whole output.
        options: By field, the labels that may be answered; a field without options may say anything.
    """
    try:
        answer = loads(text, where="answer")
    except InputError:
        return "it is not one JSON value and nothing else"
    if not isinstance(answer, dict):
        return "it is not an object"
    if set(answer) != set(FIELDS):
        return "its keys are not the seven"
    for field in ("action", "subtask", "next_action"):
        if not isinstance(answer[field], str) or not answer[field]:
            return f"{field} is not a text"
        allowed = options.get("subtask" if field == "subtask" else "action")
        if allowed and answer[field] != UNKNOWN and answer[field] not in allowed:
            return f"{field} is none of the options"
    for field in ("contact", "transition"):
        if not isinstance(answer[field], str) or answer[field] not in _YES_NO:
            return f"{field} is not yes, no or unknown"
    objects, window = answer["objects"], answer["evidence_window"]
    if not isinstance(objects, list) or not all(isinstance(name, str) and name for name in objects):
        return "objects is not a list of texts"
    if len(set(objects)) != len(objects):
        return "an object stands twice"
    if not isinstance(window, dict) or set(window) != {"start_frame", "end_frame"}:
        return "evidence_window is not a span"
    first, last = window["start_frame"], window["end_frame"]
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        return "evidence_window is not a span"
    return None


def match_label(text: str, options: Sequence[str]) -> str:
    """The published match: exact, else whatever the case, else the first option that the text contains, else the text.

    Blanks and quotes are normalised before.
    """
    wanted = normalise(text)
    normal = [(option, normalise(option)) for option in options]
    for option, known in normal:
        if known == wanted:
            return option
    low = wanted.lower()
    for option, known in normal:
        if known.lower() == low:
            return option
    for option, known in normal:
        if known and known.lower() in low:
            return option
    return text


def normalise(text: str) -> str:
    """Straight quotes, none around, single blanks."""
    return " ".join(text.translate(_QUOTES).split()).strip("\"'").strip()


def predicted_action(text: str, answer: Mapping[str, Any], options: Sequence[str]) -> str:
    """The action that counts as predicted: of the answer if there is one, else of the whole text."""
    said = answer.get("action") if answer else text
    return match_label(said if isinstance(said, str) else "", options)


def label_of(answer: Mapping[str, Any], field: str) -> str:
    """A field as a class: what is no text is a class of its own, which is nobody's truth."""
    value = answer.get(field)
    return value if isinstance(value, str) else "\x00none" if value is None else "\x00no text"


def _finite(text: str) -> float | None:
    value = float(text)
    return value if abs(value) != float("inf") else None
