"""Predictions, and every number that is computed from them."""

from heldout.evaluate.predictions import Predictions, read_predictions
from heldout.evaluate.summary import SCHEMA, summarise

__all__ = ["SCHEMA", "Predictions", "read_predictions", "summarise"]
