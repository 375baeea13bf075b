"""The exporter: a window index to pairs of present and future, with their features.

::

    <out>/future_windows.jsonl        the published record of a pair; a sealed split without its answers
    <out>/skipped_futures.jsonl       windows without a future, each with its code
    <out>/features.safetensors        present, past and future features, and actions; a row a pair
    <out>/future_manifest.json        counts, the horizon, what is seen, digests

Nothing is fitted here: features are raw, and the trainer standardises them on train episodes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.index.names import SEALED
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.training.files import safetensors_bytes
from heldout.domains.embodied.world.features import FeatureSpec, action_bins, window_features
from heldout.domains.embodied.world.pairs import Pair, SkippedPair, pair, require_pairs
from heldout.errors import InputError, RefusedError
from heldout.evidence import atomic_path, canonical, sha256_file, write_bytes, write_json

SCHEMA = "heldout.future-windows/1"
PAIRS_FILE, SKIPPED_FILE = "future_windows.jsonl", "skipped_futures.jsonl"
FEATURES_FILE, MANIFEST_FILE = "features.safetensors", "future_manifest.json"
_LABELS = ("action", "subtask", "objects", "contact", "transition", "next_action")


@dataclass(frozen=True)
class FutureSettings:
    """What is predicted.

    Attributes:
        horizon_seconds: From the start of a window to the start of its future.
        grid: Cells a side of a picture.
        action_stream: Actions between now and then.
        action_bins: Parts that these are averaged in.
    """

    horizon_seconds: float = 0.5
    grid: int = 8
    action_stream: str = "action"
    action_bins: int = 8

    def to_json(self) -> dict[str, object]:
        """Plain JSON."""
        return asdict(self)


class FeaturesBlock(TypedDict):
    """What is seen, in the manifest."""

    streams: list[str]
    cameras: list[str]
    grid: int
    names: list[str]
    language: bool


class FutureManifest(TypedDict):
    """``future_manifest.json``."""

    schema: str
    run_id: str
    num_pairs: int
    split_counts: dict[str, int]
    episodes: dict[str, list[str]]
    settings: Mapping[str, Any]
    skipped: dict[str, dict[str, int]]
    index_sha256: str
    files: dict[str, str]
    features: FeaturesBlock


class Seen(NamedTuple):
    """Numbers of one window: now, one window before, and the actions until the end of its future (maybe none)."""

    present: FloatArray
    past: FloatArray
    actions: FloatArray


def export(index: Path, out: Path, settings: FutureSettings, *, run_id: str | None = None) -> FutureManifest:
    """Export every pair of an index.

    Args:
        index: Folder of the window index.
        out: Folder of the data set.
        settings: What is predicted.
        run_id: Name; that of ``out`` by default.

    Returns:
        ``future_manifest.json``.

    Raises:
        CorpusError: If no window has a future.
        RefusedError: If a window's context looks ahead.
    """
    source = IndexSource(index)
    splits = [split for split in ("train", "val", "test") if source.manifest["sample_split_counts"].get(split)]
    records = [record for split in splits for record in source.records(source.samples(split))]
    require_causal(records)
    pairs, skipped = pair(records, settings.horizon_seconds)
    require_pairs(pairs, skipped, settings.horizon_seconds, str(index))
    train = sorted({episode_folder(source, one) for one in records if one["split"] == "train"})
    spec = FeatureSpec.shared((opened(folder) for folder in train), settings.grid)
    _write_pairs(out, pairs, skipped, settings)
    arrays, names = _features(source, pairs, spec, settings)
    write_bytes(out / FEATURES_FILE, safetensors_bytes(arrays))
    seen: FeaturesBlock = {
        "streams": list(spec.streams),
        "cameras": list(spec.cameras),
        "grid": spec.grid,
        "names": names,
        "language": False,
    }
    document = _manifest(out, pairs, skipped, source, settings, seen, run_id or out.resolve().name)
    write_json(out / MANIFEST_FILE, document)
    return document


def require_causal(records: Sequence[Mapping[str, Any]]) -> None:
    """See that no window's context goes on after it.

    Raises:
        RefusedError: If one does.
    """
    for record in records:
        if record["modalities"]["media"]["context_window"]["end_frame"] > record["window"]["end_frame"]:
            raise RefusedError(
                "the context goes on after the window, into what is to be predicted",
                where=str(record["id"]),
                hint="heldout index build --context causal",
                code="HO-G111",
            )


def episode_folder(source: IndexSource, record: Mapping[str, Any]) -> Path:
    """Where the episode of a window lies."""
    return Path(source.folder / str(record["provenance"]["episode_path"])).resolve()


def look(episode: Episode, spec: FeatureSpec, settings: FutureSettings, start: int, end: int, shift: int) -> Seen:
    """What is known at the end of a window; the actions are those that are carried out until the end of its future."""
    before = max(0, start - (end - start + 1))
    present = window_features(episode, spec, start, end)
    past = window_features(episode, spec, before, before + end - start)
    there = settings.action_stream in episode.header.streams
    actions = (
        action_bins(episode, settings.action_stream, end + 1, end + shift, settings.action_bins)
        if there
        else np.zeros(0)
    )
    return Seen(present, past, actions)


def _features(
    source: IndexSource, pairs: Sequence[Pair], spec: FeatureSpec, settings: FutureSettings
) -> tuple[dict[str, np.ndarray[Any, Any]], list[str]]:
    columns: dict[str, list[FloatArray]] = defaultdict(list)
    names: list[str] = []
    for one in pairs:
        episode = opened(episode_folder(source, one.context))
        spec.check(episode)
        names = names or spec.names(episode)
        window, future = one.context["window"], one.future["window"]
        shift = future["start_frame"] - window["start_frame"]
        seen = look(episode, spec, settings, window["start_frame"], window["end_frame"], shift)
        columns["present"].append(seen.present)
        columns["past"].append(seen.past)
        columns["actions"].append(seen.actions)
        columns["future"].append(window_features(episode, spec, future["start_frame"], future["end_frame"]))
    widths = {len(values) for values in columns["actions"]}
    if len(widths) > 1:
        raise InputError("some episodes have actions and some have none", where=str(source.folder), hint="select again")
    arrays = {name: np.stack(values).astype(np.float32) for name, values in columns.items()}
    return {name: values for name, values in arrays.items() if values.size}, names


def _write_pairs(out: Path, pairs: Sequence[Pair], skipped: Sequence[SkippedPair], settings: FutureSettings) -> None:
    with atomic_path(out / PAIRS_FILE) as partial, partial.open("wb") as lines:
        for number, one in enumerate(pairs):
            lines.write(canonical(_record(one, number, settings)) + b"\n")
    with atomic_path(out / SKIPPED_FILE) as partial, partial.open("wb") as lines:
        for skip in skipped:
            lines.write(canonical(skip._asdict()) + b"\n")


def _record(one: Pair, number: int, settings: FutureSettings) -> dict[str, object]:
    """The published record, and what the check of the horizon needs."""
    context, future = one.context, one.future
    spans = [
        {key: part["window"][key] for key in ("start_frame", "end_frame", "num_frames")} for part in (context, future)
    ]
    clock = float(context["provenance"]["clock_hz"])
    sealed = str(context["split"]) in SEALED
    answers = [{} if sealed else {key: part["supervision"].get(key) for key in _LABELS} for part in (context, future)]
    return {
        "id": one.id,
        "episode_id": context["episode_id"],
        "split": context["split"],
        "target": "future_window_world_model",
        "prompt_type": "future_window",
        "window": spans[0],
        "future_window": spans[1],
        "horizon_seconds": settings.horizon_seconds,
        "horizon_frames": spans[1]["start_frame"] - spans[0]["start_frame"],
        "clock_hz": clock,
        "episode_frames": context["provenance"]["episode_frames"],
        "context_record_id": context["id"],
        "future_record_id": future["id"],
        "media": context["modalities"]["media"]["video_streams"],
        "future_media": future["modalities"]["media"]["video_streams"],
        "sensor_feature_path": FEATURES_FILE,
        "sensor_feature_index": number,
        "future_sensor_feature_path": FEATURES_FILE,
        "future_sensor_feature_index": number,
        "conditioning": answers[0],
        "future_target": answers[1],
        "answer_json": answers[1],
        "sealed": sealed,
        "messages": [],
    }


def _manifest(
    out: Path,
    pairs: Sequence[Pair],
    skipped: Sequence[SkippedPair],
    source: IndexSource,
    settings: FutureSettings,
    seen: FeaturesBlock,
    run_id: str,
) -> FutureManifest:
    codes: dict[str, Counter[str]] = defaultdict(Counter)
    episodes: dict[str, set[str]] = defaultdict(set)
    for skip in skipped:
        codes[skip.split][skip.code] += 1
    for one in pairs:
        episodes[str(one.context["split"])].add(str(one.context["episode_id"]))
    files = {name: sha256_file(out / name) for name in (PAIRS_FILE, SKIPPED_FILE, FEATURES_FILE)}
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "num_pairs": len(pairs),
        "split_counts": dict(Counter(str(one.context["split"]) for one in pairs)),
        "episodes": {split: sorted(names) for split, names in episodes.items()},
        "settings": settings.to_json(),
        "skipped": {split: dict(found) for split, found in codes.items()},
        "index_sha256": source.sha256,
        "files": files,
        "features": seen,
    }
