"""The exporter: a window index to ``dataset.jsonl`` in the published format, with its media as files beside it.

Records of a sealed split are exported without their answers. Everything that is fitted (label options, sensor bridge,
retrieval) is fitted on train windows, and ``export.json`` says on which episodes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.episodes.labels import UNKNOWN, Answer
from heldout.domains.embodied.episodes.media import write_video, write_wav
from heldout.domains.embodied.index.names import SEALED
from heldout.domains.embodied.index.shape import Record
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.qwen.prompt import messages, target_text
from heldout.domains.embodied.qwen.retrieval import Retriever
from heldout.domains.embodied.qwen.sensors import Bridge, features, measured
from heldout.domains.embodied.qwen.settings import FILE, SCHEMA, SOUND_HZ, ExportSettings
from heldout.domains.embodied.qwen.shape import DatasetManifest
from heldout.domains.embodied.qwen.sound import withheld
from heldout.domains.embodied.qwen.windows import View, Viewer
from heldout.errors import CorpusError, HeldoutError
from heldout.evidence import atomic_path, canonical, sha256_file, write_json

DATASET_FILE, MANIFEST_FILE = "dataset.jsonl", "dataset_manifest.json"
MANIFEST_SCHEMA = "heldout.qwen-dataset/1"
_SPLITS = ("train", "val", "test")


@dataclass
class _Tally:
    records: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    episodes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    modalities: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    numbers: Counter[str] = field(default_factory=Counter)
    audio: Counter[str] = field(default_factory=Counter)


def export(
    index: Path, out: Path, settings: ExportSettings, *, run_id: str | None = None, fit_tile: bool = False
) -> DatasetManifest:
    """Export every window of an index.

    Args:
        index: Folder of the window index.
        out: Folder of the data set; a file that is there already is written anew.
        settings: How windows become inputs; without ``streams`` those of the train windows, by name.
        run_id: Name of the data set; that of ``out`` by default.
        fit_tile: Take the nearest tile that makes whole blocks with these cameras, and do not insist on that one.

    Returns:
        ``dataset_manifest.json``.

    Raises:
        CorpusError: If a window has nothing to look at, or no sound that should be there has a sample in it.
    """
    source = IndexSource(index)
    train = list(source.records(source.samples("train")))
    settings = replace(settings, streams=settings.streams or _streams(train))
    settings = (settings.fitted() if fit_tile else settings).check()
    viewer = fit_viewer(train, source.folder, settings)
    tally = _Tally()
    present = [split for split in _SPLITS if split in source.manifest["sample_split_counts"]]
    with atomic_path(out / DATASET_FILE) as partial, partial.open("wb") as lines:
        for split in present:
            for record in _write_episodes(source, split, viewer, out, tally):
                lines.write(canonical(record) + b"\n")
    if tally.audio["heard"] and tally.audio["silent"] == tally.audio["heard"]:
        raise CorpusError("every sound is silence", where=str(index), hint="select again, or export --no-audio")
    write_json(out / FILE, _document(viewer, source, train))
    document = _manifest(out, tally, viewer, source, run_id or out.resolve().name)
    write_json(out / MANIFEST_FILE, document)
    return document


def fit_viewer(train: Sequence[Record], home: Path, settings: ExportSettings) -> Viewer:
    """Fit what is fitted, on the train windows that are given."""
    labels = {
        key: tuple(sorted({str(one["supervision"][key]) for one in train} - {UNKNOWN})) for key in ("action", "subtask")
    }
    bridge, retriever = None, None
    shared = sorted(set.intersection(*(set(measured(record)) for record in train)))
    if shared and (settings.sensors or settings.options == "retrieved"):
        values = np.stack([features(record, home, shared) for record in train])
        bridge = Bridge.fit(values, shared, max(settings.sensors, 1), [str(one["episode_id"]) for one in train])
        if settings.options == "retrieved":
            answers = [one["supervision"] for one in train]
            retriever = Retriever.fit(bridge.project(values), [str(one["episode_id"]) for one in train], answers)
    if settings.options == "retrieved" and retriever is None:
        hint = "--options full"
        raise CorpusError("nothing is measured, so nothing can be retrieved by it", where=str(home), hint=hint)
    return Viewer(settings, labels, bridge, retriever)


def _write_episodes(
    source: IndexSource, split: str, viewer: Viewer, out: Path, tally: _Tally
) -> Iterator[dict[str, object]]:
    """Records of a split; an episode's sensor features are written when its last window is."""
    rows: list[tuple[Record, np.ndarray[Any, Any]]] = []
    for record in source.records(source.samples(split)):
        if rows and rows[0][0]["episode_id"] != record["episode_id"]:
            _write_features(out, rows)
            rows = []
        try:
            view = viewer.view(record, source.folder)
        except HeldoutError as error:
            raise CorpusError(error.what, where=error.where, hint=error.hint, code=error.code) from None
        point = features(record, source.folder, viewer.bridge.streams) if viewer.bridge else np.zeros(0)
        rows.append((record, point))
        yield _record(record, view, len(rows) - 1, len(point), out, viewer, tally)
    if rows:
        _write_features(out, rows)


def _record(
    record: Record, view: View, place: int, dim: int, out: Path, viewer: Viewer, tally: _Tally
) -> dict[str, object]:
    episode, split = str(record["episode_id"]), str(record["split"])
    sealed = split in SEALED
    media = _media(record, view, out, viewer.settings)
    answer: Answer = {} if sealed else record["supervision"]
    kinds = [kind for kind, there in (("video", len(view.frames)), ("audio", view.sound is not None)) if there]
    number = tally.numbers[episode]
    tally.numbers[episode] += 1
    tally.records += 1
    tally.splits[split] += 1
    tally.episodes[split].add(episode)
    tally.modalities[episode].update([*kinds, *(["sensor_features"] if dim else [])])
    if withheld(record):
        tally.audio["withheld"] += 1
    elif view.sound is not None:
        tally.audio["heard"] += 1
        tally.audio["silent"] += not bool(view.sound.any())
    if not sealed:
        tally.labels[answer["action"]] += 1
    name = _safe(episode)
    return {
        "id": f"{episode}:qa:{number}",
        "source_row_id": record["id"],
        "episode_id": episode,
        "source_episode_id": episode.rpartition("__")[2],
        "episode_path": record["provenance"]["episode_path"],
        "split": split,
        "target": record["target"],
        "prompt_type": record["prompt_type"],
        "center_window": {key: record["window"][key] for key in ("start_frame", "end_frame", "num_frames")},
        "media": media,
        "sensor_feature_path": f"sensor_features/{name}_sensor_features.npz" if dim else None,
        "sensor_feature_index": place if dim else None,
        "sensor_feature_dim": dim,
        "sensor_bridge_summary": view.sensors or None,
        "question": record["modalities"]["language"]["question"],
        "answer_json": answer,
        "sealed": sealed,
        "label": answer.get("action"),
        "action_options": view.options.get("action", []),
        "subtask_options": view.options.get("subtask", []),
        "label_options": view.options.get("action", []),
        "messages": messages(view.text, kinds, None if sealed else target_text(answer)),
    }


def _media(record: Record, view: View, out: Path, settings: ExportSettings) -> dict[str, object]:
    context, window = record["modalities"]["media"]["context_window"], record["window"]
    start, end = context["start_frame"], context["end_frame"]
    stem = f"{_safe(str(record['episode_id']))}_w{window['start_frame']:06d}-{window['end_frame']:06d}_ctx{start}_{end}"
    clip = f"media/{stem}_mosaic.mp4" if len(view.frames) else None
    sound = f"media/{stem}.wav" if view.sound is not None else None
    if clip:
        with atomic_path(out / clip) as partial:
            write_video(partial, view.frames, settings.clip_hz)
    if sound and view.sound is not None:
        with atomic_path(out / sound) as partial:
            write_wav(partial, view.sound, SOUND_HZ)
    return {
        "video_paths": [
            {key: one[key] for key in ("name", "path")} for one in record["modalities"]["media"]["video_streams"]
        ],
        "context_start_frame": start,
        "context_end_frame": end,
        "context_seconds": view.seconds,
        "max_video_frames": settings.max_video_frames,
        "num_video_frames": len(view.frames),
        "mosaic_video_path": clip,
        "audio_path": sound,
    }


def _write_features(out: Path, rows: Sequence[tuple[Record, np.ndarray[Any, Any]]]) -> None:
    """One NPZ an episode, as published, but without labels: those of a sealed episode must not be there."""
    if not rows[0][1].size:
        return
    path = out / "sensor_features" / f"{_safe(str(rows[0][0]['episode_id']))}_sensor_features.npz"
    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream,
            features=np.stack([point for _, point in rows]).astype(np.float32),
            starts=np.array([record["window"]["start_frame"] for record, _ in rows]),
            ends=np.array([record["window"]["end_frame"] for record, _ in rows]),
        )


def _document(viewer: Viewer, source: IndexSource, train: Sequence[Record]) -> dict[str, object]:
    """``export.json``: what a predictor needs to make the same inputs, and what train knows."""
    lists = Counter(tuple(target_objects(record["supervision"])) for record in train)
    spans = sorted({(r["window"]["start_frame"], r["window"]["end_frame"]) for r in train})
    return {
        "schema": SCHEMA,
        "settings": viewer.settings.to_json(),
        "labels": {key: list(labels) for key, labels in viewer.labels.items()},
        "objects": sorted({name for names in lists for name in names}),
        "object_lists": [list(names) for names, _ in sorted(lists.items(), key=lambda one: (-one[1], one[0]))],
        "spans": [list(span) for span in spans],
        "bridge": viewer.bridge.to_json() if viewer.bridge else None,
        "retriever": viewer.retriever.to_json() if viewer.retriever else None,
        "fitted_on": sorted({str(record["episode_id"]) for record in train}),
        "index_sha256": source.sha256,
    }


def target_objects(answer: Mapping[str, Any]) -> list[str]:
    """The objects of an answer as they stand in its target text."""
    from heldout.evidence import loads

    found: list[str] = loads(target_text(answer).encode(), where="answer")["objects"]
    return found


def _manifest(out: Path, tally: _Tally, viewer: Viewer, source: IndexSource, run_id: str) -> DatasetManifest:
    settings = viewer.settings
    return {
        "schema": MANIFEST_SCHEMA,
        "run_id": run_id,
        "dataset_path": DATASET_FILE,
        "dataset_sha256": sha256_file(out / DATASET_FILE),
        "export_sha256": sha256_file(out / FILE),
        "index_sha256": source.sha256,
        "num_samples": tally.records,
        "num_episodes": len(set().union(*tally.episodes.values())),
        "split_counts": dict(tally.splits),
        "episode_split_counts": {split: len(names) for split, names in tally.episodes.items()},
        "label_counts": dict(sorted(tally.labels.items())),
        "label_counts_from": "train and val",
        "action_options": list(viewer.labels["action"]),
        "subtask_options": list(viewer.labels["subtask"]),
        "clip_policy": {
            **(source.manifest.get("clip_policy") or {}),
            "mosaic": settings.to_json(),
            "audio_span": "context",
        },
        "feature_manifest": {
            "streams": list(viewer.bridge.streams) if viewer.bridge else [],
            "fitted_on": list(viewer.bridge.fitted_on) if viewer.bridge else [],
        },
        "audio": {key: tally.audio[key] for key in ("heard", "silent", "withheld")},
        "available_modalities": [
            {"episode_id": name, "modalities": sorted(found)} for name, found in sorted(tally.modalities.items())
        ],
        "skipped_episodes": source.manifest.get("skipped_episodes") or [],
        "notes": ["answers of sealed splits are not in the data set", "options and statistics are of train windows"],
    }


def _streams(train: Sequence[Record]) -> tuple[str, ...]:
    return tuple(sorted({one["name"] for record in train for one in record["modalities"]["media"]["video_streams"]}))


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
