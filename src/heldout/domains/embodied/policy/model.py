"""A policy from disk. ``load_predict`` is the contract's entry point ``predict``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.paths import Chunks
from heldout.domains.embodied.policy.observe import Observation, ObservationSpec
from heldout.domains.embodied.policy.space import SPACE_FILE, STATS_FILE, ActionSpace, Normaliser
from heldout.domains.embodied.training.files import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    deterministic_torch,
    load_tensors,
    unlike_manifest,
)
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json

CONFIG_FILE = "model_config.json"
CONFIG_SCHEMA = "heldout.policy/1"
MODEL_TYPE = "behaviour_cloning_chunks"
INPUTS = ("sensors", "pictures", "told")
CONTACT = ("no", "yes")
Arrays = Mapping[str, NDArray[Any]]


class Simulated(TypedDict):
    """A simulated episode."""

    task: str
    seed: int


class PolicyConfig(TypedDict):
    """``model_config.json``."""

    schema: str
    model_type: str
    observations: Mapping[str, object]
    chunks: Mapping[str, Any]
    labels: list[str]
    objects: list[str]
    network: dict[str, int]
    seed: int
    trained_on: NotRequired[list[Simulated]]


class Said(TypedDict):
    """What a policy says of what it does."""

    action: str
    next_action: str
    contact: str
    objects: list[str]


class Decision(NamedTuple):
    """What a policy makes of an observation.

    Attributes:
        actions: The next ones, inside the action space, ``[chunk, dims]``.
        beyond: Share of their numbers that had to be cut at a bound.
        path: What is added to constant velocity, metres, ``[frames, 3]``.
        said: In words.
    """

    actions: FloatArray
    beyond: float
    path: FloatArray
    said: Said


@dataclass(frozen=True)
class Policy:
    """A network with what it needs.

    Attributes:
        spec: What is observed.
        chunks: How far it plans.
        space: What it can do.
        normaliser: Of actions, sensors and paths.
        labels: Labels of actions that train knows.
        objects: Objects that train knows.
        net: In evaluation mode.
    """

    spec: ObservationSpec
    chunks: Chunks
    space: ActionSpace
    normaliser: Normaliser
    labels: tuple[str, ...]
    objects: tuple[str, ...]
    net: Any

    def decide(self, seen: Observation) -> Decision:
        """One observation by itself, so that nothing depends on its neighbours."""
        heads = run_network(self.net, network_inputs([seen], self.normaliser))
        scaled = heads["actions"][0].astype(np.float64).reshape(self.chunks.actions, -1)
        actions = scaled * self.normaliser.action.std + self.normaliser.action.mean
        inside = self.space.cut(actions)
        flat = heads["path"][0].astype(np.float64)
        path = (flat * self.normaliser.path.std + self.normaliser.path.mean).reshape(self.chunks.path, 3)
        likely = heads["objects"][0]
        said: Said = {
            "action": self.labels[int(heads["action"][0].argmax())],
            "next_action": self.labels[int(heads["next_action"][0].argmax())],
            "contact": CONTACT[int(heads["contact"][0].argmax())],
            "objects": [name for name, value in zip(self.objects, likely.tolist(), strict=True) if value > 0],
        }
        return Decision(inside, float((inside != actions).mean()), path, said)


def network_inputs(seen: list[Observation], normaliser: Normaliser) -> dict[str, NDArray[Any]]:
    """What the network is given; sensors standardised and cut at five standard deviations."""
    sensors = (np.stack([one.sensors for one in seen]) - normaliser.sensors.mean) / normaliser.sensors.std
    sensors = np.where(normaliser.sensors.kept, np.clip(sensors, -5, 5), 0.0)
    return {
        "sensors": sensors.astype(np.float32),
        "pictures": np.stack([one.pictures for one in seen]),
        "told": np.stack([one.told for one in seen]).astype(np.float32),
    }


def run_network(net: Any, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
    """Outputs by head."""
    import torch

    with torch.no_grad():
        found = net(*(torch.from_numpy(np.array(inputs[name])) for name in INPUTS))
    return {name: value.numpy() for name, value in found.items()}


@functools.lru_cache(maxsize=2)
def load_policy(folder: Path, *, untrained: bool = False) -> Policy:
    """The policy of a checkpoint.

    Args:
        folder: Of the checkpoint.
        untrained: The network as it was before its first step; everything else the same.

    Raises:
        InputError: If it is no policy.
        TamperedError: If a file is not the one that the checkpoint's manifest names.
    """
    config = read_config(folder)
    wrong = unlike_manifest(folder)
    if wrong:
        what = f"{', '.join(wrong)} is not what the manifest names"
        raise TamperedError(what, where=str(folder / MANIFEST_FILE), hint="train again")
    spec = ObservationSpec.parse(config["observations"], where=str(folder / CONFIG_FILE))
    space = ActionSpace.parse(read_json(folder / SPACE_FILE), where=str(folder / SPACE_FILE))
    normaliser = Normaliser.parse(read_json(folder / STATS_FILE), where=str(folder / STATS_FILE))
    labels, objects = tuple(config["labels"]), tuple(config["objects"])
    net = fresh_network(config).eval() if untrained else _trained(folder, config)
    return Policy(spec, Chunks(**config["chunks"]), space, normaliser, labels, objects, net)


def read_config(folder: Path) -> PolicyConfig:
    """``model_config.json`` of a checkpoint.

    Raises:
        InputError: If it is none of a policy.
    """
    config: PolicyConfig = read_json(folder / CONFIG_FILE)
    if not isinstance(config, dict) or config.get("schema") != CONFIG_SCHEMA:
        raise InputError("no policy is there", where=str(folder), hint="heldout embodied policy train makes one")
    return config


def fresh_network(config: PolicyConfig) -> Any:
    """The network before its first step: a function of the seed."""
    deterministic_torch(config["seed"])
    from heldout.domains.embodied.policy.network import PolicyNetwork

    return PolicyNetwork(config["network"])


def load_predict(folder: Path) -> Callable[[Arrays], Arrays]:
    """A function of the network's inputs, of the weights on disk."""
    net = _trained(folder, read_config(folder))
    return lambda inputs: run_network(net, inputs)


def _trained(folder: Path, config: PolicyConfig) -> Any:
    import torch

    net = fresh_network(config)
    state = {name: torch.from_numpy(np.array(values)) for name, values in load_tensors(folder / WEIGHTS_FILE).items()}
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"the weights do not fit: {error}", where=str(folder), hint="train again") from None
    return net.eval()
