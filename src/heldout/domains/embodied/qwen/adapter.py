"""What a training leaves: the adapter (or the whole model of a first stage), its metadata, and a probe."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.domains.embodied.qwen.base import save_base
from heldout.domains.embodied.qwen.batch import question
from heldout.domains.embodied.qwen.options import DATASET_CONTRACT, OBJECTIVE, TrainOptions
from heldout.domains.embodied.qwen.settings import FILE as EXPORT_FILE
from heldout.domains.embodied.qwen.shape import TrainingMetadata
from heldout.domains.embodied.qwen.state import Progress, gather
from heldout.errors import RefusedError
from heldout.evidence import atomic_path, read_json, read_plain, sha256_file, write_bytes, write_json

if TYPE_CHECKING:
    from heldout.domains.embodied.qwen.state import Tensors
    from heldout.domains.embodied.qwen.trainer import Training

METADATA_FILE, PROBE_FILE = "training_metadata.json", "probe.safetensors"
CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
SCHEMA = "heldout.training-metadata/1"
_PROBE_TOKENS = 8


def finished(options: TrainOptions, key: str) -> TrainingMetadata | None:
    """The metadata of a training that is over; None if it is not.

    Raises:
        RefusedError: If another training is over there.
    """
    path = options.results / METADATA_FILE
    if not path.is_file():
        return None
    document: TrainingMetadata = read_json(path)
    if document.get("key") != key:
        raise RefusedError(
            "another training is finished there",
            where=str(path),
            hint="choose another --output-dir",
            code="HO-E420",
        )
    return document


def finish(training: Training, progress: Progress) -> TrainingMetadata:
    """Save what was trained; the metadata comes last, for it says that the rest is there."""
    options = training.options
    folder = options.adapter
    training.event("save_start", checkpoint_dir=folder.name, save_mode=options.save_mode)
    weights, _ = gather(training.model)
    model = training.accelerator.unwrap_model(training.model)
    document = _metadata(training, progress)
    if not training.accelerator.is_main_process:
        return document
    training.event("save_state_dict_built", state_source="torch.distributed.checkpoint", **_built(weights))
    if options.save_mode == "none":
        training.event("save_skipped")
    elif options.tuning_mode == "lora":
        _save_adapter(folder, model, weights)
        _save_probe(folder, training, model)
        document["adapter_sha256"] = sha256_file(folder / WEIGHTS_FILE)
    else:
        origin = dict(training.base["origin"]) | {"model_id": training.base["model_id"]}
        stage = {
            "run_id": document["run_id"],
            "tuning_mode": document["tuning_mode"],
            "dataset_sha256": document["dataset_sha256"],
            "num_train_samples": document["num_train_samples"],
            "key": document["key"],
            "trained_on": options.train_split,
            "steps": progress.step,
            "before": training.base["sha256"],
        }
        save_base(folder, model, training.tokenizer, origin | {"stages": [*training.base["stages"], stage]}, weights)
    if options.save_mode != "none":
        training.tokenizer.save_pretrained(str(folder))
        write_bytes(folder / EXPORT_FILE, read_plain(training.dataset.folder / EXPORT_FILE))
        if options.tuning_mode == "lora":
            write_json(folder / METADATA_FILE, document)
        training.event("save_done", checkpoint_dir=folder.name)
    training.event("complete", checkpoint_dir=folder.name)
    write_json(options.results / METADATA_FILE, document)
    shutil.rmtree(options.output_dir / "states", ignore_errors=True)
    return document


def _save_adapter(folder: Path, model: Any, weights: Tensors) -> None:
    """The published files, under the names that PEFT gives them; without the card that it would write."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = get_peft_model_state_dict(model, state_dict=weights, save_embedding_layers=False)
    with atomic_path(folder / WEIGHTS_FILE) as partial:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, str(partial), {"format": "pt"})
    config = {
        name: sorted(one) if isinstance(one, set) else one
        for name, one in model.peft_config["default"].to_dict().items()
    }
    write_json(folder / CONFIG_FILE, config | {"inference_mode": True})


def _save_probe(folder: Path, training: Training, model: Any) -> None:
    """A train window and what the model in memory says to it, for the gate that loads the adapter again."""
    import torch
    from safetensors.torch import save_file

    example = training.dataset.example(training.tokenizer, training.train[0], answer=False)
    pad, device = training.tokenizer.pad_token_id, training.accelerator.device
    inputs = question(example, pad, device, training.dtype)
    model.eval()
    with torch.no_grad():
        logits = model(**inputs, use_cache=False).logits[:, -_PROBE_TOKENS:].float()
    probe = {
        name: (value.float() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in (inputs | {"logits": logits}).items()
    }
    with atomic_path(folder / PROBE_FILE) as partial:
        save_file(probe, str(partial))


def _metadata(training: Training, progress: Progress) -> TrainingMetadata:
    options, base = training.options, training.base
    folder = options.adapter
    lora = {
        "r": options.lora_r,
        "alpha": options.lora_alpha,
        "dropout": options.lora_dropout,
        "target_modules": training.targets.declared,
        "asked": list(options.lora_target_modules),
        "towers": [],
        "modules_to_save": list(training.targets.whole),
    }
    return {
        "schema": SCHEMA,
        "run_id": options.run_id,
        "model_id": base["model_id"],
        "base_model_sha256": base["sha256"],
        "base_stages": base["stages"],
        "base_path": Path(os.path.relpath(_base_folder(options), folder)).as_posix(),
        "backbone": {
            "id": base["backbone"],
            "dataset_contract": DATASET_CONTRACT,
            "training_objective": OBJECTIVE,
        },
        "dataset_jsonl": Path(os.path.relpath(training.dataset.path, folder)).as_posix(),
        "dataset_sha256": training.dataset.sha256,
        "export_sha256": training.dataset.manifest["export_sha256"],
        "checkpoint_dir": Path(os.path.relpath(folder, options.output_dir)).as_posix(),
        "num_processes": training.plan.world,
        "num_train_samples": len(training.train),
        "num_val_samples": len(training.val),
        "tuning_mode": options.tuning_mode,
        "save_mode": options.save_mode,
        "max_train_steps": options.max_train_steps,
        "optimizer_init": options.optimizer_init,
        "history": progress.history,
        "global_step": progress.step,
        "lora": lora if options.tuning_mode == "lora" else None,
        "use_audio_in_video": options.use_audio_in_video,
        "loss_mode": "answer_token_ce",
        "loss_logit_tail_only": options.loss_logit_tail_only,
        "dtype": str(training.dtype).removeprefix("torch."),
        "arguments": options.identity(),
        "key": training.key,
    }


def _base_folder(options: TrainOptions) -> Path:
    from heldout.domains.embodied.qwen.base import find_base

    return find_base(options.model_id)


def _built(weights: Tensors) -> dict[str, object]:
    prefixes: dict[str, dict[str, int]] = {}
    for name, tensor in weights.items():
        parts = name.removeprefix("base_model.model.").split(".")
        one = prefixes.setdefault(".".join(parts[:2]), {"tensors": 0, "numel": 0})
        one["tensors"] += 1
        one["numel"] += tensor.numel()
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    summary = {"adapter_tensors": len(weights), "adapter_bytes": size, "prefixes": prefixes}
    return {"trainable_tensors": len(weights), "trainable_bytes": size, "shape_summary": summary}
