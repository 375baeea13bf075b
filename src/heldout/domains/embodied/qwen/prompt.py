"""What is said to the model and what it should say: one JSON object of seven fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from heldout.domains.embodied.score.answers import FIELDS, normalise
from heldout.evidence import canonical

MOST_OBJECTS = 8
SYSTEM = "You describe recordings. Answer with exactly one JSON object and nothing else."
_YES_NO = ["yes", "no", "unknown"]


class Message(TypedDict):
    """A turn of the published conversation."""

    role: str
    content: list[dict[str, str]]


def user_text(question: str, options: Mapping[str, Sequence[str]], sensors: str) -> str:
    """The user's text.

    Args:
        question: Of the index; it names no frames.
        options: ``action`` and ``subtask`` labels that may be answered; an empty mapping leaves them out.
        sensors: Numbers of the sensor bridge, or nothing.
    """
    lines = [question, f"Keys: {', '.join(sorted(FIELDS))}."]
    offered = [key for key in ("action", "subtask") if options.get(key)]
    lines += [f"{key} is one of: {'; '.join(options[key])}; unknown." for key in offered]
    if sensors:
        lines.append(f"Sensors: {sensors}")
    return "\n".join(lines)


def messages(text: str, media: Sequence[str], target: str | None) -> list[Message]:
    """The published conversation: system, user with its media, and the assistant where the answer is known."""
    content = [{"type": kind} for kind in media] + [{"type": "text", "text": text}]
    talk: list[Message] = [
        {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
        {"role": "user", "content": content},
    ]
    if target is not None:
        talk.append({"role": "assistant", "content": [{"type": "text", "text": target}]})
    return talk


def target_text(answer: Mapping[str, Any]) -> str:
    """The answer as text: compact JSON with sorted keys, labels normalised, at most eight objects, none twice."""
    clean: dict[str, object] = {}
    for field in FIELDS:
        value = answer[field]
        if field == "objects":
            clean[field] = _objects(value)
        elif field == "evidence_window":
            clean[field] = {key: int(value[key]) for key in ("start_frame", "end_frame")}
        else:
            text = normalise(str(value))
            clean[field] = text.lower() if field in ("contact", "transition") else text
    return canonical(clean).decode()


def answer_schema(options: Mapping[str, Sequence[str]], objects: Sequence[str]) -> dict[str, object]:
    """JSON Schema of an answer, keys in the order of the target text.

    Args:
        options: Labels that may be answered, by ``action`` and ``subtask``; without them any text may be.
        objects: Names that train knows; without them any text may be.
    """

    def label(key: str) -> dict[str, object]:
        known = list(options.get(key) or ())
        return {"enum": [*known, *([] if "unknown" in known else ["unknown"])]} if known else {"type": "string"}

    frame = {"type": "integer", "minimum": 0, "maximum": 999_999}
    name: dict[str, object] = {"enum": sorted(objects)} if objects else {"type": "string", "minLength": 1}
    fields: dict[str, object] = {
        "action": label("action"),
        "contact": {"enum": _YES_NO},
        "evidence_window": {
            "type": "object",
            "properties": {"end_frame": frame, "start_frame": frame},
            "required": ["end_frame", "start_frame"],
            "additionalProperties": False,
        },
        "next_action": label("action"),
        "objects": {"type": "array", "items": name, "maxItems": MOST_OBJECTS},
        "subtask": label("subtask"),
        "transition": {"enum": _YES_NO},
    }
    head = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return head | {"x-guidance": {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}}


def _objects(names: Sequence[Any]) -> list[str]:
    seen: dict[str, str] = {}
    for name in names:
        clean = normalise(str(name))
        if clean:
            seen.setdefault(clean.lower(), clean)
    return list(seen.values())[:MOST_OBJECTS]
