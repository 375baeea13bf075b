"""A real adapter on a real base: saved, loaded from disk, and asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkpoint_kit import write
from safetensors.numpy import load_file, save_file

from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.training.files import folder_digest

TARGETS = ["q_proj", "v_proj", "down_proj"]


def train(folder: Path) -> None:
    """A two-layer Llama of random weights, and an adapter of it with random B."""
    torch = pytest.importorskip("torch")
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1)
    base = transformers.LlamaForCausalLM(config).eval()
    base.save_pretrained(folder / "base", safe_serialization=True)
    wanted = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=TARGETS)
    model = peft.get_peft_model(base, wanted).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
        input_ids = torch.randint(0, 64, (2, 7))
        logits = model(input_ids=input_ids).logits
    model.save_pretrained(folder / "adapter", safe_serialization=True)
    probe = {"input_ids": input_ids.numpy(), "logits": logits.numpy()}
    save_file(probe, folder / "adapter/probe.safetensors")
    lora = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": TARGETS}
    metadata = {"run_id": "train", "lora": lora, "base_model_sha256": folder_digest(folder / "base")}
    write(folder / "adapter/training_metadata.json", metadata)
    write(folder / "adapter/progress.jsonl", {"event": "complete"})


def gate(folder: Path) -> dict[str, Any]:
    contract = load_registry(folder)["qwen3_omni_lora"]
    return check_checkpoint(Checkpoint(folder / "adapter", contract, base=folder / "base"))


@pytest.mark.slow
def test_an_adapter_answers_from_disk_what_it_answered_in_memory(tmp_path: Path) -> None:
    """What is evaluated would not be what was trained."""
    train(tmp_path)
    sound = gate(tmp_path)
    assert ("pass", []) == (sound["status"], sound["findings"])
    assert "PASS" == sound["checks"]["reload"]

    path = tmp_path / "adapter/adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if "lora_B" in name)
    save_file({**tensors, name: -tensors[name]}, path)
    changed = gate(tmp_path)
    assert ["HO-G128"] == [finding["code"] for finding in changed["findings"]]

    layer = {key: value for key, value in tensors.items() if "layers.1.mlp.down_proj" not in key}
    save_file(layer, path)
    assert "HO-G122" in {finding["code"] for finding in gate(tmp_path)["findings"]}

    save_file(tensors, path)
    config = tmp_path / "base/config.json"
    config.write_text(config.read_text() + " ")
    assert ["HO-G127"] == [finding["code"] for finding in gate(tmp_path)["findings"]]
