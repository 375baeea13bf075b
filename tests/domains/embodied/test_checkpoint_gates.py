"""Checkpoint gates: each way in which a checkpoint is not what its metadata says is found by its own code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_kit import RANK, make_adapter, make_world, write
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import BackboneContract, load_registry
from heldout.domains.embodied.training.tensors import is_finite, read_tensors
from heldout.errors import InputError, PrerequisiteError

Change = Callable[..., None]
PREFIX = "base_model.model."
# Without a base at hand these two cannot be made, and say so.
UNSEEN = {"HO-G127", "HO-G128"}


def codes(document: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in document["findings"]}


def lora(folder: Path, change: Change | None = None, **options: Any) -> dict[str, Any]:
    make_adapter(folder, change)
    return check_checkpoint(Checkpoint(folder, load_registry(folder)["qwen3_omni_lora"], **options))


def zero_b(tensors: Any, config: Any, metadata: Any) -> None:
    tensors[f"{PREFIX}model.layers.1.self_attn.v_proj.lora_B.weight"][:] = 0


def missing_target(tensors: Any, config: Any, metadata: Any) -> None:
    for name in [name for name in tensors if "gate_proj" in name]:
        del tensors[name]


def missing_in_one_layer(tensors: Any, config: Any, metadata: Any) -> None:
    for side in "AB":
        del tensors[f"{PREFIX}model.layers.1.self_attn.k_proj.lora_{side}.weight"]


def missing_side(tensors: Any, config: Any, metadata: Any) -> None:
    del tensors[f"{PREFIX}model.layers.1.self_attn.k_proj.lora_A.weight"]


def nan_tensor(tensors: Any, config: Any, metadata: Any) -> None:
    tensors[f"{PREFIX}model.layers.0.mlp.gate_proj.lora_A.weight"][0, 0] = np.nan


def infinite_tensor(tensors: Any, config: Any, metadata: Any) -> None:
    tensors[f"{PREFIX}model.layers.0.mlp.gate_proj.lora_B.weight"][0, 0] = np.inf


def audio_tower(tensors: Any, config: Any, metadata: Any) -> None:
    for side, shape in (("A", (RANK, 8)), ("B", (8, RANK))):
        tensors[f"{PREFIX}thinker.audio_tower.layers.0.self_attn.q_proj.lora_{side}.weight"] = np.ones(
            shape, np.float32
        )


def undeclared_module(tensors: Any, config: Any, metadata: Any) -> None:
    for side, shape in (("A", (RANK, 16)), ("B", (16, RANK))):
        tensors[f"{PREFIX}model.layers.0.mlp.down_proj.lora_{side}.weight"] = np.ones(shape, np.float32)


def strange_tensor(tensors: Any, config: Any, metadata: Any) -> None:
    tensors["model.embed_tokens.weight"] = np.ones((2, 2), np.float32)


def other_rank(tensors: Any, config: Any, metadata: Any) -> None:
    config["r"] = metadata["lora"]["r"] = 2 * RANK


def other_alpha(tensors: Any, config: Any, metadata: Any) -> None:
    config["lora_alpha"] = 16


def other_targets(tensors: Any, config: Any, metadata: Any) -> None:
    metadata["lora"]["target_modules"] = ["q_proj"]


def no_base_named(tensors: Any, config: Any, metadata: Any) -> None:
    del metadata["base_model_sha256"]


def test_a_sound_adapter_raises_nothing_but_what_cannot_be_seen(tmp_path: Path) -> None:
    """A gate that stops everything would be switched off."""
    document = lora(tmp_path / "a")
    assert UNSEEN == codes(document)
    assert {"NOT CHECKED": 2, "PASS": 9} == {
        state: list(document["checks"].values()).count(state) for state in ("NOT CHECKED", "PASS")
    }
    report = document["report"]
    assert (30, 0, 30 * 64 * 4) == (report["num_tensors"], report["num_bad_tensors"], report["total_bytes"])
    assert ({"4x16": 15, "16x4": 15}, {"model": 30}) == (report["shape_counts"], report["prefixes"])


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (zero_b, "HO-G126", "v_proj: B is zero"),
        (missing_target, "HO-G122", "target gate_proj has no tensor"),
        (missing_in_one_layer, "HO-G122", "k_proj is not adapted in model.layers.1"),
        (missing_side, "HO-G122", "k_proj has no A"),
        (nan_tensor, "HO-G125", "lora_A.weight is not finite"),
        (infinite_tensor, "HO-G125", "lora_B.weight is not finite"),
        (audio_tower, "HO-G123", "tower audio_tower is adapted and not declared"),
        (undeclared_module, "HO-G123", "down_proj is adapted and not declared"),
        (strange_tensor, "HO-G123", "model.embed_tokens.weight is no part of an adapter"),
        (other_rank, "HO-G124", "declared 8"),
        (other_alpha, "HO-G121", "alpha is 8 in training_metadata and 16"),
        (other_targets, "HO-G121", "target_modules differ"),
        (no_base_named, "HO-G127", "does not name the base"),
    ],
)
def test_weaknesses_7_and_15_each_fault_of_an_adapter_has_its_name(
    tmp_path: Path, change: Change, code: str, words: str
) -> None:
    """An adapter that learnt nothing, or in the wrong place, passed a gate that counted dimensions."""
    document = lora(tmp_path / "a", change)
    assert {code} == codes(document) - (UNSEEN - {code})
    assert any(words in finding["what"] for finding in document["findings"]), document["findings"]
    assert "fail" == document["status"]


def test_an_excluded_module_that_is_adapted_is_found(tmp_path: Path) -> None:
    """PEFT reads a list of names as endings everywhere, also where it was told not to."""

    def change(tensors: Any, config: Any, metadata: Any) -> None:
        config["exclude_modules"] = r".*layers\.2\..*"

    assert "HO-G123" in codes(lora(tmp_path / "a", change))


def test_fused_experts_may_have_their_rank_times_their_number(tmp_path: Path) -> None:
    """An adapter of a mixture of experts would be refused for its shape."""

    def change(tensors: Any, config: Any, metadata: Any) -> None:
        config["target_parameters"] = ["mlp.experts.gate_up_proj"]
        metadata["lora"]["target_modules"] = [*config["target_modules"], "mlp.experts.gate_up_proj"]
        for layer in range(3):
            name = f"{PREFIX}model.layers.{layer}.mlp.experts"
            tensors[f"{name}.lora_A.weight"] = np.ones((4 * RANK, 16), np.float32)
            tensors[f"{name}.lora_B.weight"] = np.ones((16, 4 * RANK), np.float32)

    assert UNSEEN == codes(lora(tmp_path / "a", change))


def test_every_file_of_the_adapter_is_looked_at(tmp_path: Path) -> None:
    """What stands in the second file would pass unseen."""
    make_adapter(tmp_path / "a")
    extra = {f"{PREFIX}model.layers.0.mlp.gate_proj.lora_B.weight": np.full((16, RANK), np.nan, np.float32)}
    save_file(extra, tmp_path / "a/adapter_model-00002.safetensors")
    document = check_checkpoint(Checkpoint(tmp_path / "a", load_registry(tmp_path)["qwen3_omni_lora"]))
    assert {"HO-G123", "HO-G125"} <= codes(document)


def test_weakness_15_the_wrong_base_is_named(tmp_path: Path) -> None:
    """An adapter on another base is another model."""
    base = tmp_path / "base"
    write(base / "config.json", {"model_type": "llama"})
    document = lora(tmp_path / "a", base=base)
    finding = next(one for one in document["findings"] if one["code"] == "HO-G127")
    assert "trained on 000000000000" in finding["what"]


def test_half_floats_are_read_without_torch(tmp_path: Path) -> None:
    """An infinity in bfloat16, in which adapters are saved, would not be seen."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    values = torch.tensor([[1.5, -2.0], [3.0, 0.25]], dtype=torch.bfloat16)
    broken = torch.tensor([1.0, float("inf")], dtype=torch.bfloat16)
    save_torch({"a": values, "b": broken}, tmp_path / "x.safetensors")
    found = {tensor.name: tensor for tensor in read_tensors(tmp_path / "x.safetensors")}
    np.testing.assert_array_equal(values.float().numpy(), found["a"].array())
    assert (True, False) == (is_finite(found["a"]), is_finite(found["b"]))
    (tmp_path / "y.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:-3])
    with pytest.raises(InputError, match="no safetensors file"):
        read_tensors(tmp_path / "y.safetensors")


def test_a_gate_that_nobody_wrote_is_no_pass(tmp_path: Path) -> None:
    """A contract could name any gate, and pass it."""
    contract = load_registry(tmp_path)["qwen3_omni_lora"]
    artifacts = {**contract.artifacts, "checkpoint_gate": "trust_me"}
    with pytest.raises(PrerequisiteError, match="no gate is named 'trust_me'"):
        check_checkpoint(
            Checkpoint(tmp_path, replace(contract, config={**contract.config, "artifact_contract": artifacts}))
        )


def with_predict(contract: BackboneContract) -> BackboneContract:
    entrypoints = {**contract.entrypoints, "predict": "checkpoint_kit:load"}
    return replace(contract, config={**contract.config, "entrypoints": entrypoints})


def world(folder: Path, change: Change | None = None) -> dict[str, Any]:
    make_world(folder, change)
    return check_checkpoint(Checkpoint(folder, with_predict(load_registry(folder)["cosmos_world_model"])))


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda t, d: d["model_config.json"].pop("horizon_seconds"), "HO-G131", "horizon_seconds"),
        (lambda t, d: d["model_config.json"].pop("scheduler"), "HO-G132", "neither a scheduler"),
        (lambda t, d: t["weight"].__setitem__((0, 0), np.nan), "HO-G133", "not finite"),
        (lambda t, d: t["weight"].fill(0), "HO-G133", "every weight is zero"),
        (lambda t, d: t["weight"].__setitem__((0, 0), 9.0), "HO-G134", "differs by"),
    ],
)
def test_each_fault_of_a_world_model_has_its_name(tmp_path: Path, change: Change, code: str, words: str) -> None:
    """A world model without weights, or with others than were trained, passed a gate that was a name."""
    assert "pass" == world(tmp_path / "sound")["status"]
    document = world(tmp_path / "a", change)
    assert code in codes(document) <= {code, "HO-G129", "HO-G134"}
    assert any(words in finding["what"] for finding in document["findings"])


def test_weights_that_are_missing_or_swapped_are_found(tmp_path: Path) -> None:
    """The published example had no weights at all, and all its required files."""
    make_world(tmp_path / "a")
    contract = with_predict(load_registry(tmp_path)["cosmos_world_model"])
    path = tmp_path / "a/model.safetensors"
    save_file({"weight": load_file(path)["weight"] + 0}, tmp_path / "a/extra.safetensors")
    assert {"HO-G133"} == codes(check_checkpoint(Checkpoint(tmp_path / "a", contract)))
    (tmp_path / "a/extra.safetensors").unlink()
    path.unlink()
    assert {"HO-G133", "HO-G134"} == codes(check_checkpoint(Checkpoint(tmp_path / "a", contract)))
    write(tmp_path / "a/checkpoint_manifest.json", {"files": {"../../etc/passwd": {"sha256": "0" * 64}}})
    document = check_checkpoint(Checkpoint(tmp_path / "a", contract))
    assert any("../../etc/passwd is not there" in finding["what"] for finding in document["findings"])


def policy(folder: Path, manifest: Path, change: Change | None = None) -> dict[str, Any]:
    make_world(folder, change)
    contract = with_predict(load_registry(folder)["policy_vla_branch"])
    return check_checkpoint(Checkpoint(folder, contract, manifest=manifest))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    splits = {"a": "train", "b": "train", "v": "val", "t": "test"}
    episodes = [{"episode_id": name, "split": split} for name, split in splits.items()]
    write(tmp_path / "episode_manifest.json", {"summary": {}, "episodes": episodes})
    return tmp_path / "episode_manifest.json"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda t, d: d["normalization_stats.json"].update(fitted_on=["a", "b", "v", "t"]), "HO-G106", "2 episodes"),
        (lambda t, d: d["normalization_stats.json"].pop("fitted_on"), "HO-G106", "do not say"),
        (lambda t, d: d["normalization_stats.json"].update(std=[1.0, 0.0, 1.0]), "HO-G142", "not above 0"),
        (lambda t, d: d["normalization_stats.json"].update(mean=[0.0]), "HO-G142", "3 finite numbers"),
        (lambda t, d: d["action_space.json"].update(dims=[]), "HO-G141", "names no dims"),
        (lambda t, d: d["action_space.json"]["dims"][0].update(low=2.0), "HO-G141", "low 2.0"),
        (lambda t, d: d["action_space.json"]["dims"][0].update(name="y"), "HO-G141", "name of its own"),
        (lambda t, d: d.pop("conversion"), "HO-G143", "no conversion"),
    ],
)
def test_each_fault_of_a_policy_has_its_name(
    tmp_path: Path, manifest: Path, change: Change, code: str, words: str
) -> None:
    """A normaliser fitted on all episodes shows the policy what test looks like."""
    assert "pass" == policy(tmp_path / "sound", manifest)["status"]
    document = policy(tmp_path / "p", manifest, change)
    assert code in codes(document) <= {code, "HO-G129", "HO-G142"}
    assert any(words in finding["what"] for finding in document["findings"]), document["findings"]


def test_what_could_not_be_looked_at_did_not_pass(tmp_path: Path) -> None:
    """A gate without a manifest, a probe or an entry point would say nothing, and be read as a yes."""
    make_world(tmp_path / "p")
    (tmp_path / "p/probe.safetensors").unlink()
    document = check_checkpoint(Checkpoint(tmp_path / "p", load_registry(tmp_path)["policy_vla_branch"]))
    assert {"HO-G106", "HO-G134"} == codes(document)
    assert ["NOT CHECKED"] * 2 == [document["checks"][name] for name in ("fitted_on_train", "prediction")]


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    """The gate would work and nobody could run it."""
    make_adapter(tmp_path / "a", zero_b)
    words = ["backbone", "checkpoint", "qwen3_omni_lora", str(tmp_path / "a")]
    shown = CliRunner().invoke(build(words), words)
    assert (1, True) == (shown.exit_code, "HO-G126" in shown.stdout)
    document = json.loads(CliRunner().invoke(build(words), [*words, "--json"]).stdout)
    assert "heldout.checkpoint/1" == document["schema"]
    served = tmp_path / "served"
    write(served / "server_info.json", {"model_id": "x"})
    words[2:] = ["cosmos3_super_reasoner", str(served)]
    assert "HO-G131" in CliRunner().invoke(build(words), words).stdout
