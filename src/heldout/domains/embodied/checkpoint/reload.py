"""Loading a checkpoint from disk and predicting a fixed probe: it must answer what it answered when it was saved.

``probe.safetensors`` holds the inputs and the outputs, written by the trainer with the model still in memory. A LoRA
adapter is loaded by transformers and peft onto its base (``input_ids``, media, ``logits``); any other model by the
contract's entry point ``predict``, a function of the checkpoint's folder that gives a function of the inputs. It is the
contract's and never the checkpoint's: a checkpoint must not choose which code runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.qwen.base import KINDS, load_base
from heldout.domains.embodied.qwen.quiet import quiet
from heldout.domains.embodied.training.tensors import read_tensors
from heldout.errors import HeldoutError, PrerequisiteError
from heldout.evidence import read_json

Arrays = Mapping[str, NDArray[Any]]
TOLERANCE = 1e-4
_OUTPUTS = "output."


def reload_problems(checkpoint: Checkpoint, probe: Path) -> list[str]:
    """Why an adapter loaded onto its base does not answer the probe as it did; empty if it does."""
    try:
        arrays = _arrays(probe)
        missing = [name for name in ("input_ids", "logits") if name not in arrays]
        if missing:
            return [f"the probe has no {', '.join(missing)}"]
        inputs = {name: array for name, array in arrays.items() if name != "logits"}
        seen = _logits(checkpoint, inputs)[:, -arrays["logits"].shape[1] :]
    except HeldoutError as error:
        return [error.what]
    except Exception as error:  # noqa: BLE001 - whatever a foreign library does with a bad checkpoint
        return [f"it cannot be loaded: {type(error).__name__}: {error}"]
    return _differences({"logits": arrays["logits"]}, {"logits": seen})


def predict_problems(checkpoint: Checkpoint, probe: Path, entrypoint: str) -> list[str]:
    """The same for a model that the contract's entry point loads; outputs are named ``output.*`` in the probe."""
    try:
        arrays = _arrays(probe)
        module, _, name = entrypoint.partition(":")
        predict = getattr(importlib.import_module(module), name)(checkpoint.folder)
        seen = predict({key: value for key, value in arrays.items() if not key.startswith(_OUTPUTS)})
    except HeldoutError as error:
        return [error.what]
    except Exception as error:  # noqa: BLE001
        return [f"it cannot predict: {type(error).__name__}: {error}"]
    wanted = {key.removeprefix(_OUTPUTS): value for key, value in arrays.items() if key.startswith(_OUTPUTS)}
    return _differences(wanted, seen) if wanted else ["the probe has no outputs"]


def _differences(wanted: Arrays, seen: Arrays) -> list[str]:
    problems = []
    for name, expected in sorted(wanted.items()):
        found = seen.get(name)
        if found is None or found.shape != expected.shape:
            problems.append(f"{name} has shape {None if found is None else found.shape}, not {expected.shape}")
            continue
        gap = float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        same = name != "logits" or bool((found.argmax(-1) == expected.argmax(-1)).all())
        if not gap <= TOLERANCE * scale or not same:
            problems.append(f"{name} differs by {gap:.3g} from what was predicted when it was saved")
    return problems


def _logits(checkpoint: Checkpoint, inputs: Arrays) -> NDArray[Any]:
    import torch

    peft, transformers = (_imported(name) for name in ("peft", "transformers"))

    base = _base(transformers, checkpoint.base)
    with quiet():
        model = peft.PeftModel.from_pretrained(base, str(checkpoint.folder), is_trainable=False).eval()
    with torch.no_grad():
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in inputs.items()}
        found: NDArray[Any] = model(**tensors).logits.float().numpy()
    return found


def _base(transformers: Any, folder: Path | None) -> Any:
    """The base, by the class that it says it is: one with eyes and ears is no causal language model to transformers."""
    assert folder is not None
    if read_json(folder / "config.json").get("model_type") in KINDS:
        return load_base(folder, "float32")
    options = {"local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(folder, **options)
    named = [getattr(transformers, name, None) for name in config.architectures or ()]
    known = [each for each in named if isinstance(each, type) and issubclass(each, transformers.PreTrainedModel)]
    loader: Any = known[0] if known else transformers.AutoModelForCausalLM
    return loader.from_pretrained(folder, dtype="float32", use_safetensors=True, **options)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        hint = "pip install 'heldout[embodied]'"
        raise PrerequisiteError(f"{name} is not installed, so nothing was loaded", where=name, hint=hint) from None


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    return {tensor.name: tensor.array() for tensor in read_tensors(path)}
