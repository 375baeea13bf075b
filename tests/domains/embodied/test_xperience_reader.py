"""The Xperience-10M raw layout, on small generated episodes of that layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.domains.embodied.episodes.layouts import find_episodes, open_episode
from heldout.domains.embodied.episodes.xperience import VIDEOS
from heldout.domains.embodied.episodes.xperience_captions import Frames, labels_of
from heldout.domains.embodied.index.build import build_index
from heldout.domains.embodied.index.windows import WindowOptions
from heldout.domains.embodied.select.manifest import build_manifest, read_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.errors import InputError

FRAMES, RATE = 80, 20
av = pytest.importorskip("av")
h5py = pytest.importorskip("h5py")


def write_mp4(path: Path, seed: int, sound: str | None) -> None:
    """A small moving picture, with a tone, with silence or without a sound track."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "threads": "1"})
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for number in range(FRAMES):
            image = np.full((32, 32, 3), (seed * 7 + number) % 255, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        if audio is not None:
            for start in range(0, FRAMES * 800, 1024):
                wave = np.sin(np.arange(start, start + 1024) / 9) * (0.5 if sound == "tone" else 0.0)
                frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16000, start
                container.mux(audio.encode(frame))
            container.mux(audio.encode())


def caption(change: int) -> dict[str, Any]:
    return {
        "config": {"segment_sec": 20, "sample_fps": 0.5, "Main Task": "make tea"},
        "segments": [
            {
                "segment_id": 0,
                "start_frame": "frame_000001",
                "end_frame": f"frame_{FRAMES:06d}",
                "Sub Task": "boil water",
                "Current Action": [
                    {"label": "fill the kettle", "start_frame": 1, "end_frame": 10},
                    {"label": "switch it on", "start_frame": f"frame_{change:06d}", "end_frame": f"frame_{change:06d}"},
                ],
                "objects": {"img_00000.jpg": ["kettle"], "img_00050": ["kettle", "cup"]},
                "interaction": {},
            }
        ],
        "global_summary": "tea",
    }


def write_episode(
    root: Path, number: int, *, sound: str | None = "tone", without: tuple[str, ...] = (), text: Any = None
) -> Path:
    folder = root / f"{number:08d}-uuid" / "ep1"
    folder.mkdir(parents=True)
    for place, name in enumerate(VIDEOS):
        if name not in without:
            write_mp4(folder / name, number + place, sound if name == "fisheye_cam0.mp4" else None)
    random = np.random.default_rng(number)
    contacts = np.zeros((FRAMES, 21), np.float32)
    contacts[50:, 3] = 1
    arrays = {
        "slam/quat_wxyz": random.normal(size=(FRAMES, 4)),
        "slam/trans_xyz": random.normal(size=(FRAMES, 3)),
        "slam/point_cloud": random.normal(size=(40, 3)),
        "depth/depth": random.integers(0, 255, (FRAMES, 6, 8)).astype(np.uint8),
        "depth/confidence": random.integers(0, 9, (FRAMES, 6, 8)).astype(np.uint8),
        "full_body_mocap/keypoints": random.normal(size=(FRAMES, 52, 3)),
        "full_body_mocap/contacts": contacts,
        "hand_mocap/left_joints_3d": random.normal(size=(FRAMES, 21, 3)),
        "imu/accel_xyz": random.normal(size=(int(FRAMES * 9.5), 3)),
        "imu/gyro_xyz": random.normal(size=(int(FRAMES * 9.5), 3)),
        "video/device_timestamp": 1e9 + 5e7 * np.arange(FRAMES),
        "calibration/cam0/K": np.eye(3),
    }
    with h5py.File(folder / "annotation.hdf5", "w") as file:
        for name, values in arrays.items():
            if not name.startswith(without or ("-",)):
                file[name] = values
        if "slam" not in without:
            file["slam/frame_names"] = [f"img_{frame:05d}.jpg" for frame in range(FRAMES)]
        if "caption" not in without:
            file["caption/json"] = json.dumps(text or caption(43))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("raw")
    for number in range(4):
        write_episode(root, number)
    return root


def test_the_header_says_what_the_annotation_holds(store: Path) -> None:
    """A stream would be cut at the wrong frames, or not be known at all."""
    episode = open_episode(store / "00000000-uuid/ep1")
    header = episode.header
    assert ("00000000-uuid__ep1", "00000000-uuid", "ep1") == (
        header.episode_id,
        header.session,
        header.source_episode_id,
    )
    assert (80, 20.0, "make tea") == (header.frames, header.clock_hz, header.main_task)
    assert 6 == len(header.of_modality("video"))
    assert 190 == pytest.approx(header.streams["imu/accel_xyz"].rate_hz, rel=0.01)
    assert (95, 190) == header.span("imu/accel_xyz", 10, 19)
    assert ("contact",) == header.streams["full_body_mocap/contacts"].label_source
    present = header.provenance["hdf5_modalities"]
    assert present["slam_pose"]
    assert present["caption"]
    assert not present["captions"]
    assert (3, 4) == episode.array("slam/quat_wxyz", 2, 5).shape
    contact = episode.contact()
    assert contact is not None
    assert [False, True] == [bool(contact[49]), bool(contact[50])]


def test_captions_hold_until_the_next_one(store: Path) -> None:
    """The labels would be those of other frames than published ones."""
    labels = open_episode(store / "00000000-uuid/ep1").labels()
    assert labels is not None
    assert [(0, 41, "fill the kettle"), (42, 79, "switch it on")] == [tuple(run) for run in labels.action]
    assert [(0, 79, "boil water")] == [tuple(run) for run in labels.subtask]
    assert [(0, 49, ("kettle",)), (50, 79, ("kettle", "cup"))] == [tuple(run) for run in labels.objects]


def test_a_frame_is_named_in_four_ways() -> None:
    """Labels would be one frame, or a whole episode, beside the picture."""
    frames = Frames(100, [f"cam/img_{n}.png" for n in range(100)], 1e9 + 5e7 * np.arange(100))
    same = ("cam/img_6.png", "img_6", "frame_000007", 7, "7", 1e9 + 6 * 5e7 + 1e7)
    assert [6] * 6 == [frames.find(reference) for reference in same]
    assert [99, None, None, None] == [frames.find(reference) for reference in (5000, "nonsense", None, True)]


def test_a_broken_caption_is_named() -> None:
    """One torn annotation would end an export of days."""
    frames = Frames(10, [], np.zeros(0))
    for text in ('{"segments": 3}', "{", '{"other": []}'):
        with pytest.raises(InputError, match=r"caption|JSON"):
            labels_of(text, frames, where="x")


def test_raw_episodes_walk_the_road_to_an_index(store: Path, tmp_path: Path) -> None:
    """The reader would read, and nothing after it would."""
    manifest = build_manifest([store], tmp_path / "man", SelectionRules())
    document = read_manifest(manifest)
    assert {"train": 2, "val": 1, "test": 1} == document["summary"]["usable_split_counts"]
    episode = document["episodes"][0]
    assert ("annotation.hdf5", True, 6) == (episode["annotation"], episode["has_all_videos"], len(episode["videos"]))
    assert episode["hdf5_modalities"]["imu"]
    index = build_index(manifest, tmp_path / "i", WindowOptions(), {})
    assert [] == index["findings"]
    assert index["modality_record_counts"]["audio"] == index["num_records"] > 0


def test_weaknesses_8_and_19_each_cause_has_its_own_code(store: Path, tmp_path: Path) -> None:
    """119 silent episodes would be called complete, and eight without pose would be told to lower a fraction."""
    root = tmp_path / "raw"
    write_episode(root, 10)
    write_episode(root, 11, sound="silent")
    write_episode(root, 12, sound=None)
    write_episode(root, 13, without=("caption",))
    write_episode(root, 14, without=("slam/quat", "slam/trans"))
    write_episode(root, 15, without=("full_body_mocap/contacts",))
    write_episode(root, 16, without=("stereo_left.mp4",))
    torn = write_episode(root, 17) / "annotation.hdf5"
    torn.write_bytes(torn.read_bytes()[:500])
    rules = SelectionRules(6, drop_smallest=0.0)
    document = read_manifest(build_manifest([root], tmp_path / "man", rules, replace_unusable=False))
    found = {e["top_level_session"][:8]: [p["code"] for p in e["problems"]] for e in document["episodes"]}
    expected = {
        "00000010": [],
        "00000011": ["empty_audio"],
        "00000012": ["empty_audio"],
        "00000013": ["no_label"],
        "00000014": ["missing_pose"],
        "00000015": ["missing_contact"],
    }
    assert expected == found
    incomplete = {m["episode_path"][:8]: m["missing"] for m in document["missing_or_incomplete"]}
    assert ["stereo_left.mp4"] == incomplete["00000016"]
    assert "00000017" in incomplete


def test_finding_leaves_other_folders_alone(store: Path, tmp_path: Path) -> None:
    """A folder of notes would be taken for an episode."""
    assert 4 == len(find_episodes([store]))
    with pytest.raises(InputError, match="no episodes"):
        find_episodes([tmp_path])
    with pytest.raises(InputError, match="is no episode"):
        open_episode(tmp_path)
