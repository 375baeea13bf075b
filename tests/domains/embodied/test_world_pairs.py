"""Pairs of present and future: the horizon is a time, a pair never leaves its episode, and no feature is language."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamics_kit import CLOCK_HZ, FRAMES, make_index, make_pairs, write_episode
from hypothesis import given
from hypothesis import strategies as st

from heldout.domains.embodied.episodes.observed import check_names, opened
from heldout.domains.embodied.world.data import FutureData
from heldout.domains.embodied.world.export import FutureSettings, export
from heldout.domains.embodied.world.features import FeatureSpec, window_features
from heldout.domains.embodied.world.pairs import check_pairs, horizon_frames, pair
from heldout.errors import CorpusError, InputError, RefusedError
from heldout.evidence import read_json, read_json_lines, sha256_file, write_json

SEEN = ["camera/front", "pose"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("world"), 8)


def record(episode: str, start: int, frames: int, *, split: str = "train", clock: float = 20.0) -> dict[str, Any]:
    window = {"start_frame": start, "end_frame": start + 9, "num_frames": 10}
    provenance = {"clock_hz": clock, "episode_frames": frames}
    return {"id": f"{episode}:{start}", "episode_id": episode, "split": split, "window": window} | {
        "provenance": provenance
    }


@given(
    lengths=st.lists(st.integers(10, 60), min_size=1, max_size=4),
    stride=st.integers(1, 7),
    seconds=st.floats(0.05, 3.0),
    lost=st.sets(st.integers(0, 60), max_size=5),
)
def test_every_window_is_paired_inside_its_episode_or_written_down(
    lengths: list[int], stride: int, seconds: float, lost: set[int]
) -> None:
    """A model would be asked for the scene after an episode's end, or a window would vanish."""
    records = [
        record(f"e{number}", start, length)
        for number, length in enumerate(lengths)
        for start in range(0, length - 9, stride)
        if start not in lost
    ]
    pairs, skipped = pair(records, seconds)
    shift = horizon_frames(seconds, 20.0)
    assert len(records) == len(pairs) + len(skipped)
    for one in pairs:
        assert one.context["episode_id"] == one.future["episode_id"]
        assert shift == one.future["window"]["start_frame"] - one.context["window"]["start_frame"]
        assert one.future["window"]["end_frame"] < one.context["provenance"]["episode_frames"]
    by_id = {each["id"]: each for each in records}
    for skip in skipped:
        end = by_id[skip.context_record_id]["window"]["end_frame"] + shift
        leaves = end >= by_id[skip.context_record_id]["provenance"]["episode_frames"]
        assert leaves == (skip.code == "horizon_leaves_episode")
    assert len({one.id for one in pairs}) == len(pairs)


def test_a_horizon_is_seconds_whatever_the_clock() -> None:
    """Half a second would be another time for a faster recording, as it was when rows were counted."""
    assert [10, 40, 10] == [horizon_frames(0.5, clock) for clock in (20.0, 80.0, 20.0014)]
    for wrong in (0.0, -1.0, 0.01, float("nan"), float("inf")):
        with pytest.raises(InputError, match="horizon"):
            horizon_frames(wrong, 20.0)


def test_a_pair_never_crosses_splits_or_episodes() -> None:
    """The future of a train window would be a test window."""
    records = [record("a", 0, 90), record("a", 10, 90, split="test"), record("b", 10, 90)]
    assert ([], 3) == (pair(records, 0.5)[0], len(pair(records, 0.5)[1]))


def test_the_export_has_the_published_fields_and_keeps_test_answers_closed(index: Path, tmp_path: Path) -> None:
    """Readers of the published format would fail, or the answers of test would lie in the export."""
    manifest = export(index, tmp_path / "pairs", FutureSettings(0.5, grid=4, action_bins=2))
    rows = read_json_lines(tmp_path / "pairs/future_windows.jsonl")
    wanted = (
        "id episode_id split target prompt_type window future_window context_record_id future_record_id media "
        "future_media sensor_feature_path sensor_feature_index future_sensor_feature_path future_sensor_feature_index "
        "conditioning future_target answer_json messages"
    )
    assert [] == [name for name in wanted.split() if name not in rows[0]]
    for row in rows:
        assert (row["split"] == "test") == (row["future_target"] == {} and row["conditioning"] == {})
        assert 10 == row["future_window"]["start_frame"] - row["window"]["start_frame"]
    assert len(rows) == manifest["num_pairs"]
    skipped = read_json_lines(tmp_path / "pairs/skipped_futures.jsonl")
    assert sum(sum(codes.values()) for codes in manifest["skipped"].values()) == len(skipped)
    assert {"horizon_leaves_episode"} <= {one["code"] for one in skipped}
    assert not manifest["features"]["language"]


def test_the_same_index_gives_the_same_export(index: Path, tmp_path: Path) -> None:
    """Two trainings on one index would not be of the same data."""
    digests = []
    for name in "ab":
        make_pairs(index, tmp_path / name)
        digests.append({p.name: sha256_file(p) for p in (tmp_path / name).iterdir() if p.suffix != ".json"})
    assert digests[0] == digests[1]


def test_a_horizon_between_windows_is_an_error_with_its_reason(index: Path, tmp_path: Path) -> None:
    """An export without pairs would train a model on nothing."""
    with pytest.raises(CorpusError, match="no_window_at_horizon"):
        export(index, tmp_path / "pairs", FutureSettings(0.35, grid=4))


def test_a_context_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    """The model would see the future that it is asked for."""
    index = make_index(tmp_path, 4, context="centred")
    with pytest.raises(RefusedError, match="goes on after the window") as caught:
        export(index, tmp_path / "pairs", FutureSettings(0.5, grid=4))
    assert "HO-G111" == caught.value.code


@pytest.mark.parametrize("fault", ["over the end", "another horizon", "another episode", "clean"])
def test_a_look_ahead_over_the_end_of_an_episode_is_found_by_name(index: Path, tmp_path: Path, fault: str) -> None:
    """Somebody's exporter would pair the last window of an episode with nothing that ever happened."""
    folder = make_pairs(index, tmp_path / "pairs")
    rows = read_json_lines(folder / "future_windows.jsonl")
    if fault == "over the end":
        row = max(rows, key=lambda one: one["future_window"]["end_frame"])
        row["episode_frames"] = row["future_window"]["end_frame"]
    elif fault == "another horizon":
        rows[0]["future_window"] = {key: value + 5 for key, value in rows[0]["future_window"].items()}
    elif fault == "another episode":
        rows[0]["future_record_id"] = next(r["id"] for r in rows if r["episode_id"] != rows[0]["episode_id"])
    found = check_pairs(rows, 0.5, "future_windows.jsonl")
    assert ([] if fault == "clean" else ["HO-G136"]) == [one.code for one in found]
    (folder / "future_windows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if fault != "clean":
        with pytest.raises(RefusedError) as caught:
            FutureData.open(folder)
        assert "HO-G136" == caught.value.code


def test_features_leave_out_language_goals_contacts_and_actions(index: Path) -> None:
    """The caption would give the answer away, and the goal is what only a simulator knows."""
    folders = sorted((index.parent / "store").glob("*/*"))
    spec = FeatureSpec.shared([opened(folder) for folder in folders], grid=4)
    assert SEEN == sorted((*spec.cameras, *spec.streams))
    episode = opened(folders[0])
    names = spec.names(episode)
    assert len(names) == len(window_features(episode, spec, 0, 9))
    assert [] == check_names(names, "here")
    for name in ("caption_vector", "goal", "contact", "action"):
        with pytest.raises(RefusedError, match=f"'{name}' is no feature") as caught:
            replace(spec, streams=("pose", name)).check(episode)
        assert "HO-G135" == caught.value.code


def test_an_export_with_features_of_language_is_not_learnt_from(index: Path, tmp_path: Path) -> None:
    """Hashed captions among the features would be learnt as if they were sensors."""
    folder = make_pairs(index, tmp_path / "pairs")
    FutureData.open(folder)
    manifest = read_json(folder / "future_manifest.json")
    manifest["features"]["names"][3] = "caption_objects_interaction_text[3].mean"
    write_json(folder / "future_manifest.json", manifest)
    with pytest.raises(RefusedError, match="language") as caught:
        FutureData.open(folder)
    assert "HO-G135" == caught.value.code


def test_features_know_nothing_of_later_frames(tmp_path: Path) -> None:
    """A change of the future would change what is known now."""
    write_episode(tmp_path / "long", 3)
    write_episode(tmp_path / "short", 3, length=FRAMES // 2)
    long, short = (opened(tmp_path / name / "s003" / "ep3") for name in ("long", "short"))
    spec = FeatureSpec.shared([long], grid=4)
    last = FRAMES // 2 - 1
    now = [window_features(one, spec, last - 9, last) for one in (long, short)]
    assert np.allclose(now[0], now[1], atol=2 / 255)  # the encoder's last pictures may differ by a shade
    with pytest.raises(InputError, match="leave the episode"):
        window_features(short, spec, last - 5, last + 4)
    assert CLOCK_HZ == short.header.clock_hz
