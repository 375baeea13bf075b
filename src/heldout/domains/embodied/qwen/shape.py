"""The shape of what an export and a training write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from heldout.domains.embodied.training.files import Epoch


class Base(TypedDict):
    """A base as documents name it.

    Attributes:
        sha256: Of all files.
        stages: By which its weights came to be.
    """

    model_id: str
    backbone: str
    hears: bool
    sha256: str
    stages: list[Mapping[str, object]]
    origin: Mapping[str, Any]


class DatasetManifest(TypedDict):
    """``dataset_manifest.json``, with the published keys."""

    schema: str
    run_id: str
    dataset_path: str
    dataset_sha256: str
    export_sha256: str
    index_sha256: str
    num_samples: int
    num_episodes: int
    split_counts: dict[str, int]
    episode_split_counts: dict[str, int]
    label_counts: dict[str, int]
    label_counts_from: str
    action_options: list[str]
    subtask_options: list[str]
    clip_policy: Mapping[str, Any]
    feature_manifest: Mapping[str, list[str]]
    audio: dict[str, int]
    available_modalities: list[Mapping[str, object]]
    skipped_episodes: Sequence[Mapping[str, str]]
    notes: list[str]


class TrainingMetadata(TypedDict):
    """``training_metadata.json``, with the published keys."""

    schema: str
    run_id: str
    model_id: str
    base_model_sha256: str
    base_stages: list[Mapping[str, object]]
    base_path: str
    backbone: Mapping[str, str]
    dataset_jsonl: str
    dataset_sha256: str
    export_sha256: str
    checkpoint_dir: str
    num_processes: int
    num_train_samples: int
    num_val_samples: int
    tuning_mode: str
    save_mode: str
    max_train_steps: int
    optimizer_init: str
    history: list[Epoch]
    global_step: int
    lora: Mapping[str, object] | None
    use_audio_in_video: bool
    loss_mode: str
    loss_logit_tail_only: bool
    dtype: str
    arguments: Mapping[str, object]
    key: str
    adapter_sha256: NotRequired[str]
