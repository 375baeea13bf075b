"""Checkpoints of a training: one file each, atomic, without pickle.

Invariant: the folder holds only whole checkpoints, each of a finished step. A killed training starts again from the
newest one. Everything else it needs (the order of samples, the learning rate, the seed of dropout) is a function of the
step's number, so a continued run takes the very steps that an undisturbed one takes.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from heldout.domains.embodied.training.files import Epoch
from heldout.errors import InputError, RefusedError
from heldout.evidence import atomic_path, plain_path

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

SCHEMA = "heldout.training-state/1"
_NAME = re.compile(r"state-(\d{8})\.safetensors")
_KEPT = 2
_MODEL, _OPTIMIZER = "model.", "optimizer."


class OptimizerState(TypedDict):
    """What an optimizer knows: moments by parameter, and the options of its groups."""

    state: dict[str, Tensors]
    param_groups: list[dict[str, object]]


@dataclass
class Progress:
    """Where a training is.

    Attributes:
        epoch: The one that is under way.
        micro: Forward passes of it that are done.
        step: Steps of the optimizer that are done.
        loss: Sum of the loss of the epoch's answer tokens, so far.
        tokens: Their number.
        history: Of the epochs that are over.
    """

    epoch: int = 0
    micro: int = 0
    step: int = 0
    loss: float = 0.0
    tokens: int = 0
    history: list[Epoch] = field(default_factory=list)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint."""
    found = [path for path in folder.glob("state-*.safetensors") if _NAME.fullmatch(path.name)]
    return max(found, default=None)


def save_state(folder: Path, identity: str, progress: Progress, weights: Tensors, optimizer: OptimizerState) -> Path:
    """Write a checkpoint and remove all but the last two.

    Args:
        folder: Of checkpoints.
        identity: Key of the training.
        progress: Where it is.
        weights: That are trained.
        optimizer: Its state.
    """
    from safetensors.torch import save_file

    tensors = {f"{_MODEL}{name}": tensor.contiguous() for name, tensor in weights.items()}
    for name, moments in optimizer["state"].items():
        tensors |= {f"{_OPTIMIZER}{name}|{key}": tensor.contiguous() for key, tensor in moments.items()}
    groups = optimizer["param_groups"]
    head = {"schema": SCHEMA, "identity": identity, "progress": asdict(progress), "groups": groups}
    path = folder / f"state-{progress.step:08d}.safetensors"
    with atomic_path(path) as partial:
        save_file(tensors, str(partial), metadata={"heldout": json.dumps(head, sort_keys=True)})
    for old in sorted(folder.glob("state-*.safetensors"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def read_state(path: Path, identity: str) -> tuple[Progress, Tensors, OptimizerState]:
    """Progress, weights and optimizer state of a checkpoint.

    Raises:
        RefusedError: If it is of another training.
        InputError: If it is no checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(plain_path(path)), framework="pt") as opened:
            head = json.loads((opened.metadata() or {}).get("heldout", "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"no checkpoint: {error}", where=str(path), hint="remove it") from None
    if head.get("schema") != SCHEMA:
        raise InputError("no checkpoint of a training", where=str(path), hint="remove it")
    if head["identity"] != identity:
        raise RefusedError(
            "the checkpoint is of a training with other options, data or base",
            where=str(path),
            hint="go on with what it was started with, or choose another --output-dir",
            code="HO-E420",
        )
    weights = {name.removeprefix(_MODEL): one for name, one in tensors.items() if name.startswith(_MODEL)}
    moments: dict[str, Tensors] = {}
    for name, one in tensors.items():
        if name.startswith(_OPTIMIZER):
            parameter, _, key = name.removeprefix(_OPTIMIZER).rpartition("|")
            moments.setdefault(parameter, {})[key] = one
    groups = [
        {key: _plain(value) if key != "params" else value for key, value in group.items()} for group in head["groups"]
    ]
    return Progress(**head["progress"]), weights, {"state": moments, "param_groups": groups}


def gather(model: Any, optimizer: Any | None = None) -> tuple[Tensors, OptimizerState]:
    """Trained weights and optimizer state, whole, on the processor; sharded ones are gathered from all processes."""
    import torch.distributed.checkpoint.state_dict as states

    options = _options(states)
    # A frozen parameter that is tied to another one is left in, under its second name.
    frozen = {name for name, one in model.named_parameters(remove_duplicate=False) if not one.requires_grad}
    found = states.get_model_state_dict(model, options=options)
    weights = {name: tensor for name, tensor in found.items() if name not in frozen}
    nothing: OptimizerState = {"state": {}, "param_groups": []}
    return weights, states.get_optimizer_state_dict(model, optimizer, options=options) if optimizer else nothing


def restore(model: Any, optimizer: Any, weights: Tensors, state: OptimizerState) -> None:
    """Put weights and optimizer state back, sharded as the model is."""
    import torch.distributed.checkpoint.state_dict as states

    options = _options(states)
    states.set_model_state_dict(model, weights, options=options)
    states.set_optimizer_state_dict(model, optimizer, state, options=options)


def _options(states: Any) -> Any:
    return states.StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)


def _plain(value: Any) -> Any:
    """JSON has no tuples; the optimizer's pair of decay rates is one."""
    return tuple(value) if isinstance(value, list) else value
