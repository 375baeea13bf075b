"""Tasks and metrics: predictions, and every number that is computed from them."""

from heldout.task.metric import Metric, Rows
from heldout.task.predictions import Predictions, read_predictions
from heldout.task.summary import SCHEMA, summarise
from heldout.task.task import Task

__all__ = ["SCHEMA", "Metric", "Predictions", "Rows", "Task", "read_predictions", "summarise"]
