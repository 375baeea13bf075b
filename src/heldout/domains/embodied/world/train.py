"""The trainer of the future-feature network: the squared error of standardised features, best epoch by validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.training.files import (
    PROBE_FILE,
    WEIGHTS_FILE,
    Epoch,
    Made,
    Metadata,
    Tell,
    deterministic_torch,
    json_bytes,
    probe_bytes,
    run_training,
    safetensors_bytes,
    tensors_of,
)
from heldout.domains.embodied.training.scaling import Scaling
from heldout.domains.embodied.world.data import FutureData, fit_scalings
from heldout.domains.embodied.world.export import PAIRS_FILE
from heldout.domains.embodied.world.model import (
    CONFIG_FILE,
    CONFIG_SCHEMA,
    LEARNT,
    NORMALISER_FILE,
    NetworkSizes,
    WorldConfig,
    network_inputs,
    run_network,
)
from heldout.errors import CorpusError, InputError
from heldout.evidence import digest
from heldout.evidence.sources import program_digest

_PROBED = 4
_PART = "heldout.domains.embodied"
Inputs = Mapping[str, NDArray[np.float32]]


class Selected(Epoch):
    """An epoch with the loss that chooses the best."""

    selected_by: float


@dataclass(frozen=True)
class TrainOptions:
    """How it is trained.

    Attributes:
        conditioning: ``none``, or ``actions``: those that are carried out until the end of the future are given.
        epochs: At most.
        patience: Epochs without a better validation loss, after which it ends.
        batch: Pairs a step.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        hidden: Width.
        dropout: Share.
        seed: Of weights, order and dropout.
    """

    conditioning: str = "none"
    epochs: int = 120
    patience: int = 25
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    hidden: int = 256
    dropout: float = 0.1
    seed: int = 7


def train(data: Path, out: Path, options: TrainOptions) -> Metadata:
    """Train on an export.

    Args:
        data: Folder of the export.
        out: Folder of the training; ``checkpoint/`` is made in it.
        options: How.

    Returns:
        ``training_metadata.json``.

    Raises:
        InputError: If an option is wrong.
        RefusedError: If the data must not be learnt from, or the folder holds another training.
    """
    if options.conditioning not in ("none", "actions") or min(options.epochs, options.batch, options.hidden) < 1:
        raise InputError(
            "an option is out of range", where="--conditioning, --epochs", hint="none or actions; at least 1"
        )
    opened = FutureData.open(data)
    if options.conditioning == "actions" and "actions" not in opened.arrays:
        raise InputError("the episodes have no actions", where=str(data), hint="--conditioning none")
    code = program_digest((f"{_PART}.world.train",), _PART)
    key = digest({"data": opened.manifest["files"], "options": asdict(options), "code": code})
    return run_training(out, key, lambda tell: _fit(opened, options, tell))


def _fit(data: FutureData, options: TrainOptions, tell: Tell) -> Made:
    scaling, acted = fit_scalings(data, options.conditioning)
    inputs, target = _standard(data, scaling, acted)
    sizes = NetworkSizes(
        features=int(scaling.kept.sum()),
        actions=int(acted.kept.sum()) if acted else 0,
        hidden=options.hidden,
        dropout=options.dropout,
    )
    train_rows, val_rows = data.of("train"), data.of("val")
    tell("train_loop_start", num_train_samples=len(train_rows), num_val_samples=len(val_rows), epochs=options.epochs)
    net, history = _optimise(sizes, options, inputs, target, train_rows, val_rows, tell)
    probed = {name: values[train_rows[:_PROBED]] for name, values in inputs.items()}
    files = {
        CONFIG_FILE: json_bytes(_config(data, options, acted, sizes)),
        NORMALISER_FILE: json_bytes(scaling.to_json()),
        WEIGHTS_FILE: safetensors_bytes(tensors_of(net)),
        PROBE_FILE: probe_bytes(probed, {"future": run_network(net, probed)}),
    }
    told = {
        "checkpoint_gate": "world_model_checkpoint_and_generation_config",
        "fitted_on": list(scaling.fitted_on),
        "horizon_seconds": data.manifest["settings"]["horizon_seconds"],
    }
    best = min(history, key=lambda one: (one["selected_by"], one["epoch"]))
    metadata: Metadata = {
        "schema": "heldout.training/1",
        "backbone": "cosmos_world_model",
        "model_id": LEARNT,
        "dataset_jsonl": PAIRS_FILE,
        "dataset_sha256": data.manifest["files"][PAIRS_FILE],
        "index_sha256": data.manifest["index_sha256"],
        "num_processes": 1,
        "num_train_samples": len(train_rows),
        "num_val_samples": len(val_rows),
        "options": asdict(options),
        "history": history,
        "best_epoch": best["epoch"],
        "fitted_on": list(scaling.fitted_on),
    }
    return Made(files, told, metadata)


def _standard(
    data: FutureData, scaling: Scaling, acted: Scaling | None
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    present, past, future = (data.arrays[name] for name in ("present", "past", "future"))
    actions = data.arrays.get("actions", np.zeros((len(present), 0)))
    target = np.clip(scaling.apply(future), -10, 10).astype(np.float32)
    return network_inputs(present, past, actions, scaling, acted), target


def _config(data: FutureData, options: TrainOptions, acted: Scaling | None, sizes: NetworkSizes) -> WorldConfig:
    return {
        "schema": CONFIG_SCHEMA,
        "model_type": LEARNT,
        "horizon_seconds": data.manifest["settings"]["horizon_seconds"],
        "settings": dict(data.manifest["settings"]),
        "features": {key: value for key, value in data.manifest["features"].items() if key != "language"},
        "conditioning": options.conditioning,
        "action_normaliser": acted.to_json() if acted else None,
        "generation": {"kind": "one step, no sampling", "num_inference_steps": 1},
        "network": sizes,
        "seed": options.seed,
    }


def _optimise(
    sizes: NetworkSizes,
    options: TrainOptions,
    inputs: Inputs,
    target: NDArray[np.float32],
    train_rows: NDArray[np.int64],
    val_rows: NDArray[np.int64],
    tell: Tell,
) -> tuple[Any, list[Selected]]:
    torch = deterministic_torch(options.seed)
    from heldout.domains.embodied.world.network import FutureNetwork

    net = FutureNetwork(**sizes)
    parts = [torch.from_numpy(inputs[name]) for name in ("present", "drift", "actions")]
    truth = torch.from_numpy(target)
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    order = np.random.Generator(np.random.Philox(options.seed))
    history: list[Selected] = []
    best: Mapping[str, Any] = {}
    lowest, since, step = float("inf"), 0, 0
    for epoch in range(1, options.epochs + 1):
        net.train()
        total = 0.0
        shuffled = order.permutation(train_rows)
        for first in range(0, len(shuffled), options.batch):
            rows = torch.from_numpy(shuffled[first : first + options.batch])
            loss = ((net(*(part[rows] for part in parts)) - truth[rows]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            total += float(loss.detach()) * len(rows)
            step += 1
        net.eval()
        train_loss = total / len(train_rows)
        val_loss = _loss(torch, net, parts, truth, val_rows) if len(val_rows) else None
        judged = train_loss if val_loss is None else val_loss
        if not np.isfinite(judged):
            raise CorpusError("the loss is not finite", where=f"epoch {epoch}", hint="a smaller --learning-rate")
        history.append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "global_step": step,
                "selected_by": judged,
            }
        )
        tell("epoch_end", **history[-1])
        since += 1
        if judged < lowest:
            lowest, since = judged, 0
            best = {name: value.clone() for name, value in net.state_dict().items()}
        if since >= options.patience:
            break
    net.load_state_dict(best)
    return net.eval(), history


def _loss(torch: Any, net: Any, parts: Sequence[Any], truth: Any, rows: NDArray[np.int64]) -> float:
    chosen = torch.from_numpy(rows)
    with torch.no_grad():
        return float(((net(*(part[chosen] for part in parts)) - truth[chosen]) ** 2).mean())
