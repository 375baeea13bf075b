"""Conformance classes for plug-ins, and small corpora to try them on.

Whoever writes a backbone, a reader, a metric, a task or a splitter subclasses one of them in a test file and sets an
attribute or two; the test methods come with the class (``docs/plugins.md``)::

    from heldout.testing import BackboneConformance, small_classification

    class TestMine(BackboneConformance):
        backbone = Mine(MineParams())
        corpus = staticmethod(small_classification)     # small_regression, if nothing is said

A test that cannot hold for a plug-in is overridden by a method of the same name, which says why. pytest runs the
classes; importing them does not need it.
"""

from heldout.testing.asked import AskedBackboneConformance
from heldout.testing.backbone import BackboneConformance
from heldout.testing.corpora import small_classification, small_regression, small_table, small_table_file
from heldout.testing.metric import MetricConformance
from heldout.testing.reader import ReaderConformance
from heldout.testing.splitter import SplitterConformance
from heldout.testing.task import TaskConformance

__all__ = [
    "AskedBackboneConformance",
    "BackboneConformance",
    "MetricConformance",
    "ReaderConformance",
    "SplitterConformance",
    "TaskConformance",
    "small_classification",
    "small_regression",
    "small_table",
    "small_table_file",
]
