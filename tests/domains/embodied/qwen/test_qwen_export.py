"""The data set in the published format: nothing of test, nothing of the future, nothing an answer is made from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qwen_kit import SMALL, change_index, make_seen_index, write_seen_episode
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.qwen.batch import Dataset
from heldout.domains.embodied.qwen.export import export, fit_viewer
from heldout.domains.embodied.qwen.sensors import measured
from heldout.domains.embodied.qwen.settings import ExportSettings, read_export
from heldout.domains.embodied.score.train_labels import read_train_labels
from heldout.domains.embodied.select.guards import normaliser_fitted_on_train
from heldout.domains.embodied.select.manifest import read_manifest
from heldout.errors import CorpusError, InputError, TamperedError
from heldout.evidence import read_json, sha256_file

PUBLISHED = (
    "id episode_id source_episode_id episode_path split target prompt_type center_window media sensor_feature_path "
    "sensor_feature_index sensor_feature_dim question answer_json label action_options subtask_options label_options "
    "messages"
)


def test_records_have_the_published_fields_and_their_media(made: Path) -> None:
    """Tools made for the published data sets could not read ours."""
    data = Dataset(made / "data")
    index = IndexSource(made / "index")
    assert sum(index.manifest["sample_split_counts"].values()) == len(data.records)
    for record in data.records:
        assert set(PUBLISHED.split()) <= set(record)
        assert (data.folder / record["media"]["mosaic_video_path"]).is_file()
        assert (data.folder / record["media"]["audio_path"]).is_file()
        stored = np.load(data.folder / record["sensor_feature_path"], allow_pickle=False)
        assert {"features", "starts", "ends"} == set(stored)
        assert record["center_window"]["start_frame"] == stored["starts"][record["sensor_feature_index"]]
        assert record["sensor_feature_dim"] == stored["features"].shape[1]
    assert ["system", "user", "assistant"] == [message["role"] for message in data.records[0]["messages"]]
    assert read_train_labels(made / "data").windows == len(data.split("train"))


def test_no_answer_of_a_test_window_is_exported(made: Path) -> None:
    """Whoever trains on the folder could train on the test answers."""
    sealed = [record for record in Dataset(made / "data").records if record["split"] == "test"]
    assert sealed
    for record in sealed:
        assert ({}, None, True) == (record["answer_json"], record["label"], record["sealed"])
        assert ["system", "user"] == [message["role"] for message in record["messages"]]
    assert [] == Dataset(made / "data").split("test")


def test_a_data_set_that_was_changed_is_refused(made: Path, tmp_path: Path) -> None:
    """A model would be trained on other data than its metadata names."""
    shutil.copytree(made / "data", tmp_path / "data")
    with (tmp_path / "data/dataset.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(TamperedError, match="not the one"):
        Dataset(tmp_path / "data")


def test_test_labels_among_the_options_are_found_by_name(tmp_path: Path) -> None:
    """The inventory of test labels would stand in every prompt."""
    index = make_seen_index(tmp_path)

    def leak(record: dict[str, Any]) -> None:
        record["modalities"]["language"]["action_options"].append("label of a test episode")

    change_index(index, leak)
    with pytest.raises(CorpusError, match="labels of no train window: label of a test episode") as caught:
        export(index, tmp_path / "data", SMALL)
    assert "HO-G112" == caught.value.code


def test_a_context_that_looks_ahead_is_found_by_name(tmp_path: Path) -> None:
    """The next action would be in the picture from which it is to be foreseen."""
    index = make_seen_index(tmp_path, context="centred")
    with pytest.raises(CorpusError, match="goes on after the window") as caught:
        export(index, tmp_path / "data", SMALL)
    assert "HO-G111" == caught.value.code


@pytest.mark.slow
def test_sound_that_an_answer_is_computed_from_is_withheld(tmp_path: Path) -> None:
    """The model would read the contact off the sound that was made from it."""
    document = export(make_seen_index(tmp_path, tone_tells=True), tmp_path / "data", SMALL)
    assert {"heard": 0, "silent": 0, "withheld": document["num_samples"]} == document["audio"]
    assert all(record["media"]["audio_path"] is None for record in Dataset(tmp_path / "data").records)


@pytest.mark.slow
def test_silence_everywhere_is_no_sound(tmp_path: Path) -> None:
    """An empty modality would be trained on, as it was in the published runs, and nothing would say so."""
    index = make_seen_index(tmp_path)
    for path in (tmp_path / "store").rglob("audio.wav"):
        from heldout.domains.embodied.episodes.media import write_wav

        write_wav(path, np.zeros(48000, np.int16), 16000)
    with pytest.raises(CorpusError, match="every sound is silence"):
        export(index, tmp_path / "data", SMALL)
    assert 0 == export(index, tmp_path / "mute", ExportSettings(**{**SMALL.__dict__, "audio": False}))["audio"]["heard"]


@pytest.mark.slow
def test_nothing_that_is_fitted_knows_of_the_test_episodes(tmp_path: Path) -> None:
    """A normaliser, an option or a word of test would make the test easier than the world."""
    index = make_seen_index(tmp_path)
    export(index, tmp_path / "data", SMALL)
    before = (tmp_path / "data/export.json").read_bytes()
    manifest = read_manifest(tmp_path / "manifest/episode_manifest.json")
    test = next(entry for entry in manifest["episodes"] if entry["split"] == "test")
    shutil.rmtree(tmp_path / "store" / test["episode_id"].split("__")[0])
    write_seen_episode(tmp_path / "store", int(test["episode_id"][1:4]), label="never seen in train")
    export(index, tmp_path / "again", SMALL)
    assert before == (tmp_path / "again/export.json").read_bytes()
    _, document = read_export(tmp_path / "data")
    assert [] == normaliser_fitted_on_train(manifest, document["bridge"]["fitted_on"], where="bridge")
    everything = [entry["episode_id"] for entry in manifest["episodes"]]
    (finding,) = normaliser_fitted_on_train(manifest, everything, where="bridge")
    assert "HO-G106" == finding.code


@pytest.mark.slow
def test_the_same_index_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    """Two people who export one index would train on different data."""
    export(made / "index", tmp_path / "data", SMALL)
    for path in sorted((made / "data").rglob("*")):
        if path.is_file() and path.name not in ("dataset.jsonl", "dataset_manifest.json"):
            assert sha256_file(path) == sha256_file(tmp_path / "data" / path.relative_to(made / "data"))
    theirs, ours = (read_json(folder / "dataset_manifest.json") for folder in (made / "data", tmp_path / "data"))
    assert theirs["dataset_sha256"] == ours["dataset_sha256"]


def test_the_sensor_bridge_leaves_out_what_answers_are_made_from(made: Path) -> None:
    """The contact sensor would tell the contact that it is the truth of."""
    _, document = read_export(made / "data")
    assert ["pose"] == document["bridge"]["streams"]
    record = next(IndexSource(made / "index").records(IndexSource(made / "index").samples("train", 1)))
    assert {"pose"} == set(measured(record))
    assert {"contact"} < {one["name"] for one in record["modalities"]["sensor_streams"]} | {"more"}


def test_options_are_retrieved_from_other_sessions(made: Path) -> None:
    """A train window would find its own label first and the model would learn to copy the first option."""
    source = IndexSource(made / "index")
    train = list(source.records(source.samples("train")))
    viewer = fit_viewer(
        train, source.folder, ExportSettings(**{**SMALL.__dict__, "options": "retrieved", "retrieved": 2})
    )
    assert viewer.retriever is not None
    for record in train[:8]:
        options = viewer.view(record, source.folder).options
        assert sorted(options["action"]) == options["action"]
        assert 2 == len(options["action"])
        assert set(options["action"]) <= set(viewer.labels["action"])
    lone = [i for i, group in enumerate(viewer.retriever.groups) if group == train[0]["episode_id"]]
    point = viewer.retriever.points[lone[0]]
    only = type(viewer.retriever)(
        viewer.retriever.points[lone],
        tuple(viewer.retriever.groups[i] for i in lone),
        {key: tuple(labels[i] for i in lone) for key, labels in viewer.retriever.labels.items()},
    )
    assert [] == only.options(point, train[0]["episode_id"], 2)["action"]


def test_an_unknown_mode_is_named(made: Path) -> None:
    """A spelling mistake would silently leave the options out."""
    mode: Any = "ful"
    with pytest.raises(InputError, match="no options"):
        ExportSettings(**{**SMALL.__dict__, "options": mode}).check()


@pytest.mark.parametrize(
    ("cameras", "tile"),
    [(1, (224, 320)), (2, (224, 320)), (3, (224, 320)), (4, (240, 320)), (6, (240, 320)), (7, (224, 320))],
)
def test_the_default_tile_fits_any_number_of_cameras(cameras: int, tile: tuple[int, int]) -> None:
    """The default would fail on every recording that has not four to six cameras; six must stay as published."""
    settings = ExportSettings(streams=tuple("abcdefg"[:cameras])).fitted()
    assert tile == settings.check().tile
    assert settings == settings.fitted()
    small = ExportSettings(tile=(1, 1), streams=settings.streams).fitted().check()
    assert 32 >= max(small.tile)


def test_a_tile_that_was_chosen_is_announced_and_one_that_was_asked_is_not_changed(made: Path, tmp_path: Path) -> None:
    """Pictures of another size than the published one would be written without a word, or in spite of what was said."""
    words = ["embodied", "qwen", "export", str(made / "index"), "--max-video-frames", "1", "--no-audio", "--out"]

    def run(*more: str) -> Any:
        arguments = [*words, *more]
        return CliRunner().invoke(build(arguments), arguments, standalone_mode=False)

    done = run(str(tmp_path / "data"))
    assert done.exception is None, done.output
    tile, cameras = read_export(tmp_path / "data")[0].tile, len(read_export(tmp_path / "data")[0].streams)
    assert (224, 320) == tile
    assert f"tile     224x320: with {cameras} cameras 240x320 makes no whole blocks" in done.output
    refused = run(str(tmp_path / "other"), "--tile", "240x320")
    assert isinstance(refused.exception, InputError)
    assert "such as 224x320 for these cameras" in str(refused.exception.hint)
