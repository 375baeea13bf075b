"""Training: killed and continued to the same weights, one process or two, with what it claims written down."""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly import times
from safetensors.numpy import load_file

from heldout.domains.embodied.qwen.launch import FSDP_FILE, WRAPPED, write_fsdp
from heldout.domains.embodied.qwen.options import TrainOptions, from_arguments
from heldout.domains.embodied.qwen.plan import Plan
from heldout.domains.embodied.qwen.state import newest
from heldout.domains.embodied.qwen.trainer import train
from heldout.errors import InputError, RefusedError
from heldout.evidence import read_json, read_json_lines, sha256_file

STEPS, KILLS = 40, times(2, 5)


def options(made: Path, out: Path, **changes: Any) -> TrainOptions:
    common: dict[str, Any] = {
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "max_train_steps": STEPS,
        "epochs": 9,
        "max_val_samples": 4,
        "learning_rate": 3e-3,
        "lr_schedule": "cosine",
        "checkpoint_every": 2,
        "lora_r": 4,
        "lora_alpha": 8,
        "model_id": made / "tiny",
    }
    return TrainOptions(made / "data", "run", out, **common | changes)


def words(made: Path, out: Path) -> list[str]:
    """The same training on the command line."""
    found = options(made, out)
    names = ("batch_size", "gradient_accumulation_steps", "max_train_steps", "epochs", "max_val_samples")
    names += ("learning_rate", "lr_schedule", "checkpoint_every", "lora_r", "lora_alpha")
    arguments = ["--out", str(out), "--base", str(made / "tiny"), "--run-id", "run"]
    for name in names:
        arguments += [f"--{name.replace('_', '-')}", str(getattr(found, name))]
    return ["-m", "heldout.cli.main", "embodied", "qwen", "train", str(made / "data"), *arguments]


@pytest.fixture(scope="module")
def calm(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody disturbed."""
    out = tmp_path_factory.mktemp("calm") / "run"
    train(options(made, out))
    return out


@pytest.mark.slow
def test_a_training_that_is_killed_ends_with_the_same_weights(made: Path, calm: Path, tmp_path: Path) -> None:
    """A night's training would be lost with the machine, or end elsewhere and be compared as if it had not."""
    out, draw, deaths = tmp_path / "run", random.Random(5), 0
    while not (out / "results/training_metadata.json").is_file():
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen([sys.executable, *words(made, out)], stdout=log, stderr=log)
            before = len(read_json_lines(out / "results/progress.jsonl"))
            if deaths < KILLS:
                while len(read_json_lines(out / "results/progress.jsonl")) < before + 3 and process.poll() is None:
                    time.sleep(0.02)
                time.sleep(0.3 * draw.random())
                process.send_signal(signal.SIGKILL)
            code = process.wait(timeout=120)
        assert code in (0, -signal.SIGKILL), (tmp_path / "log").read_text()
        deaths += code != 0
    assert KILLS == deaths
    assert any(event["event"] == "resumed" for event in read_json_lines(out / "results/progress.jsonl"))
    for name in ("adapter_model.safetensors", "adapter_config.json", "probe.safetensors"):
        assert sha256_file(calm / "adapter_lora" / name) == sha256_file(out / "adapter_lora" / name), name
    ours, theirs = (read_json(folder / "results/training_metadata.json") for folder in (out, calm))
    assert theirs["history"] == ours["history"]
    assert None is newest(out / "states")


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(made: Path, tmp_path: Path) -> None:
    """Samples would be seen twice or never, or gradients be scaled by the number of machines."""
    small = {"max_train_steps": 4, "gradient_accumulation_steps": 2, "checkpoint_every": 2}
    train(options(made, tmp_path / "one", batch_size=4, **small))
    arguments = words(made, tmp_path / "two")
    arguments[arguments.index("--max-train-steps") + 1] = "4"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    alone = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *launch, *arguments], check=True, timeout=240, env=alone)
    one, two = (load_file(tmp_path / name / "adapter_lora/adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        np.testing.assert_allclose(tensor, two[name], atol=2e-4, err_msg=name)
    assert 2 == read_json(tmp_path / "two/results/training_metadata.json")["num_processes"]


@pytest.mark.slow
def test_a_finished_training_is_left_as_it_is_and_no_other_is_mixed_in(made: Path, calm: Path) -> None:
    """A second start would train on top of the result, or put another model under its name."""
    before = sha256_file(calm / "adapter_lora/adapter_model.safetensors")
    document = train(options(made, calm))
    assert document == read_json(calm / "results/training_metadata.json")
    assert before == sha256_file(calm / "adapter_lora/adapter_model.safetensors")
    with pytest.raises(RefusedError, match="another training is finished"):
        train(options(made, calm, learning_rate=1e-3))


@pytest.mark.slow
def test_a_training_says_what_it_did(made: Path, calm: Path) -> None:
    """The published tools look for these events and keys, and the gate compares them with the weights."""
    events = [event["event"] for event in read_json_lines(calm / "results/progress.jsonl")]
    assert ["setup_done", "train_loop_start"] == events[:2]
    assert ["save_start", "save_state_dict_built", "save_done", "complete"] == events[-4:]
    assert STEPS == Counter(events)["train_step"]
    document = read_json(calm / "adapter_lora/training_metadata.json")
    keys = "run_id model_id backbone dataset_jsonl checkpoint_dir num_processes num_train_samples num_val_samples "
    keys += "tuning_mode save_mode max_train_steps optimizer_init history lora use_audio_in_video loss_mode "
    keys += "loss_logit_tail_only base_model_sha256"
    assert set(keys.split()) <= set(document)
    assert document["history"][-1]["train_loss"] < document["history"][0]["train_loss"]
    assert not any(str(Path.home()) in str(value) or "/tmp" in str(value) for value in document.values())


@given(
    st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 99)
)
def test_every_sample_is_seen_once_an_epoch(
    count: int, batch: int, group: int, world: int, epoch: int, seed: int
) -> None:
    """Some windows would never train and others twice, depending on the number of machines."""
    names = [f"w{number}" for number in range(count)]
    plans = [Plan(names, seed, 4, batch, group, rank, world) for rank in range(world)]
    seen: Counter[int] = Counter()
    for plan in plans:
        micro, steps = 0, 0
        while micro < plan.micro_steps:
            batches = plan.group(epoch, micro)
            seen.update(place for one in batches for place in one)
            micro, steps = micro + len(batches), steps + 1
        assert plan.steps == 4 * steps
    assert set(range(count)) == set(seen)
    assert plans[0].per_rank * world == seen.total()
    assert max(seen.values()) - min(seen.values()) <= 1
    assert plans[0].order(epoch) == Plan(names, seed, 4, 1, 1, 0, world).order(epoch)


def test_the_learning_rate_is_a_function_of_the_counter(made: Path, tmp_path: Path) -> None:
    """A continued training would warm up again."""
    found = options(made, tmp_path, warmup_steps=4, learning_rate=1.0)
    rates = [found.learning_rate_at(step, 20) for step in range(21)]
    assert [0.25, 0.5, 0.75, 1.0, 1.0] == rates[:5]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0.0 == pytest.approx(rates[-1])
    assert 1.0 == options(made, tmp_path, learning_rate=1.0, lr_schedule="constant").learning_rate_at(999, 20)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("lora_dropout", 1.0), ("tuning_mode", "lra"), ("dtype", "int8"), ("use_audio_in_video", True)],
)
def test_an_option_out_of_range_is_named(made: Path, tmp_path: Path, name: str, value: Any) -> None:
    """A training of hours would start with what nobody meant."""
    with pytest.raises(InputError, match=name):
        options(made, tmp_path, **{name: value}).check()


def test_a_contract_of_another_backbone_is_refused(made: Path, tmp_path: Path) -> None:
    """Its gate would later look for files that this trainer never writes."""
    contracts = (
        Path(importlib.import_module("heldout.domains.embodied.contract.contracts").__file__ or "").parent / "backbones"
    )
    arguments = {"dataset_jsonl": made / "data", "output_dir": tmp_path / "run", "run_id": None}
    arguments |= {"lora_target_modules": "q_proj, v_proj", "backbone_config": contracts / "qwen3_omni_lora.json"}
    found = from_arguments(arguments)
    assert ("run", ("q_proj", "v_proj")) == (found.run_id, found.lora_target_modules)
    with pytest.raises(InputError, match="asks for data of"):
        from_arguments(arguments | {"backbone_config": contracts / "policy_vla_branch.json"})


def test_the_configuration_for_eight_accelerators_fits_model_and_library(tmp_path: Path) -> None:
    """It would fail on the machine that costs the most."""
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.utils import FullyShardedDataParallelPlugin
    from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as models

    command = write_fsdp(tmp_path / "fsdp.yaml")
    assert FSDP_FILE.read_bytes() == (tmp_path / "fsdp.yaml").read_bytes()
    assert str(tmp_path / "fsdp.yaml") in command
    config = ClusterConfig.from_yaml_file(tmp_path / "fsdp.yaml")
    assert (8, "bf16", "FSDP") == (
        config.num_processes,
        config.mixed_precision,
        str(config.distributed_type).split(".")[-1],
    )
    chosen = config.fsdp_config
    assert "FULL_SHARD" == chosen["fsdp_sharding_strategy"]
    assert WRAPPED == chosen["fsdp_transformer_layer_cls_to_wrap"]
    assert hasattr(models, WRAPPED)
    assert chosen["fsdp_use_orig_params"]  # frozen and trained parameters stand in one layer
    known = set(FullyShardedDataParallelPlugin.__dataclass_fields__)
    renamed = {
        "fsdp_transformer_layer_cls_to_wrap": "transformer_cls_names_to_wrap",
        "fsdp_offload_params": "cpu_offload",
    }
    for name in chosen:
        assert renamed.get(name, name) in known or renamed.get(name, name).removeprefix("fsdp_") in known, name
