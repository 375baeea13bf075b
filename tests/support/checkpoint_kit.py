"""Small real checkpoints, saved as safetensors: a LoRA adapter, a world model, a policy; and a model of one matrix."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from heldout.evidence import sha256_file

Arrays = dict[str, NDArray[Any]]
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj")
LAYERS, RANK, WIDTH = 3, 4, 16


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def modules() -> list[str]:
    attention = [f"model.layers.{n}.self_attn.{t}" for n in range(LAYERS) for t in TARGETS if t != "gate_proj"]
    return attention + [f"model.layers.{n}.mlp.gate_proj" for n in range(LAYERS)]


def make_adapter(folder: Path, change: Callable[[Arrays, dict[str, Any], dict[str, Any]], None] | None = None) -> None:
    """An adapter of a three-layer text model, with everything that the gate asks for except the base."""
    rng = np.random.default_rng(0)
    tensors: Arrays = {}
    for name in modules():
        prefix = f"base_model.model.{name}"
        tensors[f"{prefix}.lora_A.weight"] = rng.normal(size=(RANK, WIDTH)).astype(np.float32)
        tensors[f"{prefix}.lora_B.weight"] = rng.normal(size=(WIDTH, RANK)).astype(np.float32)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": list(TARGETS)}
    metadata = {"run_id": "train", "lora": {"r": RANK, "alpha": 8, "dropout": 0.0, "target_modules": list(TARGETS)}}
    metadata["base_model_sha256"] = "0" * 64
    if change is not None:
        change(tensors, config, metadata)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    write(folder / "adapter_config.json", config)
    write(folder / "training_metadata.json", metadata)
    write(folder / "progress.jsonl", {"event": "complete"})


def load(folder: Path) -> Callable[[Mapping[str, NDArray[Any]]], Arrays]:
    """The entry point of the contracts in the tests: one matrix."""
    weight = load_file(folder / "model.safetensors")["weight"]
    return lambda inputs: {"future": inputs["present"] @ weight}


def make_world(folder: Path, change: Callable[[Arrays, dict[str, dict[str, Any]]], None] | None = None) -> None:
    """A world model, or with ``policy`` files a policy; ``change`` happens before the manifest is written."""
    rng = np.random.default_rng(1)
    tensors: Arrays = {"weight": rng.normal(size=(5, 5)).astype(np.float32)}
    present = rng.normal(size=(3, 5)).astype(np.float32)
    probe = {"present": present, "output.future": present @ tensors["weight"]}
    documents: dict[str, dict[str, Any]] = {
        "model_config.json": {"model_type": "linear", "horizon_seconds": 1.0, "scheduler": {"num_inference_steps": 1}},
        "training_metadata.json": {"run_id": "train"},
        "action_space.json": {
            "rate_hz": 20.0,
            "dims": [{"name": name, "unit": "m", "low": -1.0, "high": 1.0} for name in "xyz"],
        },
        "normalization_stats.json": {"mean": [0.0] * 3, "std": [1.0] * 3, "fitted_on": ["a", "b"]},
        "conversion": {"source": "hand pose", "target": "gripper pose", "method": "wrist frame"},
    }
    if change is not None:
        change(tensors, documents)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    save_file(probe, folder / "probe.safetensors")
    conversion = documents.pop("conversion", None)
    for name, document in documents.items():
        write(folder / name, document)
    write(folder / "progress.jsonl", {"event": "complete"})
    files = {"model.safetensors": {"sha256": sha256_file(folder / "model.safetensors")}}
    manifest = {"files": files} | ({"conversion": conversion} if conversion else {})
    write(folder / "checkpoint_manifest.json", manifest)
