"""Training engines that several backbones share: arrays in, weights out, nothing of any domain.

``train`` fits many small dense networks in one program; what else is in the batch never changes a model.
"""

from heldout.fit.ensemble import train
from heldout.fit.mlp import Layer, MLPConfig, MLPWeights, TrainJob, initial_weights, outputs, predict

__all__ = ["Layer", "MLPConfig", "MLPWeights", "TrainJob", "initial_weights", "outputs", "predict", "train"]
