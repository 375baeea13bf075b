"""The gate of a world model: its configuration and scheduler, sound weights that its manifest names, a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heldout.domains.embodied.checkpoint.reload import predict_problems
from heldout.domains.embodied.checkpoint.seen import Checkpoint, Verdict
from heldout.domains.embodied.training.tensors import is_finite, is_zero, read_tensors
from heldout.errors import HeldoutError
from heldout.evidence import sha256_file

PROBE = "probe.safetensors"
_PREDICT = "predict"


def check(checkpoint: Checkpoint, verdict: Verdict) -> None:
    """Run every check of a world model."""
    config = checkpoint.document("model_config.json")
    verdict.check("configuration", "HO-G131", _configuration(config), "write what the model is and what it predicts")
    verdict.check("scheduler", "HO-G132", _scheduler(checkpoint, config or {}), "save how predictions are generated")
    weights(checkpoint, verdict)
    prediction(checkpoint, verdict)


def check_served(checkpoint: Checkpoint, verdict: Verdict) -> None:
    """A base model that a server answers for: nothing is trained, so what is served must be named."""
    info = checkpoint.document("server_info.json") or {}
    wanted = checkpoint.contract.config.get("default_model_id")
    problems = [] if info.get("model_id") == wanted else [f"it serves {info.get('model_id')!r}, not {wanted!r}"]
    problems += [f"server_info names no {key}" for key in ("server", "version", "revision") if not info.get(key)]
    verdict.check("server", "HO-G131", problems, "write server_info.json when the server is asked")


def weights(checkpoint: Checkpoint, verdict: Verdict) -> None:
    """Weights are there, are those that the manifest names, are finite, and are not all zero."""
    manifest = checkpoint.document("checkpoint_manifest.json") or {}
    named = manifest.get("files")
    files = sorted(path for path in checkpoint.folder.rglob("*.safetensors") if path.name != PROBE)
    problems = [] if files else ["there are no weights (*.safetensors)"]
    if not isinstance(named, dict) or not named:
        problems.append("checkpoint_manifest.json names no files by sha256")
    else:
        problems += _unlike(checkpoint, named)
        here = {path.relative_to(checkpoint.folder).as_posix() for path in files}
        problems += [f"{name} is not in the manifest" for name in sorted(here - set(named))]
    verdict.check("weights", "HO-G133", problems, "save the checkpoint with its manifest")
    try:
        tensors = [tensor for path in files for tensor in read_tensors(path)]
        bad = [f"{tensor.name} is not finite" for tensor in tensors if not is_finite(tensor)]
        learnt = any(not is_zero(tensor) for tensor in tensors)
    except HeldoutError as error:
        verdict.check("finite", "HO-G133", [error.what], "save the weights again")
        return
    bad += [] if learnt or not files else ["every weight is zero"]
    verdict.check("finite", "HO-G133", bad, "train again")
    verdict.report["files"] = [path.name for path in files]
    verdict.report["num_tensors"] = len(tensors)
    verdict.report["total_bytes"] = sum(tensor.bytes for tensor in tensors)


def prediction(checkpoint: Checkpoint, verdict: Verdict) -> None:
    """The model is loaded from disk and predicts its probe."""
    probe, entrypoint = checkpoint.find(PROBE), checkpoint.contract.entrypoints.get(_PREDICT)
    if probe is None:
        verdict.unseen("prediction", "HO-G134", f"there is no {PROBE}", "the trainer writes inputs and outputs")
    elif not entrypoint:
        why = f"the contract names no entry point {_PREDICT!r}"
        verdict.unseen("prediction", "HO-G134", why, "module:function, of the folder, giving a function of the inputs")
    else:
        problems = predict_problems(checkpoint, probe, entrypoint)
        verdict.check("prediction", "HO-G134", problems, "what was saved does not predict what was trained")


def _configuration(config: Mapping[str, Any] | None) -> list[str]:
    if not config:
        return ["model_config.json is not there or is empty"]
    problems = []
    if not isinstance(config.get("model_type") or config.get("architecture"), str):
        problems.append("it names no model_type")
    horizon = config.get("horizon_seconds")
    if not isinstance(horizon, int | float) or isinstance(horizon, bool) or horizon <= 0:
        problems.append("it names no horizon_seconds: a horizon in rows is no time")
    return problems


def _scheduler(checkpoint: Checkpoint, config: Mapping[str, Any]) -> list[str]:
    """How a prediction is generated: in the configuration, or in a file of its own."""
    for found in (
        config.get("scheduler"),
        config.get("generation"),
        checkpoint.document("scheduler_config.json"),
        checkpoint.document("scheduler/scheduler_config.json"),
        checkpoint.document("generation_config.json"),
    ):
        if isinstance(found, dict) and found:
            steps = found.get("num_inference_steps", 1)
            return [] if isinstance(steps, int) and steps >= 1 else [f"num_inference_steps is {steps!r}"]
    return ["there is neither a scheduler nor a generation configuration"]


def _unlike(checkpoint: Checkpoint, named: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, facts in sorted(named.items()):
        path = checkpoint.folder / name
        wanted = facts.get("sha256") if isinstance(facts, dict) else facts
        inside = path.resolve().is_relative_to(checkpoint.folder.resolve())
        if not inside or not path.is_file():
            problems.append(f"{name} is not there")
        elif sha256_file(path) != wanted:
            problems.append(f"{name} is not the file that the manifest names")
    return problems
