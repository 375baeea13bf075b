"""The window index: published fields, causal context, options of train alone, sealed test answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heldout.cli.embodied.index import app
from heldout.domains.embodied.contract.contracts import load_contract, load_registry
from heldout.domains.embodied.index.build import build_index
from heldout.domains.embodied.index.guards import check_index, read_index, states_window
from heldout.domains.embodied.index.sealed import open_targets, read_openings
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.index.windows import Scale, Window, WindowOptions, cap, context_span, parse_scale
from heldout.domains.embodied.select.manifest import build_manifest, read_manifest
from heldout.domains.embodied.select.rules import SelectionRules
from heldout.errors import CorpusError, InputError, TamperedError

MakeEpisode = Callable[..., Path]
OPTIONS = WindowOptions(context_frames=40)


@pytest.fixture
def manifest(make_episode: MakeEpisode, tmp_path: Path) -> Path:
    for number in range(8):
        make_episode(number, sound="tone")
    return build_manifest([tmp_path / "store"], tmp_path / "man", SelectionRules())


def records(index: Path) -> list[dict[str, Any]]:
    return list(read_index(index / "window_index.jsonl"))


def test_records_and_manifest_have_the_published_fields(manifest: Path, tmp_path: Path) -> None:
    """Tools that read the published index would find nothing in ours."""
    document = build_index(manifest, tmp_path / "i", OPTIONS, load_registry(tmp_path))
    record = next(r for r in records(tmp_path / "i") if r["split"] == "train")
    published = "id source_record_id episode_id split target prompt_type window modalities supervision adapter_views"
    assert {*published.split(), "provenance"} <= set(record)
    assert {"media", "sensor_features", "language"} <= set(record["modalities"])
    media = record["modalities"]["media"]
    assert {"video_streams", "mosaic_video_path", "audio_path", "context_window"} == set(media)
    assert {"question", "action_options", "subtask_options"} == set(record["modalities"]["language"])
    answer = "action subtask objects contact transition next_action evidence_window"
    assert set(answer.split()) == set(record["supervision"])
    fields = (
        "run_id source_dataset_jsonl source_dataset_manifest output_jsonl num_records num_episodes sample_split_counts "
        "episode_split_counts modality_record_counts adapter_contracts source_dataset_summary"
    )
    assert set(fields.split()) <= set(document)
    assert {"train": 6, "val": 1, "test": 1} == document["episode_split_counts"]
    assert len(records(tmp_path / "i")) == document["num_records"] == sum(document["sample_split_counts"].values())
    assert (tmp_path / "i" / media["audio_path"]).is_file()
    assert [] == document["findings"]


def test_weakness_2_context_ends_where_the_window_ends(manifest: Path, tmp_path: Path) -> None:
    """The next action would be seen in the input, and called a prediction."""
    build_index(manifest, tmp_path / "i", OPTIONS, {})
    for record in records(tmp_path / "i"):
        assert record["window"]["end_frame"] == record["modalities"]["media"]["context_window"]["end_frame"]
        streams = record["modalities"]["sensor_streams"]
        assert 3 == len(streams)
        assert all(stream["last_sample"] == record["window"]["end_frame"] for stream in streams)
    document = build_index(manifest, tmp_path / "c", replace(OPTIONS, context="centred"), {})
    assert ["HO-G111"] == [finding["code"] for finding in document["findings"]]
    assert document["clip_policy"]["context_looks_ahead"]


def test_weakness_2_the_centred_context_is_the_published_one() -> None:
    """A comparison with published figures would be on other inputs."""
    assert (949, 1068) == context_span(1000, 1019, 6000, 120, "centred")
    assert (900, 1019) == context_span(1000, 1019, 6000, 120, "causal")
    assert (0, 19) == context_span(0, 19, 6000, 120, "causal")
    assert (5939, 5999) == context_span(5980, 5999, 6000, 100, "centred")


def test_weakness_5_options_are_labels_of_train_alone(
    make_episode: MakeEpisode, manifest: Path, tmp_path: Path
) -> None:
    """The model would be told which answers the test set has."""
    document = read_manifest(manifest)
    test = next(e for e in document["episodes"] if e["split"] == "test")
    folder = manifest.parent / test["path"]
    path, header = folder / "labels.json", folder / "episode.json"
    changed = path.read_text().replace("move the cup", "drop the cup")
    path.write_text(changed)
    known = json.loads(header.read_text())
    with pytest.raises(TamperedError, match="labels"):
        build_index(manifest, tmp_path / "i", OPTIONS, {})
    known["streams"]["labels"]["sha256"] = hashlib.sha256(changed.encode()).hexdigest()
    header.write_text(json.dumps(known))
    with pytest.raises(TamperedError, match="not the one that was selected"):
        build_index(manifest, tmp_path / "i", OPTIONS, {})
    build_manifest([tmp_path / "store"], tmp_path / "man", SelectionRules())
    found = build_index(manifest, tmp_path / "i", OPTIONS, {})
    assert [] == found["findings"]
    options = {o for r in records(tmp_path / "i") for o in r["modalities"]["language"]["action_options"]}
    assert {"move the cup", "reach for the cup"} == options
    lines = (tmp_path / "i/window_index.jsonl").read_text().replace('"move the cup","reach', '"drop the cup","reach', 1)
    (tmp_path / "i/window_index.jsonl").write_text(lines)
    assert ["HO-G112"] == [f.code for f in check_index(tmp_path / "i/window_index.jsonl")]


def test_answers_of_test_windows_are_sealed_and_every_opening_is_written_down(manifest: Path, tmp_path: Path) -> None:
    """Whoever tunes on the test set would leave no trace."""
    index = tmp_path / "i"
    document = build_index(manifest, index, OPTIONS, load_registry(tmp_path))
    sealed = [r for r in records(index) if r["split"] == "test"]
    assert sealed
    assert all(r["sealed"] and r["supervision"] == {} for r in sealed)
    views = sealed[0]["adapter_views"]["cosmos_world_model"]["available_conditioning"]
    assert not {"action_label", "next_action_label"} & set(views)
    assert [] == read_openings(index)
    targets = open_targets(index, "evaluation of run x")
    assert {r["id"] for r in sealed} == set(targets)
    assert document["sealed_targets"]["records"] == len(targets)
    open_targets(index, "a second look")
    assert ["evaluation of run x", "a second look"] == [opening["purpose"] for opening in read_openings(index)]
    ledger = index / "openings.jsonl"
    ledger.write_text(ledger.read_text().replace("evaluation", "no evaluation"))
    with pytest.raises(TamperedError):
        read_openings(index)
    (index / "sealed_targets.jsonl").write_text("")
    with pytest.raises(TamperedError, match="not those"):
        open_targets(index, "third")


def test_weakness_3_our_question_does_not_state_the_window(manifest: Path, tmp_path: Path) -> None:
    """An answer copied from the prompt would be called grounding."""
    document = build_index(manifest, tmp_path / "i", OPTIONS, {})
    assert document["evidence_window_is_evidence"] is False
    for record in records(tmp_path / "i"):
        question, window = record["modalities"]["language"]["question"], record["window"]
        assert not states_window(question, window["start_frame"], window["end_frame"])
    assert states_window("Label frames 100-119 of ep1.", 100, 119)
    assert not states_window("Label 1100-1191", 100, 119)


def test_weakness_19_skipped_windows_have_typed_reasons(make_episode: MakeEpisode, tmp_path: Path) -> None:
    """Windows would vanish, and shares would be shares of something unknown."""
    actions = ["a"] * 30 + ["b"] * 30 + [""] * 40
    for number in range(3):
        make_episode(number, actions=actions)
    path = build_manifest([tmp_path / "store"], tmp_path / "man", SelectionRules())
    document = build_index(path, tmp_path / "i", OPTIONS, {})
    each = {"label_ambiguous": 1, "no_label": 2}
    assert {"train": each, "val": each, "test": each} == document["skipped_windows"]
    lines = (tmp_path / "i/skipped_windows.jsonl").read_text().splitlines()
    assert {"episode_id", "split", "scale_id", "window", "code"} == set(json.loads(lines[0]))
    assert 9 == len(lines)


def test_weakness_20_views_come_from_registered_contracts(manifest: Path, tmp_path: Path) -> None:
    """A new backbone would need a change of the index's code."""
    config = json.loads((load_registry(tmp_path)["policy_vla_branch"].path).read_text())
    config |= {"id": "mine", "window_view": {"hears": {"if": "audio"}, "sees": {"of": ["video", "audio"]}, "n": 3}}
    (tmp_path / "configs/backbones").mkdir(parents=True)
    (tmp_path / "configs/backbones/mine.json").write_text(json.dumps(config))
    document = build_index(manifest, tmp_path / "i", OPTIONS, load_registry(tmp_path))
    views = records(tmp_path / "i")[0]["adapter_views"]
    assert {"hears": True, "sees": ["audio"], "n": 3} == views["mine"]
    assert {"qwen3_omni_lora", "cosmos_world_model", "policy_vla_branch", "mine"} <= set(views)
    assert "xperience10m_observation_action_v0" == document["adapter_contracts"]["mine"]
    config["window_view"] = {"x": {"all": 1}}
    (tmp_path / "configs/backbones/mine.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="does not exist"):
        build_index(
            manifest, tmp_path / "i2", OPTIONS, {"mine": load_contract(tmp_path / "configs/backbones/mine.json")}
        )


def test_weakness_9_privileged_streams_are_no_inputs(make_episode: MakeEpisode, tmp_path: Path) -> None:
    """The answer would stand among the sensor features."""
    for number in range(3):
        make_episode(number)
    path = build_manifest([tmp_path / "store"], tmp_path / "man", SelectionRules())
    build_index(path, tmp_path / "i", OPTIONS, {})
    streams = {s["name"]: s["not_for"] for s in records(tmp_path / "i")[0]["modalities"]["sensor_streams"]}
    assert {"pose": [], "action": [], "contact": ["contact"]} == streams


@pytest.mark.parametrize("allowed", [False, True])
def test_a_made_up_sound_is_no_input_unless_it_is_allowed(
    make_episode: MakeEpisode, tmp_path: Path, allowed: bool
) -> None:
    """A sound that was computed from the contacts would tell a model the contacts."""
    for number in range(3):
        make_episode(number, sound="made up")
    path = build_manifest([tmp_path / "store"], tmp_path / "man", SelectionRules(), allow_synthetic=allowed)
    build_index(path, tmp_path / "i", OPTIONS, load_registry(tmp_path))
    record = records(tmp_path / "i")[0]
    assert allowed == bool(record["modalities"]["media"]["audio_path"])
    assert (["contact"] if allowed else []) == record["modalities"]["audio_not_for"]
    assert allowed == ("audio" in record["adapter_views"]["qwen3_omni_lora"]["direct_modalities"])


def test_several_scales_in_one_index(manifest: Path, tmp_path: Path) -> None:
    """A multiscale run would mix windows of one name."""
    options = replace(OPTIONS, scales=(Scale(20, 10), Scale(40, 20)))
    build_index(manifest, tmp_path / "i", options, {})
    found = records(tmp_path / "i")
    assert {"w20s10", "w40s20"} == {r["scale_id"] for r in found}
    assert len(found) == len({r["id"] for r in found})
    assert all(r["id"].startswith(f"{r['scale_id']}:") for r in found)
    assert Scale(7, 3) == parse_scale("7/3")
    for wrong in ("7", "0/3", "a/b", "7/"):
        with pytest.raises(InputError, match="no scale"):
            parse_scale(wrong)


def test_the_cap_takes_labels_in_turn() -> None:
    """The rare actions would be the ones that are cut off."""
    windows = [Window(Scale(1, 1), i, i, i, i, {"action": "b" if i < 6 else "a"}) for i in range(8)]
    assert [0, 1, 6, 7] == [w.start for w in cap(windows, 4)]
    assert windows == cap(windows, 0) == cap(windows, 8)


def test_the_same_manifest_gives_the_same_bytes(manifest: Path, tmp_path: Path) -> None:
    """Two people could not tell whether they evaluate on the same windows."""
    digests = {build_index(manifest, tmp_path / name, OPTIONS, {})["output_sha256"] for name in ("a", "b")}
    assert 1 == len(digests)


def test_an_episode_in_another_split_than_the_manifests_is_found(manifest: Path, tmp_path: Path) -> None:
    """An edited line would move a test episode into training."""
    build_index(manifest, tmp_path / "i", OPTIONS, {})
    path = tmp_path / "i/window_index.jsonl"
    lines = path.read_text().splitlines()
    lines[0] = lines[0].replace('"split":"train"', '"split":"val"')
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    found = check_index(path, read_manifest(manifest))
    assert ["HO-G113", "HO-G113"] == [f.code for f in found]


def test_no_window_at_all_is_an_error(manifest: Path, tmp_path: Path) -> None:
    """An empty index would be trained on in silence."""
    with pytest.raises(CorpusError, match="no window"):
        build_index(manifest, tmp_path / "i", WindowOptions((Scale(101, 1),)), {})
    with pytest.raises(InputError, match="shorter than a window"):
        build_index(manifest, tmp_path / "i", WindowOptions((Scale(50, 1),), context_frames=40), {})


def test_the_command_says_what_it_made(manifest: Path, tmp_path: Path) -> None:
    """A look-ahead would pass unnoticed through a script."""
    good = ["build", str(manifest), "--out", str(tmp_path / "i"), "--workspace", str(tmp_path)]
    done = CliRunner().invoke(app, good)
    assert 0 == done.exit_code, done.output
    assert "windows of 8 episodes: test " in done.stdout
    bad = CliRunner().invoke(app, [*good, "--context", "centred", "--json"])
    assert 1 == bad.exit_code
    assert "HO-G111" == json.loads(bad.stdout)["findings"][0]["code"]
    assert 1 == CliRunner().invoke(app, ["check", str(tmp_path / "i"), "--manifest", str(manifest)]).exit_code


def test_heads_give_the_samples_that_the_records_give(manifest: Path, tmp_path: Path) -> None:
    """An evaluation would begin with other windows because somebody's index came without the file of heads."""
    build_index(manifest, tmp_path / "i", OPTIONS, {})
    for split, limit in (("train", 0), ("test", 0), ("train", 3)):
        quick = IndexSource(tmp_path / "i").samples(split, limit)
        document = json.loads((tmp_path / "i/window_index_manifest.json").read_text())
        slow = IndexSource(tmp_path / "i")
        slow.manifest = {key: value for key, value in document.items() if key != "heads"}
        assert quick == slow.samples(split, limit)
        assert [sample.id for sample in quick] == [record["id"] for record in slow.records(quick)]
    heads = tmp_path / "i/window_heads.json"
    heads.write_text(heads.read_text().replace('"test"', '"train"'))
    with pytest.raises(TamperedError, match="heads"):
        IndexSource(tmp_path / "i").samples("train")
