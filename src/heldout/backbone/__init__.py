"""The plug-in protocol: what a backbone is given, what it must answer."""

from heldout.backbone.asked import AskedBackbone, AskedParams, HeldOut
from heldout.backbone.protocol import (
    Backbone,
    Baseline,
    ClassScores,
    Contract,
    CurvePanel,
    FitJob,
    FloatArray,
    Judged,
    Params,
    Served,
    WeightedParams,
)
from heldout.corpus import FeaturesView, TrainView

__all__ = [
    "AskedBackbone",
    "AskedParams",
    "Backbone",
    "Baseline",
    "ClassScores",
    "Contract",
    "CurvePanel",
    "FeaturesView",
    "FitJob",
    "FloatArray",
    "HeldOut",
    "Judged",
    "Params",
    "Served",
    "TrainView",
    "WeightedParams",
]
