"""A published-format data set becomes an index, and what is wrong with it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heldout.cli.embodied.index import app
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.index.guards import read_index
from heldout.domains.embodied.index.importing import import_dataset
from heldout.domains.embodied.index.sealed import open_targets
from heldout.errors import InputError


def record(episode: int, index: int, split: str, **changes: Any) -> dict[str, Any]:
    start = 20 * index
    window = {"start_frame": start, "end_frame": start + 19}
    options = ["open drawer", "pour water", "wave"]
    answer = {
        "action": options[episode % 2],
        "subtask": "prepare",
        "objects": ["cup"],
        "contact": "yes",
        "transition": "no",
        "next_action": options[episode % 2],
        "evidence_window": window,
    }
    name = f"session{episode}__ep1"
    text = f"Episode {name}. Label the frames {start}-{start + 19} and answer with one JSON object."
    return {
        "id": f"{name}:qa:{index}",
        "episode_id": name,
        "source_episode_id": "ep1",
        "episode_path": f"session{episode}/ep1",
        "split": split,
        "target": "episode_qa",
        "prompt_type": "json_episode_understanding",
        "center_window": window | {"num_frames": 20},
        "media": {
            "video_paths": [{"name": "fisheye_cam0", "path": "media/a.mp4"}],
            "context_start_frame": max(0, start - 51),
            "context_end_frame": start + 68,
            "max_video_frames": 16,
            "mosaic_video_path": f"media/{name}_w{index:05d}_mosaic.mp4",
            "audio_path": None,
        },
        "sensor_feature_path": f"sensor_features/{name}.npz",
        "sensor_feature_index": index,
        "sensor_feature_dim": 4430,
        "question": "What happens?",
        "answer_json": answer,
        "label": answer["action"],
        "action_options": options,
        "subtask_options": ["prepare"],
        "label_options": options,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": text}]}],
        "parallel_export_shard": 3,
    } | changes


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ROWS = [record(e, i, "test" if e == 3 else "val" if e == 2 else "train") for e in range(4) for i in range(3)]


def test_the_records_are_taken_as_they_are(tmp_path: Path) -> None:
    """A data set that was evaluated elsewhere would be another one here."""
    dataset = write(tmp_path / "d/dataset.jsonl", ROWS)
    (tmp_path / "d/dataset_manifest.json").write_text('{"run_id": "r", "num_samples": 12}')
    document = import_dataset(dataset, tmp_path / "i", load_registry(tmp_path))
    first = next(read_index(tmp_path / "i/window_index.jsonl"))
    assert ROWS[0]["id"] == first["id"] == first["source_record_id"]
    assert ROWS[0]["answer_json"] == first["supervision"]
    assert "../d/media/session0__ep1_w00000_mosaic.mp4" == first["modalities"]["media"]["mosaic_video_path"]
    assert {"path": "../d/sensor_features/session0__ep1.npz", "index": 0, "dim": 4430} == first["modalities"][
        "sensor_features"
    ]
    assert sorted(ROWS[0]) == first["provenance"]["dataset_record_fields"]
    assert 3 == first["provenance"]["parallel_export_shard"]
    assert {"run_id": "r", "num_samples": 12} == document["source_dataset_summary"]
    assert {"train": 6, "val": 3, "test": 3} == document["sample_split_counts"]
    assert 0 == document["modality_record_counts"]["audio"]
    assert 12 == document["modality_record_counts"]["mosaic_video"]
    view = first["adapter_views"]["qwen3_omni_lora"]
    assert ["mosaic_video", "video", "language_prompt"] == view["direct_modalities"]
    assert {r["id"] for r in ROWS if r["split"] == "test"} == set(open_targets(tmp_path / "i", "test"))


def test_weaknesses_2_3_5_of_a_published_data_set_are_named(tmp_path: Path) -> None:
    """Its figures would be taken for predictions, grounding and open vocabulary."""
    dataset = write(tmp_path / "dataset.jsonl", ROWS)
    done = CliRunner().invoke(app, ["import", str(dataset), "--out", str(tmp_path / "i"), "--json"])
    assert 1 == done.exit_code, done.output
    findings = {f["code"]: f for f in json.loads(done.stdout)["findings"]}
    assert {"HO-G111", "HO-G112", "HO-G115"} == set(findings)
    assert "wave" == findings["HO-G112"]["where"]
    assert not findings["HO-G115"]["blocking"]


def test_a_clean_data_set_raises_nothing(tmp_path: Path) -> None:
    """A guard that always objects is not read."""
    rows = []
    for row in ROWS:
        media = row["media"] | {"context_end_frame": row["center_window"]["end_frame"]}
        options = {"action_options": ["open drawer", "pour water"], "messages": []}
        rows.append(row | {"media": media} | options)
    done = CliRunner().invoke(app, ["import", str(write(tmp_path / "d.jsonl", rows)), "--out", str(tmp_path / "i")])
    assert 0 == done.exit_code, done.output
    assert "clean" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_json": {"action": "a"}}, "not of the format"),
        ({"center_window": None}, "not of the format"),
        ({"media": []}, "not of the format"),
    ],
)
def test_a_broken_record_is_named_by_its_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """One torn line would end an import without a place to look at."""
    dataset = write(tmp_path / "dataset.jsonl", [*ROWS[:2], ROWS[2] | change])
    with pytest.raises(InputError, match=message) as caught:
        import_dataset(dataset, tmp_path / "i", {})
    assert caught.value.where == f"{dataset}:3"
    assert not (tmp_path / "i/window_index.jsonl").exists()
    dataset.write_text('{"id": 1}\n')
    with pytest.raises(InputError, match="lacks episode_id"):
        import_dataset(dataset, tmp_path / "i", {})
