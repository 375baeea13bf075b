"""Behaviour cloning: from what an expert observed to what it did next, with heads for path, labels and objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.labels import UNKNOWN
from heldout.domains.embodied.episodes.paths import Chunks
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.policy.examples import Demonstration, Examples, collect, demonstrations
from heldout.domains.embodied.policy.model import (
    CONFIG_FILE,
    CONFIG_SCHEMA,
    CONTACT,
    INPUTS,
    MODEL_TYPE,
    PolicyConfig,
    Simulated,
    fresh_network,
    run_network,
)
from heldout.domains.embodied.policy.observe import ObservationSpec
from heldout.domains.embodied.policy.retarget import AUDIT_FILE, audit
from heldout.domains.embodied.policy.space import CONVERSION, SPACE_FILE, STATS_FILE, ActionSpace, Normaliser
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
from heldout.domains.embodied.training.scaling import Scaling, require_train_only
from heldout.errors import CorpusError, InputError
from heldout.evidence import digest
from heldout.evidence.sources import program_digest

_PROBED = 3
_PART = "heldout.domains.embodied"


@dataclass(frozen=True)
class PolicyOptions:
    """How it is trained.

    Attributes:
        steps: Of the optimiser.
        batch: Instants a step.
        learning_rate: Of AdamW, falling to nothing by a cosine.
        weight_decay: Of AdamW.
        hidden: Width.
        points: Places that each camera's filters name.
        side: Pixels of a picture's side.
        stride: Frames from instant to instant.
        chunk: Actions at once.
        path: Frames of the hand's path.
        low: Least value of an action.
        high: Greatest.
        seed: Of weights, order and dropout.
    """

    steps: int = 1500
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    hidden: int = 256
    points: int = 16
    side: int = 48
    stride: int = 2
    chunk: int = 8
    path: int = 10
    low: float = -1.0
    high: float = 1.0
    seed: int = 7


def train(index: Path, out: Path, options: PolicyOptions) -> Metadata:
    """Train on the train episodes of an index.

    Args:
        index: Folder of the window index.
        out: Folder of the training; ``checkpoint/`` is made in it.
        options: How.

    Returns:
        ``training_metadata.json``.

    Raises:
        InputError: If an option is wrong.
        CorpusError: If the episodes have no actions, or different ones.
        RefusedError: If the folder holds another training.
    """
    if (
        min(options.steps, options.batch, options.hidden, options.points, options.stride, options.chunk, options.path)
        < 1
    ):
        raise InputError("a count is below 1", where="--steps, --batch, --chunk", hint="see --help")
    if options.side < 16 or options.low >= options.high:
        raise InputError("an option is out of range", where="--side, --low, --high", hint="a side of 16 or more")
    source = IndexSource(index)
    code = program_digest((f"{_PART}.policy.train",), _PART)
    key = digest({"index": source.sha256, "options": asdict(options), "code": code})
    return run_training(out, key, lambda tell: _fit(source, options, tell))


def fit_normaliser(shown: Sequence[Demonstration], examples: Examples, train: Sequence[str]) -> Normaliser:
    """Fit on the episodes that are given, which must be train episodes.

    Args:
        shown: Demonstrations.
        examples: Their instants.
        train: Train episodes of the index.

    Raises:
        RefusedError: If one of them is not in train (HO-G106).
    """
    ids = examples.episodes
    actions = [
        np.asarray(one.episode.array("action"), np.float64).reshape(one.episode.header.frames, -1) for one in shown
    ]
    owners = [one.episode_id for one, values in zip(shown, actions, strict=True) for _ in values]
    moved = np.flatnonzero(examples.moved)
    path = examples.path[moved].reshape(len(moved), -1)
    found = Normaliser(
        Scaling.fit(np.concatenate(actions), owners, drop_still=False),
        Scaling.fit(examples.sensors, ids, drop_still=False),
        Scaling.fit(path, [ids[n] for n in moved], drop_still=False),
    )
    require_train_only(found.fitted_on, train, STATS_FILE)
    return found


def _fit(source: IndexSource, options: PolicyOptions, tell: Tell) -> Made:
    shown, held = demonstrations(source, "train"), demonstrations(source, "val")
    if not shown:
        raise CorpusError("there is no train episode", where=str(source.folder), hint="select more")
    spec = ObservationSpec.shared((one.episode for one in shown), options.side, back=4)
    chunks = _chunks(source, options)
    space = ActionSpace.of([one.episode for one in shown], chunks.action_stream, options.low, options.high)
    examples = collect(shown, spec, chunks, options.stride)
    checked = collect(held, spec, chunks, options.stride) if held else None
    normaliser = fit_normaliser(shown, examples, [one.episode_id for one in shown])
    config = _config(examples, spec, chunks, space, options)
    config["trained_on"] = simulated([one.episode for one in shown])
    tell("train_loop_start", num_train_samples=len(examples), num_val_samples=len(checked or []), steps=options.steps)
    net, history = _optimise(config, options, examples, checked, normaliser, tell)
    probed = {name: values[:_PROBED] for name, values in _inputs(examples, normaliser).items()}
    files = {
        CONFIG_FILE: json_bytes(config),
        SPACE_FILE: json_bytes(space.to_json()),
        STATS_FILE: json_bytes(normaliser.to_json()),
        AUDIT_FILE: json_bytes(audit([one.episode for one in shown], space, normaliser, chunks)),
        WEIGHTS_FILE: safetensors_bytes(tensors_of(net)),
        PROBE_FILE: probe_bytes(probed, run_network(net, probed)),
    }
    told = {
        "checkpoint_gate": "policy_checkpoint_action_space_and_normalizer",
        "conversion": CONVERSION,
        "fitted_on": list(normaliser.fitted_on),
    }
    metadata: Metadata = {
        "schema": "heldout.training/1",
        "backbone": "policy_vla_branch",
        "model_id": MODEL_TYPE,
        "index_sha256": source.sha256,
        "num_processes": 1,
        "num_train_samples": len(examples),
        "num_val_samples": len(checked) if checked else 0,
        "options": asdict(options),
        "history": history,
        "fitted_on": list(normaliser.fitted_on),
    }
    return Made(files, told, metadata)


def simulated(episodes: Sequence[Episode]) -> list[Simulated]:
    """Task and seed of the simulated episodes: closed-loop runs must have others."""
    found = {(e.header.provenance.get("task"), e.header.provenance.get("seed")) for e in episodes}
    known = sorted((str(task), int(seed)) for task, seed in found if task is not None and seed is not None)
    return [{"task": task, "seed": seed} for task, seed in known]


def _chunks(source: IndexSource, options: PolicyOptions) -> Chunks:
    chunks, policy = Chunks(options.chunk, options.path), source.manifest.get("clip_policy")
    if policy is None:
        return chunks
    window, fraction = policy["scales"][0]["window_frames"], policy["min_label_fraction"]
    return replace(chunks, window=window, min_label_fraction=fraction)


def _config(
    examples: Examples, spec: ObservationSpec, chunks: Chunks, space: ActionSpace, options: PolicyOptions
) -> PolicyConfig:
    labels = sorted({*examples.labels["action"], *examples.labels["next_action"]} - {UNKNOWN})
    objects = sorted({name for names in examples.objects for name in names})
    if not labels:
        raise CorpusError("no instant has a label", where="train", hint="shorter windows")
    return {
        "schema": CONFIG_SCHEMA,
        "model_type": MODEL_TYPE,
        "observations": spec.to_json(),
        "chunks": asdict(chunks),
        "labels": labels,
        "objects": objects,
        "network": {
            "sensors": examples.sensors.shape[1],
            "instructions": len(spec.instructions),
            "cameras": len(spec.cameras),
            "side": spec.side,
            "points": options.points,
            "hidden": options.hidden,
            "chunk": chunks.actions,
            "dims": len(space.names),
            "path": chunks.path,
            "labels": len(labels),
            "objects": len(objects),
        },
        "seed": options.seed,
    }


def _inputs(examples: Examples, normaliser: Normaliser) -> dict[str, NDArray[Any]]:
    sensors = (examples.sensors - normaliser.sensors.mean) / normaliser.sensors.std
    sensors = np.where(normaliser.sensors.kept, np.clip(sensors, -5, 5), 0.0)
    told = examples.told.astype(np.float32)
    return {"sensors": sensors.astype(np.float32), "pictures": examples.pictures, "told": told}


def _targets(examples: Examples, normaliser: Normaliser, config: PolicyConfig) -> dict[str, NDArray[Any]]:
    """What the heads should say; -1 is not known."""
    rows = len(examples)
    actions = (examples.actions - normaliser.action.mean) / normaliser.action.std
    path = (examples.path.reshape(rows, -1) - normaliser.path.mean) / normaliser.path.std
    number = {label: place for place, label in enumerate(config["labels"])}
    known = {name: [number.get(label, -1) for label in examples.labels[name]] for name in ("action", "next_action")}
    known["contact"] = [CONTACT.index(label) if label in CONTACT else -1 for label in examples.labels["contact"]]
    objects = [[float(name in names) for name in config["objects"]] for names in examples.objects]
    return {
        "actions": actions.astype(np.float32),
        "acted": examples.acted.astype(np.float32),
        "path": path.astype(np.float32),
        "moved": examples.moved.astype(np.float32),
        "objects": np.array(objects, np.float32).reshape(rows, -1),
    } | {name: np.array(values, np.int64) for name, values in known.items()}


def _optimise(
    config: PolicyConfig,
    options: PolicyOptions,
    examples: Examples,
    checked: Examples | None,
    normaliser: Normaliser,
    tell: Tell,
) -> tuple[Any, list[Epoch]]:
    net = fresh_network(config)
    torch = deterministic_torch(options.seed)
    inputs, targets = _tensors(torch, examples, normaliser, config)
    validation = _tensors(torch, checked, normaliser, config) if checked else None
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    order = np.random.Generator(np.random.Philox(options.seed))
    history: list[Epoch] = []
    total, count, rows = 0.0, 0, np.zeros(0, np.int64)
    for step in range(1, options.steps + 1):
        net.train()
        if len(rows) < options.batch:
            rows = np.concatenate([rows, order.permutation(len(examples))])
        chosen, rows = torch.from_numpy(rows[: options.batch]), rows[options.batch :]
        loss = _loss(torch, net, inputs, targets, chosen)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total, count = total + float(loss.detach()), count + 1
        if step % max(1, options.steps // 10) == 0 or step == options.steps:
            if not np.isfinite(total):
                raise CorpusError("the loss is not finite", where=f"step {step}", hint="a smaller --learning-rate")
            net.eval()
            val_loss = None if validation is None else _validate(torch, net, *validation)
            epoch = step * options.batch / len(examples)
            history.append({"epoch": epoch, "train_loss": total / count, "val_loss": val_loss, "global_step": step})
            tell("epoch_end", **history[-1])
            total, count = 0.0, 0
    return net.eval(), history


def _tensors(
    torch: Any, examples: Examples, normaliser: Normaliser, config: PolicyConfig
) -> tuple[list[Any], Mapping[str, Any]]:
    inputs = _inputs(examples, normaliser)
    targets = _targets(examples, normaliser, config)
    return (
        [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in INPUTS],
        {name: torch.from_numpy(values) for name, values in targets.items()},
    )


def _loss(torch: Any, net: Any, inputs: Sequence[Any], targets: Mapping[str, Any], rows: Any) -> Any:
    """Mean errors of what is known: actions and path squared, labels and objects by cross entropy."""
    said = net(*(part[rows] for part in inputs))
    want = {name: values[rows] for name, values in targets.items()}
    functional = torch.nn.functional
    error = ((said["actions"].reshape(want["actions"].shape) - want["actions"]) ** 2).mean(dim=2)
    loss = (error * want["acted"]).sum() / want["acted"].sum().clamp(min=1)
    path = ((said["path"] - want["path"]) ** 2).mean(dim=1)
    loss = loss + 0.5 * (path * want["moved"]).sum() / want["moved"].sum().clamp(min=1)
    for name in ("action", "next_action", "contact"):
        if bool((want[name] >= 0).any()):
            loss = loss + 0.2 * functional.cross_entropy(said[name], want[name], ignore_index=-1)
    if said["objects"].shape[1]:
        loss = loss + 0.2 * functional.binary_cross_entropy_with_logits(said["objects"], want["objects"])
    return loss


def _validate(torch: Any, net: Any, inputs: Sequence[Any], targets: Mapping[str, Any]) -> float:
    with torch.no_grad():
        rows = torch.arange(len(targets["moved"]))
        parts = rows.split(256)
        return float(sum(float(_loss(torch, net, inputs, targets, part)) * len(part) for part in parts) / len(rows))
