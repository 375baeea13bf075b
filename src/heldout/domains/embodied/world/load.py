"""Which world model a checkpoint holds, loaded."""

from __future__ import annotations

import functools
from pathlib import Path

from heldout.domains.embodied.training.scaling import Scaling
from heldout.domains.embodied.world.cosmos import CosmosModel
from heldout.domains.embodied.world.export import FutureSettings
from heldout.domains.embodied.world.features import FeatureSpec
from heldout.domains.embodied.world.model import (
    CONFIG_FILE,
    COSMOS,
    NORMALISER_FILE,
    FutureModel,
    LearntModel,
    network_of,
    read_config,
)
from heldout.evidence import read_json


@functools.lru_cache(maxsize=2)
def load_model(folder: Path) -> FutureModel:
    """The model of a checkpoint: the trained network, or Cosmos behind the same interface.

    Raises:
        InputError: If it is no world model.
        TamperedError: If a file is not the one that the checkpoint's manifest names.
    """
    config = read_config(folder)
    settings = FutureSettings(**config["settings"])
    spec = FeatureSpec.parse(config["features"], where=str(folder / CONFIG_FILE))
    scaling = Scaling.parse(read_json(folder / NORMALISER_FILE), where=str(folder / NORMALISER_FILE))
    if config["model_type"] == COSMOS:
        return CosmosModel(settings, spec, scaling, config["generation"])
    told = config.get("action_normaliser")
    acted = Scaling.parse(told, where=str(folder / CONFIG_FILE)) if told else None
    return LearntModel(settings, spec, scaling, acted, network_of(folder, config["network"]))
