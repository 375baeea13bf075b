"""The windows of an index on the one road: their manifest's own split, and answers that nobody opens unseen."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_kit import Desk, windows_desk

from heldout.domains.embodied.index.reader import WindowIndexOptions, WindowIndexReader, kept_episode
from heldout.domains.embodied.index.sealed import read_openings
from heldout.errors import HeldoutError, RefusedError
from heldout.evidence import read_json, read_json_lines, sha256_file, write_json


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return windows_desk(tmp_path_factory.mktemp("windows")).folder


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    shutil.copytree(made, tmp_path / "desk")
    return Desk(tmp_path / "desk", json.loads((made / "study.yaml").read_text()))


def reader(desk: Desk, **more: Any) -> WindowIndexReader:
    return WindowIndexReader(WindowIndexOptions(path=index(desk) / "window_index.jsonl", **more))


def index(desk: Desk) -> Path:
    return desk.folder / "windows/index"


def purposes(desk: Desk) -> Counter[str]:
    return Counter(each["purpose"] for each in read_openings(index(desk)))


def test_windows_are_rows_and_episodes_are_groups(desk: Desk) -> None:
    """Windows of one episode would stand on both sides of a split."""
    corpus = reader(desk).read()
    records = list(read_json_lines(index(desk) / "window_index.jsonl"))
    assert [each["id"] for each in records] == corpus.ids.to_list()
    assert [each["episode_id"] for each in records] == corpus.groups.to_list()
    assert sorted({each["episode_id"] for each in records}) == [each.id for each in corpus.manifest.groups]
    assert "contact.0.mean" not in corpus.features.columns, "an answer is computed from that stream"
    assert ["pose.0.change", "pose.0.mean", "pose.0.spread"] == sorted(corpus.features.columns)[:3]
    assert not read_openings(index(desk)), "reading a corpus opens nothing"
    train = np.array([place for place, each in enumerate(records) if each["split"] == "train"])
    assert [records[place]["supervision"]["action"] for place in train] == corpus.train_view(train).target.tolist()


def test_what_is_sealed_is_opened_by_name_and_never_to_learn_from(desk: Desk) -> None:
    """A model would be trained on test windows, or scored on them without a trace."""
    corpus = reader(desk).read()
    told = {each["id"]: each["supervision"] for each in read_json_lines(index(desk) / "sealed_targets.jsonl")}
    test = (corpus.aside["split"] == "test").arg_true().to_numpy()  # type: ignore[index]
    with pytest.raises(RefusedError, match="would be trained on"):
        corpus.train_view(test)
    assert not read_openings(index(desk))
    expected = [told[corpus.ids[int(place)]]["action"] for place in test]
    assert expected == corpus.targets("score", test).tolist() == corpus.targets("score", test).tolist()
    corpus.targets("verify", test)
    assert {"score of a run": 1} == purposes(desk), "once a purpose, and what is known already is no opening"
    (index(desk) / "sealed_targets.jsonl").write_text("{}")
    with pytest.raises(HeldoutError, match="not those that the manifest names"):
        corpus.targets("guard", test)


@pytest.mark.slow
def test_windows_walk_the_one_road(desk: Desk) -> None:
    """Rules, ledger, verification and registry would hold on tables alone."""
    assert 0 == desk.run().code
    split = read_json(desk.newest / "split.json")
    episodes = {each["episode_id"]: each["split"] for each in read_json_lines(index(desk) / "window_index.jsonl")}
    fold = split["folds"][0]
    assert ({"test"}, {"val"}) == ({episodes[name] for name in fold["test"]}, {episodes[name] for name in fold["val"]})
    assert {"guard of a run", "score of a run"} <= set(purposes(desk))
    ledger = [json.loads(line) for line in (desk.of_study / "trials.jsonl").read_text().splitlines()]
    assert {"score": len(fold["test"]), "validation": len(fold["val"])} == {
        key: ledger[0]["opened"][key] for key in ("score", "validation")
    }
    path = index(desk) / "window_index.jsonl"
    verified = desk.heldout("verify", desk.newest, "--corpus", path, "--refit")
    assert 0 == verified.code, verified
    assert 0 == desk.heldout("registry", "add", desk.newest).code


def test_another_split_than_the_manifests_is_refused(desk: Desk) -> None:
    """Windows that the manifest holds out would train."""
    desk.write(split={"kind": "group-k-fold", "folds": 3})
    told = desk.run()
    assert (2, True, True) == (told.code, "HO-G106" in told.err, "study.yaml:" in told.err), told
    assert not desk.runs.exists(), "nothing is registered and nothing fitted"
    assert set(purposes(desk)) <= {"guard of a run"}


def test_foreign_code_is_shut_off_from_everything_that_holds_an_answer(desk: Desk) -> None:
    """An estimator would read the sealed answers, or the labels of the episodes, beside the file that is named."""
    kept = [path.resolve() for path in reader(desk).kept()]
    store = (desk.folder / "windows/store").resolve()
    holding = [index(desk).resolve() / "sealed_targets.jsonl", *(path.resolve() for path in store.rglob("labels.json"))]
    assert 32 < len(holding)
    assert [] == [path for path in holding if not any(path.is_relative_to(each) for each in kept)]


def test_each_run_of_a_process_opens_for_itself(desk: Desk) -> None:
    """The second of two runs would look without a trace, or write behind a broken one."""
    first = reader(desk).read()
    test = (first.aside["split"] == "test").arg_true().to_numpy()  # type: ignore[index]
    first.targets("score", test)
    first.unopened().targets("score", test)
    assert {"score of a run": 2} == purposes(desk)
    (index(desk) / "openings.jsonl").write_text('{"x":1}\n')
    with pytest.raises(HeldoutError):
        first.unopened().targets("score", test)


def test_an_episode_that_changed_is_another_corpus(desk: Desk) -> None:
    """Models of other measurements would be reused."""
    before = reader(desk).read().manifest
    assert before.sha256 != reader(desk, label="contact").read().manifest.sha256
    assert sha256_file(index(desk) / "window_index.jsonl") == before.facts["file_sha256"]
    pose = next((desk.folder / "windows/store").rglob("pose*"))
    data = np.load(pose)
    data[0] += 0.5
    np.save(pose, data)
    kept_episode.cache_clear()
    assert before.sha256 != reader(desk).read().manifest.sha256


def test_windows_without_a_common_stream_are_refused(desk: Desk) -> None:
    """A frame without columns would be fitted."""
    path = index(desk) / "window_index.jsonl"
    records = list(read_json_lines(path))
    for each in records:
        each["modalities"]["sensor_streams"] = []
    path.write_text("".join(json.dumps(each, sort_keys=True, separators=(",", ":")) + "\n" for each in records))
    manifest = read_json(index(desk) / "window_index_manifest.json")
    del manifest["heads"]
    write_json(index(desk) / "window_index_manifest.json", manifest | {"output_sha256": sha256_file(path)})
    with pytest.raises(HeldoutError, match="share no measured stream"):
        reader(desk).read()
