"""LeRobotDataset v3, on a small generated data set: many episodes in one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from heldout.domains.embodied.episodes.layouts import find_episodes, open_episode
from heldout.domains.embodied.episodes.media import write_video
from heldout.domains.embodied.index.build import build_index
from heldout.domains.embodied.index.guards import read_index
from heldout.domains.embodied.index.windows import WindowOptions
from heldout.domains.embodied.select.manifest import build_manifest, read_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.errors import InputError

LENGTHS = (40, 60, 50, 45)
CAMERA = "observation.images.top"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four episodes of two tasks in one data file and one video."""
    root = tmp_path / "pusht"
    for folder in ("meta/episodes/chunk-000", "data/chunk-000", f"videos/{CAMERA}/chunk-000"):
        (root / folder).mkdir(parents=True)
    vector = {"dtype": "float32", "shape": [2], "names": ["x", "y"]}
    scalar = {"dtype": "int64", "shape": [1], "names": None}
    info = {
        "codebase_version": "v3.0",
        "fps": 10,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            "observation.state": vector,
            "action": vector,
            CAMERA: {"dtype": "video", "shape": [32, 32, 3], "names": ["height", "width", "channels"]},
            "next.reward": {"dtype": "float32", "shape": [1], "names": None},
            **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), scalar),
        },
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / "meta/stats.json").write_text("{}")
    pl.DataFrame({"task_index": [0, 1], "__index_level_0__": ["push the T", "pull the T"]}).write_parquet(
        root / "meta/tasks.parquet"
    )
    random = np.random.default_rng(0)
    rows, episodes, start = [], [], 0
    for number, length in enumerate(LENGTHS):
        values = random.normal(size=(length, 2)).astype(np.float32)
        for frame in range(length):
            state = values[frame].tolist()
            rows.append(
                {
                    "observation.state": state,
                    "action": [-state[0], state[1]],
                    "next.reward": float(frame),
                    "frame_index": frame,
                    "episode_index": number,
                    "index": start + frame,
                    "task_index": number % 2,
                }
            )
        place = {f"{kind}/{key}": 0 for kind in ("data", f"videos/{CAMERA}") for key in ("chunk_index", "file_index")}
        times = {f"videos/{CAMERA}/from_timestamp": start / 10, f"videos/{CAMERA}/to_timestamp": (start + length) / 10}
        tasks = [["push the T", "pull the T"][number % 2]]
        episodes.append({"episode_index": number, "length": length, "tasks": tasks} | place | times)
        start += length
    pl.DataFrame(rows, schema_overrides={"observation.state": pl.List(pl.Float32)}).write_parquet(
        root / "data/chunk-000/file-000.parquet"
    )
    pl.DataFrame(episodes).write_parquet(root / "meta/episodes/chunk-000/file-000.parquet")
    pictures = np.stack([np.full((32, 32, 3), frame, np.uint8) for frame in range(start)])
    write_video(root / f"videos/{CAMERA}/chunk-000/file-000.mp4", pictures, 10)
    return root


def test_an_episode_is_cut_out_of_the_shared_files(dataset: Path) -> None:
    """Rows and pictures of another episode would be taken for this one's."""
    assert [f"episode_{n:06d}" for n in range(4)] == [folder.name for _, folder in find_episodes([dataset])]
    episode = open_episode(dataset / "episode_000001")
    header = episode.header
    assert (60, 10.0, "pull the T") == (header.frames, header.clock_hz, header.main_task)
    assert ("pusht__episode_000001", "pusht.episode_000001") == (header.episode_id, header.session)
    assert (60, 2) == episode.array("action").shape
    np.testing.assert_array_equal(np.arange(60), episode.array("next.reward"))
    assert header.streams["next.reward"].privileged
    assert 40 == episode.video_offset(CAMERA)
    labels = episode.labels()
    assert labels is not None
    assert [(0, 59, "pull the T")] == [tuple(run) for run in labels.action]
    assert len({open_episode(dataset / f"episode_00000{n}").content_sha256() for n in range(4)}) == 4


def test_the_data_set_walks_the_road_to_an_index(dataset: Path, tmp_path: Path) -> None:
    """Windows would point at frames of the first episode of the file."""
    manifest = build_manifest([dataset], tmp_path / "man", SelectionRules())
    document = read_manifest(manifest)
    assert {"train": 2, "val": 1, "test": 1} == document["summary"]["usable_split_counts"]
    build_index(manifest, tmp_path / "i", WindowOptions(context_frames=20), {})
    record = next(
        r for r in read_index(tmp_path / "i/window_index.jsonl") if r["episode_id"] == "pusht__episode_000002"
    )
    assert {"name": CAMERA, "first_frame": 100, "last_frame": 119} == {
        key: value for key, value in record["modalities"]["media"]["video_streams"][0].items() if key != "path"
    }
    assert (tmp_path / "i" / record["modalities"]["media"]["video_streams"][0]["path"]).is_file()


@pytest.mark.parametrize(
    ("key", "value", "message"), [("codebase_version", "v2.1", "version v2.1"), ("fps", None, "format")]
)
def test_other_versions_are_refused(dataset: Path, key: str, value: object, message: str) -> None:
    """Another layout would be read as this one."""
    path = dataset / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=message):
        find_episodes([dataset])


def test_missing_rows_and_episodes_are_named(dataset: Path) -> None:
    """A torn download would shorten an episode in silence."""
    with pytest.raises(InputError, match="no episode 9"):
        open_episode(dataset / "episode_000009")
    path = dataset / "data/chunk-000/file-000.parquet"
    pl.read_parquet(path).head(120).write_parquet(path)
    with pytest.raises(InputError, match="meta/episodes says 50"):
        open_episode(dataset / "episode_000002").array("action")
