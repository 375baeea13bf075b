"""The plug-in protocol: what a backbone is given, what it must answer."""

from heldout.backbone.protocol import (
    Backbone,
    Baseline,
    ClassScores,
    Contract,
    CurvePanel,
    FeaturesView,
    FitJob,
    FloatArray,
    Judged,
    Params,
    Served,
    TrainView,
)

__all__ = [
    "Backbone",
    "Baseline",
    "ClassScores",
    "Contract",
    "CurvePanel",
    "FeaturesView",
    "FitJob",
    "FloatArray",
    "Judged",
    "Params",
    "Served",
    "TrainView",
]
