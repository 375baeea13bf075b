"""A world model from disk. ``load_predict`` is the contract's entry point ``predict``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.training.files import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    deterministic_torch,
    load_tensors,
    unlike_manifest,
)
from heldout.domains.embodied.training.scaling import Scaling
from heldout.domains.embodied.world.export import FutureSettings, look
from heldout.domains.embodied.world.features import FeatureSpec
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json

CONFIG_FILE, NORMALISER_FILE = "model_config.json", "feature_normalizer.json"
CONFIG_SCHEMA = "heldout.world-model/1"
LEARNT, COSMOS = "future_feature_network", "cosmos_diffusers"
Arrays = Mapping[str, NDArray[Any]]


class NetworkSizes(TypedDict):
    """What the learnt network is built of."""

    features: int
    actions: int
    hidden: int
    dropout: float


class WorldConfig(TypedDict):
    """``model_config.json``."""

    schema: str
    model_type: str
    horizon_seconds: float
    settings: Mapping[str, Any]
    features: Mapping[str, object]
    conditioning: str
    generation: Mapping[str, object]
    action_normaliser: NotRequired[Mapping[str, object] | None]
    network: NotRequired[NetworkSizes]
    seed: NotRequired[int]


class FutureModel(Protocol):
    """What an evaluation asks of any world model, small or large."""

    @property
    def settings(self) -> FutureSettings:
        """What is predicted."""
        ...

    @property
    def spec(self) -> FeatureSpec:
        """What is seen."""
        ...

    @property
    def scaling(self) -> Scaling:
        """Of features."""
        ...

    def future(self, episode: Episode, start: int, end: int, shift: int) -> FloatArray:
        """Raw features of frames ``start + shift .. end + shift``, of what is known at ``end``; ``[features]``."""
        ...


@dataclass(frozen=True)
class LearntModel:
    """The small trained network with what it needs.

    Attributes:
        settings: What is predicted.
        spec: What is seen.
        scaling: Of features.
        action_scaling: Of actions; None without conditioning.
        net: The network, in evaluation mode.
    """

    settings: FutureSettings
    spec: FeatureSpec
    scaling: Scaling
    action_scaling: Scaling | None
    net: Any

    def future(self, episode: Episode, start: int, end: int, shift: int) -> FloatArray:
        """See ``FutureModel.future``. Windows are predicted one by one, so that no result depends on its neighbours."""
        seen = look(episode, self.spec, self.settings, start, end, shift)
        inputs = network_inputs(
            seen.present[None], seen.past[None], seen.actions[None], self.scaling, self.action_scaling
        )
        return self.scaling.undo(run_network(self.net, inputs)[0].astype(np.float64), seen.present)


def network_inputs(
    present: FloatArray, past: FloatArray, actions: FloatArray, scaling: Scaling, action_scaling: Scaling | None
) -> dict[str, NDArray[np.float32]]:
    """What the network is given, float32 ``[rows, width]``; what is far out is cut at ten standard deviations."""
    now, before = scaling.apply(present), scaling.apply(past)
    acted = action_scaling.apply(actions) if action_scaling else np.zeros((len(now), 0))
    parts = {"present": now, "drift": now - before, "actions": acted}
    return {name: np.clip(values, -10, 10).astype(np.float32) for name, values in parts.items()}


def run_network(net: Any, inputs: Arrays) -> NDArray[np.float32]:
    """Standardised futures, ``[rows, kept]``."""
    import torch

    with torch.no_grad():
        parts = [torch.from_numpy(np.array(inputs[name])) for name in ("present", "drift", "actions")]
        found: NDArray[np.float32] = net(*parts).numpy()
    return found


def read_config(folder: Path) -> WorldConfig:
    """``model_config.json`` of a checkpoint that is whole.

    Raises:
        InputError: If it is none.
        TamperedError: If a file is not the one that the manifest names.
    """
    config: WorldConfig = read_json(folder / CONFIG_FILE)
    if not isinstance(config, dict) or config.get("schema") != CONFIG_SCHEMA:
        raise InputError("no world model is there", where=str(folder), hint="heldout embodied world train makes one")
    wrong = unlike_manifest(folder)
    if wrong:
        raise TamperedError(
            f"{', '.join(wrong)} is not what the manifest names", where=str(folder / MANIFEST_FILE), hint="train again"
        )
    return config


def load_predict(folder: Path) -> Callable[[Arrays], Arrays]:
    """A function of the network's inputs, of the weights on disk."""
    config: WorldConfig = read_json(folder / CONFIG_FILE)
    net = network_of(folder, config["network"])

    def predict(inputs: Arrays) -> Arrays:
        return {"future": run_network(net, inputs)}

    return predict


def network_of(folder: Path, sizes: NetworkSizes) -> Any:
    """The trained network of a checkpoint, in evaluation mode.

    Raises:
        InputError: If the weights do not fit its configuration.
    """
    torch = deterministic_torch(0)
    from heldout.domains.embodied.world.network import FutureNetwork

    net = FutureNetwork(**sizes)
    state = {name: torch.from_numpy(np.array(values)) for name, values in load_tensors(folder / WEIGHTS_FILE).items()}
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"the weights do not fit: {error}", where=str(folder), hint="train again") from None
    return net.eval()
