"""The shape of a window index: its records, one a window, and its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from heldout.corpus.guards.finding import FindingBlock
from heldout.domains.embodied.episodes.labels import Answer, Span


class Frames(Span):
    """The frames of a window."""

    num_frames: int
    seconds: NotRequired[float]


class Context(Span):
    """The frames that a model may see."""

    max_video_frames: int | None


class Video(TypedDict):
    """A camera during the context; an imported one may lack its frames."""

    name: str
    path: str | None
    first_frame: NotRequired[int]
    last_frame: NotRequired[int]


class Sensor(TypedDict):
    """A measured array during the context, and the fields of the answer that it is the source of."""

    name: str
    modality: str
    first_sample: int
    last_sample: int
    not_for: list[str]


class Media(TypedDict):
    """What is seen and heard."""

    video_streams: list[Video]
    mosaic_video_path: str | None
    audio_path: str | None
    context_window: Context


class SensorFeatures(TypedDict):
    """Where features lie that somebody else computed."""

    path: str | None
    index: int | None
    dim: int


class Language(TypedDict):
    """What is asked, and what may be answered."""

    question: str | None
    action_options: list[str]
    subtask_options: list[str]


class Modalities(TypedDict):
    """What a window shows."""

    media: Media
    sensor_features: SensorFeatures
    sensor_streams: NotRequired[list[Sensor]]
    audio_not_for: NotRequired[list[str]]
    language: Language


class Provenance(TypedDict):
    """Where a window is from; an imported one names no episode."""

    dataset_record_fields: list[str]
    parallel_export_shard: object
    episode_path: NotRequired[str]
    episode_frames: NotRequired[int]
    clock_hz: NotRequired[float]


class Record(TypedDict):
    """One window; a sealed one is without its answer."""

    id: str
    source_record_id: str | None
    episode_id: str
    split: str
    target: str
    prompt_type: str
    window: Frames
    modalities: Modalities
    supervision: Answer
    sealed: bool
    provenance: Provenance
    scale_id: NotRequired[str]
    adapter_views: NotRequired[Mapping[str, Mapping[str, object]]]


class Seal(TypedDict):
    """The file of the sealed answers."""

    path: str
    sha256: str
    records: int


class Cut(TypedDict):
    """A scale: frames of a window, and from the start of one to the start of the next."""

    scale_id: str
    window_frames: int
    stride_frames: int


class ClipPolicy(TypedDict):
    """How windows were cut."""

    scales: list[Cut]
    context_frames: int
    context: str
    context_looks_ahead: bool
    min_label_fraction: float
    max_windows_per_episode: int
    max_video_frames: int


class IndexManifest(TypedDict):
    """``window_index_manifest.json``; what an imported index does not have may be missing."""

    schema: str
    run_id: str
    output_jsonl: str
    output_sha256: str
    heads: dict[str, str]
    num_records: int
    num_episodes: int
    sample_split_counts: dict[str, int]
    episode_split_counts: dict[str, int]
    modality_record_counts: dict[str, int]
    adapter_contracts: Mapping[str, object]
    sealed_targets: Seal | None
    source_dataset_jsonl: str | None
    source_dataset_jsonl_sha256: NotRequired[str]
    source_dataset_manifest: str | None
    source_dataset_manifest_sha256: NotRequired[str]
    source_dataset_summary: object
    clip_policy: NotRequired[ClipPolicy]
    label_options: NotRequired[Mapping[str, str | int]]
    skipped_windows: NotRequired[dict[str, dict[str, int]]]
    skipped_episodes: NotRequired[Sequence[Mapping[str, str]]]
    evidence_window_is_evidence: bool
    findings: list[FindingBlock]
