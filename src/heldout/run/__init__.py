"""Running a study: the road from corpus to verdict, in one directory."""

from heldout.run.api import Run, Study
from heldout.run.execute import execute
from heldout.run.prepare import Prepared, prepare
from heldout.run.resolve import Contender, Resolved, load_backbone, resolve

__all__ = ["Contender", "Prepared", "Resolved", "Run", "Study", "execute", "load_backbone", "prepare", "resolve"]
