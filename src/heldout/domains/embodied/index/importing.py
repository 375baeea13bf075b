"""A data set that was exported for one model becomes a neutral index: ``dataset.jsonl`` to ``window_index.jsonl``.

The records are taken as they are. What is wrong with them (a context that looks ahead, options that only test knows,
an answer that the prompt states) is found by the guard and stands in the manifest; it is not mended silently.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.index.build import Source, write_index, write_manifest
from heldout.domains.embodied.index.guards import check_index
from heldout.domains.embodied.index.names import INDEX_FILE
from heldout.domains.embodied.index.records import PROMPT_TYPE, TARGET
from heldout.domains.embodied.index.shape import IndexManifest, Record
from heldout.domains.embodied.index.views import view
from heldout.domains.embodied.select.shapes import RecordShape, check_shape
from heldout.errors import InputError
from heldout.evidence import loads, open_plain, read_json, sha256_file

_REQUIRED = ("id", "episode_id", "split", "center_window", "media", "answer_json")


def import_dataset(
    dataset: Path,
    out: Path,
    contracts: Mapping[str, BackboneContract],
    *,
    manifest: Path | None = None,
    run_id: str | None = None,
) -> IndexManifest:
    """Convert a data set.

    Args:
        dataset: ``dataset.jsonl``.
        out: Folder of the index.
        contracts: Whose views the records carry.
        manifest: ``dataset_manifest.json``; beside the data set by default, if it is there.
        run_id: Name of the index; the name of ``out`` by default.

    Returns:
        The index's manifest.

    Raises:
        InputError: With file and line of the first record that is not of the format.
    """
    beside = dataset.parent / "dataset_manifest.json"
    manifest = manifest or (beside if beside.is_file() else None)
    out.mkdir(parents=True, exist_ok=True)
    tally = write_index(out, _records(dataset, out, contracts))
    if not tally.records:
        raise InputError("the data set is empty", where=str(dataset), hint="check the export")
    named = Path(os.path.relpath(manifest, out)).as_posix() if manifest else None
    source = Source(Path(os.path.relpath(dataset, out)).as_posix(), named, read_json(manifest) if manifest else None)
    document = tally.manifest(out, contracts, source, run_id)
    document["source_dataset_jsonl_sha256"] = sha256_file(dataset)
    return write_manifest(out, document, check_index(out / INDEX_FILE))


def convert(record: Mapping[str, Any]) -> Record:
    """One record without views; paths as they are.

    Raises:
        KeyError: If it lacks a field of the format.
        TypeError: If a field has another type.
    """
    media, window, answer = record["media"], record["center_window"], record["answer_json"]
    last = window["end_frame"]
    converted: Record = {
        "id": str(record["id"]),
        "source_record_id": str(record["id"]),
        "episode_id": str(record["episode_id"]),
        "split": str(record["split"]),
        "target": record.get("target", TARGET),
        "prompt_type": record.get("prompt_type", PROMPT_TYPE),
        "window": {
            "start_frame": int(window["start_frame"]),
            "end_frame": int(last),
            "num_frames": int(window["num_frames"]),
        },
        "modalities": {
            "media": {
                "video_streams": list(media.get("video_paths") or []),
                "mosaic_video_path": media.get("mosaic_video_path"),
                "audio_path": media.get("audio_path"),
                "context_window": {
                    "start_frame": int(media.get("context_start_frame", window["start_frame"])),
                    "end_frame": int(media.get("context_end_frame", last)),
                    "max_video_frames": media.get("max_video_frames"),
                },
            },
            "sensor_features": {
                "path": record.get("sensor_feature_path"),
                "index": record.get("sensor_feature_index"),
                "dim": record.get("sensor_feature_dim") or 0,
            },
            "language": {
                "question": question_of(record),
                "action_options": list(record.get("action_options") or []),
                "subtask_options": list(record.get("subtask_options") or []),
            },
        },
        "supervision": {
            "action": answer["action"],
            "subtask": answer["subtask"],
            "objects": answer["objects"],
            "contact": answer["contact"],
            "transition": answer["transition"],
            "next_action": answer["next_action"],
            "evidence_window": answer["evidence_window"],
        },
        "sealed": False,
        "provenance": {
            "dataset_record_fields": sorted(record),
            "parallel_export_shard": record.get("parallel_export_shard"),
        },
    }
    if "scale_id" in record:
        converted["scale_id"] = record["scale_id"]
    return converted


def question_of(record: Mapping[str, Any]) -> str | None:
    """What the model is told: the user's message if there is one, since it may state more than the question."""
    for message in record.get("messages") or []:
        if message.get("role") == "user":
            content = message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            text = " ".join(str(part.get("text")) for part in parts if isinstance(part, dict) and part.get("text"))
            if text:
                return text
    question = record.get("question")
    return None if question is None else str(question)


def _records(dataset: Path, out: Path, contracts: Mapping[str, BackboneContract]) -> Iterator[Record]:
    try:
        with open_plain(dataset) as stream:
            for number, line in enumerate(stream, start=1):
                where = f"{dataset}:{number}"
                record = loads(line, where=where)
                missing = [key for key in _REQUIRED if not isinstance(record, dict) or key not in record]
                if missing:
                    raise InputError(
                        f"the record lacks {', '.join(missing)}",
                        where=where,
                        hint="a Qwen-style dataset.jsonl is expected",
                    )
                try:
                    converted = convert(record)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise InputError(
                        f"the record is not of the format: {error!r}", where=where, hint="mend the record"
                    ) from None
                check_shape(RecordShape, converted, where=where, hint="the record is not of the format: mend it")
                moved = _moved(converted, dataset.parent, out)
                moved["adapter_views"] = {name: view(one, moved) for name, one in contracts.items()}
                yield moved
    except OSError as error:
        raise InputError(f"cannot read the data set: {error.strerror}", where=str(dataset), hint="check it") from None


def _moved(record: Record, home: Path, out: Path) -> Record:
    """Relative paths, which stand relative to the data set, become relative to the index."""

    def move(path: str | None) -> str | None:
        if not path or Path(path).is_absolute():
            return path
        return Path(os.path.relpath(home / path, out)).as_posix()

    media, features = record["modalities"]["media"], record["modalities"]["sensor_features"]
    media["mosaic_video_path"], media["audio_path"] = move(media["mosaic_video_path"]), move(media["audio_path"])
    media["video_streams"] = [{**video, "path": move(video.get("path"))} for video in media["video_streams"]]
    features["path"] = move(features["path"])
    return record
