"""The world model: weights that a seed decides, a ledger, a gate, and an evaluation that resumes to the same bytes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamics_kit import QUICK, make_index, make_pairs
from safetensors.numpy import load_file, save_file

from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import merge_shards, run
from heldout.domains.embodied.index.sealed import read_openings
from heldout.domains.embodied.training.files import unlike_manifest
from heldout.domains.embodied.training.scaling import Scaling
from heldout.domains.embodied.world.cosmos import Generation, dtype_option, make_checkpoint
from heldout.domains.embodied.world.data import FutureData, fit_scalings
from heldout.domains.embodied.world.features import window_features
from heldout.domains.embodied.world.load import load_model
from heldout.domains.embodied.world.train import train
from heldout.errors import InputError, PrerequisiteError, RefusedError, TamperedError
from heldout.evidence import read_json, read_json_lines, sha256_file, write_json
from heldout.predict.shards import Shard

CONTRACT = "cosmos_world_model"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``index``, ``pairs`` and the training ``run``."""
    home = tmp_path_factory.mktemp("world")
    make_pairs(make_index(home), home / "pairs")
    train(home / "pairs", home / "run", QUICK)
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(built, tmp_path / "home")
    load_model.cache_clear()
    return tmp_path / "home"


def evaluate(home: Path, out: str, adapter: str = "run/checkpoint", **options: Any) -> dict[str, Any]:
    shard = options.pop("shard", None)
    plan = Plan(home / "index", CONTRACT, home / adapter, **options)
    return run(plan, load_registry(home)[CONTRACT], home / out, shard=shard)


def gate(home: Path) -> dict[str, Any]:
    return check_checkpoint(Checkpoint(home / "run/checkpoint", load_registry(home)[CONTRACT], home / "run"))


def respoil(folder: Path, name: str, change: Callable[[Path], None]) -> None:
    """Change a file of a checkpoint, and its manifest with it."""
    change(folder / name)
    manifest = read_json(folder / "checkpoint_manifest.json")
    manifest["files"][name]["sha256"] = sha256_file(folder / name)
    write_json(folder / "checkpoint_manifest.json", manifest)


@pytest.mark.slow
def test_a_seed_decides_the_bytes_of_the_weights(built: Path, tmp_path: Path) -> None:
    """Nobody could make the model again that a verdict names."""
    digests = [sha256_file(built / "run/checkpoint/model.safetensors")]
    for name, options in (("again", QUICK), ("other", replace(QUICK, seed=8))):
        train(built / "pairs", tmp_path / name, options)
        digests.append(sha256_file(tmp_path / name / "checkpoint/model.safetensors"))
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_what_is_trained_is_left_and_something_else_is_refused(built: Path) -> None:
    """A folder would mix two trainings, or a finished one would be paid for again."""
    before = (built / "run/progress.jsonl").read_bytes()
    assert read_json(built / "run/training_metadata.json") == train(built / "pairs", built / "run", QUICK)
    assert before == (built / "run/progress.jsonl").read_bytes()
    with pytest.raises(RefusedError, match="training of other"):
        train(built / "pairs", built / "run", replace(QUICK, seed=8))


def test_before_it_learns_it_says_that_nothing_changes(home: Path) -> None:
    """The comparison with copying the last would begin somewhere else."""
    folder = home / "run/checkpoint"

    def forget(path: Path) -> None:
        tensors = load_file(path)
        save_file({name: v * (0 if name.startswith("change") else 1) for name, v in tensors.items()}, path)

    respoil(folder, "model.safetensors", forget)
    model = load_model(folder)
    episode = opened(next((home / "store").glob("*/*")).resolve())
    present = window_features(episode, model.spec, 20, 29)
    assert np.allclose(present, model.future(episode, 20, 29, 10), atol=1e-4)


def test_the_gate_passes_and_names_each_fault(home: Path) -> None:
    """A checkpoint with a NaN, with other weights or without a horizon would be evaluated."""
    assert "pass" == gate(home)["status"], gate(home)["findings"]
    folder = home / "run/checkpoint"

    def nan(path: Path) -> None:
        tensors = load_file(path)
        tensors["change.bias"] = np.full_like(tensors["change.bias"], np.nan)
        save_file(tensors, path)

    respoil(folder, "model.safetensors", nan)
    found = gate(home)
    assert ("FAIL", "FAIL") == (found["checks"]["finite"], found["checks"]["prediction"])
    assert any("change.bias is not finite" in one["what"] for one in found["findings"])
    respoil(folder, "model_config.json", lambda path: write_json(path, read_json(path) | {"horizon_seconds": None}))
    assert "FAIL" == gate(home)["checks"]["configuration"]


def test_weights_that_the_manifest_does_not_name_are_not_loaded(home: Path) -> None:
    """A swapped file would be evaluated under the old name."""
    path = home / "run/checkpoint/feature_normalizer.json"
    write_json(path, read_json(path) | {"fitted_on": ["somebody"]})
    assert ["feature_normalizer.json"] == unlike_manifest(path.parent)
    with pytest.raises(TamperedError, match="feature_normalizer"):
        evaluate(home, "eval")


def test_only_train_pairs_decide_what_is_fitted(home: Path) -> None:
    """Ranges of test episodes would tell the model where the futures lie."""
    data = FutureData.open(home / "pairs")
    fitted = fit_scalings(data, "actions")
    held = np.concatenate([data.of("val"), data.of("test")])
    for values in data.arrays.values():
        values[held] = 1e6
    again = fit_scalings(data, "actions")
    for one, other in zip(fitted, again, strict=True):
        assert one is not None
        assert other is not None
        assert one.to_json() == other.to_json()
    assert set(fitted[0].fitted_on) == set(data.manifest["episodes"]["train"])


def test_a_normaliser_of_all_episodes_is_refused_by_name(home: Path) -> None:
    """Statistics of the test episodes would be at work in their evaluation."""
    data = FutureData.open(home / "pairs")
    rows = np.arange(len(data.rows))
    everything = Scaling.fit(data.arrays["present"], data.episodes(rows))
    respoil(home / "run/checkpoint", "feature_normalizer.json", lambda path: write_json(path, everything.to_json()))
    with pytest.raises(RefusedError, match="not in train") as caught:
        evaluate(home, "eval")
    assert "HO-G106" == caught.value.code
    assert [] == read_openings(home / "index")


@pytest.mark.slow
def test_the_evaluation_writes_every_required_file_and_judges_by_baselines(home: Path) -> None:
    """A world model would be judged without copying the last beside it."""
    document = evaluate(home, "eval")
    contract = load_registry(home)[CONTRACT]
    assert [] == [name for name in contract.artifacts["required_eval_files"] if not (home / "eval" / name).is_file()]
    assert (home / "eval/retrieval_examples.html").is_file()
    assert (home / "eval/retrieval_examples.png").read_bytes().startswith(b"\x89PNG")
    mrr = document["metrics"]["evidence"]["future_retrieval_mrr"]
    assert {"chance", "copy_last", "train_mean"} == set(mrr["baselines"])
    assert mrr["value"] > mrr["baselines"]["copy_last"]["value"]
    rules = {rule["id"]: rule for rule in document["verdict"]["rules"]}
    assert rules["beats_trivial:future_retrieval_mrr"]["outcome"] in ("PASS", "FAIL")
    assert ("PROMOTE" == document["verdict"]["verdict"]) == all(r["outcome"] == "PASS" for r in rules.values())
    assert 1 == len(read_openings(home / "index"))


@pytest.mark.slow
def test_shards_of_a_world_model_give_the_bytes_of_the_whole(home: Path) -> None:
    """Resuming or splitting an evaluation would change its result."""
    evaluate(home, "whole")
    for offset in range(3):
        evaluate(home, f"s{offset}", shard=Shard(offset, 3))
    merge_shards([home / f"s{n}" for n in range(3)], load_registry(home)[CONTRACT], home / "merged")
    for name in ("future_predictions.jsonl", "metrics.json", "retrieval_rankings.csv"):
        assert (home / "whole" / name).read_bytes() == (home / "merged" / name).read_bytes()


def test_actions_on_the_way_are_inputs_only_where_the_model_says_so(built: Path, tmp_path: Path) -> None:
    """The plain model would see what the hand is going to do."""
    train(built / "pairs", tmp_path / "acted", replace(QUICK, conditioning="actions"))
    episode = opened(next((built / "store").glob("*/*")).resolve())
    for folder, differs in ((built / "run/checkpoint", False), (tmp_path / "acted/checkpoint", True)):
        model = load_model(folder)
        there = model.future(episode, 20, 29, 10)
        moved = replace(model, settings=replace(model.settings, action_stream="pose_that_is_not_there"))
        if differs:
            assert read_json(folder / "model_config.json")["action_normaliser"]["fitted_on"]
            with pytest.raises(IndexError):
                moved.future(episode, 20, 29, 10)
        else:
            assert np.array_equal(there, moved.future(episode, 20, 29, 10))


def test_cosmos_without_weights_says_what_is_missing(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would find out by a traceback, or a checkpoint would name weights that nobody has."""
    monkeypatch.delenv("COSMOS_MODEL_DIR", raising=False)
    with pytest.raises(PrerequisiteError, match="no Cosmos weights"):
        make_checkpoint(built / "pairs", tmp_path / "cosmos", Generation())
    assert not (tmp_path / "cosmos").exists()
    base = tmp_path / "base"
    write_json(base / "model_index.json", {"_class_name": "Cosmos3OmniPipeline", "safety_checker": [None, None]})
    monkeypatch.setenv("COSMOS_MODEL_DIR", str(base))
    with pytest.raises(InputError, match="4 n"):
        make_checkpoint(built / "pairs", tmp_path / "cosmos", Generation(conditioning_frames=4))
    document = make_checkpoint(built / "pairs", tmp_path / "cosmos", Generation(device="cpu"))
    assert (
        document["base_sha256"]
        == read_json(tmp_path / "cosmos/checkpoint/model_config.json")["generation"]["base_sha256"]
    )
    checked = check_checkpoint(
        Checkpoint(tmp_path / "cosmos/checkpoint", load_registry(built)[CONTRACT], tmp_path / "cosmos")
    )
    assert "fail" == checked["status"]
    write_json(base / "model_index.json", {"_class_name": "Other"})
    episode = opened(next((built / "store").glob("*/*")).resolve())
    with pytest.raises(InputError, match="another one") as caught:
        load_model(tmp_path / "cosmos/checkpoint").future(episode, 20, 29, 10)
    assert "HO-G127" == caught.value.code


@pytest.mark.slow
def test_a_killed_training_leaves_no_checkpoint_and_starts_again_to_the_same_weights(
    built: Path, tmp_path: Path
) -> None:
    """Half a checkpoint would be evaluated, or a kill would change the model."""
    script = (
        "import os, signal, sys; from pathlib import Path; from dynamics_kit import QUICK;"
        "from heldout.domains.embodied.training import files; from heldout.domains.embodied.world.train import train;"
        "save = files._save;"
        "files._save = lambda *a: os.kill(os.getpid(), signal.SIGKILL);"
        f"train(Path({str(built / 'pairs')!r}), Path({str(tmp_path / 'run')!r}), QUICK)"
    )
    support = str(Path(__file__).parents[2] / "support")
    code = f"import sys; sys.path.insert(0, {support!r});{script}"
    killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert -signal.SIGKILL == killed.returncode, killed.stderr
    assert not (tmp_path / "run/checkpoint").exists()
    train(built / "pairs", tmp_path / "run", QUICK)
    weights = "checkpoint/model.safetensors"
    assert sha256_file(built / "run" / weights) == sha256_file(tmp_path / "run" / weights)
    events = [one["event"] for one in read_json_lines(tmp_path / "run/progress.jsonl")]
    assert (2, "complete") == (events.count("setup_done"), events[-1])


@pytest.mark.parametrize(
    ("version", "name"),
    [("0.39.0", "torch_dtype"), ("0.40.0", "dtype"), ("0.42.1", "dtype"), ("1.0.0.dev0", "dtype")],
)
def test_the_type_of_weights_is_named_as_this_version_of_diffusers_does(version: str, name: str) -> None:
    """An older version would pass over the new name and load float32; a newer one refuses the old name."""
    assert name == dtype_option(version)
