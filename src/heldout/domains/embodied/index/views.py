"""How a registered backbone looks at a window. The index holds no backbone's name of its own.

A contract's ``window_view`` maps a name to what stands in the record's ``adapter_views``:

- ``{"of": [...]}``   those of the named inputs that the record has;
- ``{"if": "audio"}`` whether the record has that input;
- ``{"span": "context" | "window"}`` the first and last frame of that span;
- anything else       itself.
"""

from __future__ import annotations

from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.episodes.labels import Span
from heldout.domains.embodied.index.shape import Record
from heldout.errors import InputError

_RULES = ("of", "if", "span")


def inputs_of(record: Record) -> set[str]:
    """Names of the inputs that a record has."""
    media, features = record["modalities"]["media"], record["modalities"]["sensor_features"]
    language, answer = record["modalities"]["language"], record["supervision"]
    have = {
        "video": bool(media["video_streams"] or media["mosaic_video_path"]),
        "mosaic_video": bool(media["mosaic_video_path"]),
        "audio": bool(media["audio_path"]),
        "sensor_features": bool(features["path"]),
        "sensor_features_npz": bool(features["path"]),
        "sensor_streams": bool(record["modalities"].get("sensor_streams")),
        "language": bool(language["question"]),
        "language_prompt": bool(language["question"]),
        "action_label": answer.get("action", "unknown") != "unknown",
        "next_action_label": answer.get("next_action", "unknown") != "unknown",
    }
    return {name for name, there in have.items() if there}


def view(contract: BackboneContract, record: Record) -> dict[str, object]:
    """The view of one record; a contract without ``window_view`` gives its data contract alone.

    Raises:
        InputError: If the view uses a rule that does not exist.
    """
    spec = contract.config.get("window_view")
    if not spec:
        return {"sample_contract": contract.config["dataset_contract"]}
    have = inputs_of(record)
    return {name: _resolve(contract, name, rule, record, have) for name, rule in spec.items()}


def _resolve(contract: BackboneContract, name: str, rule: Any, record: Record, have: set[str]) -> Any:
    if not isinstance(rule, dict):
        return rule
    match rule:
        case {"of": list(names)} if all(isinstance(one, str) for one in names):
            return [one for one in names if one in have]
        case {"if": str(one)}:
            return one in have
        case {"span": "window"}:
            return _span(record["window"])
        case {"span": "context"}:
            return _span(record["modalities"]["media"]["context_window"])
    raise InputError(
        f"the view's rule {rule!r} does not exist",
        where=f"{contract.path}: window_view.{name}",
        hint=f"rules: {', '.join(_RULES)}",
    )


def _span(span: Span) -> Span:
    return {"start_frame": span["start_frame"], "end_frame": span["end_frame"]}
