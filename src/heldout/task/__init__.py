"""Predictions, and every number that is computed from them."""

from heldout.task.predictions import Predictions, read_predictions
from heldout.task.summary import SCHEMA, summarise

__all__ = ["SCHEMA", "Predictions", "read_predictions", "summarise"]
