"""The parts of other people's documents that the guards read, with their types. What else stands there is let be."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from heldout.errors import InputError

Split = Literal["train", "val", "test"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class _Span(_Part):
    start_frame: int
    end_frame: int


class _Media(_Part):
    video_streams: list[dict[str, object]]
    mosaic_video_path: str | None
    audio_path: str | None
    context_window: _Span


class _Features(_Part):
    path: str | None


class _Language(_Part):
    question: str | None
    action_options: list[str]
    subtask_options: list[str]


class _Modalities(_Part):
    media: _Media
    sensor_features: _Features
    language: _Language


class _Answer(_Part):
    action: str = "unknown"
    subtask: str = "unknown"
    next_action: str = "unknown"


class RecordShape(_Part):
    """A record of the window index."""

    id: str
    episode_id: str
    split: Split
    window: _Span
    modalities: _Modalities
    supervision: _Answer


class _Problem(_Part):
    code: str
    modality: str


class _LabelStats(_Part):
    num_labeled_windows: dict[str, int] | None = None


class _Episode(_Part):
    episode_id: str
    split: Split
    top_level_session: str | None = None
    content_sha256: str | None = None
    usable: bool = True
    problems: list[_Problem] = []
    label_stats: _LabelStats | None = None
    hdf5_modalities: dict[str, bool] | None = None


class _Summary(_Part):
    selected_split_counts: dict[str, int] | None = None
    required_modalities: list[str] = []


class ManifestShape(_Part):
    """An episode manifest."""

    summary: _Summary
    episodes: list[_Episode]


def check_shape(shape: type[BaseModel], document: Any, *, where: str, hint: str) -> None:
    """See that a document has the shape.

    Raises:
        InputError: With the first key that is missing or of another type.
    """
    try:
        shape.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{key or 'the document'}: {first['msg']}", where=where, hint=hint) from None
