"""The manifest and its guard: what is selected, complete and usable, and every planted leak by name."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from heldout.cli.embodied.commands import app
from heldout.domains.embodied.select.guards import check_manifest, normaliser_fitted_on_train
from heldout.domains.embodied.select.manifest import build_manifest, read_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.errors import CorpusError

MakeEpisode = Callable[..., Path]


def codes(document: dict[str, Any]) -> list[str]:
    return [finding.code for finding in check_manifest(document)]


@pytest.fixture
def store(make_episode: MakeEpisode, tmp_path: Path) -> Path:
    for number in range(16):
        make_episode(number, sound="tone")
    return tmp_path / "store"


def test_a_clean_store_raises_nothing_and_has_the_published_fields(store: Path, tmp_path: Path) -> None:
    """Guards that cry without reason are switched off; tools that read the published manifest would find nothing."""
    document = read_manifest(build_manifest([store], tmp_path, SelectionRules()))
    assert [] == codes(document)
    assert {"train": 12, "val": 2, "test": 2} == document["summary"]["usable_split_counts"]
    published = (
        "episode_id source_episode_id episode_path path annotation frame_count main_task files videos label_stats "
        "total_bytes train_minimal_bytes has_annotation has_any_video has_all_videos has_rrd split selection_rank "
        "selection_score size_band top_level_session"
    )
    assert set(published.split()) <= set(document["episodes"][0])
    assert {"action", "audio", "contact", "labels", "pose"} == set(document["summary"]["required_modalities"])
    train = next(e for e in document["episodes"] if e["split"] == "train")
    assert {"action": 5, "subtask": 5} == train["label_stats"]["num_labeled_windows"]
    assert (tmp_path / train["path"] / "episode.json").is_file()


def test_labels_of_test_episodes_stand_in_no_manifest(store: Path, tmp_path: Path) -> None:
    """Whoever looks at the data set would have looked at the answers."""
    document = read_manifest(build_manifest([store], tmp_path, SelectionRules()))
    sealed = [e for e in document["episodes"] if e["split"] == "test"]
    assert [(True, None, None)] * 2 == [(e["sealed"], e["label_stats"], e["main_task"]) for e in sealed]


@pytest.mark.parametrize("sound", ["silent", "none", None])
def test_weakness_8_a_lost_sound_track_fails_the_guard(
    make_episode: MakeEpisode, store: Path, tmp_path: Path, sound: str | None
) -> None:
    """A model would be published as one that hears, and its sound was empty in every episode."""
    for number in range(16, 20):
        make_episode(number, sound=sound)
    manifest = build_manifest([store], tmp_path, SelectionRules(20), replace_unusable=False)
    document = read_manifest(manifest)
    assert "HO-G104" in codes(document)
    code = "missing_stream" if sound is None else "empty_audio"
    assert {"usable": 16, code: 4} == document["summary"]["modality_states"]["audio"]
    assert 20 == document["summary"]["selected_episode_count"]
    assert 16 == sum(document["summary"]["usable_split_counts"].values())


def test_weakness_19_what_cannot_be_used_is_replaced_and_its_reason_kept(
    make_episode: MakeEpisode, store: Path, tmp_path: Path
) -> None:
    """One sentence would stand for five causes, and 96/16/16 would be 89/16/14."""
    make_episode(20, sound="tone", without=("pose",))
    make_episode(21, sound="silent")
    make_episode(22, sound="tone", without=("labels",))
    make_episode(23, sound="tone", actions=["a", "b"] * 50)
    make_episode(24, sound="tone", actions=[""] * 100)
    make_episode(25, sound="tone", arrays={"pose": np.zeros((100, 3), np.float32)})
    make_episode(26, sound="tone", content=3, actions=None)
    path = make_episode(27, sound="tone") / "streams/action.npy"
    path.write_bytes(bytes(path.stat().st_size))
    rules = SelectionRules(16, drop_smallest=0.0)
    document = read_manifest(build_manifest([store], tmp_path, rules))
    assert {"train": 12, "val": 2, "test": 2} == document["summary"]["usable_split_counts"]
    assert [] == codes(document)
    known = {
        "s020__ep20": "missing_pose",
        "s021__ep21": "empty_audio",
        "s022__ep22": "no_label",
        "s023__ep23": "label_ambiguous",
        "s024__ep24": "no_label",
        "s025__ep25": "empty_stream",
        "s027__ep27": "decode_error",
    }
    found = {skip["episode_id"]: skip["code"] for skip in document["skipped_episodes"]}
    assert found.items() <= known.items()
    everything = read_manifest(
        build_manifest([store], tmp_path / "all", SelectionRules(24, drop_smallest=0.0), replace_unusable=False)
    )
    problems = {e["episode_id"]: e["problems"][0]["code"] for e in everything["episodes"] if e["problems"]}
    assert known == problems


def test_an_incomplete_episode_is_listed_by_the_missing_file(store: Path, tmp_path: Path) -> None:
    """A torn download would look like a smaller data set."""
    (store / "s003/ep3/streams/audio.wav").unlink()
    document = read_manifest(build_manifest([store], tmp_path, SelectionRules()))
    assert [("s003/ep3", ["streams/audio.wav"])] == [
        (m["episode_path"], m["missing"]) for m in document["missing_or_incomplete"]
    ]
    assert 15 == document["summary"]["selected_episode_count"]


def plant(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda document: change(document["episodes"])


def twice(episodes: list[dict[str, Any]]) -> None:
    other = next(e for e in episodes if e["split"] == "test")
    episodes.append(copy.deepcopy(other) | {"split": "train", "top_level_session": "elsewhere", "content_sha256": None})


def straddle(episodes: list[dict[str, Any]]) -> None:
    test, train = (next(e for e in episodes if e["split"] == split) for split in ("test", "train"))
    test["top_level_session"] = train["top_level_session"]


def copied(episodes: list[dict[str, Any]]) -> None:
    test, train = (next(e for e in episodes if e["split"] == split) for split in ("test", "train"))
    test["content_sha256"] = train["content_sha256"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (plant(twice), ["HO-G101"]),
        (plant(straddle), ["HO-G102"]),
        (plant(copied), ["HO-G103"]),
        (plant(lambda e: e[0].update(top_level_session=None)), ["HO-G102"]),
        (plant(lambda e: e[0].update(usable=False)), ["HO-G105"]),
        (plant(lambda e: [one.update(split="train") for one in e if one["split"] == "test"]), ["HO-G105"]),
    ],
)
def test_planted_leaks_are_found_by_name(store: Path, tmp_path: Path, change: Any, expected: list[str]) -> None:
    """A leak would be in the data, and the figures would be a matter of luck."""
    document = read_manifest(build_manifest([store], tmp_path, SelectionRules()))
    change(document)
    assert expected == codes(document)


def test_weakness_16_equal_episode_names_in_other_sessions_are_no_leak(store: Path, tmp_path: Path) -> None:
    """``ep1`` stands in every session; a guard that takes it for a session is switched off."""
    document = read_manifest(build_manifest([store], tmp_path, SelectionRules()))
    for episode in document["episodes"]:
        episode["source_episode_id"] = "ep1"
    assert [] == codes(document)


def test_a_normaliser_fitted_on_all_is_found(store: Path, tmp_path: Path) -> None:
    """The range of test actions would be known in training."""
    document = read_manifest(build_manifest([store], tmp_path, SelectionRules()))
    names = {
        split: [e["episode_id"] for e in document["episodes"] if e["split"] == split] for split in ("train", "val")
    }
    assert [] == normaliser_fitted_on_train(document, names["train"], where="n.json")
    for ledger in (names["train"] + names["val"], [], ["nobody"]):
        assert ["HO-G106"] == [f.code for f in normaliser_fitted_on_train(document, ledger, where="n.json")]


def test_one_id_for_two_episodes_is_refused(make_episode: MakeEpisode, tmp_path: Path) -> None:
    """Predictions of one would be scored as those of the other."""
    make_episode(1)
    make_episode(1, root=tmp_path / "other")
    with pytest.raises(CorpusError, match="two episodes have the episode_path"):
        build_manifest([tmp_path / "store", tmp_path / "other"], tmp_path, SelectionRules())


def test_the_commands_print_counts_and_exit_1_on_findings(store: Path, tmp_path: Path) -> None:
    """A pipeline would go on with what the guard objects to."""
    done = CliRunner().invoke(app, ["select", str(store), "--out", str(tmp_path)])
    assert 0 == done.exit_code, done.output
    assert "usable   train 12  val 2  test 2" in done.stdout
    checked = CliRunner().invoke(app, ["check", str(tmp_path), "--expect", "96/16/16", "--json"])
    assert 1 == checked.exit_code
    assert ["HO-G105"] * 3 == [f["code"] for f in json.loads(checked.stdout)["findings"]]
    assert 0 == CliRunner().invoke(app, ["check", str(tmp_path), "--expect", "12/2/2"]).exit_code


def test_a_backbone_requires_what_its_contract_says(make_episode: MakeEpisode, tmp_path: Path) -> None:
    """A model that hears would be given episodes without sound."""
    for number in range(4):
        make_episode(number, without=("action",))
    options = ["select", str(tmp_path / "store"), "--out", str(tmp_path), "--json", "--backbone"]
    done = CliRunner().invoke(app, [*options, "qwen3_omni_lora"])
    assert 1 == done.exit_code, done.output
    found = {f["what"].split(" in ")[0] for f in json.loads(done.stdout)["findings"] if f["code"] == "HO-G104"}
    assert {"audio: missing_stream", "video: missing_stream"} == found


def test_weakness_19_a_published_manifest_that_was_complete_and_not_usable_is_found() -> None:
    """Eight of 128 episodes had no pose, no contacts and no label, and 96/16/16 passed."""
    episodes = []
    for number in range(128):
        bad = number % 16 == 5
        split = "val" if number % 8 == 6 else "test" if number % 8 == 7 else "train"
        episodes.append(
            {
                "episode_id": f"session{number}__ep1",
                "source_episode_id": "ep1",
                "top_level_session": f"session{number}",
                "split": split,
                "has_all_videos": True,
                "hdf5_modalities": {"slam_pose": not bad, "contacts": not bad, "imu": True},
                "label_stats": {"num_labeled_windows": {"action": 0 if bad else 280, "subtask": 280}},
            }
        )
    summary = {"selected_split_counts": {"train": 96, "val": 16, "test": 16}}
    found = {f.what.split(" in ")[0]: f for f in check_manifest({"summary": summary, "episodes": episodes})}
    assert {"labels: no_label", "pose: missing_pose", "contact: missing_contact"} < set(found)
    assert "labels: no_label in 8 of 128 episodes" == found["labels: no_label"].what
    assert "train has 88 usable episodes; 96 were selected" in found


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    """Every ``heldout --help`` would wait for the simulator."""
    code = (
        "import sys; from heldout.cli.main import build; build(); print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    )
    heavy = ["numpy", "torch", "mujoco", "metaworld", "h5py", "av", "polars"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
