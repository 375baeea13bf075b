"""heldout: evidence that a new model deserves to replace the old one.

The public names load on first use, so that ``import heldout`` and ``heldout --help`` stay fast.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.api import Study
    from heldout.memory.evaluate import evaluate
    from heldout.memory.judge import judge
    from heldout.run import Run

# A product of matrices may be rounded by where they lie in memory, and on some processors is: a model's bits would then
# depend on the models beside it. Intel's library promises otherwise only where it is told before its first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"
__all__ = ["Run", "Study", "__version__", "evaluate", "judge"]

_HOMES = {"api": ("Study",), "memory.evaluate": ("evaluate",), "memory.judge": ("judge",), "run": ("Run",)}
__getattr__ = lazily(__name__, _HOMES)
